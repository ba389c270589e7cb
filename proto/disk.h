#pragma once
/* A vnode's disk and its further ones, as documents write them. */

#include "proto/base/disk_type.h"
#include "proto/schema.h"

struct doc_disk {
	bool given;
	int type;			/* enum disk_type; -1: the one it has, or the configuration's */
	uint64_t size_bytes;		/* 0 = as large as its image */
};

extern const struct field doc_disk_fields[];

struct doc_extra {			/* an extra disk */
	const char *key;		/* its name */
	uint64_t size_bytes;
	int filesystem;			/* enum disk_filesystem */
	const char *mount;		/* where the guest finds it; NULL: nowhere */
};

extern const struct field doc_extra_fields[];	/* without the key */
extern const struct form form_disk_name;

/*
 * What contradicts itself among the extra disks of a vnode. Errors: VN_E_INVALID with the path below
 * `disks`.
 */
int doc_extras_check(const struct doc_extra *extras, size_t count, struct vn_error *err);

/*
 * What can be said of it alone. Errors: VN_E_UNSUPPORTED with the path below the disk: a size for a type
 * that knows none.
 */
int doc_disk_check(const struct doc_disk *disk, struct vn_error *err);
