/*
 * Folder by folder, each opened by its path below the root: depth costs neither stack nor descriptors. The
 * tree was unpacked by vnoded, which let nothing through that leads outside (unpack_check.c); folders are
 * opened without following links all the same.
 *
 * The surprise is in the times: making an entry changes those of its folder, so folders get theirs last.
 */
#include "backends/disk/clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "backends/disk/trash.h"
#include "proto/base/mem.h"

#define NAMES_SIZE 65536		/* the kernel's XATTR_LIST_MAX and XATTR_SIZE_MAX */
#define PIECE_SIZE (256u << 10)
#define ROOM_EVERY 1024			/* entries between two looks at the room that is left */

struct linked {				/* a file that has several names */
	ino_t inode;
	char path[];			/* of its first name */
};

struct clone {
	const char *to_path, *trash;
	bool shares;
	int from, to;			/* the roots */
	dev_t device;
	char **folders;			/* paths below the root, in the order they were met */
	size_t n_folders;
	void *linked;			/* tree of struct linked */
	unsigned n_entries;
	char *names, *value;
};

struct named {				/* of one folder, in both trees */
	int from, to;			/* the folders */
	const char *folder, *name;
	struct stat st;
};

static int
compare_linked(const void *a, const void *b)
{
	const struct linked *one = a, *other = b;

	return one->inode < other->inode ? -1 : one->inode > other->inode;
}

static int
open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* For the calls on attributes, none of which takes a folder and a name. */
static void
print_path(char text[static PATH_MAX], int folder, const char *name)
{
	snprintf(text, PATH_MAX, "/proc/thread-self/fd/%d/%s", folder, name);
}

static bool
is_kept(const char *name)
{
	return strncmp(name, "trusted.overlay.", strlen("trusted.overlay.")) != 0;
}

/* What a folder has from a lower layer, and any entry from its folder's default ACL. */
static void
drop_attributes(struct clone *clone, const char *path)
{
	ssize_t size = llistxattr(path, clone->names, NAMES_SIZE);

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(clone->names + at) + 1)
		lremovexattr(path, clone->names + at);
}

static int
copy_attributes(struct clone *clone, const struct named *entry, struct vn_error *err)
{
	char from[PATH_MAX], to[PATH_MAX];
	ssize_t size, length;

	print_path(from, entry->from, entry->name);
	print_path(to, entry->to, entry->name);
	drop_attributes(clone, to);
	size = llistxattr(from, clone->names, NAMES_SIZE);
	if (size < 0 && errno != EOPNOTSUPP)
		return vn_fail_errno(err, errno, "list the attributes of '%s/%s'", entry->folder,
				     entry->name);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(clone->names + at) + 1) {
		const char *name = clone->names + at;

		if (!is_kept(name))
			continue;
		length = lgetxattr(from, name, clone->value, NAMES_SIZE);
		if (length < 0 || lsetxattr(to, name, clone->value, (size_t)length, 0) < 0)
			return vn_fail_errno(err, errno, "copy the attribute %s of '%s/%s'", name,
					     entry->folder, entry->name);
	}
	return 0;
}

