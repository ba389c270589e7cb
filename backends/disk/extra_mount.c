/*
 * Extra disks in a mounted root: a loop device on the file, its file system, and a mount of that with the
 * vnode's ids, put onto a folder of the root. That folder is looked for as the guest would: whatever links
 * the guest or its image has, the kernel resolves them inside of the root.
 *
 * What surprises: the device has no owner once it is mounted. It goes by itself with the last mount, be that
 * the host's or the guest's.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/disk/apart.h"
#include "backends/disk/extra.h"
#include "backends/disk/loopdev.h"
#include "backends/disk/mounts.h"
#include "backends/disk/tool.h"
#include "proto/base/arena.h"
#include "proto/base/mem.h"

#define GROW_MS  50000u
#define ROUNDING 65536u		/* a file system ends with a whole block, at most so large */

/* ---- the file system ------------------------------------------------------------------------- */

/* Bytes that the file system takes, by its superblock; 0: there is none to be read. */
static uint64_t
filesystem_bytes(int file)
{
	struct {
		uint32_t inodes, blocks_low, reserved, free_blocks, free_inodes, first, log_block;
	} __attribute__((packed)) super;
	uint32_t blocks_high = 0;

	if (pread(file, &super, sizeof(super), 1024) != sizeof(super)
	    || pread(file, &blocks_high, sizeof(blocks_high), 1024 + 0x150) != sizeof(blocks_high)
	    || le32toh(super.log_block) > 6)
		return 0;
	return ((uint64_t)le32toh(blocks_high) << 32 | le32toh(super.blocks_low))
	       << (10 + le32toh(super.log_block));
}

/*
 * resize2fs wants a file system that has just been looked at. (The kernel could do it while it is mounted,
 * but only for who may exceed resource limits, which vnoded need not.)
 */
static int
grow_filesystem(const char *path, struct vn_error *err)
{
	const char *const check[] = { "e2fsck", "-f", "-p", path, NULL };
	const char *const resize[] = { "resize2fs", path, NULL };

	/* Status 1: it has mended something. */
	if (tool_run(check, GROW_MS, NULL, err) < 0 && (err->code != VN_E_BACKEND || err->sys != 1))
		return -1;
	return tool_run(resize, GROW_MS, NULL, err);
}

static int
grow(int file, const char *path, const struct disk_extra *extra, struct vn_error *err)
{
	struct stat st;
	bool is_used;

	if (fstat(file, &st) < 0)
		return vn_fail_errno(err, errno, "look at the disk %s", path);
	if ((uint64_t)st.st_size >= extra->size_bytes && filesystem_bytes(file) + ROUNDING > extra->size_bytes)
		return 0;
	if (loopdev_is_used(file, &is_used, err) < 0)
		return -1;
	if (is_used)
		return vn_fail(err, VN_E_BUSY, "the disk '%s' cannot grow while a guest that has ended "
			       "still holds it: try again", extra->name);
	if ((uint64_t)st.st_size < extra->size_bytes && ftruncate(file, (off_t)extra->size_bytes) < 0)
		return vn_fail_errno(err, errno, "make the disk %s larger", path);
	if (grow_filesystem(path, err) < 0) {
		vn_error_prefix(err, "make the disk '%s' larger", extra->name);
		return -1;
	}
	return 0;
}

static int
open_file(const char *path, const struct disk_extra *extra, struct vn_error *err)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk '%s' is gone (%s)", extra->name, path);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open the disk %s", path);
	return fd;
}

static int
mount_ext4(const char *device, const struct disk_extra *extra, int *ret_fd, struct vn_error *err)
{
	vn_autoclose int fs = fsopen("ext4", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "the kernel has no ext4: load the module 'ext4'");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0
	    || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return vn_fail_errno(err, errno, "mount the disk '%s' (fsck.ext4 may mend it)", extra->name);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (fd < 0)
		return vn_fail_errno(err, errno, "mount the disk '%s'", extra->name);
	*ret_fd = fd;
	return 0;
}

