#pragma once
/*
 * Disks and images in folders of this host. A vnode's disk is of one of several types (types.h); where
 * images, disks and trash lie is the same for all.
 */

#include <pthread.h>
#include <stdbool.h>

#include "backends/backend.h"

struct local {
	/* set at open and only read then */
	struct disk base;
	const struct backend_env *env;		/* borrowed */
	char *images, *disks, *extras, *trash;	/* <state_dir>/…; only root may enter */
	char *roots;				/* <run_dir>/root; only root may enter */
	int workshop;				/* mount namespace to assemble overlays in, or -1 */
	struct vn_error workshop_err;		/* why there is none */

	/* One volume of an image is made or removed at a time; under it, those that are there. */
	pthread_mutex_t volumes;
	struct known_image {
		char sha256[65];
	} *known;
	size_t n_known;

	/* under lock */
	pthread_mutex_t lock;
	struct vn_error lacks[DISK_TYPES];	/* why there are no disks of a type; VN_OK */
	struct vn_error lacks_extras;		/* why there are no extra disks; VN_OK */
};

/* disk_ops.type_check (types.c). */
int types_check_local(struct local *local, int type, struct vn_error *err);

/* disk_ops.missing. */
int local_missing(struct disk *disk, char ***ret, struct vn_error *err);

/* disk_ops.inventory. */
int local_inventory(struct disk *disk, struct disk_found **ret, size_t *ret_count,
		    struct vn_error *err);

/* disk_ops.capture. */
int local_capture(struct disk *disk, const struct disk_spec *spec, const struct capture_spec *capture,
		  const bool *cancelled, struct capture_facts *ret, struct vn_error *err);

/* VN_E_STATE where the vnode's root is mounted. */
int local_check_unmounted(const struct local *local, const struct disk_spec *spec, struct vn_error *err);

/* Whether a root of ours is mounted at `path`, below `roots`; *ret_foreign: something else is. */
int local_is_mounted(const struct local *local, const char *path, bool *ret, bool *ret_foreign,
		     struct vn_error *err);
