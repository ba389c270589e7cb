#pragma once
/* Images, disks of vnodes and what is written into them. See backends/backend.h. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "backends/env.h"
#include "proto/base/disk_type.h"
#include "proto/base/error.h"

/* The types of disks are in proto/base/disk_type.h. */

struct disk_extra {			/* a disk beside a vnode's root: <state_dir>/extra/<vmid>/<name> */
	const char *name;		/* vn_name_check */
	uint64_t size_bytes;
	int filesystem;			/* enum disk_filesystem */
	const char *mount;		/* where the guest finds it, absolute; NULL: nowhere */
};

/*
 * Images are unpacked once, to <state_dir>/images/<sha256>/root (a disk image: put to …/disk) with the
 * finished marker <state_dir>/images/<sha256>/finished, written and synced last. An image may be a layer
 * on another one, its base, which its marker names. A vnode's disk is
 * <state_dir>/disks/<vmid>/ (overlay: upper, work; reflink: root; qcow2: disk.qcow2;
 * lvm-thin: volume, which names it); its mounted root is <run_dir>/root/<vmid>.
 */
struct disk_spec {
	int64_t vmid;
	const char *uuid;		/* NULL, for destroy and unmount: whoever's it was */
	const char *image_sha256;
	int type;			/* enum disk_type; unused by destroy and unmount */
	uint64_t size_bytes;		/* of a type that knows one; 0: its image's */
	const char *userns;		/* as in ns_ref: NULL = privileged, ids not shifted */
	uint32_t idmap_base;
	const struct disk_extra *extras;	/* for extras_up, extras_keep and mount */
	size_t n_extras;
};

enum guest_file_how {
	GUEST_FILE_PUT,			/* takes the place of what is there, also of a link */
	GUEST_FILE_STRICT,		/* the same, but a link on the way or at the end is VN_E_INVALID */
	GUEST_FILE_LINK,		/* a symbolic link to `text`, which must lead to a file: VN_E_INVALID */
	GUEST_FILE_PASSWORD,		/* root's hash in a file as of shadow(5) becomes `text`; without the
					   file, or root in it, nothing */
	GUEST_FILE_REMOVE,		/* goes, if it begins with `text` */
	GUEST_FILE_PRUNE,		/* all go that have `path` and more as theirs, begin with `text`, and
					   are none of this call's */
};

struct guest_file {			/* a file written into a mounted root */
	const char *path;		/* absolute inside the guest */
	const char *text;
	unsigned mode;
	enum guest_file_how how;
	uint32_t uid, gid;		/* inside the guest */
	unsigned folder_mode;		/* of the folder it is in, where that has to be made; 0 = 0755 */
	const char *source;		/* a file of the host to copy, GUEST_FILE_BYTES at most; or NULL */
	const char *const *where;	/* only in a root that has one of these; NULL-terminated; NULL: in any */
	const char *field;		/* what asked for it, for errors: "/files/0"; or NULL */
};
#define GUEST_FILE_BYTES (1u << 20)

struct unpack_limits {
	uint64_t bytes;			/* unpacked size; of a disk, the size that a guest sees */
	uint64_t entries;
	/* What all images may take together; *storage_used is raised as this one is written (atomically),
	 * and falls again on failure. NULL: no such limit. */
	uint64_t storage_bytes;
	uint64_t *storage_used;
};

enum image_format { IMAGE_DETECT, IMAGE_TAR, IMAGE_RAW, IMAGE_QCOW2 };
#define IMAGE_LAYERS_MAX 32

struct image_spec {
	const char *path;		/* the archive or the disk; its digest has been checked */
	const char *sha256;
	int format;			/* enum image_format */
	const char *base;		/* sha256 of the image below; NULL: none */
	void *arg;
	/* So much of the file has been read; now and then, on any thread. NULL: nobody wants to know. */
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);
};

struct image_facts {
	uint64_t bytes;			/* that it takes, unpacked */
	uint64_t virtual_bytes;		/* of a disk, as a guest sees it; else 0 */
	int format;			/* enum image_format, never IMAGE_DETECT */
	char base[65];			/* "" none */
};

#define DISK_KEEP_BYTES (8u << 20)

struct capture_spec {
	const char *path;		/* the archive to write; replaced if there */
	bool delta;			/* only what differs from the vnode's image */
	/*
	 * Absolute paths that vnoded writes into this guest, NULL-terminated; or NULL. They are its own and no
	 * image's: of such, and of what else makes a machine that machine (its ssh host keys, its machine-id),
	 * the archive has what the vnode's image has, or nothing.
	 */
	const char *const *own;
	uint64_t limit_bytes;		/* of all files' contents; 0 = none */
	uint64_t limit_entries;
	void *arg;
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);	/* bytes; on the caller's thread */
};

struct capture_facts {
	char sha256[65];
	uint64_t bytes;			/* of the archive */
};

enum disk_kind { DISK_IMAGE, DISK_IMAGE_PARTIAL, DISK_VNODE, DISK_MOUNT, DISK_TRASH, DISK_EXTRA };

