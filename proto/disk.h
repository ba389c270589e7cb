#pragma once
/* A vnode's disk, as documents write it. */

#include "proto/base/disk_type.h"
#include "proto/schema.h"

struct doc_disk {
	bool given;
	int type;			/* enum disk_type; -1: the one it has, or the configuration's */
	uint64_t size_bytes;		/* 0 = as large as its image */
};

extern const struct field doc_disk_fields[];

/*
 * What can be said of it alone. Errors: VN_E_UNSUPPORTED with the path below the disk: a size for a type
 * that knows none.
 */
int doc_disk_check(const struct doc_disk *disk, struct vn_error *err);
