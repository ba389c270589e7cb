#pragma once
/* What is mounted at a path, as the kernel tells it. */

#include <stdbool.h>

#include "proto/base/error.h"

struct mounted {
	bool there;			/* the path is the root of a mount; the rest is set only then */
	bool shared;			/* of the mount that holds the path, in any case */
	char fstype[32];
	char source[128];		/* an overlay's source is its owner's tag */
};

/* Looks at `path` without following a link at its end. A path that does not exist is not there. */
int mounts_at(const char *path, struct mounted *ret, struct vn_error *err);

/*
 * Likewise, but where nothing is mounted at the path all is zero, `shared` too: this spares reading
 * the list of all mounts, which grows with the vnodes.
 */
int mounts_root_at(const char *path, struct mounted *ret, struct vn_error *err);

/*
 * Unmounts what is on top at `path`: 0, or -1 with errno. What is busy is tried again for half a second.
 */
int mounts_unmount(const char *path);

/*
 * Paths of all mounts below the folder `path`, in the order in which they were made; in the arena.
 *
 * Returns: their count, or -1 with err.
 */
struct vn_arena;
long mounts_below(const char *path, struct vn_arena *arena, char ***ret, struct vn_error *err);
