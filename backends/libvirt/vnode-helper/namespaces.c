/*
 * A user namespace and the network namespace it owns, each pinned by a bind mount. A child makes
 * them, because they must exist before they can be mapped and mounted from outside. A pin that is
 * there is kept; without a kept user namespace a kept network namespace could only belong to
 * another one, so it is made anew.
 */
#include "backends/libvirt/vnode-helper/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/pin.h"

#define IDS 65536

static int
write_file(pid_t pid, const char *name, const char *text, struct vn_error *err)
{
	char path[64];
	int fd, result;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	result = fd < 0 ? -1 : (int)write(fd, text, strlen(text));
	if (fd >= 0)
		close(fd);
	return result < 0 ? vn_fail_errno(err, errno, "write '%s' to %s", text, path) : 0;
}

static int
bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);

	if (fd >= 0)
		close(fd);
	return result;
}

/* The child: makes what is missing, says so, and lives until its parent has pinned it. */
static void __attribute__((noreturn))
make(int pipe_end, int user, int has_user)
{
	int sys = 0;

	if (user >= 0 && setns(user, CLONE_NEWUSER) < 0)
		sys = errno;
	if (!sys && unshare(CLONE_NEWNET | (has_user && user < 0 ? CLONE_NEWUSER : 0)) < 0)
		sys = errno;
	if (!sys && bring_up_loopback() < 0)
		sys = errno;
	if (write(pipe_end, &sys, sizeof(sys)) == sizeof(sys) && !sys)
		pause();
	_exit(0);
}

static int
make_folders(const char *path, struct vn_error *err)
{
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return vn_fail_errno(err, errno, "make the folder %s", folder);
		*at = '/';
	}
	return 0;
}

/* Whatever is at the path goes; a mount may be stacked on another. */
static void
unpin(const char *path)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		continue;
	unlink(path);
}

static int
pin(pid_t pid, const char *name, const char *path, struct vn_error *err)
{
	char source[64];
	int fd;

	if (make_folders(path, err) < 0)
		return -1;
	unpin(path);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make %s", path);
	close(fd);
	snprintf(source, sizeof(source), "/proc/%d/ns/%s", pid, name);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
		vn_fail_errno(err, errno, "pin a namespace at %s", path);
		unlink(path);
		return -1;
	}
	return 0;
}

static int
map_ids(pid_t pid, uint32_t base, struct vn_error *err)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u %d\n", base, IDS);
	return write_file(pid, "uid_map", map, err) < 0 ? -1 : write_file(pid, "gid_map", map, err);
}

/* Maps and pins what the child has made; nothing of it stays pinned on failure. */
static int
keep(const struct job *job, pid_t pid, int user, struct vn_error *err)
{
	const char *netns = job->strings[0], *userns = job->strings[1];
	int new_user = *userns && user < 0;

	if (new_user && (map_ids(pid, job->request.idmap_base, err) < 0 ||
			 pin(pid, "user", userns, err) < 0))
		return -1;
	if (pin(pid, "net", netns, err) == 0)
		return 0;
	if (new_user)
		unpin(userns);
	return -1;
}

int
namespaces_make(const struct job *job, struct vn_error *err)
{
	int ends[2], user = -1, sys = 0, result;
	struct vn_error ignored;
	pid_t pid;

	if (job->n_strings != 2)
		return vn_fail(err, VN_E_INTERNAL, "malformed request to vnode-helper");
	if (*job->strings[1])
		user = pin_open(job->strings[1], CLONE_NEWUSER, &ignored);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return vn_fail_errno(err, errno, "make a pipe");
	pid = fork();
	if (pid < 0)
		return vn_fail_errno(err, errno, "fork in vnode-helper");
	if (pid == 0)
		make(ends[1], user, *job->strings[1] != '\0');
	close(ends[1]);
	if (read(ends[0], &sys, sizeof(sys)) != sizeof(sys))
		sys = EPROTO;
	result = sys ? vn_fail_errno(err, sys, "make the namespaces of %s", job->strings[0]) :
		       keep(job, pid, user, err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return result;
}
