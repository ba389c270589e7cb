/*
 * The disks of this host: folders, mount points and trash, which are the same for disks of all types. What
 * is mounted at <roots>/<vmid> is ours by the tag that is its source (an overlay), or by being the folder
 * <disks>/<vmid>/root; all else is left alone.
 *
 * What is on disk has the ids of the image. The shift to a vnode's ids exists in the mount alone.
 */
#include "backends/disk/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/disk/chain.h"
#include "backends/disk/extra.h"
#include "backends/disk/files.h"
#include "backends/disk/folder.h"
#include "backends/disk/image.h"
#include "backends/disk/inject.h"
#include "backends/disk/layers.h"
#include "backends/disk/mounts.h"
#include "backends/disk/trash.h"
#include "backends/disk/types.h"
#include "backends/disk/volume.h"
#include "proto/base/mem.h"

static struct local *
local_of(struct disk *disk)
{
	return vn_container_of(disk, struct local, base);
}

/* ---- open, host ------------------------------------------------------------------------------ */

static void
local_close(struct disk *disk)
{
	struct local *local;

	if (!disk)
		return;
	local = local_of(disk);
	vn_close_at(&local->workshop);
	free(local->images);
	free(local->disks);
	free(local->trash);
	free(local->extras);
	free(local->roots);
	free(local->known);
	pthread_mutex_destroy(&local->lock);
	pthread_mutex_destroy(&local->volumes);
	free(local);
}

static int
make_folders(const struct local *local, struct vn_error *err)
{
	if (files_make_folder(local->images, 0700, err) < 0
	    || files_make_folder(local->disks, 0700, err) < 0
	    || files_make_folder(local->trash, 0700, err) < 0
	    || files_make_folder(local->extras, 0700, err) < 0
	    || files_make_folder(local->roots, 0700, err) < 0)
		return -1;
	return 0;
}

/* Without the right to mount, images can still be unpacked and listed: mounting tells why it cannot. */
static int
local_open(const struct backend_env *env, struct disk **ret, struct vn_error *err)
{
	struct local *local = vn_alloc(sizeof(*local));

	local->base.ops = &disk_local;
	local->env = env;
	local->images = vn_format("%s/images", env->state_dir);
	local->disks = vn_format("%s/disks", env->state_dir);
	local->trash = vn_format("%s/trash", env->state_dir);
	local->extras = vn_format("%s/extra", env->state_dir);
	local->roots = vn_format("%s/root", env->run_dir);
	local->workshop = -1;
	pthread_mutex_init(&local->lock, NULL);
	pthread_mutex_init(&local->volumes, NULL);
	types_init(local);
	if (make_folders(local, err) < 0) {
		local_close(&local->base);
		return -1;
	}
	layers_open_workshop(local->roots, &local->workshop, &local->workshop_err);
	*ret = &local->base;
	return 0;
}

/*
 * Where mounts are private (a machine without systemd), each container's controller would keep a copy
 * of every root that is mounted when it starts, and keep it busy after the unmount here. Below a
 * shared mount, unmounts reach the copies.
 */
static int
share_roots(const struct local *local, struct vn_error *err)
{
	struct mounted mounted;

	if (mounts_at(local->roots, &mounted, err) < 0)
		return -1;
	if (mounted.shared)
		return 0;
	if (!mounted.there && mount(local->roots, local->roots, NULL, MS_BIND, NULL) < 0)
		return vn_fail_errno(err, errno, "mount %s on itself", local->roots);
	if (mount(NULL, local->roots, NULL, MS_SHARED, NULL) < 0)
		return vn_fail_errno(err, errno, "share the mounts below %s", local->roots);
	return 0;
}

static int
local_host_up(struct disk *disk, struct vn_error *err)
{
	struct local *local = local_of(disk);

	if (make_folders(local, err) < 0 || share_roots(local, err) < 0)
		return -1;
	types_probe(local);
	return 0;
}

/* Whether what is to be seen at `path`, below roots, is the root of the disk of that number. */
static bool
shows_disk(const struct local *local, const char *path)
{
	vn_autofree char *folder = vn_format("%s%s", local->disks, strrchr(path, '/'));

	for (int type = 0; type < DISK_TYPES; type++)
		if (types_get(type)->is_root && types_get(type)->is_root(local, folder, path))
			return true;
	return false;
}

