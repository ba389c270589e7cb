/*
 * One line of /proc/thread-self/mountinfo, found by the mount's id (statx, Linux 5.8): paths in that
 * file are escaped and may be covered, ids are exact.
 */
#include "backends/disk/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/mem.h"

/* Fields: id parent major:minor root mountpoint options [optional…] - fstype source options. */
static void
read_line(char *line, struct mounted *ret)
{
	char *end = strstr(line, " - "), *shared;

	if (!end)
		return;
	*end = '\0';
	shared = strstr(line, " shared:");
	ret->shared = shared != NULL;
	sscanf(end + 3, "%31s %127s", ret->fstype, ret->source);
}

static int
find_line(uint64_t id, struct mounted *ret, struct vn_error *err)
{
	vn_autofree char *line = NULL;
	size_t size = 0;
	unsigned long long found;
	FILE *file = fopen("/proc/thread-self/mountinfo", "re");

	if (!file)
		return vn_fail_errno(err, errno, "open /proc/thread-self/mountinfo");
	while (getline(&line, &size, file) > 0) {
		if (sscanf(line, "%llu ", &found) != 1 || found != id)
			continue;
		read_line(line, ret);
		break;
	}
	fclose(file);
	return 0;
}

static int
look(const char *path, bool around, struct mounted *ret, struct vn_error *err)
{
	struct mounted mounted = { 0 };
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0) {
		if (errno != ENOENT)
			return vn_fail_errno(err, errno, "look at %s", path);
		*ret = mounted;
		return 0;
	}
	mounted.there = st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	if ((mounted.there || around) && find_line(st.stx_mnt_id, &mounted, err) < 0)
		return -1;
	*ret = mounted;
	return 0;
}

int
mounts_at(const char *path, struct mounted *ret, struct vn_error *err)
{
	return look(path, true, ret, err);
}

int
mounts_root_at(const char *path, struct mounted *ret, struct vn_error *err)
{
	return look(path, false, ret, err);
}
