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
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/apart.h"
#include "backends/disk/inject_file.h"
#include "proto/base/mem.h"

struct injection {
	const struct guest_file *files;
	size_t n_files;
	int root_fd;
	struct stat owner;		/* of the root folder */
};

/* how, what does it, whether folders on the way are made, how those are opened */
static const struct {
	int (*place)(const struct placing *placing, struct vn_error *err);
	bool makes;
	uint64_t resolve;
} ways[] = {
	[GUEST_FILE_PUT] = { inject_put, true, 0 },
	[GUEST_FILE_STRICT] = { inject_strict, true, RESOLVE_NO_SYMLINKS },
	[GUEST_FILE_LINK] = { inject_link, true, 0 },
	[GUEST_FILE_PASSWORD] = { inject_password, false, 0 },
	[GUEST_FILE_REMOVE] = { inject_remove, false, 0 },
	[GUEST_FILE_PRUNE] = { inject_prune, false, 0 },
};

static int
fail_folder(const struct guest_file *file, const char *path, struct vn_error *err)
{
	int sys = errno;

	if (file->how == GUEST_FILE_STRICT && sys == ELOOP)
		return vn_fail(err, VN_E_INVALID, "%s leads over a link in the guest: name the place that "
			       "it leads to", path);
	if (sys == ENOENT || sys == ENOTDIR || sys == ELOOP || sys == EXDEV)
		return vn_fail(err, VN_E_INVALID, "%s in the guest's root is no folder: remove what "
			       "is there, or reload the vnode", path);
	return vn_fail_errno(err, sys, "open the folder %s in the guest", path);
}

/*
 * What we write is no change of the guest's: its folders keep their times, so that an image made of the disk
 * does not depend on when that was. A file system that refuses does no harm.
 */
static void
keep_time(int folder, const struct stat *before)
{
	futimens(folder, (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, before->st_mtim });
}

/* Opens the folder `path` of the guest and makes what is missing of it; *ret_fd -1: not there. */
static int
reach_folder(const struct injection *injection, const struct guest_file *file, const char *path,
	     mode_t mode, int *ret_fd, struct vn_error *err)
{
	uint64_t resolve = ways[file->how].resolve;
	vn_autofree char *above = vn_strdup(path);
	char *slash = strrchr(above, '/');
	vn_autoclose int parent = -1;
	int fd = inject_open(injection->root_fd, path[0] ? path : "/", O_RDONLY | O_DIRECTORY, resolve);
	struct stat before;

	if (fd < 0 && !ways[file->how].makes && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
		*ret_fd = -1;
		return 0;
	}
	if (fd < 0 && errno == ENOENT && slash) {
		*slash = '\0';
		if (reach_folder(injection, file, above, 0755, &parent, err) < 0)
			return -1;
		if (fstat(parent, &before) < 0 || (mkdirat(parent, slash + 1, mode) < 0 && errno != EEXIST))
			return vn_fail_errno(err, errno, "make the folder %s in the guest", path);
		fd = inject_open(injection->root_fd, path, O_RDONLY | O_DIRECTORY, resolve);
		keep_time(parent, &before);
		if (fd >= 0)
			keep_time(fd, &before);
	}
	if (fd < 0)
		return fail_folder(file, path, err);
	*ret_fd = fd;
	return 0;
}

/* Whether the image has one of the things without which nobody would read the file. */
static bool
is_of_use(const struct injection *injection, const struct guest_file *file)
{
	for (const char *const *path = file->where; path && *path; path++) {
		vn_autoclose int fd = inject_open(injection->root_fd, *path, O_PATH, 0);

		if (fd >= 0)
			return true;
	}
	return !file->where;
}

static int
inject_file(const struct injection *injection, const struct guest_file *file, struct vn_error *err)
{
	vn_autofree char *path = vn_strdup(file->path);
	char *name = strrchr(path, '/');
	vn_autoclose int folder = -1;
	struct placing placing = { .file = file, .root = injection->root_fd,
				   .all = injection->files, .n_all = injection->n_files,
				   .uid = injection->owner.st_uid + file->uid,
				   .gid = injection->owner.st_gid + file->gid };
	struct stat before;
	int result;

	if (path[0] != '/' || name[1] == '\0' || !strcmp(name, "/.") || !strcmp(name, "/.."))
		return vn_fail(err, VN_E_INVALID, "'%s' is no absolute path of a file", file->path);
	if (!is_of_use(injection, file))
		return 0;
	*name++ = '\0';
	if (reach_folder(injection, file, path, file->folder_mode ? file->folder_mode : 0755, &folder,
			 err) < 0)
		return -1;
	placing.folder = folder;
	placing.name = name;
	if (folder < 0)
		return 0;
	if (fstat(folder, &before) < 0)
		return vn_fail_errno(err, errno, "look at the folder of %s in the guest", file->path);
	result = ways[file->how].place(&placing, err);
	keep_time(folder, &before);
	return result;
}

static int
inject_inside(void *arg, struct vn_error *err)
{
	struct injection *injection = arg;
	const struct stat *owner = &injection->owner;

	if (geteuid() == 0 && apart_become_owner(owner->st_uid, owner->st_gid, err) < 0)
		return -1;
	for (size_t i = 0; i < injection->n_files; i++) {
		const struct guest_file *file = &injection->files[i];

		if (inject_file(injection, file, err) == 0)
			continue;
		if (file->field)
			vn_error_prefix_path(err, file->field);
		return -1;
	}
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
