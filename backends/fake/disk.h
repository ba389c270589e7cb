#pragma once
/* What the fake's disks and their images share. */

#include "backends/fake/model.h"

struct fake_disk {
	struct disk base;
	struct handle handle;
	char *run_dir;
};

struct handle *fake_disk_handle(struct disk *self);
int fake_disk_check_up(struct call *call, struct vn_error *err);
int fake_disk_check_space(struct call *call, struct vn_error *err);

/* disk_type.c: ops, and whether such a disk can be made of its image. */
int fake_disk_type_check(struct disk *self, int type, struct vn_error *err);
int fake_disk_grow(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
int fake_disk_check_type(struct call *call, const struct disk_spec *spec, struct vn_error *err);

/* disk_capture.c. */
int fake_capture(struct disk *self, const struct disk_spec *spec, const struct capture_spec *what,
		 const bool *cancelled, struct capture_facts *ret, struct vn_error *err);

/* extra.c: ops, and what other ops do to extra disks. vmid 0: of all vnodes. */
int fake_extra_check(struct disk *self, int filesystem, struct vn_error *err);
int fake_extras_up(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
int fake_extras_keep(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
int fake_extras_drop(struct call *call, const struct disk_spec *spec, struct vn_error *err);
int fake_extras_mount(struct call *call, const struct disk_spec *spec, struct vn_error *err);
void fake_extras_unmount(struct world *world, int64_t vmid);

/* disk_image.c: ops, and what image_check does inside of a call. */
int fake_image_unpack(struct disk *self, const struct image_spec *spec,
		      const struct unpack_limits *limits, const bool *cancelled,
		      uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err);
int fake_image_remove(struct disk *self, const char *sha256, struct vn_error *err);
int fake_image_check(struct disk *self, const char *sha256, struct vn_error *err);
int fake_image_look(struct call *call, const char *sha256, struct vn_error *err);
