/*
 * Terminals for commands are made on the loop, so nothing of the guest may be waited for or walked
 * through: a guest can put a file system of its own, which never answers, anywhere in its view. The
 * copy of its devpts that vnode-init holds has nothing mounted on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "backends/libvirt/lxc.h"
#include "backends/libvirt/process.h"
#include "backends/libvirt/vnode-init/wire.h"
#include "proto/base/mem.h"

int
lxc_terminal_open(const struct guest_id *id, int *ret_master, int *ret_slave, struct vn_error *err)
{
	vn_autoclose int master = -1, slave = -1;
	char path[64];
	int unlock = 0;
	struct statfs fs;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d/ptmx", id->init, WIRE_FD_DEVPTS);
	master = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	if (process_start_time(id->init) != id->init_start)
		return vn_fail(err, VN_E_STATE, "the guest has ended");
	if (master < 0 || fstatfs(master, &fs) < 0)
		return vn_fail_errno(err, errno, "make a terminal in the guest");
	if (fs.f_type != DEVPTS_SUPER_MAGIC)
		return vn_fail(err, VN_E_BACKEND, "make a terminal in the guest: it has no devpts");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		return vn_fail_errno(err, errno, "open a terminal in the guest");
	*ret_master = vn_take_fd(&master);
	*ret_slave = vn_take_fd(&slave);
	return 0;
}
