#pragma once
/* Disk images: files that are the disk of a virtual machine. They are never mounted or changed here. */

#include "backends/backend.h"

/*
 * Tells what a file is by its first bytes.
 *
 * Returns: IMAGE_QCOW2, IMAGE_RAW (a partition table or a file system begins it), or IMAGE_TAR: whatever
 *          else it is, unpacking says.
 */
int image_disk_detect(int fd);

/*
 * Checks a disk of that format and finds its size.
 *
 * limit_bytes: of the size that a guest sees; 0 = none.
 * Errors:      VN_E_INVALID it is none, or damaged; VN_E_UNSUPPORTED it needs another file beside it, is
 *              encrypted or of a version that is not known.
 */
int image_disk_check(int fd, int format, uint64_t limit_bytes, uint64_t *ret_virtual,
		     struct vn_error *err);

/*
 * Puts the file of an image to `to`, synced: as one more name of the same file where that can be, else as a copy
 * of it, by the file system where that can copy, with the same holes.
 */
int image_disk_store(const struct image_spec *spec, const char *to, const bool *cancelled,
		     uint64_t *progress_bytes, struct vn_error *err);
