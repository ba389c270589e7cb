/*
 * A vnode's disk as an overlay: <disks>/<vmid>/upper (folder.c) on the image's root (image.c), put
 * together in layers.c and mounted at <roots>/<vmid>. The mount carries its owner's tag as its source:
 * what is mounted there is ours by that, or it is left alone.
 *
 * What is on disk has the ids of the image. The shift to a vnode's ids exists in the mount alone.
 */
#include "backends/disk/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "backends/disk/chain.h"
#include "backends/disk/files.h"
#include "backends/disk/folder.h"
#include "backends/disk/image.h"
#include "backends/disk/inject.h"
#include "backends/disk/layers.h"
#include "backends/disk/mounts.h"
#include "backends/disk/trash.h"
#include "proto/base/arena.h"
#include "proto/base/mem.h"

#define BUSY_TRIES   50
#define BUSY_WAIT_NS 10000000

static struct overlay *
overlay_of(struct disk *disk)
{
	return vn_container_of(disk, struct overlay, base);
}

/* ---- open, host ------------------------------------------------------------------------------ */

static void
overlay_close(struct disk *disk)
{
	struct overlay *overlay;

	if (!disk)
		return;
	overlay = overlay_of(disk);
	vn_close_at(&overlay->workshop);
	free(overlay->images);
	free(overlay->disks);
	free(overlay->trash);
	free(overlay->roots);
	free(overlay);
}

static int
make_folders(const struct overlay *overlay, struct vn_error *err)
{
	if (files_make_folder(overlay->images, 0700, err) < 0
	    || files_make_folder(overlay->disks, 0700, err) < 0
	    || files_make_folder(overlay->trash, 0700, err) < 0
	    || files_make_folder(overlay->roots, 0700, err) < 0)
		return -1;
	return 0;
}

/* Without the right to mount, images can still be unpacked and listed: mounting tells why it cannot. */
static int
overlay_open(const struct backend_env *env, struct disk **ret, struct vn_error *err)
{
	struct overlay *overlay = vn_alloc(sizeof(*overlay));

	overlay->base.ops = &disk_overlay;
	overlay->env = env;
	overlay->images = vn_format("%s/images", env->state_dir);
	overlay->disks = vn_format("%s/disks", env->state_dir);
	overlay->trash = vn_format("%s/trash", env->state_dir);
	overlay->roots = vn_format("%s/root", env->run_dir);
	overlay->workshop = -1;
	if (make_folders(overlay, err) < 0) {
		overlay_close(&overlay->base);
		return -1;
	}
	layers_open_workshop(overlay->roots, &overlay->workshop, &overlay->workshop_err);
	*ret = &overlay->base;
	return 0;
}

/*
 * Where mounts are private (a machine without systemd), each container's controller would keep a copy
 * of every root that is mounted when it starts, and keep it busy after the unmount here. Below a
 * shared mount, unmounts reach the copies.
 */
static int
share_roots(const struct overlay *overlay, struct vn_error *err)
{
	struct mounted mounted;

	if (mounts_at(overlay->roots, &mounted, err) < 0)
		return -1;
	if (mounted.shared)
		return 0;
	if (!mounted.there && mount(overlay->roots, overlay->roots, NULL, MS_BIND, NULL) < 0)
		return vn_fail_errno(err, errno, "mount %s on itself", overlay->roots);
	if (mount(NULL, overlay->roots, NULL, MS_SHARED, NULL) < 0)
		return vn_fail_errno(err, errno, "share the mounts below %s", overlay->roots);
	return 0;
}

static int
overlay_host_up(struct disk *disk, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);

	return make_folders(overlay, err) < 0 ? -1 : share_roots(overlay, err);
}

int
overlay_is_mounted(const struct overlay *overlay, const char *path, bool *ret,
		   bool *ret_foreign, struct vn_error *err)
{
	vn_autofree char *prefix = vn_format("vnoded:%s:", overlay->env->instance);
	struct mounted mounted;

	if (mounts_root_at(path, &mounted, err) < 0)
		return -1;
	*ret = mounted.there && !strncmp(mounted.source, prefix, strlen(prefix));
	*ret_foreign = mounted.there && !*ret;
	return 0;
}