struct disk_found {
	enum disk_kind kind;
	int64_t vmid;			/* DISK_VNODE, DISK_MOUNT, DISK_EXTRA */
	char name[80];			/* sha256, or name in the trash; of an extra disk, "" their folder */
	struct image_facts facts;	/* DISK_IMAGE, from its marker */
};

struct disk;
struct disk_ops {
	const char *name;		/* "local", "fake" */

	int (*open)(const struct backend_env *env, struct disk **ret, struct vn_error *err);
	void (*close)(struct disk *self);

	/* root_pre_config: folders, file system features, free space. */
	int (*host_up)(struct disk *self, struct vn_error *err);
	int (*host_down)(struct disk *self, struct vn_error *err);	/* unmounts all of ours */
	int (*missing)(struct disk *self, char ***ret, struct vn_error *err);
	/* loop: VN_E_UNSUPPORTED where this host cannot have disks of that type, the text saying why.
	 * Known after host_up. */
	int (*type_check)(struct disk *self, int type, struct vn_error *err);

	/*
	 * Unpacks an archive, or stores a disk, as image spec->sha256. There already is fine.
	 * *cancelled is read between entries (atomically): true ends with VN_E_CANCELLED.
	 * *progress_bytes is raised as archive bytes are read (atomically).
	 * VN_E_INVALID: no archive or disk, truncated, an entry outside the root, a limit;
	 * VN_E_LIMIT: disk full, or limits->storage_bytes; VN_E_NOT_FOUND: the base;
	 * VN_E_EXISTS: it is there as a layer on another base; VN_E_STATE: too long a chain, or a circle.
	 */
	int (*image_unpack)(struct disk *self, const struct image_spec *spec,
			    const struct unpack_limits *limits, const bool *cancelled,
			    uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err);
	/* VN_E_STATE: a disk or another image is built on it. */
	int (*image_remove)(struct disk *self, const char *sha256, struct vn_error *err);
	/* VN_E_NOT_FOUND unless the image is there and finished, with all that it is a layer on. */
	int (*image_check)(struct disk *self, const char *sha256, struct vn_error *err);

	/* VN_E_UNSUPPORTED: such an image is nothing for a disk of that type; or as type_check. */
	int (*create)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/*
	 * A fresh disk in the place of what is there, on whatever image it was. The new one is made
	 * first and takes the old one's place at once: a failure leaves the old one.
	 */
	int (*renew)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/*
	 * Makes the disk at least spec->size_bytes large; it is not in use. VN_E_UNSUPPORTED: of a type that
	 * knows no size.
	 */
	int (*grow)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* Renames the disk into the trash (atomic: the commit point), then deletes it; so extra disks. */
	int (*destroy)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* loop: VN_E_UNSUPPORTED where this host cannot have extra disks of that kind. Known after host_up. */
	int (*extra_check)(struct disk *self, int filesystem, struct vn_error *err);
	/* Makes those of spec->extras that are not there yet, all or none. */
	int (*extras_up)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* Removes the vnode's extra disks but those that the spec names. */
	int (*extras_keep)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/*
	 * Mounts at <run_dir>/root/<vmid>, and the spec's extra disks in there, after making those as large
	 * as they are to be. Mount points that are not there are made. path: at least PATH_MAX bytes,
	 * written on success.
	 */
	int (*mount)(struct disk *self, const struct disk_spec *spec, char *path,
		     struct vn_error *err);
	int (*unmount)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* Writes files into the mounted root in this order, never outside whatever links the image holds. */
	int (*inject)(struct disk *self, const struct disk_spec *spec, const struct guest_file *files,
		      size_t n_files, struct vn_error *err);

	/*
	 * Writes a disk that is mounted nowhere as a tar archive that can be an image: the same contents are
	 * the same bytes, also of another vnode. What was written goes on failure.
	 * VN_E_INVALID: a file that no image may hold, the text names it; VN_E_LIMIT: a limit, or disk full;
	 * VN_E_STATE: it is mounted; VN_E_UNSUPPORTED: of such a disk there is no archive, or no delta;
	 * VN_E_CANCELLED.
	 */
	int (*capture)(struct disk *self, const struct disk_spec *spec,
		       const struct capture_spec *capture, const bool *cancelled,
		       struct capture_facts *ret, struct vn_error *err);

	/*
	 * Bytes free for unprivileged use where disks and images live. Whoever writes images leaves
	 * DISK_KEEP_BYTES of them: the database lies there too and must be able to commit.
	 */
	int (*free_bytes)(struct disk *self, uint64_t *ret, struct vn_error *err);
	int (*inventory)(struct disk *self, struct disk_found **ret, size_t *ret_count,
			 struct vn_error *err);
	/* Deletes everything in the trash and every partial image. */
	int (*empty_trash)(struct disk *self, struct vn_error *err);
};

struct disk {
	const struct disk_ops *ops;
};
