#pragma once
/* Extra disks of vnodes: <extra>/<vmid>/<name>, with the owner file <extra>/<vmid>/.owner. */

#include "backends/disk/local.h"

/* disk_ops.extra_check, extras_up, extras_keep. */
int extra_check(struct disk *disk, int filesystem, struct vn_error *err);
int extras_up(struct disk *disk, const struct disk_spec *spec, struct vn_error *err);
int extras_keep(struct disk *disk, const struct disk_spec *spec, struct vn_error *err);

/* Finds out whether this host can have them. */
int extra_probe(struct vn_error *err);

/* All of a vnode's; uuid NULL: whoever's they are. */
int extras_remove(const struct local *local, const struct disk_spec *spec, struct vn_error *err);

/*
 * Mounts the spec's extra disks below the root that is mounted at `root`. What is mounted already is left
 * so; what a failure leaves goes with extras_unmount().
 */
int extras_mount(const struct local *local, const struct disk_spec *spec, const char *root,
		 struct vn_error *err);

/* Unmounts all extra disks of ours below `root`. Errors: VN_E_BUSY one is in use. */
int extras_unmount(const struct local *local, const char *root, struct vn_error *err);

/* The path of one, to be freed. */
char *extra_path(const struct local *local, int64_t vmid, const char *name);