/*
 * A container that starts elsewhere holds its copy of every mount for an instant, and so does a process
 * between its fork and its exec: what is busy is tried again for a while before anybody is blamed.
 */
static int
unmount_patiently(const char *path)
{
	int result = umount2(path, UMOUNT_NOFOLLOW);

	for (int i = 0; i < BUSY_TRIES && result < 0 && errno == EBUSY; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = BUSY_WAIT_NS }, NULL);
		result = umount2(path, UMOUNT_NOFOLLOW);
	}
	return result;
}

/* Unmounts what is ours at `path` and removes the folder. Nothing there is fine. */
static int
unmount_root(const struct overlay *overlay, const char *path, struct vn_error *err)
{
	bool is_ours, is_foreign;

	for (;;) {
		if (overlay_is_mounted(overlay, path, &is_ours, &is_foreign, err) < 0)
			return -1;
		if (!is_ours)
			break;
		if (unmount_patiently(path) == 0)
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
unmount_all(const struct overlay *overlay, struct vn_error *err)
{
	DIR *dir = opendir(overlay->roots);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return errno == ENOENT ? 0 : vn_fail_errno(err, errno, "open %s", overlay->roots);
	while (result == 0 && (entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s", overlay->roots, entry->d_name);

		if (entry->d_name[0] != '.')
			result = unmount_root(overlay, path, err);
	}
	closedir(dir);
	return result;
}

static int
overlay_host_down(struct disk *disk, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	struct mounted mounted;

	if (unmount_all(overlay, err) < 0 || mounts_root_at(overlay->roots, &mounted, err) < 0)
		return -1;
	if (mounted.there && umount2(overlay->roots, UMOUNT_NOFOLLOW) < 0)
		return vn_fail_errno(err, errno, "unmount %s", overlay->roots);
	return 0;
}

/* ---- images ---------------------------------------------------------------------------------- */

static int
overlay_image_unpack(struct disk *disk, const struct image_spec *spec,
		     const struct unpack_limits *limits, const bool *cancelled,
		     uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);

	return image_unpack(overlay->images, overlay->trash, spec, limits, cancelled,
			    progress_bytes, ret, err);
}

static int
overlay_image_check(struct disk *disk, const char *sha256, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	struct image_info info;
	struct chain chain;

	if (image_name_check(sha256, err) < 0)
		return -1;
	if (image_is_finished(overlay->images, sha256, &info) && info.facts.format != IMAGE_TAR)
		return 0;
	return chain_read(overlay->images, sha256, &chain, err);
}

/* ---- disks ----------------------------------------------------------------------------------- */

static char *
root_path(const struct overlay *overlay, int64_t vmid)
{
	return vn_format("%s/%lld", overlay->roots, (long long)vmid);
}

static int
overlay_create(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	struct chain chain;

	if (chain_read(overlay_of(disk)->images, spec->image_sha256, &chain, err) < 0)
		return -1;
	return folder_create(overlay_of(disk), spec, err);
}

static int
check_unmounted(const struct overlay *overlay, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *root = root_path(overlay, spec->vmid);
	bool is_ours, is_foreign;

	if (overlay_is_mounted(overlay, root, &is_ours, &is_foreign, err) < 0)
		return -1;
	if (is_ours)
		return vn_fail(err, VN_E_STATE, "the disk of VMID %lld is still mounted at %s: "
			       "unmount it first", (long long)spec->vmid, root);
	return 0;
}

static int
overlay_renew(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);

	if (overlay_image_check(disk, spec->image_sha256, err) < 0 ||
	    check_unmounted(overlay, spec, err) < 0)
		return -1;
	return folder_renew(overlay, spec, err);
}

static int
overlay_destroy(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);

	if (check_unmounted(overlay, spec, err) < 0)
		return -1;
	return folder_destroy(overlay, spec, err);
}

