#pragma once
/* The folder of a vnode's disk: <disks>/<vmid>/{owner,upper,work}. */

#include "backends/disk/overlay.h"

/* To be freed. */
char *folder_path(const struct overlay *overlay, int64_t vmid);

/*
 * Whether the folder `path` is there and is the disk of this vnode.
 *
 * image:  the image it must have been made for; NULL: any.
 * Errors: VN_E_EXISTS it belongs to someone else; VN_E_STATE it was made for another image.
 */
int folder_check(const char *path, const struct disk_spec *spec, const char *image, bool *ret_there,
		 struct vn_error *err);

/* Makes the folder, with the image's own owner and mode for the guest's root. */
int folder_create(const struct overlay *overlay, const struct disk_spec *spec, struct vn_error *err);

/* Puts a fresh one in its place, at once; what was there goes the way of folder_destroy. */
int folder_renew(const struct overlay *overlay, const struct disk_spec *spec, struct vn_error *err);

/* Renames it into the trash and deletes it there. */
int folder_destroy(const struct overlay *overlay, const struct disk_spec *spec,
		   struct vn_error *err);

/* Fails with VN_E_STATE where a disk is built on the image: without it that disk is broken for good. */
int folder_check_unused(const struct overlay *overlay, const char *sha256, struct vn_error *err);
