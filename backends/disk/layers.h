#pragma once
/* An overlay of an image and a vnode's own folder, put together out of everyone's sight. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct layers_spec {
	const char *const *lowers;	/* root folders of the image's layers, the topmost first; never written */
	size_t n_lowers;		/* 1…IMAGE_LAYERS_MAX */
	const char *disk;		/* holds upper/ and work/ */
	const char *userns;		/* path of a user namespace whose ids the layers are shown in, or NULL */
	const char *source;		/* what mountinfo shows as the mount's source */
};

/*
 * Makes the mount namespace in which overlays are assembled: an empty tmpfs and nothing else.
 *
 * place:   an existing folder; only used as a mount point inside the new namespace.
 * Returns: 0 and *ret_fd, the namespace, to be closed.
 * Errors:  VN_E_DENIED without CAP_SYS_ADMIN.
 */
int layers_open_workshop(const char *place, int *ret_fd, struct vn_error *err);

/*
 * Assembles an overlay that is attached nowhere yet; it goes when the descriptor is closed.
 *
 * Returns: 0 and *ret_fd, to be attached with layers_attach() or closed.
 * Errors:  VN_E_UNSUPPORTED where the kernel or the file system cannot show layers in a user
 *          namespace's ids; VN_E_NOT_FOUND a folder or the namespace is missing.
 */
int layers_assemble(int workshop, const struct layers_spec *spec, int *ret_fd, struct vn_error *err);

/*
 * A detached copy of the mount that holds `path`, rooted there.
 *
 * userns: a user namespace in whose ids it is shown, or -1.
 * flags:  MOUNT_ATTR_…
 * Errors: VN_E_UNSUPPORTED where the kernel or the file system cannot show such ids.
 */
int layers_copy(const char *path, int userns, uint64_t flags, int *ret_fd, struct vn_error *err);

/* Attaches what layers_assemble() or layers_copy() made at the folder `target`. */
int layers_attach(int fd, const char *target, struct vn_error *err);
