/*
 * The rules are about what an entry says, by its text alone: what it would meet on the disk is the
 * kernel's and libarchive's business (unpack.c). A rule here is an error with the entry's name.
 */
#include "backends/disk/unpack_check.h"

#include <limits.h>
#include <string.h>

#define ID_MAX 65535			/* a vnode has 65,536 user and group ids */

/*
 * Where a path leads, by its text: the depth it ends at below the root when it starts at `depth`, or
 * -1 when it leaves the root on the way. Writes whether there was any ".." at all.
 */
static int
walk_path(const char *path, int depth, bool *ret_dotdot)
{
	*ret_dotdot = false;
	for (const char *at = path; *at; at += strspn(at, "/")) {
		size_t length = strcspn(at, "/");

		if (length == 2 && at[0] == '.' && at[1] == '.') {
			*ret_dotdot = true;
			if (--depth < 0)
				return -1;
		} else if (length > 0 && !(length == 1 && at[0] == '.')) {
			depth++;
		}
		at += length;
	}
	return depth;
}

static int
check_path(const char *what, const char *path, struct vn_error *err)
{
	bool dotdot;

	if (path[0] == '\0')
		return vn_fail(err, VN_E_INVALID, "%s has no name", what);
	if (strlen(path) >= PATH_MAX)
		return vn_fail(err, VN_E_INVALID, "%s '%.60s…' is longer than %d bytes", what, path,
			       PATH_MAX - 1);
	walk_path(path, 0, &dotdot);
	if (path[0] == '/')
		return vn_fail(err, VN_E_INVALID, "%s '%.200s' has an absolute path", what, path);
	if (dotdot)
		return vn_fail(err, VN_E_INVALID, "%s '%.200s' has '..' in its path", what, path);
	return 0;
}

/* A symbolic link may be absolute (it is so in the guest), but not climb above the root. */
static int
check_symlink(const char *path, const char *target, struct vn_error *err)
{
	bool dotdot;
	int depth = target[0] == '/' ? 0 : walk_path(path, 0, &dotdot) - 1;

	if (walk_path(target, depth < 0 ? 0 : depth, &dotdot) < 0)
		return vn_fail(err, VN_E_INVALID, "the link '%.100s' leads outside the image, to "
			       "'%.100s'", path, target);
	return 0;
}

/* Attributes "trusted.*" steer overlayfs itself. No guest can set them, so no image needs them. */
static int
check_attributes(struct archive_entry *entry, struct vn_error *err)
{
	const char *name;
	const void *value;
	size_t size;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
		if (!strncmp(name, "trusted.", 8))
			return vn_fail(err, VN_E_INVALID, "'%.200s' has the attribute %.60s, which "
				       "an image may not hold", archive_entry_pathname(entry), name);
	return 0;
}

static int
check_owner(struct archive_entry *entry, struct vn_error *err)
{
	la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

	if (uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX)
		return vn_fail(err, VN_E_INVALID, "'%.200s' belongs to %lld:%lld, and a vnode has "
			       "the ids 0 to %d only", archive_entry_pathname(entry),
			       (long long)uid, (long long)gid, ID_MAX);
	return 0;
}

static bool
is_device(struct archive_entry *entry)
{
	mode_t type = archive_entry_filetype(entry);

	return type == AE_IFCHR || type == AE_IFBLK;
}

/*
 * A vnode gets a /dev of its own, and root file systems as mmdebstrap makes them hold a few nodes
 * below dev/: those are left out. A device node anywhere else has no honest purpose.
 */
bool
unpack_is_left_out(struct archive_entry *entry)
{
	const char *path = archive_entry_pathname(entry);

	path += !strncmp(path, "./", 2) ? 2 : 0;
	return is_device(entry) && !strncmp(path, "dev/", 4);
}

int
unpack_check(struct archive_entry *entry, struct vn_error *err)
{
	const char *path = archive_entry_pathname(entry);
	const char *hardlink = archive_entry_hardlink(entry);
	const char *symlink = archive_entry_symlink(entry);

	if (!path)
		return vn_fail(err, VN_E_INVALID, "an entry's name is no valid UTF-8");
	if (check_path("the entry", path, err) < 0)
		return -1;
	if (hardlink && check_path("the target of a hard link", hardlink, err) < 0)
		return -1;
	if (symlink && check_symlink(path, symlink, err) < 0)
		return -1;
	if (is_device(entry) && !unpack_is_left_out(entry))
		return vn_fail(err, VN_E_INVALID, "'%.200s' is a device node outside dev/", path);
	return check_owner(entry, err) < 0 || check_attributes(entry, err) < 0 ? -1 : 0;
}
