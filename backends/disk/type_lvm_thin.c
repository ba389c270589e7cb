/*
 * The type `lvm-thin`: a snapshot of the image's volume (volume_image.c) in a thin pool. The folder
 * <disks>/<vmid> holds nothing but its owner and the volume's name, which is written before the volume is made:
 * a volume of ours that no folder names is what a crash left.
 *
 * What surprises: a snapshot of a thin volume is not active unless told, twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "backends/disk/files.h"
#include "backends/disk/image.h"
#include "backends/disk/types.h"
#include "backends/disk/volume.h"
#include "proto/base/mem.h"

/* The volume's name, to be freed; NULL: the folder names none. */
static char *
read_name(const char *folder)
{
	vn_autofree char *path = vn_format("%s/volume", folder);
	json_t *json = files_read_json(path);
	const char *name = json_string_value(json_object_get(json, "name"));
	char *copy = name ? vn_strdup(name) : NULL;

	json_decref(json);
	return copy;
}

static int
write_name(const char *folder, const char *name, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/volume", folder);
	json_t *json = json_pack("{s:s}", "name", name);
	int result;

	if (!json)
		abort();
	result = files_write_json(path, json, err);
	json_decref(json);
	return result < 0 ? -1 : files_sync_folder(folder, err);
}

static bool
has_tree(const struct local *local, const char *sha256)
{
	struct image_info info;

	return image_is_finished(local->images, sha256, &info) && info.facts.format == IMAGE_TAR;
}

static int
resize(const struct local *local, const char *name, const struct disk_spec *spec, struct vn_error *err)
{
	if (!spec->size_bytes)
		return 0;
	if (volume_grow(local, name, spec->size_bytes, err) < 0)
		return -1;
	return has_tree(local, spec->image_sha256) ? volume_grow_filesystem(local, name, err) : 0;
}

static int
check_size(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	uint64_t least = volume_image_bytes(local, spec->image_sha256);

	if (spec->size_bytes && spec->size_bytes < least)
		return vn_fail(err, VN_E_INVALID, "the disk is to have %llu bytes, and one made from the image "
			       "%.12s… has at least %llu", (unsigned long long)spec->size_bytes,
			       spec->image_sha256, (unsigned long long)least);
	return 0;
}

/* Once more where somebody has removed the image's volume behind our back. */
static int
take_snapshot(struct local *local, const char *name, const struct disk_spec *spec, struct vn_error *err)
{
	for (bool is_again = false;; is_again = true) {
		vn_autofree char *origin = NULL;

		if (volume_of_image(local, spec->image_sha256, &origin, err) < 0)
			return -1;
		if (volume_snapshot(local, origin, name, spec->uuid, err) == 0)
			return 0;
		if (is_again || volume_of_image_is_there(local, spec->image_sha256))
			return -1;
	}
}

static int
fill(const struct local *constant, const char *folder, const struct disk_spec *spec,
     struct vn_error *err)
{
	struct local *local = (struct local *)(uintptr_t)constant;	/* its lock is taken */
	vn_autofree char *what = NULL, *name = NULL;
	char random[17];

	if (types_check_local(local, DISK_LVM_THIN, err) < 0 || check_size(local, spec, err) < 0)
		return -1;
	files_random_name(random);
	what = vn_format("%lld-%.8s", (long long)spec->vmid, random);
	name = volume_name(local, what);
	if (write_name(folder, name, err) < 0 || take_snapshot(local, name, spec, err) < 0)
		return -1;
	return resize(local, name, spec, err);
}

static int
shift_ids(int fd, const char *userns_path, struct vn_error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	vn_autoclose int userns = -1;

	if (!userns_path)
		return 0;
	userns = open(userns_path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return vn_fail_errno(err, errno, "open the user namespace %s", userns_path);
	attr.userns_fd = (uint64_t)userns;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return vn_fail_errno(err, errno, "show a volume in a vnode's ids");
	return 0;
}

static int
open_root(const struct local *local, const char *folder, const struct disk_spec *spec, int *ret_fd,
	  struct vn_error *err)
{
	vn_autofree char *name = read_name(folder);
	vn_autoclose int fd = -1;

	if (!name)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk %s names no volume: reload the vnode", folder);
	if (!has_tree(local, spec->image_sha256))
		return vn_fail(err, VN_E_UNSUPPORTED, "the host cannot mount the disk of a virtual machine");
	if (volume_mount(local, name, &fd, err) < 0 || shift_ids(fd, spec->userns, err) < 0)
		return -1;
	*ret_fd = vn_take_fd(&fd);
	return 0;
}

static int
grow(const struct local *local, const char *folder, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *name = read_name(folder);

	if (!name)
		return vn_fail(err, VN_E_NOT_FOUND, "the disk %s names no volume: reload the vnode", folder);
	return resize(local, name, spec, err);
}

/* The tag of a disk's volume is its owner's. */
static int
drop(const struct local *local, const char *folder, struct vn_error *err)
{
	vn_autofree char *name = read_name(folder), *path = vn_format("%s/owner", folder);
	json_t *owner = files_read_json(path);
	const char *uuid = json_string_value(json_object_get(owner, "uuid"));
	int result = name && uuid && local->env->lvm_group ? volume_remove(local, name, uuid, err) : 0;

	json_decref(owner);
	return result;
}

static bool
is_root(const struct local *local, const char *folder, const char *path)
{
	vn_autofree char *name = local->env->lvm_group ? read_name(folder) : NULL;
	vn_autofree char *device = name ? volume_device(local, name) : NULL;
	struct stat seen, own;

	return device && lstat(path, &seen) == 0 && stat(device, &own) == 0 && S_ISBLK(own.st_mode)
	       && seen.st_dev == own.st_rdev;
}

const struct disk_type_ops disk_type_lvm_thin = {
	.probe = volume_probe, .fill = fill, .open_root = open_root, .grow = grow, .drop = drop,
	.is_root = is_root
};