static int
shift_ids(int fd, const struct disk_spec *spec, struct vn_error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	vn_autoclose int userns = -1;

	if (!spec->userns)
		return 0;
	userns = open(spec->userns, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return vn_fail_errno(err, errno, "open the user namespace %s", spec->userns);
	attr.userns_fd = (uint64_t)userns;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return vn_fail_errno(err, errno, "show an extra disk in a vnode's ids (Linux 5.12 is needed)");
	return 0;
}

static int
open_extra(const char *path, const struct disk_spec *spec, const struct disk_extra *extra, int *ret_fd,
	   struct vn_error *err)
{
	vn_autoclose int file = open_file(path, extra, err);
	vn_autoclose int device = -1, fd = -1;
	char name[32];

	if (file < 0 || grow(file, path, extra, err) < 0 || loopdev_open(file, name, &device, err) < 0
	    || mount_ext4(name, extra, &fd, err) < 0 || shift_ids(fd, spec, err) < 0)
		return -1;
	*ret_fd = vn_take_fd(&fd);
	return 0;
}

/* ---- its place ------------------------------------------------------------------------------- */

struct place {
	int root;
	const char *path;		/* absolute in the guest */
	uid_t owner;			/* the guest's root, as the mounted root shows it */
	int fd;				/* the result */
};

static int
open_in_root(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* On a thread of its own, as the guest's root: what is made belongs to it. */
static int
make_place(void *arg, struct vn_error *err)
{
	struct place *place = arg;
	vn_autofree char *path = vn_strdup(place->path);
	vn_autoclose int at = open_in_root(place->root, "/");

	if (place->owner && apart_become_owner(place->owner, place->owner, err) < 0)
		return -1;
	for (char *name = path + 1, *next; at >= 0 && name; name = next) {
		int below;

		next = strchr(name, '/');
		if (next)
			*next = '\0';
		below = open_in_root(place->root, path);
		if (below < 0 && errno == ENOENT && mkdirat(at, name, 0755) == 0)
			below = open_in_root(place->root, path);
		close(at);
		at = below;
		if (next)
			*next++ = '/';
	}
	if (at < 0)
		return vn_fail_errno(err, errno, "make the mount point %s in the guest", place->path);
	place->fd = vn_take_fd(&at);
	return 0;
}

static bool
is_mounted(int place, const char *path)
{
	char file[PATH_MAX];
	vn_autofree char *real = realpath(path, NULL);
	struct stat st;

	return fstat(place, &st) == 0 && loopdev_file(st.st_dev, file) && real && !strcmp(file, real);
}

static int
attach(const struct local *local, const struct disk_spec *spec, const struct disk_extra *extra, int root,
       struct vn_error *err)
{
	vn_autofree char *path = extra_path(local, spec->vmid, extra->name);
	struct place place = { .root = root, .path = extra->mount,
			       .owner = spec->userns ? spec->idmap_base : 0 };
	vn_autoclose int fd = -1, at = -1;

	if (apart_run(make_place, &place, err) < 0)
		return -1;
	at = place.fd;
	if (is_mounted(at, path))
		return 0;
	if (open_extra(path, spec, extra, &fd, err) < 0)
		return -1;
	if (move_mount(fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return vn_fail_errno(err, errno, "mount the disk '%s' at %s in the guest", extra->name,
				     extra->mount);
	return 0;
}

/* A folder comes before what lies below it. */
static int
compare_places(const void *a, const void *b)
{
	const struct disk_extra *const *one = a, *const *other = b;

	return strcmp((*one)->mount, (*other)->mount);
}

int
extras_mount(const struct local *local, const struct disk_spec *spec, const char *root,
	     struct vn_error *err)
{
	vn_autofree const struct disk_extra **sorted = vn_alloc_array(spec->n_extras + 1, sizeof(*sorted));
	vn_autoclose int fd = -1;
	size_t count = 0;

	for (size_t i = 0; i < spec->n_extras; i++)
		if (spec->extras[i].mount)
			sorted[count++] = &spec->extras[i];
	if (!count)
		return 0;
	qsort(sorted, count, sizeof(*sorted), compare_places);
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open %s", root);
	for (size_t i = 0; i < count; i++)
		if (attach(local, spec, sorted[i], fd, err) < 0)
			return -1;
	return 0;
}

/* ---- away ------------------------------------------------------------------------------------ */

static bool
lies_in(const char *file, const char *folder)
{
	vn_autofree char *real = realpath(folder, NULL);
	size_t length = real ? strlen(real) : 0;

	return real && !strncmp(file, real, length) && file[length] == '/';
}

/* A foreign hand may have moved one into the trash while it was mounted. */
static bool
is_ours(const struct local *local, const char *point)
{
	char file[PATH_MAX];
	struct stat st;

	return lstat(point, &st) == 0 && loopdev_file(st.st_dev, file)
	       && (lies_in(file, local->extras) || lies_in(file, local->trash));
}

int
extras_unmount(const struct local *local, const char *root, struct vn_error *err)
{
	vn_autoarena arena = { 0 };
	char **points;
	long count = mounts_below(root, &arena, &points, err);

	if (count < 0)
		return -1;
	while (count-- > 0) {
		if (!is_ours(local, points[count]))
			continue;
		if (mounts_unmount(points[count]) < 0)
			return vn_fail(err, errno == EBUSY ? VN_E_BUSY : VN_E_BACKEND, "%s cannot be "
				       "unmounted (%s): end the processes that work in it (fuser -vm %s) "
				       "and try again", points[count], strerror(errno), points[count]);
	}
	return 0;
}
