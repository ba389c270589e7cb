/*
 * unshare(CLONE_NEWNET) and setns() concern the calling thread alone, and so does /proc/thread-self
 * and /proc/sys/net: that is what lets a worker work in a namespace while the others stay home.
 */
#include "backends/netlink/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backends/netlink/socket.h"
#include "backends/pin.h"
#include "proto/base/mem.h"

#define OWN "/proc/thread-self/ns/net"

int
netns_open_own(struct vn_error *err)
{
	int fd = open(OWN, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return vn_fail_errno(err, errno, "open " OWN);
	return fd;
}

bool
netns_is_pinned(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

int
netns_open(const char *path, struct vn_error *err)
{
	return pin_open(path, CLONE_NEWNET, err);
}

int
netns_enter(int fd, struct vn_error *err)
{
	if (setns(fd, CLONE_NEWNET) < 0)
		return vn_fail_errno(err, errno, "enter a network namespace");
	return 0;
}

void
netns_leave(int home)
{
	if (setns(home, CLONE_NEWNET) < 0) {
		perror("cannot return to the network namespace of the host");
		abort();
	}
}

int
netns_socket(int fd, int home, struct nl_sock **ret, struct vn_error *err)
{
	int result;

	if (netns_enter(fd, err) < 0)
		return -1;
	result = socket_open(ret, err);
	netns_leave(home);
	return result;
}

int
netns_pin_new(const char *path, int home, struct vn_error *err)
{
	vn_autoclose int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
	int sys;

	if (file < 0)
		return vn_fail_errno(err, errno, "make '%s'", path);
	if (unshare(CLONE_NEWNET) < 0)
		return vn_fail_errno(err, errno, "make a network namespace");
	sys = mount(OWN, path, NULL, MS_BIND, NULL) < 0 ? errno : 0;
	netns_leave(home);
	if (sys) {
		unlink(path);
		return vn_fail_errno(err, sys, "pin a network namespace at '%s'", path);
	}
	return 0;
}

int
netns_unpin(const char *path, struct vn_error *err)
{
	while (netns_is_pinned(path))
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return vn_fail_errno(err, errno, "unmount '%s'", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return vn_fail_errno(err, errno, "remove '%s'", path);
	return 0;
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* Whether another file system or a bind mount begins at `path`. */
static bool
is_mount_point(const char *path)
{
	struct statx at;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &at) == 0 &&
	       (at.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int
pin_folder_up(const char *path, struct vn_error *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder '%s'", path);
	if (!is_mount_point(path) && mount(path, path, NULL, MS_BIND, NULL) < 0)
		return vn_fail_errno(err, errno, "make '%s' a mount point", path);
	if (mount(NULL, path, NULL, MS_SHARED, NULL) < 0)
		return vn_fail_errno(err, errno, "share mounts below '%s'", path);
	return 0;
}

int
pin_folder_down(const char *path, struct vn_error *err)
{
	while (is_mount_point(path))
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return vn_fail_errno(err, errno, "unmount '%s'", path);
	if (rmdir(path) < 0 && errno != ENOENT && errno != ENOTEMPTY)
		return vn_fail_errno(err, errno, "remove the folder '%s'", path);
	return 0;
}
