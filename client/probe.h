#pragma once
/* The measuring half of verify. */

#include "client/client.h"

struct arguments;

/* Measures the LAN args->probe and prints what was wanted and what is. STATUS_FAILED where they differ. */
int probe_lan(struct client *client, const struct arguments *args);
