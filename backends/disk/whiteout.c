/*
 * OCI's whiteouts are names in the archive; overlayfs's are character devices 0/0 and an attribute. Both
 * mean the same in every layer, whether it has a base or not, so that a layer is stored once whatever it
 * is put on.
 *
 * Two facts shape this file. Overlayfs takes owner and mode of a folder from the topmost layer that has it:
 * a folder that an archive only passes through must look as it does in the base. And it does not look for
 * the attribute at a layer's root: a root that hides everything is noted in the image's marker instead.
 */
#include "backends/disk/whiteout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "proto/base/mem.h"

#define PREFIX  ".wh."
#define OPAQUE  ".wh..wh..opq"
#define AUFS    ".wh..wh."		/* other names of this kind are aufs's own book-keeping */

void
layer_fini(struct layer *layer)
{
	free(layer->parent);
	layer->parent = NULL;
}

/* ---- folders of the base --------------------------------------------------------------------- */

static int
open_beneath(int base, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
}

/* The folder as the base shows it: of the nearest layer that has that name. -1: it has no such folder. */
static int
open_in_base(const struct layer *layer, const char *path)
{
	for (size_t i = 0; i < layer->n_bases; i++) {
		struct stat st;
		int fd = open_beneath(layer->bases[i], path);

		if (fd >= 0)
			return fd;
		/* Something else, a whiteout too, hides what lies further down. */
		if (errno != ENOENT || fstatat(layer->bases[i], path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return -1;
	}
	return -1;
}

static int
copy_attribute(int from, const char *to, const char *name, struct vn_error *err)
{
	char value[4096];
	ssize_t size = fgetxattr(from, name, value, sizeof(value));

	if (!strncmp(name, "trusted.", 8))	/* overlayfs's own */
		return 0;
	if (size < 0 || (lsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP))
		return vn_fail_errno(err, errno, "copy the attribute %s to '%.200s'", name, to);
	return 0;
}

static int
copy_attributes(int from, const char *to, struct vn_error *err)
{
	char names[8192];
	ssize_t size = flistxattr(from, names, sizeof(names));

	if (size < 0)
		return errno == EOPNOTSUPP ? 0
		       : vn_fail_errno(err, errno, "list the attributes of '%.200s'", to);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
		if (copy_attribute(from, to, names + at, err) < 0)
			return -1;
	return 0;
}

static int
copy_folder(int from, const char *to, struct vn_error *err)
{
	struct stat st;

	if (fstat(from, &st) < 0 || lchown(to, st.st_uid, st.st_gid) < 0
	    || chmod(to, st.st_mode & 07777) < 0)
		return vn_fail_errno(err, errno, "make the folder '%.200s' as in the base", to);
	return copy_attributes(from, to, err);
}

int
layer_begin(struct layer *layer, struct vn_error *err)
{
	vn_autoclose int from = layer->n_bases ? open_beneath(layer->bases[0], ".") : -1;

	if (!layer->n_bases)
		return 0;
	return from < 0 ? vn_fail_errno(err, errno, "open the root of the base")
	       : copy_folder(from, ".", err);
}

static int
make_folder(struct layer *layer, const char *path, const char *whole, struct vn_error *err)
{
	vn_autoclose int from = -1;
	struct stat st;

	errno = 0;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder '%.200s'", path);
	if (errno == EEXIST && lstat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0
		       : vn_fail(err, VN_E_INVALID, "'%.200s' is below something that is no "
				 "folder", whole);
	layer->made++;
	from = open_in_base(layer, path);
	return from < 0 ? 0 : copy_folder(from, path, err);
}

/* Where the last component of `path` begins, and how long it is; slashes behind it do not count. */
static const char *
last_name(const char *path, size_t *ret_length)
{
	size_t end = strlen(path), begin;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (begin = end; begin > 0 && path[begin - 1] != '/';)
		begin--;
	*ret_length = end - begin;
	return path + begin;
}

static int
make_all(struct layer *layer, char *path, const char *whole, struct vn_error *err)
{
	for (char *at = path; *at; at++) {
		int result;

		if (*at != '/' || at == path)
			continue;
		*at = '\0';
		result = make_folder(layer, path, whole, err);
		*at = '/';
		if (result < 0)
			return -1;
	}
	return make_folder(layer, path, whole, err);
}

int
layer_make_parents(struct layer *layer, const char *path, struct vn_error *err)
{
	size_t length;
	const char *name = last_name(path, &length);
	vn_autofree char *parent = vn_format("%.*s", (int)(name - path), path);
	size_t end = strlen(parent);

	while (end > 0 && parent[end - 1] == '/')
		parent[--end] = '\0';
	if (!parent[0] || !strcmp(parent, ".") || (layer->parent && !strcmp(layer->parent, parent)))
		return 0;
	if (make_all(layer, parent, path, err) < 0)
		return -1;
	free(layer->parent);
	layer->parent = vn_take_ptr(&parent);
	return 0;
}

/* ---- whiteouts ------------------------------------------------------------------------------- */

int
layer_hide_below(const char *path, struct vn_error *err)
{
	if (lsetxattr(path, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return vn_fail_errno(err, errno, "hide what the base has in '%.200s'", path);
	return 0;
}

static int
hide_all(struct layer *layer, const char *folder, struct vn_error *err)
{
	if (!folder[0] || !strcmp(folder, ".") || !strcmp(folder, "./")) {
		layer->is_opaque = true;
		return 0;
	}
	return layer_hide_below(folder, err);
}

static int
hide_one(struct layer *layer, const char *path, struct vn_error *err)
{
	struct stat st;

	layer->has_whiteouts = true;
	/* What this layer has itself stays: only the base's is hidden. */
	if (lstat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? layer_hide_below(path, err) : 0;
	if (mknod(path, S_IFCHR | 0600, makedev(0, 0)) < 0)
		return vn_fail_errno(err, errno, "hide '%.200s' of the base", path);
	return 0;
}

/* A whiteout hides one name; nothing can lie below it. */
static int
check_above(const char *path, const char *name, struct vn_error *err)
{
	for (const char *at = strstr(path, PREFIX); at && at < name; at = strstr(at + 1, PREFIX))
		if (at == path || at[-1] == '/')
			return vn_fail(err, VN_E_INVALID, "'%.200s' lies below a whiteout", path);
	return 0;
}

int
layer_take_whiteout(struct layer *layer, const char *path, struct vn_error *err)
{
	size_t length;
	const char *name = last_name(path, &length);
	vn_autofree char *folder = vn_format("%.*s", (int)(name - path), path);
	vn_autofree char *hidden = NULL;

	if (check_above(path, name, err) < 0)
		return -1;
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	if (layer_make_parents(layer, path, err) < 0)
		return -1;
	if (length == strlen(OPAQUE) && !strncmp(name, OPAQUE, length))
		return hide_all(layer, folder, err) < 0 ? -1 : 1;
	if (!strncmp(name, AUFS, strlen(AUFS)))
		return 1;
	name += strlen(PREFIX);
	length -= strlen(PREFIX);
	if (length == 0 || (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))))
		return vn_fail(err, VN_E_INVALID, "the whiteout '%.200s' hides no name", path);
	hidden = vn_format("%s%.*s", folder, (int)length, name);
	return hide_one(layer, hidden, err) < 0 ? -1 : 1;
}

bool
layer_is_hidden(const struct layer *layer, const char *path)
{
	struct stat st;

	return layer->has_whiteouts && lstat(path, &st) == 0 && S_ISCHR(st.st_mode)
	       && st.st_rdev == makedev(0, 0);
}
