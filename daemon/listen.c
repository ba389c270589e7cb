/*
 * The socket appears under its name by rename, already listening and with its mode, so that a
 * client never meets one that is not ready. A leftover of a killed daemon is told from a living one
 * by connecting to it.
 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/base/mem.h"

#define PATH_MAX_LENGTH (sizeof(((struct sockaddr_un *)0)->sun_path) - 2)	/* room for "~" */

static int
make_folders(const char *path, struct vn_error *err)
{
	vn_autofree char *copy = vn_strdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return vn_fail_errno(err, errno, "make the socket's folder '%s'", copy);
		*slash = '/';
	}
	return 0;
}

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

/* Succeeds when `path` is free or a socket that nobody listens on. */
static int
check_free(const char *path, struct vn_error *err)
{
	struct sockaddr_un address = address_of(path);
	struct stat at;
	vn_autoclose int fd = -1;

	if (lstat(path, &at) < 0)
		return errno == ENOENT ? 0 : vn_fail_errno(err, errno, "look at '%s'", path);
	if (!S_ISSOCK(at.st_mode))
		return vn_fail(err, VN_E_EXISTS, "'%s' is there and is no socket; remove it or set "
			       "'socket' in the configuration to another path", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make a socket");
	/* EAGAIN: somebody listens, but too many wait already */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
		return vn_fail(err, VN_E_BUSY, "another vnoded answers at '%s'; stop it, or give "
			       "this one its own 'socket'", path);
	if (errno == ECONNREFUSED || errno == ENOENT)
		return 0;
	return vn_fail_errno(err, errno, "see whether somebody listens on '%s'", path);
}

static int
bind_at(int fd, const char *path, struct stat *ret_at, struct vn_error *err)
{
	vn_autofree char *temporary = vn_format("%s~", path);
	struct sockaddr_un address = address_of(temporary);

	if (unlink(temporary) < 0 && errno != ENOENT)
		return vn_fail_errno(err, errno, "remove the leftover '%s'", temporary);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return vn_fail_errno(err, errno, "make the socket '%s'", temporary);
	if (chmod(temporary, 0666) == 0 && listen(fd, SOMAXCONN) == 0 &&
	    lstat(temporary, ret_at) == 0 && rename(temporary, path) == 0)
		return 0;
	vn_fail_errno(err, errno, "make the socket '%s'", path);
	unlink(temporary);
	return -1;
}

int
listen_open(const char *path, int *ret_fd, struct stat *ret_at, struct vn_error *err)
{
	vn_autoclose int fd = -1;

	if (strlen(path) > PATH_MAX_LENGTH)
		return vn_fail(err, VN_E_INVALID, "the socket's path '%.80s…' has %zu characters, "
			       "at most %zu fit; set 'socket' to a shorter one", path, strlen(path),
			       PATH_MAX_LENGTH);
	if (make_folders(path, err) < 0 || check_free(path, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make a socket");
	if (bind_at(fd, path, ret_at, err) < 0)
		return -1;
	*ret_fd = vn_take_fd(&fd);
	return 0;
}

void
listen_remove(const char *path, const struct stat *at)
{
	struct stat now;

	if (lstat(path, &now) == 0 && now.st_dev == at->st_dev && now.st_ino == at->st_ino)
		unlink(path);
}

int
listen_adopt(int passed, int *ret_fd, struct vn_error *err)
{
	int listening = 0, domain = 0, kind = 0;
	socklen_t size = sizeof(int);
	int fd;

	if (getsockopt(passed, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening ||
	    getsockopt(passed, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX ||
	    getsockopt(passed, SOL_SOCKET, SO_TYPE, &kind, &size) < 0 || kind != SOCK_STREAM)
		return vn_fail(err, VN_E_INVALID, "descriptor %d, passed by systemd, is no "
			       "listening Unix stream socket; see ListenStream= in vnoded.socket", passed);
	fd = fcntl(passed, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return vn_fail_errno(err, errno, "take over the passed socket");
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		vn_fail_errno(err, errno, "take over the passed socket");
		close(fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}
