#pragma once
/* The folder of a vnode's disk: <disks>/<vmid>, with its owner file and what its type puts there. */

#include "backends/disk/local.h"

/* To be freed. */
char *folder_path(const struct local *local, int64_t vmid);

/*
 * Whether the folder `path` is there and is the disk of this vnode.
 *
 * image:  the image it must have been made for, as spec->type; NULL: any.
 * Errors: VN_E_EXISTS it belongs to someone else; VN_E_STATE it was made for another image or type.
 */
int folder_check(const char *path, const struct disk_spec *spec, const char *image, bool *ret_there,
		 struct vn_error *err);

/* Makes the folder and has its type fill it. */
int folder_create(const struct local *local, const struct disk_spec *spec, struct vn_error *err);

/* Puts a fresh one in its place, at once; what was there goes the way of folder_destroy. */
int folder_renew(const struct local *local, const struct disk_spec *spec, struct vn_error *err);

/* Renames it into the trash and deletes it there. */
int folder_destroy(const struct local *local, const struct disk_spec *spec,
		   struct vn_error *err);

/* Fails with VN_E_STATE where a disk is built on the image: without it that disk is broken for good. */
int folder_check_unused(const struct local *local, const char *sha256, struct vn_error *err);
