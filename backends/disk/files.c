/*
 * Files that say who owns a folder or that it is finished. They are small, and read and written in one call:
 * jansson on a descriptor would make one for each token, and when reading one for each byte.
 */
#include "backends/disk/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"

#define JSON_MOST (1 << 20)		/* bytes of such a file */

int
files_make_folder(const char *path, mode_t mode, struct vn_error *err)
{
	vn_autofree char *above = vn_strdup(path);
	char *slash = strrchr(above, '/');

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno == ENOENT && slash && slash != above) {
		*slash = '\0';
		if (files_make_folder(above, 0755, err) < 0)
			return -1;
		if (mkdir(path, mode) == 0)
			return 0;
	}
	if (errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder %s", path);
	return 0;
}

int
files_sync_folder(const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return vn_fail_errno(err, errno, "sync the folder %s", path);
	return 0;
}

static int
write_new(const char *path, const json_t *json, bool is_synced, struct vn_error *err)
{
	vn_autofree char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	vn_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t written;

	if (!text)
		abort();
	if (fd < 0)
		return vn_fail_errno(err, errno, "write %s", path);
	written = write(fd, text, strlen(text));
	if (written != (ssize_t)strlen(text))	/* of a regular file: part of it only when the disk is full */
		return vn_fail_errno(err, written < 0 ? errno : ENOSPC, "write %s", path);
	if (is_synced && fsync(fd) < 0)
		return vn_fail_errno(err, errno, "sync %s", path);
	return 0;
}

static int
write_json(const char *path, const json_t *json, bool is_synced, struct vn_error *err)
{
	vn_autofree char *new_path = vn_format("%s.new", path);

	if (write_new(new_path, json, is_synced, err) < 0) {
		unlink(new_path);
		return -1;
	}
	if (rename(new_path, path) < 0) {
		vn_fail_errno(err, errno, "put %s in place", path);
		unlink(new_path);
		return -1;
	}
	return 0;
}

int
files_write_json(const char *path, const json_t *json, struct vn_error *err)
{
	return write_json(path, json, true, err);
}

int
files_write_note(const char *path, const json_t *json, struct vn_error *err)
{
	return write_json(path, json, false, err);
}

json_t *
files_read_json(const char *path)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	vn_autofree char *text = NULL;
	json_t *json = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > JSON_MOST)
		return NULL;
	text = vn_alloc((size_t)st.st_size + 1);
	if (read(fd, text, (size_t)st.st_size) == st.st_size)
		json = json_loadb(text, (size_t)st.st_size, JSON_REJECT_DUPLICATES, NULL);
	if (json && !json_is_object(json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

void
files_random_name(char text[static 17])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		abort();
	snprintf(text, 17, "%016llx", (unsigned long long)random);
}

int
files_check_room(int fd, struct vn_error *err)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0)
		return vn_fail_errno(err, errno, "look at the file system of state_dir");
	if ((uint64_t)fs.f_bavail * fs.f_frsize < DISK_KEEP_BYTES)
		return vn_fail(err, VN_E_LIMIT, "the disk of state_dir is full: %u MiB must stay free; "
			       "make room and try again", DISK_KEEP_BYTES >> 20);
	return 0;
}
