#pragma once
/* What an image may hold. Every entry of an archive is looked at before anything of it is written. */

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>

#include "proto/base/error.h"

/* Errors: VN_E_INVALID; the text names the entry. */
int unpack_check(struct archive_entry *entry, struct vn_error *err);

/* Whether a good entry is not to be written at all: a device node below dev/. */
bool unpack_is_left_out(struct archive_entry *entry);
