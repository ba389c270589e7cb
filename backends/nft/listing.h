#pragma once
/* Tables as nftables lists them. Thread: any. */

#include "backends/difference.h"

/* Appends what differs: missing, surplus and moved lines of each set, map and chain, kind "rule". */
void listing_compare(struct differences *list, const char *wanted, const char *found);
