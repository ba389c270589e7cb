#pragma once
/* What a vnode's disks are to be, and whether this host and its image can give that. Thread: loop. */

#include "daemon/model.h"

/* The enum disk_type that a spec means. self: the vnode that is there already; NULL: one to be made. */
int vnode_disk_type(const struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self);

/*
 * Whether the spec's disk can be made of `image`, or what `self` has can become it.
 *
 * image:  NULL: not known yet, or of no matter.
 * Errors: paths below the spec. VN_E_UNSUPPORTED not on this host, not of such an image, or no size;
 *         VN_E_INVALID it would shrink, or be smaller than what its image holds.
 */
int vnode_disk_check(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		     const struct image *image, struct vn_error *err);

/*
 * Whether this host can have the spec's extra disks, and those that are there can become so.
 *
 * Errors: paths below the spec. VN_E_UNSUPPORTED; VN_E_INVALID it would shrink, or has no mount point.
 */
int vnode_extras_check(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		       struct vn_error *err);

/*
 * Whether image_storage has room for what the spec's extra disks are larger than those of `self`.
 *
 * need:   what has been asked for before, in the same plan; raised by that.
 * Errors: VN_E_LIMIT, with the path below the spec.
 */
int vnode_extras_room(const struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
		      uint64_t *need, struct vn_error *err);

/* Counts a vnode's extra disks against image_storage, those of `after` instead of those of `before`. */
void vnode_extras_count(struct model *model, const struct doc_vnode *before, const struct doc_vnode *after);

/* The object vnode_disk, and a list of extra_disk. */
json_t *vnode_disk_object(const struct vnode *vnode);
json_t *vnode_extras_object(const struct vnode *vnode);
