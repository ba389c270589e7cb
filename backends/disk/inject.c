/*
 * The root belongs to the guest: any folder in it may be a link to anywhere. So no path is ever given
 * to the kernel as such. Folders are opened with openat2(RESOLVE_IN_ROOT), which resolves links as if
 * in a chroot, and what is made or replaced is one name in a folder that is open.
 *
 * Files are made on a thread that is the guest's root as far as files go: on id-mapped layers the
 * host's uid 0 can own nothing.
 *
 * Nothing is synced here: the overlay's unmount syncs the file system below it, once for all files.
 */
#include "backends/disk/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/disk/apart.h"
#include "proto/base/mem.h"

struct injection {
	const struct guest_file *files;
	size_t n_files;
	int root_fd;
	struct stat owner;		/* of the root folder */
};

static int
open_folder(int root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* Opens the folder `path` of the guest and makes what is missing of it. */
static int
reach_folder(const struct injection *injection, const char *path, int *ret_fd, struct vn_error *err)
{
	vn_autofree char *above = vn_strdup(path);
	char *slash = strrchr(above, '/');
	vn_autoclose int parent = -1;
	int fd = open_folder(injection->root_fd, path[0] ? path : "/");

	if (fd < 0 && errno == ENOENT && slash) {
		*slash = '\0';
		if (reach_folder(injection, above, &parent, err) < 0)
			return -1;
		if (mkdirat(parent, slash + 1, 0755) < 0 && errno != EEXIST)
			return vn_fail_errno(err, errno, "make the folder %s in the guest", path);
		fd = open_folder(injection->root_fd, path);
	}
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV))
		return vn_fail(err, VN_E_INVALID, "%s in the guest's root is no folder: remove what "
			       "is there, or reload the vnode", path);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open the folder %s in the guest", path);
	*ret_fd = fd;
	return 0;
}

/* Whether the file is there exactly as wanted. */
static bool
is_unchanged(const struct injection *injection, int folder, const char *name,
	     const struct guest_file *file)
{
	size_t length = strlen(file->text);
	vn_autofree char *text = vn_alloc(length + 1);
	vn_autoclose int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
	       && (st.st_mode & 07777) == file->mode && (size_t)st.st_size == length
	       && st.st_uid == injection->owner.st_uid && st.st_gid == injection->owner.st_gid
	       && read(fd, text, length + 1) == (ssize_t)length && !memcmp(text, file->text, length);
}

static int
write_text(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t written = write(fd, text, left);

		if (written < 0)
			return -1;
		text += written;
		left -= (size_t)written;
	}
	return 0;
}

/*
 * Puts the file in place of whatever has its name, but for a folder. The name beside it is always the
 * same, so that what a crash left is replaced by the next call.
 */
static int
replace_file(int folder, const char *name, const struct guest_file *file, struct vn_error *err)
{
	static const char new_name[] = ".vnoded-new";
	vn_autoclose int fd = -1;

	unlinkat(folder, new_name, 0);
	fd = openat(folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make a file beside %s in the guest", file->path);
	if (write_text(fd, file->text) < 0 || fchmod(fd, file->mode) < 0)
		vn_fail_errno(err, errno, "write %s in the guest", file->path);
	else if (renameat(folder, new_name, folder, name) < 0)
		vn_fail_errno(err, errno, "put %s in place in the guest", file->path);
	else
		return 0;
	unlinkat(folder, new_name, 0);
	return -1;
}

static int
inject_file(const struct injection *injection, const struct guest_file *file, struct vn_error *err)
{
	vn_autofree char *path = vn_strdup(file->path);
	char *name = strrchr(path, '/');
	vn_autoclose int folder = -1;

	if (path[0] != '/' || name[1] == '\0' || !strcmp(name, "/.") || !strcmp(name, "/.."))
		return vn_fail(err, VN_E_INVALID, "'%s' is no absolute path of a file", file->path);
	*name++ = '\0';
	if (reach_folder(injection, path, &folder, err) < 0)
		return -1;
	if (is_unchanged(injection, folder, name, file))
		return 0;
	return replace_file(folder, name, file, err);
}

static int
inject_inside(void *arg, struct vn_error *err)
{
	struct injection *injection = arg;
	const struct stat *owner = &injection->owner;

	if (geteuid() == 0 && apart_become_owner(owner->st_uid, owner->st_gid, err) < 0)
		return -1;
	for (size_t i = 0; i < injection->n_files; i++)
		if (inject_file(injection, &injection->files[i], err) < 0)
			return -1;
	return 0;
}

int
inject_files(const char *root, const struct guest_file *files, size_t n_files,
	     struct vn_error *err)
{
	vn_autoclose int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct injection injection = {
		.files = files, .n_files = n_files, .root_fd = fd,
	};

	if (fd < 0 || fstat(fd, &injection.owner) < 0)
		return vn_fail_errno(err, errno, "open the mounted root %s", root);
	return apart_run(inject_inside, &injection, err);
}
