/*
 * The trees come from images and guests, so nothing about them is trusted: links are never followed,
 * other mounts never entered, and depth costs neither stack nor descriptors. The surprise: folders
 * inside a folder are not descended into, they are renamed up to the top of the piece of trash and
 * wait there for their turn. At any moment two folders are open, however deep the tree was.
 */
#include "backends/disk/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "proto/base/mem.h"

typedef int entry_fn(int folder, const char *name, int top, struct vn_error *err);

static void
close_dir_at(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* A folder named `name` in `at`, or -1 with errno: never through a link, never another mount's root. */
static int
open_folder(int at, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};

	return (int)syscall(SYS_openat2, at, name, &how, sizeof(how));
}

/* Calls fn for each entry of the folder `fd`, which is consumed. */
static int
each_entry(int fd VN_TAKES, int top, entry_fn *fn, struct vn_error *err)
{
	__attribute__((cleanup(close_dir_at))) DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		close(fd);
		return vn_fail_errno(err, errno, "read a folder in the trash");
	}
	while ((errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (fn(dirfd(dir), entry->d_name, top, err) < 0)
			return -1;
	}
	if (errno)
		return vn_fail_errno(err, errno, "read a folder in the trash");
	return 0;
}

/* Removes a file or an empty folder. Returns 1 where it is a folder that is not empty. */
static int
remove_entry(int folder, const char *name, struct vn_error *err)
{
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return vn_fail_errno(err, errno, "delete '%s' in the trash", name);
	if (unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return 1;
	return vn_fail_errno(err, errno, "delete the folder '%s' in the trash", name);
}

/* Removes an entry, or moves a folder that is not empty up to `top`. */
static int
remove_or_raise(int folder, const char *name, int top, struct vn_error *err)
{
	static atomic_ulong last;
	char raised[32];
	int left = remove_entry(folder, name, err);

	if (left <= 0)
		return left;
	for (;;) {
		snprintf(raised, sizeof(raised), "%lu", atomic_fetch_add(&last, 1));
		if (renameat2(folder, name, top, raised, RENAME_NOREPLACE) == 0 || errno == ENOENT)
			return 0;
		if (errno != EEXIST)
			return vn_fail_errno(err, errno, "move the folder '%s' within the trash",
					     name);
	}
}

/* Empties one folder at the top of a piece of trash, then removes it. */
static int
remove_top_entry(int top, const char *name, int ignored, struct vn_error *err)
{
	int fd, left = remove_entry(top, name, err);

	(void)ignored;
	if (left <= 0)
		return left;
	fd = open_folder(top, name);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno == EXDEV)
		return vn_fail(err, VN_E_BUSY, "something is mounted on '%s' in the trash: unmount "
			       "it first", name);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open '%s' in the trash", name);
	if (each_entry(fd, top, remove_or_raise, err) < 0)
		return -1;
	/* What was raised meanwhile is met later in this pass or in the next. */
	return remove_entry(top, name, err) < 0 ? -1 : 0;
}

/* Deletes the piece of trash `name`: pass after pass until nothing is raised any more. */
static int
remove_piece(int trash, const char *name, int ignored, struct vn_error *err)
{
	(void)ignored;
	for (;;) {
		int fd, left = remove_entry(trash, name, err);

		if (left <= 0)
			return left;
		fd = open_folder(trash, name);
		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd < 0)
			return vn_fail_errno(err, errno, "open '%s' in the trash", name);
		if (each_entry(fd, -1, remove_top_entry, err) < 0)
			return -1;
	}
}

static int
open_trash(const char *trash, struct vn_error *err)
{
	int fd = open(trash, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return vn_fail_errno(err, errno, "open the trash folder %s", trash);
	return fd;
}

int
trash_away(const char *trash, const char *path, const char *label, struct vn_error *err)
{
	char random[17];
	vn_autofree char *piece = NULL, *inside = NULL;
	vn_autoclose int fd = open_trash(trash, err);

	if (fd < 0)
		return -1;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	files_random_name(random);
	piece = vn_format("%s-%s", label, random);
	inside = vn_format("%s/0", piece);
	if (mkdirat(fd, piece, 0700) < 0)
		return vn_fail_errno(err, errno, "make a folder in %s", trash);
	if (renameat(AT_FDCWD, path, fd, inside) < 0) {
		int sys = errno;

		unlinkat(fd, piece, AT_REMOVEDIR);
		return sys == ENOENT ? 0 : vn_fail_errno(err, sys, "move %s into the trash", path);
	}
	return remove_piece(fd, piece, -1, err);
}

int
trash_empty(const char *trash, struct vn_error *err)
{
	int fd = open_trash(trash, err);

	return fd < 0 ? -1 : each_entry(fd, -1, remove_piece, err);
}