int
local_is_mounted(const struct local *local, const char *path, bool *ret,
		   bool *ret_foreign, struct vn_error *err)
{
	vn_autofree char *prefix = vn_format("vnoded:%s:", local->env->instance);
	struct mounted mounted;

	if (mounts_root_at(path, &mounted, err) < 0)
		return -1;
	*ret = mounted.there && (!strncmp(mounted.source, prefix, strlen(prefix))
				 || shows_disk(local, path));
	*ret_foreign = mounted.there && !*ret;
	return 0;
}

/* Unmounts what is ours at `path` and removes the folder. Nothing there is fine. */
static int
unmount_root(const struct local *local, const char *path, struct vn_error *err)
{
	bool is_ours, is_foreign;

	for (;;) {
		if (local_is_mounted(local, path, &is_ours, &is_foreign, err) < 0)
			return -1;
		if (!is_ours)
			break;
		if (extras_unmount(local, path, err) < 0)
			return -1;
		if (mounts_unmount(path) == 0)
			continue;	/* and look whether another was below it */
		if (errno == EBUSY)
			return vn_fail(err, VN_E_BUSY, "%s is in use: end the processes that work "
				       "in it (fuser -vm %s) and try again", path, path);
		return vn_fail_errno(err, errno, "unmount %s", path);
	}
	if (is_foreign)
		return vn_fail(err, VN_E_EXISTS, "something that is not ours is mounted at %s: "
			       "unmount it", path);
	if (rmdir(path) < 0 && errno != ENOENT)
		return vn_fail_errno(err, errno, "remove the folder %s", path);
	return 0;
}

