/*
 * Pins are bind mounts of namespace files. After a crash or an unmount the empty file underneath
 * shows, and libvirt and setns() would fail late or, worse, fail open; so each use looks first.
 */
#include "backends/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "proto/base/mem.h"

int
pin_open(const char *path, int kind, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct statfs fs;

	if (fd < 0)
		return vn_fail_errno(err, errno, "open the pinned namespace %s", path);
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC)
		return vn_fail(err, VN_E_BACKEND,
			       "%s is not a pinned namespace; halt the vnode and boot it again", path);
	if (ioctl(fd, NS_GET_NSTYPE) != kind)
		return vn_fail(err, VN_E_BACKEND,
			       "%s is a namespace of another kind; halt the vnode and boot it again",
			       path);
	return vn_take_fd(&fd);
}

uint64_t
pin_inode(int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

int
pin_is_owned(int net, int user)
{
	vn_autoclose int owner = ioctl(net, NS_GET_USERNS);

	return owner >= 0 && pin_inode(owner) == pin_inode(user);
}
