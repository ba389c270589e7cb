#pragma once
/* One name in a folder of a guest's root that is open. */

#include "backends/backend.h"

struct placing {
	const struct guest_file *file;
	const struct guest_file *all;	/* of this call */
	size_t n_all;
	int root;			/* the guest's root */
	int folder;			/* the one that the file is in */
	const char *name;		/* in that folder, no path */
	uid_t uid;			/* owner as this thread's mount has it */
	gid_t gid;
};

/* Each does what its word in enum guest_file_how says, whole or not at all; safe to repeat. */
int inject_put(const struct placing *placing, struct vn_error *err);
int inject_strict(const struct placing *placing, struct vn_error *err);
int inject_link(const struct placing *placing, struct vn_error *err);
int inject_password(const struct placing *placing, struct vn_error *err);
int inject_remove(const struct placing *placing, struct vn_error *err);
int inject_prune(const struct placing *placing, struct vn_error *err);

/* Opens what `path` is for the guest whose root is open; flags as of openat2. Returns -1 with errno. */
int inject_open(int root, const char *path, int flags, uint64_t resolve);
