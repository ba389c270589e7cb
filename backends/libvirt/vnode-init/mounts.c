/*
 * The guest's view of the file system. vnode-init, with the machine's rights, mounts under WIRE_WORK
 * what the guest's side has none to make: a full /proc and /sys (a user namespace may mount its own
 * only beside a fully visible one) and the guest's root. The guest's first process then builds its
 * view from mounts of its own alone and lets go of everything else with the old root, so that at
 * shutdown it can unmount all it sees, and nothing is underneath.
 */
#include "backends/libvirt/vnode-init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT	 WIRE_WORK "/root"
#define HARMLESS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

struct entry {
	const char *source, *target, *type, *options;
	unsigned long flags;
};

static int
mount_all(const struct entry *entries, size_t count, const char **ret_what)
{
	for (size_t i = 0; i < count; i++) {
		const struct entry *at = &entries[i];

		*ret_what = at->target;
		if (mkdir(at->target, 0755) < 0 && errno != EEXIST)
			return -1;
		if (mount(at->source, at->target, at->type, at->flags, at->options) < 0)
			return -1;
	}
	return 0;
}

static int
attach(int tree, const char *target)
{
	return move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

int
mounts_prepare(struct init *init, const char **ret_what)
{
	static const struct entry entries[] = {
		{ "vnode-init", WIRE_WORK, "tmpfs", "mode=0755,size=64k", HARMLESS },
		{ "proc", WIRE_WORK "/proc", "proc", NULL, HARMLESS },
		{ "sysfs", WIRE_WORK "/sys", "sysfs", NULL, HARMLESS },
	};
	struct mount_attr devices = { .attr_set = MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE };

	(void)init;
	*ret_what = "make mounts private";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	if (mount_all(entries, sizeof(entries) / sizeof(*entries), ret_what) < 0)
		return -1;
	*ret_what = "mount the guest's root";
	if (mkdir(ROOT, 0755) < 0 || attach(WIRE_FD_ROOT, ROOT) < 0)
		return -1;
	/* With the extra disks that are mounted in it. Set here, it is locked for the guest: no device node of an image is ever one. */
	return mount_setattr(AT_FDCWD, ROOT, AT_RECURSIVE, &devices, sizeof(devices));
}

/* The six harmless nodes, from libvirt's /dev: a user namespace cannot make any. */
static int
bind_nodes(int old_root)
{
	static const char *const nodes[] = { "dev/null", "dev/zero", "dev/full", "dev/random",
					     "dev/urandom", "dev/tty" };
	char target[32];

	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		int tree = open_tree(old_root, nodes[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		int fd;

		snprintf(target, sizeof(target), "/%s", nodes[i]);
		fd = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
		if (tree < 0 || fd < 0 || attach(tree, target) < 0)
			return -1;
		close(fd);
		close(tree);
	}
	return 0;
}

static int
make_links(void)
{
	static const char *const links[][2] = {
		{ "pts/ptmx", "/dev/ptmx" },		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },	{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			return -1;
	return 0;
}

/* What the owner of the machine's own user namespace could otherwise write. It can be undone by it. */
static int
cover_settings(void)
{
	static const char *const paths[] = { "/proc/sys", "/proc/sysrq-trigger", "/proc/irq",
					     "/proc/bus" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (access(paths[i], F_OK) < 0)
			continue;
		if (mount(paths[i], paths[i], NULL, MS_BIND, NULL) < 0 ||
		    mount(NULL, paths[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | HARMLESS,
			  NULL) < 0)
			return -1;
	}
	return 0;
}

static int
fill(const struct init *init, int old_root, const char **ret_what)
{
	static const struct entry entries[] = {
		{ "proc", "/proc", "proc", NULL, HARMLESS },
		{ "sysfs", "/sys", "sysfs", NULL, HARMLESS | MS_RDONLY },
		{ "tmpfs", "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/dev", "tmpfs", "mode=0755,size=1m", MS_NOSUID | MS_NOEXEC },
		{ "devpts", "/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5",
		  MS_NOSUID | MS_NOEXEC },
		{ "tmpfs", "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
	};

	if (mount_all(entries, sizeof(entries) / sizeof(*entries), ret_what) < 0)
		return -1;
	*ret_what = "make device nodes";
	if (bind_nodes(old_root) < 0 || make_links() < 0)
		return -1;
	*ret_what = "protect /proc";
	return init->setup.flags & WIRE_PRIVILEGED ? cover_settings() : 0;
}

int
mounts_enter(const struct init *init, int *ret_devpts, const char **ret_what)
{
	int old_root;

	*ret_what = "change to the guest's root";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	/* A mount that came with the namespace is locked in place; a copy of it is not. */
	if (mount(ROOT, ROOT, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(ROOT) < 0)
		return -1;
	old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old_root < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return -1;
	if (fill(init, old_root, ret_what) < 0)
		return -1;
	*ret_what = "leave the old root";
	if (fchdir(old_root) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -1;
	close(old_root);
	*ret_devpts = open_tree(AT_FDCWD, "/dev/pts", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return *ret_devpts < 0 ? -1 : 0;
}

int
mounts_bind_console(const char *terminal)
{
	int fd = open("/dev/console", O_CREAT | O_EXCL | O_WRONLY | O_NOCTTY | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	close(fd);
	return mount(terminal, "/dev/console", NULL, MS_BIND, NULL);
}

int
mounts_cgroup(const struct init *init)
{
	if (!*init->guest_cgroup)
		return 0;
	return mount("cgroup2", "/sys/fs/cgroup", "cgroup2", HARMLESS, NULL);
}
