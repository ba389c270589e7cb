#pragma once
/*
 * Layers: what an archive says of the files of its base, written so that overlayfs understands it. All
 * paths are inside the layer, whose root is the calling thread's root and working directory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct layer {
	const int *bases;		/* roots of the images below, the nearest first; borrowed */
	size_t n_bases;
	bool is_opaque;			/* nothing of the base is to be seen */
	uint64_t made;			/* folders made here */
	char *parent;			/* folder whose parents are known to be there; owned */
	bool has_whiteouts;
};

/* Frees what the layer owns. */
void layer_fini(struct layer *layer);

/* Gives the layer's root the base's owner, mode and attributes. No base is fine. */
int layer_begin(struct layer *layer, struct vn_error *err);

/* Makes the folders above `path` that the archive did not bring, as they are in the base. */
int layer_make_parents(struct layer *layer, const char *path, struct vn_error *err);

/*
 * Whether `path` is a whiteout (".wh.NAME" hides NAME of the base, ".wh..wh..opq" all of a folder) and,
 * if so, what it says is done.
 *
 * Returns: 1 done, 0 it is an ordinary name, -1 with err.
 */
int layer_take_whiteout(struct layer *layer, const char *path, struct vn_error *err);

/* Before a folder is written: whether a whiteout of the same name has been, so that the folder hides all
 * of the base's. After: makes it so. */
bool layer_is_hidden(const struct layer *layer, const char *path);
int layer_hide_below(const char *path, struct vn_error *err);
