/*
 * The type `reflink`: <disks>/<vmid>/root is a copy of the image whose files share their contents with it
 * (clone.c) until they are written. A guest writes to its file system directly: no copy-up, and what
 * overlayfs does not do (an overlay inside, for one) works. It costs an inode for each file.
 *
 * The mount is a bind of that folder and has no source of its own: that its root is that folder tells
 * that it is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/chain.h"
#include "backends/disk/clone.h"
#include "backends/disk/files.h"
#include "backends/disk/layers.h"
#include "backends/disk/types.h"
#include "proto/base/mem.h"

static int
try_clone(int folder, struct vn_error *err)
{
	vn_autoclose int from = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	vn_autoclose int to = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (from < 0 || to < 0)
		return vn_fail_errno(err, errno, "make a file in state_dir");
	if (write(from, "probe", 5) != 5)
		return vn_fail_errno(err, errno, "write to a file in state_dir");
	if (ioctl(to, FICLONE, from) < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "the file system of state_dir cannot clone files: "
			       "btrfs and xfs can");
	return 0;
}

static int
probe(const struct local *local, struct vn_error *err)
{
	vn_autoclose int folder = open(local->disks, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		return vn_fail_errno(err, errno, "open %s", local->disks);
	return try_clone(folder, err);
}

/*
 * What a power cut leaves must be whole wherever the folder has its name: btrfs logs a folder's new name
 * without what lies in it, so all is written first.
 */
static int
sync_all(const char *folder, struct vn_error *err)
{
	vn_autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return vn_fail_errno(err, errno, "sync %s", folder);
	return 0;
}

static int
fill(const struct local *local, const char *folder, const struct disk_spec *spec,
     struct vn_error *err)
{
	vn_autofree char *root = vn_format("%s/root", folder);
	struct chain chain;

	if (chain_read(local->images, spec->image_sha256, &chain, err) < 0)
		return -1;
	if (mkdir(root, 0700) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", root);
	for (size_t i = chain.count; i-- > 0;) {
		vn_autofree char *layer = vn_format("%s/%s/root", local->images, chain.sha256[i]);

		if (clone_layer(layer, root, local->trash, true, err) < 0)
			return -1;
	}
	return sync_all(root, err);
}

static int
open_root(const struct local *local, const char *folder, const struct disk_spec *spec, int *ret_fd,
	  struct vn_error *err)
{
	vn_autofree char *root = vn_format("%s/root", folder);
	vn_autoclose int userns = -1;

	(void)local;
	if (spec->userns) {
		userns = open(spec->userns, O_RDONLY | O_CLOEXEC);
		if (userns < 0)
			return vn_fail_errno(err, errno, "open the user namespace %s", spec->userns);
	}
	return layers_copy(root, userns, MOUNT_ATTR_NODEV, ret_fd, err);
}

static bool
is_root(const struct local *local, const char *folder, const char *path)
{
	vn_autofree char *root = vn_format("%s/root", folder);
	struct stat seen, own;

	(void)local;
	return lstat(path, &seen) == 0 && lstat(root, &own) == 0 && seen.st_ino == own.st_ino
	       && seen.st_dev == own.st_dev;
}

const struct disk_type_ops disk_type_reflink = {
	.probe = probe, .fill = fill, .open_root = open_root, .is_root = is_root
};