static int
assemble(const struct overlay *overlay, const struct disk_spec *spec, const char *disk_folder,
	 const char *target, struct vn_error *err)
{
	const char *lowers[IMAGE_LAYERS_MAX];
	vn_autofree char *tag = vn_format("vnoded:%s:%s", overlay->env->instance, spec->uuid);
	struct layers_spec layers = { .lowers = lowers, .disk = disk_folder,
				      .userns = spec->userns, .source = tag };
	vn_autoarena arena = { 0 };
	vn_autoclose int fd = -1;
	struct chain chain;

	if (overlay->workshop < 0) {
		*err = overlay->workshop_err;
		return -1;
	}
	if (chain_read(overlay->images, spec->image_sha256, &chain, err) < 0)
		return -1;
	for (size_t i = 0; i < chain.count; i++) {
		vn_autofree char *path = vn_format("%s/%s/root", overlay->images, chain.sha256[i]);

		lowers[i] = vn_arena_strdup(&arena, path);
	}
	layers.n_lowers = chain.count;
	if (layers_assemble(overlay->workshop, &layers, &fd, err) < 0)
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
overlay_mount(struct disk *disk, const struct disk_spec *spec, char *path, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	vn_autofree char *folder = folder_path(overlay, spec->vmid);
	vn_autofree char *target = root_path(overlay, spec->vmid);
	bool is_there, is_ours, is_foreign;

	if (overlay_image_check(disk, spec->image_sha256, err) < 0
	    || folder_check(folder, spec, spec->image_sha256, &is_there, err) < 0
	    || overlay_is_mounted(overlay, target, &is_ours, &is_foreign, err) < 0)
		return -1;
	if (!is_there)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk %s is gone: reload the vnode", folder);
	if (is_foreign)
		return vn_fail(err, VN_E_EXISTS, "something that is not ours is mounted at %s: "
			       "unmount it", target);
	if (!is_ours && assemble(overlay, spec, folder, target, err) < 0)
		return -1;
	snprintf(path, PATH_MAX, "%s", target);
	return 0;
}

static int
overlay_unmount(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	vn_autofree char *target = root_path(overlay, spec->vmid);

	return unmount_root(overlay, target, err);
}

static int
overlay_inject(struct disk *disk, const struct disk_spec *spec, const struct guest_file *files,
	       size_t n_files, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	vn_autofree char *target = root_path(overlay, spec->vmid);
	bool is_ours, is_foreign;

	if (overlay_is_mounted(overlay, target, &is_ours, &is_foreign, err) < 0)
		return -1;
	if (!is_ours)
		return vn_fail(err, VN_E_STATE, "the root %s is not mounted", target);
	return inject_files(target, files, n_files, err);
}

/* ---- the store as a whole -------------------------------------------------------------------- */

static int
overlay_image_remove(struct disk *disk, const char *sha256, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	vn_autofree char *path = vn_format("%s/%s", overlay->images, sha256);

	if (image_name_check(sha256, err) < 0 || folder_check_unused(overlay, sha256, err) < 0
	    || chain_check_unused(overlay->images, sha256, err) < 0)
		return -1;
	return trash_away(overlay->trash, path, "image", err);
}

static int
overlay_free_bytes(struct disk *disk, uint64_t *ret, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);
	struct statvfs fs;

	if (statvfs(overlay->env->state_dir, &fs) < 0)
		return vn_fail_errno(err, errno, "look at the file system of %s",
				     overlay->env->state_dir);
	*ret = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

static int
overlay_empty_trash(struct disk *disk, struct vn_error *err)
{
	const struct overlay *overlay = overlay_of(disk);

	if (image_remove_partial(overlay->images, overlay->trash, err) < 0)
		return -1;
	return trash_empty(overlay->trash, err);
}

const struct disk_ops disk_overlay = {
	.name = "overlay",
	.open = overlay_open,
	.close = overlay_close,
	.host_up = overlay_host_up,
	.host_down = overlay_host_down,
	.missing = overlay_missing,
	.image_unpack = overlay_image_unpack,
	.image_remove = overlay_image_remove,
	.image_check = overlay_image_check,
	.create = overlay_create,
	.renew = overlay_renew,
	.destroy = overlay_destroy,
	.mount = overlay_mount,
	.unmount = overlay_unmount,
	.inject = overlay_inject,
	.free_bytes = overlay_free_bytes,
	.inventory = overlay_inventory,
	.empty_trash = overlay_empty_trash,
};
