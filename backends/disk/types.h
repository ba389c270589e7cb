#pragma once
/*
 * The types of disks, each a row of operations. What they share (folder, owner, trash, mount point) is in
 * folder.c and local.c; here is what makes a folder a disk, and a disk a root.
 */

#include "backends/disk/local.h"

struct disk_type_ops {
	/* Finds out whether this host can have such disks: VN_E_UNSUPPORTED with the reason. NULL: as
	 * `missing` tells. */
	int (*probe)(const struct local *local, struct vn_error *err);
	/* Fills the folder of a new disk. What a failure leaves in it goes with it. */
	int (*fill)(const struct local *local, const char *folder, const struct disk_spec *spec,
		    struct vn_error *err);
	/* The root with the ids of spec->userns, mounted nowhere yet. NULL: cannot be mounted here. */
	int (*open_root)(const struct local *local, const char *folder, const struct disk_spec *spec,
			 int *ret_fd, struct vn_error *err);
	/* disk_ops.grow. NULL: it knows no size. */
	int (*grow)(const struct local *local, const char *folder, const struct disk_spec *spec,
		    struct vn_error *err);
	/* Removes what lies outside of the folder, which goes next. NULL: nothing does. */
	int (*drop)(const struct local *local, const char *folder, struct vn_error *err);
	/* Whether what is mounted at `path` is the root of this disk. NULL: its source is our tag. */
	bool (*is_root)(const struct local *local, const char *folder, const char *path);
};

extern const struct disk_type_ops disk_type_overlay, disk_type_reflink, disk_type_qcow2,
	disk_type_lvm_thin;

/* By enum disk_type. */
const struct disk_type_ops *types_get(int type);

/*
 * The root of the disk in `folder` as the row's open_root makes it.
 * Errors: VN_E_UNSUPPORTED the host cannot mount disks of that type.
 */
int types_open_root(const struct local *local, const char *folder, const struct disk_spec *spec, int *ret_fd,
		    struct vn_error *err);

/* Until it is probed, there are no disks of a type that has to be. */
void types_init(struct local *local);

/* Probes every type, and extra disks; the verdicts are kept in `local`. */
void types_probe(struct local *local);

/* disk_ops.type_check. */
int types_check(struct disk *disk, int type, struct vn_error *err);
