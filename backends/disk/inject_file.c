/*
 * What is written is made beside its place and renamed into it. The name beside it is always the same,
 * so that what a crash left is replaced by the next call. What is read was made by the guest: it may be
 * a fifo, a link, or have no end.
 */
#include "backends/disk/inject_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/disk/shadow.h"
#include "proto/base/mem.h"

static const char new_name[] = ".vnoded-new";

struct bytes {
	const char *data;
	size_t size;
	char *owned;			/* NULL: borrowed */
};

int
inject_open(int root, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | resolve,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* Reads an ordinary file; a NUL follows. *ret_st: NULL, or to be filled. */
static int
read_whole(int fd, const char *what, struct bytes *ret, struct stat *ret_st, struct vn_error *err)
{
	vn_autofree char *data = NULL;
	ssize_t got = 1;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return vn_fail_errno(err, errno, "look at %s", what);
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)GUEST_FILE_BYTES)
		return vn_fail(err, VN_E_INVALID, "%s is no ordinary file of at most %u bytes", what,
			       GUEST_FILE_BYTES);
	data = vn_alloc((size_t)st.st_size + 1);
	for (ret->size = 0; got > 0 && ret->size < (size_t)st.st_size;) {
		got = read(fd, data + ret->size, (size_t)st.st_size - ret->size);
		ret->size += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		return vn_fail_errno(err, errno, "read %s", what);
	if (ret_st)
		*ret_st = st;
	ret->data = ret->owned = vn_take_ptr(&data);
	return 0;
}

static int
load(const struct guest_file *file, struct bytes *ret, struct vn_error *err)
{
	vn_autoclose int fd = -1;

	if (!file->source) {
		*ret = (struct bytes){ file->text, strlen(file->text), NULL };
		return 0;
	}
	fd = open(file->source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open %s, of which %s is to be a copy", file->source,
				     file->path);
	return read_whole(fd, file->source, ret, NULL, err);
}

/* ---- files ---- */

