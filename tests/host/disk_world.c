/*
 * One folder a case below /var/tmp. A suite runs in a mount namespace of its own, so whatever is still mounted
 * or attached in that folder at the end was left by the case.
 */
#include "tests/host/disk_world.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"

char folder[64], state_dir[96], run_dir[96], userns[64];
struct backend_env env;
struct disk *disk;
struct vn_error err;

static pid_t sleeper;
static bool is_state_mounted;

/* A process in a user namespace whose ids are shifted by BASE. */
static void
make_userns(void)
{
	char ready;
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	sleeper = fork();
	if (sleeper == 0) {
		if (unshare(CLONE_NEWUSER) < 0 || write(pipes[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(pipes[0], &ready, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	run("echo 0 %u 65536 >/proc/%d/uid_map && echo 0 %u 65536 >/proc/%d/gid_map", BASE, sleeper,
	    BASE, sleeper);
	snprintf(userns, sizeof(userns), "/proc/%d/ns/user", sleeper);
}

void
world_begin(const char *word)
{
	memset(&err, 0, sizeof(err));
	is_state_mounted = false;
	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-%s-XXXXXX", word);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(state_dir, sizeof(state_dir), "%s/state", folder);
	snprintf(run_dir, sizeof(run_dir), "%s/run", folder);
	env = (struct backend_env){ .instance = "11111111-1111-4111-8111-111111111111",
				    .state_dir = state_dir, .run_dir = run_dir };
	make_userns();
}

void
world_end(void)
{
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
	if (is_state_mounted)
		run("umount %s", state_dir);
	run("! grep -q %s /proc/self/mountinfo && ! losetup -a | grep -q %s && rm -rf %s", folder, folder, folder);
}

void
mount_state(const char *kind)
{
	run("truncate -s 400M %s/fs && mkfs.%s -q %s/fs >/dev/null 2>&1 && mkdir -p %s && "
	    "mount -o loop %s/fs %s", folder, kind, folder, state_dir, folder, state_dir);
	is_state_mounted = true;
}

void
open_disk(void)
{
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
}

void
close_disk(void)
{
	ok(disk->ops->host_down(disk, &err));
	disk->ops->close(disk);
}

void
run_in(const char *root, const char *command)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), ns = open(userns, O_RDONLY | O_CLOEXEC);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setns(ns, CLONE_NEWUSER) < 0 || setgid(0) < 0 || setuid(0) < 0 || fchdir(fd) < 0)
			_exit(99);
		execl("/bin/sh", "sh", "-ec", command, NULL);
		_exit(98);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(fd);
	close(ns);
	ck_assert_msg(status == 0, "status %d of: %s", status, command);
}

int
unpack(const struct image_spec *image)
{
	struct unpack_limits limits = { .bytes = 100 << 20, .entries = 1000 };
	struct image_facts facts;
	bool cancelled = false;
	uint64_t progress = 0;

	return disk->ops->image_unpack(disk, image, &limits, &cancelled, &progress, &facts, &err);
}

void
add_entries(const char *sha256, const char *base, const struct tar_entry *entries, size_t n_entries)
{
	vn_autofree char *archive = vn_format("%s/image.tar", folder);

	tar_write(archive, entries, n_entries);
	ok(unpack(&(struct image_spec){ .path = archive, .sha256 = sha256, .base = base }));
}

size_t
count_found(enum disk_kind kind)
{
	struct disk_found *found;
	size_t n_found, count = 0;

	ok(disk->ops->inventory(disk, &found, &n_found, &err));
	for (size_t i = 0; i < n_found; i++)
		count += found[i].kind == kind;
	free(found);
	return count;
}
