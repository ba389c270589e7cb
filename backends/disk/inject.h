#pragma once
/* Files of ours inside a root file system that a guest has had its hands on. */

#include "backends/backend.h"

/*
 * Writes files into the mounted root `root` (a folder), as the owner of that folder, each whole or
 * not at all. A file that has this text, mode and owner already is not touched. A link at the end of
 * a path is replaced, never followed; links on the way are followed as the guest would see them.
 * Safe from a power cut only after the root was unmounted.
 *
 * Errors: VN_E_INVALID a path that is not absolute or leads through something that is no folder;
 *         VN_E_LIMIT disk full.
 */
int inject_files(const char *root, const struct guest_file *files, size_t n_files,
		 struct vn_error *err);
