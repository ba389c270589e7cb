#pragma once
/* Vnodes that live, are captured and looked at from outside; see disk_world.h for what is around them. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/disk.h"
#include "proto/base/ident.h"

struct vnode {
	struct disk_spec spec;
	char uuid[VN_UUID_TEXT], image[65], root[PATH_MAX];
};

extern bool cancelled;			/* what a capture is told; for each test false at first */
extern const char deeds[];		/* what a guest does to its disk: one of everything */

/* Adds the image SHA. */
void add_base_image(void);

/* Describes an unprivileged vnode on an overlay, of which nothing is there yet. */
void vnode_init(struct vnode *vnode, int64_t vmid, const char *image);
void create(struct vnode *vnode, int64_t vmid, const char *image);
/* Puts in what is the vnode's own, as vnoded does before a boot. */
void inject(struct vnode *vnode);
/* Mounts it, runs a shell command as the guest's root, unmounts it. */
void in_guest(struct vnode *vnode, const char *command);
/* Adds the image SHA, and vnode 7 on it as it is after it has run for a while. */
void lived(struct vnode *vnode);

/* Returns what the backend does, with `err`. */
int try_capture(const struct vnode *vnode, bool delta, const char *path, struct capture_facts *ret);
/* Captures into the archive of that name; what is told of it is compared with the file. */
void capture(const struct vnode *vnode, bool delta, const char *name, struct capture_facts *ret);
/* Adds the archive of that name as an image, under its digest. */
void unpack_captured(const char *name, const struct capture_facts *facts, const char *base);

/* Writes to <folder>/<name> all that can be seen of a vnode's tree but sockets and what is its own. */
void look(struct vnode *vnode, const char *name);