static int
unmount_all(const struct local *local, struct vn_error *err)
{
	DIR *dir = opendir(local->roots);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return errno == ENOENT ? 0 : vn_fail_errno(err, errno, "open %s", local->roots);
	while (result == 0 && (entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s", local->roots, entry->d_name);

		if (entry->d_name[0] != '.')
			result = unmount_root(local, path, err);
	}
	closedir(dir);
	return result;
}

static int
local_host_down(struct disk *disk, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	struct mounted mounted;

	if (unmount_all(local, err) < 0 || mounts_root_at(local->roots, &mounted, err) < 0)
		return -1;
	if (mounted.there && umount2(local->roots, UMOUNT_NOFOLLOW) < 0)
		return vn_fail_errno(err, errno, "unmount %s", local->roots);
	return 0;
}

/* ---- images ---------------------------------------------------------------------------------- */

static int
local_image_unpack(struct disk *disk, const struct image_spec *spec,
		     const struct unpack_limits *limits, const bool *cancelled,
		     uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err)
{
	const struct local *local = local_of(disk);

	return image_unpack(local->images, local->trash, spec, limits, cancelled,
			    progress_bytes, ret, err);
}

static int
local_image_check(struct disk *disk, const char *sha256, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	struct image_info info;
	struct chain chain;

	if (image_name_check(sha256, err) < 0)
		return -1;
	if (image_is_finished(local->images, sha256, &info) && info.facts.format != IMAGE_TAR)
		return 0;
	return chain_read(local->images, sha256, &chain, err);
}

/* ---- disks ----------------------------------------------------------------------------------- */

static char *
root_path(const struct local *local, int64_t vmid)
{
	return vn_format("%s/%lld", local->roots, (long long)vmid);
}

static int
local_create(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	return folder_create(local_of(disk), spec, err);
}

int
local_check_unmounted(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *root = root_path(local, spec->vmid);
	bool is_ours, is_foreign;

	if (local_is_mounted(local, root, &is_ours, &is_foreign, err) < 0)
		return -1;
	if (is_ours)
		return vn_fail(err, VN_E_STATE, "the disk of VMID %lld is still mounted at %s: "
			       "unmount it first", (long long)spec->vmid, root);
	return 0;
}

static int
local_renew(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct local *local = local_of(disk);

	if (local_image_check(disk, spec->image_sha256, err) < 0 ||
	    local_check_unmounted(local, spec, err) < 0)
		return -1;
	return folder_renew(local, spec, err);
}

static int
local_grow(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	vn_autofree char *folder = folder_path(local, spec->vmid);
	bool is_there;

	if (!types_get(spec->type)->grow)
		return vn_fail(err, VN_E_UNSUPPORTED, "a disk of type '%s' has no size of its own",
			       disk_type_words[spec->type]);
	if (local_check_unmounted(local, spec, err) < 0
	    || folder_check(folder, spec, spec->image_sha256, &is_there, err) < 0)
		return -1;
	if (!is_there)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk %s is gone: reload the vnode", folder);
	return types_get(spec->type)->grow(local, folder, spec, err);
}

static int
local_destroy(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct local *local = local_of(disk);

	if (local_check_unmounted(local, spec, err) < 0)
		return -1;
	if (folder_destroy(local, spec, err) < 0)
		return -1;
	return extras_remove(local, spec, err);
}

static int
attach_root(const struct local *local, const struct disk_spec *spec, const char *folder,
	    const char *target, struct vn_error *err)
{
	vn_autoclose int fd = -1;

	if (types_open_root(local, folder, spec, &fd, err) < 0)
		return -1;
	if (mkdir(target, 0700) < 0 && errno != EEXIST)
		return vn_fail_errno(err, errno, "make the folder %s", target);
	if (layers_attach(fd, target, err) < 0) {
		rmdir(target);
		return -1;
	}
	return 0;
}

static int
local_mount(struct disk *disk, const struct disk_spec *spec, char *path, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	vn_autofree char *folder = folder_path(local, spec->vmid);
	vn_autofree char *target = root_path(local, spec->vmid);
	bool is_there, is_ours, is_foreign;
	struct vn_error ignored;

	if (folder_check(folder, spec, spec->image_sha256, &is_there, err) < 0
	    || local_is_mounted(local, target, &is_ours, &is_foreign, err) < 0)
		return -1;
	if (!is_there)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk %s is gone: reload the vnode", folder);
	if (is_foreign)
		return vn_fail(err, VN_E_EXISTS, "something that is not ours is mounted at %s: "
			       "unmount it", target);
	if (!is_ours && attach_root(local, spec, folder, target, err) < 0)
		return -1;
	if (extras_mount(local, spec, target, err) < 0) {
		if (!is_ours)
			unmount_root(local, target, &ignored);
		return -1;
	}
	snprintf(path, PATH_MAX, "%s", target);
	return 0;
}

static int
local_unmount(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	vn_autofree char *target = root_path(local, spec->vmid);

	return unmount_root(local, target, err);
}

static int
local_inject(struct disk *disk, const struct disk_spec *spec, const struct guest_file *files,
	       size_t n_files, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	vn_autofree char *target = root_path(local, spec->vmid);
	bool is_ours, is_foreign;

	if (local_is_mounted(local, target, &is_ours, &is_foreign, err) < 0)
		return -1;
	if (!is_ours)
		return vn_fail(err, VN_E_STATE, "the root %s is not mounted", target);
	return inject_files(target, files, n_files, err);
}

/* ---- the store as a whole -------------------------------------------------------------------- */

static int
local_image_remove(struct disk *disk, const char *sha256, struct vn_error *err)
{
	struct local *local = local_of(disk);
	vn_autofree char *path = vn_format("%s/%s", local->images, sha256);

	if (image_name_check(sha256, err) < 0 || folder_check_unused(local, sha256, err) < 0
	    || chain_check_unused(local->images, sha256, err) < 0)
		return -1;
	if (volume_image_remove(local, sha256, err) < 0)
		return -1;
	return trash_away(local->trash, path, "image", err);
}

static int
local_free_bytes(struct disk *disk, uint64_t *ret, struct vn_error *err)
{
	const struct local *local = local_of(disk);
	struct statvfs fs;

	if (statvfs(local->env->state_dir, &fs) < 0)
		return vn_fail_errno(err, errno, "look at the file system of %s",
				     local->env->state_dir);
	*ret = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

static int
local_empty_trash(struct disk *disk, struct vn_error *err)
{
	struct local *local = local_of(disk);

	if (image_remove_partial(local->images, local->trash, err) < 0 || volume_empty_trash(local, err) < 0)
		return -1;
	return trash_empty(local->trash, err);
}

const struct disk_ops disk_local = {
	.name = "local",
	.open = local_open,
	.close = local_close,
	.host_up = local_host_up,
	.host_down = local_host_down,
	.missing = local_missing,
	.type_check = types_check,
	.image_unpack = local_image_unpack,
	.image_remove = local_image_remove,
	.image_check = local_image_check,
	.create = local_create,
	.renew = local_renew,
	.grow = local_grow,
	.destroy = local_destroy,
	.extra_check = extra_check,
	.extras_up = extras_up,
	.extras_keep = extras_keep,
	.mount = local_mount,
	.unmount = local_unmount,
	.inject = local_inject,
	.capture = local_capture,
	.free_bytes = local_free_bytes,
	.inventory = local_inventory,
	.empty_trash = local_empty_trash,
};