/* Owner first: changing it takes set-id bits and capabilities away. */
static int
copy_facts(struct clone *clone, const struct named *entry, struct vn_error *err)
{
	const struct stat *st = &entry->st;
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchownat(entry->to, entry->name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0
	    || (!S_ISLNK(st->st_mode) && fchmodat(entry->to, entry->name, st->st_mode & 07777, 0) < 0))
		return vn_fail_errno(err, errno, "set owner and mode of '%s/%s'", entry->folder,
				     entry->name);
	if (copy_attributes(clone, entry, err) < 0)
		return -1;
	if (utimensat(entry->to, entry->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return vn_fail_errno(err, errno, "set the times of '%s/%s'", entry->folder, entry->name);
	return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Takes away what a lower layer had of that name. */
static int
clear(struct clone *clone, const struct named *entry, struct vn_error *err)
{
	vn_autofree char *path = NULL;

	if (unlinkat(entry->to, entry->name, 0) == 0 || errno == ENOENT)
		return 0;
	path = vn_format("%s/%s/%s", clone->to_path, entry->folder, entry->name);
	return trash_away(clone->trash, path, "layer", err);
}

/* Holes stay holes. */
static int
copy_contents(int from, int to, off_t size, struct vn_error *err)
{
	vn_autofree char *piece = vn_alloc(PIECE_SIZE);
	off_t at = 0, end;

	if (ftruncate(to, size) < 0)
		return vn_fail_errno(err, errno, "make a file of a disk");
	while ((at = lseek(from, at, SEEK_DATA)) >= 0 && at < size) {
		end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			size_t wanted = (size_t)(end - at) < PIECE_SIZE ? (size_t)(end - at) : PIECE_SIZE;
			ssize_t length = pread(from, piece, wanted, at);

			if (length <= 0 || pwrite(to, piece, (size_t)length, at) != length)
				return vn_fail_errno(err, errno ? errno : EIO, "copy a file to a disk");
			at += length;
		}
	}
	return at < 0 && errno != ENXIO ? vn_fail_errno(err, errno, "copy a file to a disk") : 0;
}

static int
copy_file(const struct clone *clone, const struct named *entry, struct vn_error *err)
{
	vn_autoclose int from = openat(entry->from, entry->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	vn_autoclose int to = openat(entry->to, entry->name,
				     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (from < 0 || to < 0)
		return vn_fail_errno(err, errno, "make the file '%s/%s'", entry->folder, entry->name);
	if (!clone->shares)
		return copy_contents(from, to, entry->st.st_size, err);
	if (entry->st.st_size == 0 || ioctl(to, FICLONE, from) == 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL || errno == ENOTTY)
		return vn_fail(err, VN_E_UNSUPPORTED, "the file system of state_dir cannot clone files: "
			       "btrfs and xfs can");
	return vn_fail_errno(err, errno, "clone the file '%s/%s'", entry->folder, entry->name);
}

static int
copy_link(const struct named *entry, struct vn_error *err)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(entry->from, entry->name, target, sizeof(target) - 1);

	if (length < 0)
		return vn_fail_errno(err, errno, "read the link '%s/%s'", entry->folder, entry->name);
	target[length] = '\0';
	if (symlinkat(target, entry->to, entry->name) < 0)
		return vn_fail_errno(err, errno, "make the link '%s/%s'", entry->folder, entry->name);
	return 0;
}

static int
copy_special(const struct named *entry, struct vn_error *err)
{
	if (mknodat(entry->to, entry->name, entry->st.st_mode, entry->st.st_rdev) < 0)
		return vn_fail_errno(err, errno, "make '%s/%s'", entry->folder, entry->name);
	return 0;
}

/* A further name of a file that is there: 1 done, 0 this is its first. */
static int
link_again(struct clone *clone, const struct named *entry, struct vn_error *err)
{
	struct linked *linked, **known;
	size_t size = sizeof(*linked) + strlen(entry->folder) + strlen(entry->name) + 2;

	if (entry->st.st_nlink < 2)
		return 0;
	linked = vn_alloc(size);
	linked->inode = entry->st.st_ino;
	snprintf(linked->path, size - sizeof(*linked), "%s%s%s", entry->folder,
		 *entry->folder ? "/" : "", entry->name);
	known = tsearch(linked, &clone->linked, compare_linked);
	if (!known)
		abort();
	if (*known == linked)
		return 0;
	free(linked);
	if (linkat(clone->to, (*known)->path, entry->to, entry->name, 0) < 0)
		return vn_fail_errno(err, errno, "make another name '%s/%s' of '%s'", entry->folder,
				     entry->name, (*known)->path);
	return 1;
}

static int
copy_other(struct clone *clone, const struct named *entry, struct vn_error *err)
{
	mode_t mode = entry->st.st_mode;
	int result;

	if (clear(clone, entry, err) < 0)
		return -1;
	if (S_ISCHR(mode) && entry->st.st_rdev == makedev(0, 0))
		return 0;		/* a whiteout */
	result = link_again(clone, entry, err);
	if (result)
		return result < 0 ? -1 : 0;
	result = S_ISREG(mode) ? copy_file(clone, entry, err) : S_ISLNK(mode) ? copy_link(entry, err)
							 : copy_special(entry, err);
	return result < 0 ? -1 : copy_facts(clone, entry, err);
}

static void
remember_folder(struct clone *clone, const char *folder, const char *name)
{
	clone->folders = vn_realloc_array(clone->folders, clone->n_folders + 1, sizeof(char *));
	clone->folders[clone->n_folders++] = vn_format("%s%s%s", folder, *folder ? "/" : "", name);
}

static int
copy_folder(struct clone *clone, const struct named *entry, struct vn_error *err)
{
	char path[PATH_MAX];
	struct stat below;
	char opaque = 0;

	print_path(path, entry->from, entry->name);
	lgetxattr(path, "trusted.overlay.opaque", &opaque, 1);
	if (fstatat(entry->to, entry->name, &below, AT_SYMLINK_NOFOLLOW) == 0
	    && (opaque == 'y' || !S_ISDIR(below.st_mode)) && clear(clone, entry, err) < 0)
		return -1;
	if (mkdirat(entry->to, entry->name, 0700) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder '%s/%s'", entry->folder, entry->name);
	remember_folder(clone, entry->folder, entry->name);
	return copy_facts(clone, entry, err);
}

static int
copy_entry(struct clone *clone, struct named *entry, struct vn_error *err)
{
	if (fstatat(entry->from, entry->name, &entry->st, AT_SYMLINK_NOFOLLOW) < 0)
		return vn_fail_errno(err, errno, "look at '%s/%s'", entry->folder, entry->name);
	if (entry->st.st_dev != clone->device)
		return vn_fail(err, VN_E_STATE, "something is mounted at '%s/%s' of an image: unmount it",
			       entry->folder, entry->name);
	if (clone->n_entries++ % ROOM_EVERY == 0 && files_check_room(clone->to, err) < 0)
		return -1;
	return S_ISDIR(entry->st.st_mode) ? copy_folder(clone, entry, err)
					  : copy_other(clone, entry, err);
}

/* ---- the tree -------------------------------------------------------------------------------- */

static void
close_dir_at(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int
copy_entries(struct clone *clone, const char *folder, struct vn_error *err)
{
	int from = open_below(clone->from, folder);
	vn_autoclose int to = open_below(clone->to, folder);
	__attribute__((cleanup(close_dir_at))) DIR *dir = from < 0 ? NULL : fdopendir(from);
	struct dirent *found;

	if (!dir || to < 0) {
		vn_fail_errno(err, errno, "open the folder '%s' of an image", folder);
		if (!dir && from >= 0)
			close(from);
		return -1;
	}
	while ((errno = 0, found = readdir(dir))) {
		struct named entry = { .from = from, .to = to, .folder = folder, .name = found->d_name };

		if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0
		    && copy_entry(clone, &entry, err) < 0)
			return -1;
	}
	return errno ? vn_fail_errno(err, errno, "read the folder '%s' of an image", folder) : 0;
}

static int
set_times(struct clone *clone, const char *folder, struct vn_error *err)
{
	vn_autoclose int from = open_below(clone->from, folder);
	vn_autoclose int to = open_below(clone->to, folder);
	struct stat st;

	if (from < 0 || to < 0 || fstat(from, &st) < 0
	    || futimens(to, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
		return vn_fail_errno(err, errno, "set the times of the folder '%s'", folder);
	return 0;
}

static int
copy_tree(struct clone *clone, struct vn_error *err)
{
	struct named root = { .from = clone->from, .to = clone->to, .folder = "", .name = "." };

	if (fstat(clone->from, &root.st) < 0)
		return vn_fail_errno(err, errno, "look at the root of an image");
	clone->device = root.st.st_dev;
	clone->folders = vn_realloc_array(NULL, 1, sizeof(char *));
	clone->folders[clone->n_folders++] = vn_strdup("");
	if (copy_facts(clone, &root, err) < 0)
		return -1;
	for (size_t i = 0; i < clone->n_folders; i++) {
		/* The list moves while it grows; the text stays. */
		if (copy_entries(clone, clone->folders[i], err) < 0)
			return -1;
	}
	for (size_t i = clone->n_folders; i-- > 0;)
		if (set_times(clone, clone->folders[i], err) < 0)
			return -1;
	return 0;
}

int
clone_layer(const char *from, const char *to, const char *trash, bool shares, struct vn_error *err)
{
	vn_autoclose int from_fd = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	vn_autoclose int to_fd = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	vn_autofree char *names = vn_alloc(NAMES_SIZE), *value = vn_alloc(NAMES_SIZE);
	struct clone clone = { .to_path = to, .trash = trash, .shares = shares, .from = from_fd, .to = to_fd,
			       .names = names, .value = value };
	int result;

	if (from_fd < 0 || to_fd < 0)
		return vn_fail_errno(err, errno, "open %s", from_fd < 0 ? from : to);
	result = copy_tree(&clone, err);
	for (size_t i = 0; i < clone.n_folders; i++)
		free(clone.folders[i]);
	free(clone.folders);
	tdestroy(clone.linked, free);
	return result;
}
