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
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/base/arena.h"
#include "proto/base/mem.h"

#define BUSY_TRIES   50
#define BUSY_WAIT_NS 10000000

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

/*
 * A container that starts elsewhere holds its copy of every mount for an instant, and so does a process
 * between its fork and its exec: what is busy is tried again for a while before anybody is blamed.
 */
int
mounts_unmount(const char *path)
{
	int result = umount2(path, UMOUNT_NOFOLLOW);

	for (int i = 0; i < BUSY_TRIES && result < 0 && errno == EBUSY; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = BUSY_WAIT_NS }, NULL);
		result = umount2(path, UMOUNT_NOFOLLOW);
	}
	return result;
}

/* Undoes \040 and the like, in place. */
static void
unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; to++) {
		unsigned code;

		if (at[0] == '\\' && sscanf(at + 1, "%3o", &code) == 1) {
			*to = (char)code;
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

long
mounts_below(const char *path, struct vn_arena *arena, char ***ret, struct vn_error *err)
{
	size_t length = strlen(path), size = 0;
	vn_autofree char *line = NULL;
	vn_autofree char **found = NULL;
	long count = 0;
	FILE *file = fopen("/proc/thread-self/mountinfo", "re");

	if (!file)
		return vn_fail_errno(err, errno, "open /proc/thread-self/mountinfo");
	while (getline(&line, &size, file) > 0) {
		vn_autofree char *point = NULL;

		if (sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
			continue;
		unescape(point);
		if (strncmp(point, path, length) != 0 || point[length] != '/')
			continue;
		found = vn_realloc_array(found, (size_t)count + 1, sizeof(*found));
		found[count++] = vn_arena_strdup(arena, point);
	}
	fclose(file);
	*ret = vn_arena_alloc(arena, ((size_t)count + 1) * sizeof(*found));
	if (count)
		memcpy(*ret, found, (size_t)count * sizeof(*found));
	return count;
}
