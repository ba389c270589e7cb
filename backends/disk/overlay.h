#pragma once
/* What the files of the overlay backend share. Everything in it is set at open and only read then. */

#include <stdbool.h>

#include "backends/backend.h"

struct overlay {
	struct disk base;
	const struct backend_env *env;		/* borrowed */
	char *images, *disks, *trash;		/* <state_dir>/…; only root may enter */
	char *roots;				/* <run_dir>/root; only root may enter */
	int workshop;				/* mount namespace to assemble overlays in, or -1 */
	struct vn_error workshop_err;		/* why there is none */
};

/* disk_ops.missing. */
int overlay_missing(struct disk *disk, char ***ret, struct vn_error *err);

/* disk_ops.inventory. */
int overlay_inventory(struct disk *disk, struct disk_found **ret, size_t *ret_count,
		      struct vn_error *err);

/* Whether our own overlay is mounted at `path`; *ret_foreign: something else is. */
int overlay_is_mounted(const struct overlay *overlay, const char *path, bool *ret,
		       bool *ret_foreign, struct vn_error *err);
