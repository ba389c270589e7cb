#pragma once
/* A vnode's root as an archive that can be an image, whole or as a layer on the image it was made from. */

#include "backends/backend.h"

struct capture_tree {
	int root;			/* as the guest sees it, with the ids of the disk */
	int upper;			/* delta: what the guest has changed, as overlayfs keeps it; -1: whole */
	const int *bases;		/* roots of the image's layers, the nearest first */
	size_t n_bases;
};

/*
 * disk_ops.capture, of a tree that nobody changes meanwhile. What was written stays on failure: the caller
 * removes it.
 */
int capture_tree(const struct capture_tree *tree, const struct capture_spec *spec, const bool *cancelled,
		 struct capture_facts *ret, struct vn_error *err);

/*
 * Opens the layer of the image in which `path` is to be seen.
 *
 * Returns: a descriptor of `bases`, borrowed; -1: the image has no such file.
 */
int capture_base(const struct capture_tree *tree, const char *path);
