#pragma once
/* What an entry of an archive has beside its name and contents. */

#include <archive_entry.h>

#include "proto/base/error.h"

/*
 * Adds the extended attributes and ACLs of an open file or folder, in the order of their names. What steers
 * overlayfs (trusted.*, user.overlay.*) is left out.
 *
 * name: for errors.
 */
int pack_attributes(struct archive_entry *entry, int fd, const char *name, struct vn_error *err);

/*
 * Tells the entry which parts of a file are data, by its contents alone: whole blocks of zeros, so many
 * of them in a row that leaving them out pays, are holes.
 *
 * size: of the file.
 */
int pack_holes(struct archive_entry *entry, int fd, uint64_t size, const char *name, struct vn_error *err);
