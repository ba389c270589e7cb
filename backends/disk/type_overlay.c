/*
 * The type `overlay`: <disks>/<vmid>/upper on the image's root (image.c), put together in layers.c. The
 * mount carries its owner's tag as its source: what is mounted there is ours by that.
 *
 * What is on disk has the ids of the image. The shift to a vnode's ids exists in the mount alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "backends/disk/chain.h"
#include "backends/disk/layers.h"
#include "backends/disk/types.h"
#include "proto/base/arena.h"
#include "proto/base/mem.h"

static int
copy_attribute(const char *from, const char *to, const char *name, struct vn_error *err)
{
	char value[4096];
	ssize_t size = lgetxattr(from, name, value, sizeof(value));

	if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
		return 0;
	if (size < 0 || lsetxattr(to, name, value, (size_t)size, 0) < 0)
		return vn_fail_errno(err, errno, "copy the attribute %s to %s", name, to);
	return 0;
}

/* The guest's / shows the upper folder's own owner and mode: so they must be the image's. */
static int
make_upper(const char *image_root, const char *upper, struct vn_error *err)
{
	struct stat st;

	if (lstat(image_root, &st) < 0)
		return vn_fail_errno(err, errno, "look at %s", image_root);
	if (mkdir(upper, 0700) < 0 || chown(upper, st.st_uid, st.st_gid) < 0
	    || chmod(upper, st.st_mode & 07777) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", upper);
	if (copy_attribute(image_root, upper, "system.posix_acl_access", err) < 0
	    || copy_attribute(image_root, upper, "system.posix_acl_default", err) < 0)
		return -1;
	/* Nothing has changed in it yet. */
	if (utimensat(AT_FDCWD, upper, (struct timespec[]){ st.st_atim, st.st_mtim }, 0) < 0)
		return vn_fail_errno(err, errno, "set the time of %s", upper);
	return 0;
}

static int
fill(const struct local *local, const char *folder, const struct disk_spec *spec,
     struct vn_error *err)
{
	vn_autofree char *image = vn_format("%s/%s/root", local->images, spec->image_sha256);
	vn_autofree char *upper = vn_format("%s/upper", folder);
	vn_autofree char *work = vn_format("%s/work", folder);
	struct chain chain;

	if (chain_read(local->images, spec->image_sha256, &chain, err) < 0
	    || make_upper(image, upper, err) < 0)
		return -1;
	if (mkdir(work, 0700) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", work);
	return 0;
}

static int
open_root(const struct local *local, const char *folder, const struct disk_spec *spec, int *ret_fd,
	  struct vn_error *err)
{
	const char *lowers[IMAGE_LAYERS_MAX];
	vn_autofree char *tag = vn_format("vnoded:%s:%s", local->env->instance, spec->uuid);
	struct layers_spec layers = { .lowers = lowers, .disk = folder, .userns = spec->userns,
				      .source = tag };
	vn_autoarena arena = { 0 };
	struct chain chain;

	if (local->workshop < 0) {
		*err = local->workshop_err;
		return -1;
	}
	if (chain_read(local->images, spec->image_sha256, &chain, err) < 0)
		return -1;
	for (size_t i = 0; i < chain.count; i++) {
		vn_autofree char *path = vn_format("%s/%s/root", local->images, chain.sha256[i]);

		lowers[i] = vn_arena_strdup(&arena, path);
	}
	layers.n_lowers = chain.count;
	return layers_assemble(local->workshop, &layers, ret_fd, err);
}

const struct disk_type_ops disk_type_overlay = { .fill = fill, .open_root = open_root };
