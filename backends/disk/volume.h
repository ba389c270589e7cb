#pragma once
/*
 * Logical volumes of LVM's thin pool: env->lvm_group and lvm_pool. Ours carry the tag "vnoded:<instance>:…";
 * all others are left alone.
 */

#include "backends/disk/local.h"

#define VOLUME_NAME 96

struct volume {
	char name[VOLUME_NAME];
	char tags[512];			/* with commas between them */
	uint64_t bytes;
};

/* Whether the pool is there: VN_E_UNSUPPORTED with the reason. */
int volume_probe(const struct local *local, struct vn_error *err);

/* Ours; *ret to be freed. */
int volume_list(const struct local *local, struct volume **ret, size_t *ret_count, struct vn_error *err);

/* VN_E_NOT_FOUND there is none of that name with our tag. */
int volume_find(const struct local *local, const char *name, struct volume *ret, struct vn_error *err);

/* A new thin volume, active. what: the end of its tag. */
int volume_create(const struct local *local, const char *name, uint64_t bytes, const char *what,
		  struct vn_error *err);

/* A volume that shows what `origin` holds until it is written, active. */
int volume_snapshot(const struct local *local, const char *origin, const char *name, const char *what,
		    struct vn_error *err);

/* At least so large; LVM rounds up. */
int volume_grow(const struct local *local, const char *name, uint64_t bytes, struct vn_error *err);

int volume_tag(const struct local *local, const char *name, const char *what, struct vn_error *err);

/* Whether a volume has the tag with that end. */
bool volume_has_tag(const struct local *local, const struct volume *volume, const char *what);

/*
 * The volume of that name goes, if it has the tag with that end: LVM looks at both under its own lock. There
 * being none is fine.
 */
int volume_remove(const struct local *local, const char *name, const char *what, struct vn_error *err);

/* Several of ours at once. */
int volume_remove_all(const struct local *local, const struct volume *volumes, size_t count,
		      struct vn_error *err);

/*
 * What a crash left (volume_trash.c): half an image, and a disk's that no folder names; *ret to be freed.
 * Without LVM: nothing.
 */
int volume_list_trash(struct local *local, struct volume **ret, size_t *ret_count, struct vn_error *err);

/* Removes all of that. */
int volume_empty_trash(struct local *local, struct vn_error *err);

/* "vnoded-<8 of instance>-<what>", to be freed; and the path of its device. */
char *volume_name(const struct local *local, const char *what);
char *volume_device(const struct local *local, const char *name);

/*
 * The volume with an image's contents: unpacked, on ext4, or the disk itself. Made at its first use; later
 * LVM is not asked whether it is still there.
 *
 * ret_name: to be freed.
 */
int volume_of_image(struct local *local, const char *sha256, char **ret_name, struct vn_error *err);

/* For whoever was refused what needs it: looks. False where it is gone after all, and the next will make it. */
bool volume_of_image_is_there(struct local *local, const char *sha256);

/* The least that a disk made from the image can have, in bytes; 0: there is no such image. */
uint64_t volume_image_bytes(const struct local *local, const char *sha256);

/* Its volume goes. There being none is fine. */
int volume_image_remove(struct local *local, const char *sha256, struct vn_error *err);

/* Makes the file system on a volume as large as the volume; it is not mounted. */
int volume_grow_filesystem(const struct local *local, const char *name, struct vn_error *err);

/* Mounts a volume's ext4 nowhere; *ret_fd to be closed. */
int volume_mount(const struct local *local, const char *name, int *ret_fd, struct vn_error *err);