/* Whether the file is there exactly as wanted. */
static bool
is_unchanged(const struct placing *at, const struct bytes *wanted)
{
	vn_autofree char *data = vn_alloc(wanted->size + 1);
	vn_autoclose int fd = openat(at->folder, at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (st.st_mode & 07777) == at->file->mode && (size_t)st.st_size == wanted->size &&
	       st.st_uid == at->uid && st.st_gid == at->gid &&
	       read(fd, data, wanted->size + 1) == (ssize_t)wanted->size &&
	       !memcmp(data, wanted->data, wanted->size);
}

static int
write_bytes(int fd, const struct bytes *bytes)
{
	for (size_t done = 0; done < bytes->size;) {
		ssize_t written = write(fd, bytes->data + done, bytes->size - done);

		if (written < 0)
			return -1;
		done += (size_t)written;
	}
	return 0;
}

/* A change of the owner takes the setuid bits away, so the mode comes after it. */
static int
write_new(int fd, const struct bytes *bytes, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	if (write_bytes(fd, bytes) < 0 || fstat(fd, &st) < 0)
		return -1;
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return -1;
	return fchmod(fd, mode);
}

/* Puts the file in place of whatever has its name, but for a folder. */
static int
replace(const struct placing *at, const struct bytes *bytes, uid_t uid, gid_t gid, mode_t mode,
	struct vn_error *err)
{
	const char *path = at->file->path;
	vn_autoclose int fd = -1;

	unlinkat(at->folder, new_name, 0);
	fd = openat(at->folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make a file beside %s in the guest", path);
	if (write_new(fd, bytes, uid, gid, mode) < 0)
		vn_fail_errno(err, errno, "write %s in the guest", path);
	else if (renameat(at->folder, new_name, at->folder, at->name) < 0)
		vn_fail_errno(err, errno, "put %s in place in the guest", path);
	else
		return 0;
	unlinkat(at->folder, new_name, 0);
	return -1;
}

int
inject_put(const struct placing *at, struct vn_error *err)
{
	struct bytes bytes;
	int result = 0;

	if (load(at->file, &bytes, err) < 0)
		return -1;
	if (!is_unchanged(at, &bytes))
		result = replace(at, &bytes, at->uid, at->gid, at->file->mode, err);
	free(bytes.owned);
	return result;
}

int
inject_strict(const struct placing *at, struct vn_error *err)
{
	struct stat st;
	bool is_there = fstatat(at->folder, at->name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (!is_there && errno != ENOENT)
		return vn_fail_errno(err, errno, "look at %s in the guest", at->file->path);
	if (is_there && S_ISLNK(st.st_mode))
		return vn_fail(err, VN_E_INVALID, "%s is a link in the guest: name the place it leads to",
			       at->file->path);
	if (is_there && !S_ISREG(st.st_mode))
		return vn_fail(err, VN_E_INVALID, "%s is %s in the guest: choose another path",
			       at->file->path, S_ISDIR(st.st_mode) ? "a folder" : "no ordinary file");
	return inject_put(at, err);
}

/* ---- links ---- */

static bool
leads_to(const struct placing *at)
{
	size_t length = strlen(at->file->text);
	vn_autofree char *text = vn_alloc(length + 2);

	return readlinkat(at->folder, at->name, text, length + 2) == (ssize_t)length &&
	       memcmp(text, at->file->text, length) == 0;
}

int
inject_link(const struct placing *at, struct vn_error *err)
{
	const char *target = at->file->text;
	vn_autoclose int fd = inject_open(at->root, target, O_PATH, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return vn_fail(err, VN_E_INVALID, "the image has no file %s, to which %s was to lead: choose "
			       "another, or an image that has it", target, at->file->path);
	if (leads_to(at))
		return 0;
	unlinkat(at->folder, new_name, 0);
	if (symlinkat(target, at->folder, new_name) < 0)
		return vn_fail_errno(err, errno, "make a link beside %s in the guest", at->file->path);
	if (renameat(at->folder, new_name, at->folder, at->name) == 0)
		return 0;
	vn_fail_errno(err, errno, "put %s in place in the guest", at->file->path);
	unlinkat(at->folder, new_name, 0);
	return -1;
}

/* ---- root's password ---- */

int
inject_password(const struct placing *at, struct vn_error *err)
{
	vn_autoclose int fd = inject_open(at->root, at->file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	vn_autofree char *text = NULL;
	struct bytes old;
	struct stat st;
	int result;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV))
		return 0;		/* no such file that the guest could read */
	if (fd < 0)
		return vn_fail_errno(err, errno, "open %s in the guest", at->file->path);
	if (read_whole(fd, at->file->path, &old, &st, err) < 0)
		return -1;
	if (strlen(old.data) != old.size)
		result = vn_fail(err, VN_E_INVALID, "%s in the guest is no text", at->file->path);
	else if (!(text = shadow_set_hash(old.data, "root", at->file->text)))
		result = 0;
	else
		result = replace(at, &(struct bytes){ .data = text, .size = strlen(text) }, st.st_uid,
				 st.st_gid, st.st_mode & 07777, err);
	free(old.owned);
	return result;
}

/* ---- what goes ---- */

/* Whether it is an ordinary file that begins with the text. */
static bool
begins_with(const struct placing *at, const char *name, const char *text)
{
	size_t length = strlen(text);
	vn_autofree char *start = vn_alloc(length + 1);
	vn_autoclose int fd = openat(at->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       read(fd, start, length) == (ssize_t)length && memcmp(start, text, length) == 0;
}

static int
remove_name(const struct placing *at, const char *name, struct vn_error *err)
{
	if (at->file->text[0] && !begins_with(at, name, at->file->text))
		return 0;
	if (unlinkat(at->folder, name, 0) < 0 && errno != ENOENT && errno != EISDIR)
		return vn_fail_errno(err, errno, "remove %s from the guest", at->file->path);
	return 0;
}

int
inject_remove(const struct placing *at, struct vn_error *err)
{
	return remove_name(at, at->name, err);
}

static bool
is_of_this_call(const struct placing *at, const char *name)
{
	size_t folder = (size_t)(strrchr(at->file->path, '/') - at->file->path) + 1;

	for (size_t i = 0; i < at->n_all; i++)
		if (strncmp(at->all[i].path, at->file->path, folder) == 0 &&
		    strcmp(at->all[i].path + folder, name) == 0)
			return true;
	return false;
}

int
inject_prune(const struct placing *at, struct vn_error *err)
{
	int fd = openat(at->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		vn_close_at(&fd);
		return vn_fail_errno(err, errno, "list the folder of %s in the guest", at->file->path);
	}
	while (result == 0 && (entry = readdir(dir)))
		if (strncmp(entry->d_name, at->name, strlen(at->name)) == 0 &&
		    !is_of_this_call(at, entry->d_name))
			result = remove_name(at, entry->d_name, err);
	closedir(dir);
	return result;
}
