/*
 * The console as vnoded sees it: the ring file and a socket on which vnode-init listens. Paths of
 * sockets are limited to 107 bytes, so the folder is named through its descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backends/libvirt/lxc.h"
#include "backends/libvirt/vnode-init/ring.h"
#include "proto/base/mem.h"

#define RING_MIN 4096

static int
open_folder(struct lxc *lxc, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/console", lxc->env->run_dir);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? vn_fail_errno(err, errno, "open the folder %s", path) : fd;
}

static struct sockaddr_un
address_in(int folder, const char *vmid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s.sock", folder, vmid);
	return address;
}

int
lxc_console_listen(struct lxc *lxc, const char *vmid, int *ret_fd, struct vn_error *err)
{
	vn_autoclose int folder = open_folder(lxc, err);
	vn_autoclose int fd = -1;
	struct sockaddr_un address;

	if (folder < 0)
		return -1;
	address = address_in(folder, vmid);
	unlink(address.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0600) < 0 || listen(fd, 8) < 0)
		return vn_fail_errno(err, errno, "listen on the console's socket %s/console/%s.sock",
				     lxc->env->run_dir, vmid);
	*ret_fd = vn_take_fd(&fd);
	return 0;
}

void
lxc_console_remove(struct lxc *lxc, const char *vmid)
{
	vn_autofree char *path = vn_format("%s/console/%s.sock", lxc->env->run_dir, vmid);

	unlink(path);
}

int
lxc_console(struct compute *self, const char *dir, int *ret_fd, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	const char *slash = strrchr(dir, '/');
	vn_autoclose int folder = open_folder(lxc, err);
	vn_autoclose int fd = -1;
	struct sockaddr_un address;

	if (folder < 0)
		return -1;
	address = address_in(folder, slash ? slash + 1 : dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == EAGAIN)
			return vn_fail(err, VN_E_BUSY, "too many clients wait for the console");
		return vn_fail(err, VN_E_STATE, "the guest does not run: it has no console");
	}
	if (fcntl(fd, F_SETFL, 0) < 0)
		return vn_fail_errno(err, errno, "prepare the console's socket");
	*ret_fd = vn_take_fd(&fd);
	return 0;
}

/* Whether the file is a whole ring of that size: then what it holds is kept. */
static bool
is_ring(int fd, uint64_t size)
{
	struct ring_header header;
	struct stat status;

	return fstat(fd, &status) == 0 && (uint64_t)status.st_size == RING_DATA + size &&
	       pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	       !memcmp(header.magic, RING_MAGIC, sizeof(header.magic)) && header.size == size;
}

int
lxc_console_open_ring(const char *dir, uint64_t size, int *ret_fd, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/console", dir);
	vn_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct ring_header header = { .magic = RING_MAGIC };
	int failed;

	header.size = size < RING_MIN ? RING_MIN : size;
	if (fd < 0)
		return vn_fail_errno(err, errno, "open the console's ring %s", path);
	if (!is_ring(fd, header.size)) {
		if (ftruncate(fd, 0) < 0)
			return vn_fail_errno(err, errno, "empty the console's ring %s", path);
		/* All blocks now, so that a full disk cannot surprise vnode-init later. */
		failed = posix_fallocate(fd, 0, (off_t)(RING_DATA + header.size));
		if (failed)
			return vn_fail_errno(err, failed, "make the console's ring %s", path);
		if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
			return vn_fail_errno(err, errno, "write the console's ring %s", path);
	}
	*ret_fd = vn_take_fd(&fd);
	return 0;
}
