/*
 * Finds out what this machine lacks by doing it: an overlay on folders beside the real ones, first with
 * the image's own ids, then with those of a user namespace. It is assembled, never attached.
 *
 * A user namespace needs a process to be born in. That one process of ours lives for as long as two
 * files are written, and only once a boot: a success is remembered in the run folder.
 */
#include "backends/disk/local.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "backends/disk/layers.h"
#include "backends/disk/trash.h"
#include "proto/base/mem.h"

#define ENOUGH_BYTES (256ull * 1024 * 1024)

struct probe {
	const struct local *local;
	char *folder, *lower, *upper;
	char **missing;
	size_t count;
};

static void
add_missing(struct probe *probe, const char *text)
{
	probe->missing = vn_realloc_array(probe->missing, probe->count + 2, sizeof(char *));
	probe->missing[probe->count++] = vn_strdup(text);
	probe->missing[probe->count] = NULL;
}

static int
write_map(pid_t pid, const char *name, struct vn_error *err)
{
	static const char map[] = "0 65536 65536\n";
	char path[64];
	vn_autoclose int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, sizeof(map) - 1) < 0)
		return vn_fail_errno(err, errno, "map the ids of a user namespace");
	return 0;
}

/* Starts a process in a new user namespace. It has no signal at its end: nobody else reaps it. */
static pid_t
start_sleeper(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER, NULL, NULL, NULL, NULL);

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int
assemble_shifted(struct probe *probe, pid_t pid, struct vn_error *err)
{
	vn_autofree char *userns = vn_format("/proc/%d/ns/user", (int)pid);
	const char *lower = probe->lower;
	struct layers_spec spec = {
		.lowers = &lower, .n_lowers = 1, .disk = probe->folder, .userns = userns, .source = "vnoded",
	};
	vn_autoclose int fd = -1;

	if (write_map(pid, "uid_map", err) < 0 || write_map(pid, "gid_map", err) < 0)
		return -1;
	return layers_assemble(probe->local->workshop, &spec, &fd, err);
}

static int
try_shifted(struct probe *probe, struct vn_error *err)
{
	pid_t pid = start_sleeper();
	int result;

	if (pid < 0)
		return vn_fail_errno(err, errno, "make a user namespace");
	result = assemble_shifted(probe, pid, err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
	return result;
}

static int
try_plain(struct probe *probe, struct vn_error *err)
{
	const char *lower = probe->lower;
	struct layers_spec spec = {
		.lowers = &lower, .n_lowers = 1, .disk = probe->folder, .source = "vnoded",
	};
	vn_autoclose int fd = -1;

	/* Overlayfs itself would go on without, and then lose deleted and renamed folders. */
	if (lsetxattr(probe->upper, "trusted.overlay.probe", "y", 1, 0) < 0)
		return vn_fail_errno(err, errno, "set a trusted attribute in %s",
				     probe->local->env->state_dir);
	return layers_assemble(probe->local->workshop, &spec, &fd, err);
}

static int
make_folders(struct probe *probe, struct vn_error *err)
{
	vn_autofree char *work = vn_format("%s/work", probe->folder);

	if (files_make_folder(probe->folder, 0700, err) < 0
	    || files_make_folder(probe->lower, 0755, err) < 0
	    || files_make_folder(probe->upper, 0755, err) < 0
	    || files_make_folder(work, 0700, err) < 0)
		return -1;
	return 0;
}

static void
try_mounts(struct probe *probe)
{
	struct vn_error err = { 0 };
	vn_autofree char *text = NULL;

	if (make_folders(probe, &err) == 0 && try_plain(probe, &err) == 0) {
		if (try_shifted(probe, &err) == 0)
			return;
		text = vn_format("vnodes that are not privileged: %s", err.text);
	} else {
		text = vn_format("disks of vnodes: %s (state_dir must be on a file system such as "
				 "ext4, xfs or btrfs)", err.text);
	}
	add_missing(probe, text);
}

/* Which file system was found good: another disk mounted at state_dir is probed anew. */
static json_t *
verdict(const struct local *local)
{
	struct stat st = { 0 };
	json_t *json;

	stat(local->env->state_dir, &st);
	json = json_pack("{s:I}", "good_device", (json_int_t)st.st_dev);
	if (!json)
		abort();
	return json;
}

static void
probe_mounts(struct probe *probe)
{
	vn_autofree char *path = vn_format("%s/disk-probe", probe->local->env->run_dir);
	json_t *known = files_read_json(path), *good = verdict(probe->local);
	struct vn_error ignored;

	if (!json_equal(known, good)) {
		try_mounts(probe);
		trash_away(probe->local->trash, probe->folder, "probe", &ignored);
		if (probe->count == 0)
			files_write_json(path, good, &ignored);
	}
	json_decref(known);
	json_decref(good);
}

static void
probe_space(struct probe *probe)
{
	uint64_t bytes;
	struct vn_error err;
	vn_autofree char *text = NULL;

	if (disk_local.free_bytes((struct disk *)&probe->local->base, &bytes, &err) < 0)
		text = vn_strdup(err.text);
	else if (bytes < ENOUGH_BYTES)
		text = vn_format("room for disks: only %llu MiB are free in %s",
				 (unsigned long long)bytes >> 20, probe->local->env->state_dir);
	if (text)
		add_missing(probe, text);
}

int
local_missing(struct disk *disk, char ***ret, struct vn_error *err)
{
	const struct local *local = vn_container_of(disk, struct local, base);
	struct probe probe = { .local = local };
	char random[17];

	(void)err;
	files_random_name(random);
	probe.folder = vn_format("%s/probe-%s", local->trash, random);
	probe.lower = vn_format("%s/lower", probe.folder);
	probe.upper = vn_format("%s/upper", probe.folder);
	probe.missing = vn_alloc(sizeof(char *));
	if (local->workshop < 0)
		add_missing(&probe, local->workshop_err.text);
	else
		probe_mounts(&probe);
	probe_space(&probe);
	free(probe.folder);
	free(probe.lower);
	free(probe.upper);
	*ret = probe.missing;
	return 0;
}
