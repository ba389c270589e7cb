/*
 * The files of extra disks. One is made under another name and renamed when its file system is there, so
 * under its own name it is whole. They lie beside the folder of the disk, since a fresh disk takes that
 * one's place.
 */
#include "backends/disk/extra.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "backends/disk/loopdev.h"
#include "backends/disk/tool.h"
#include "backends/disk/trash.h"
#include "proto/base/mem.h"

#define MKFS_MS 60000

static char *
folder_of(const struct local *local, int64_t vmid)
{
	return vn_format("%s/%lld", local->extras, (long long)vmid);
}

char *
extra_path(const struct local *local, int64_t vmid, const char *name)
{
	return vn_format("%s/%lld/%s", local->extras, (long long)vmid, name);
}

/* ---- whether ----------------------------------------------------------------------------------- */

int
extra_probe(struct vn_error *err)
{
	if (tool_check("mkfs.ext4", "e2fsprogs", err) < 0 || tool_check("resize2fs", "e2fsprogs", err) < 0)
		return -1;
	return loopdev_check(err);
}

int
extra_check(struct disk *disk, int filesystem, struct vn_error *err)
{
	struct local *local = vn_container_of(disk, struct local, base);
	struct vn_error why;

	pthread_mutex_lock(&local->lock);
	why = local->lacks_extras;
	pthread_mutex_unlock(&local->lock);
	if (filesystem == DISK_NO_FILESYSTEM || why.code == VN_OK)
		return 0;
	return vn_fail(err, VN_E_UNSUPPORTED, "this host has no extra disks: %s", why.text);
}

/* ---- owners ---------------------------------------------------------------------------------- */

/* Whether the vnode's folder is there, and its own. */
static int
check_owner(const struct local *local, const struct disk_spec *spec, bool *ret_there,
	    struct vn_error *err)
{
	vn_autofree char *folder = folder_of(local, spec->vmid);
	vn_autofree char *path = vn_format("%s/.owner", folder);
	const char *uuid = "";
	json_t *owner;
	bool is_own;

	*ret_there = access(folder, F_OK) == 0;
	if (!*ret_there || !spec->uuid)
		return 0;
	owner = files_read_json(path);
	if (!owner)		/* killed before it was written: nothing else is in there */
		return 0;
	json_unpack(owner, "{s?s}", "uuid", &uuid);
	is_own = !strcmp(uuid, spec->uuid);
	json_decref(owner);
	if (!is_own)
		return vn_fail(err, VN_E_EXISTS, "the folder %s belongs to someone else: move it away",
			       folder);
	return 0;
}

static int
make_folder(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *folder = folder_of(local, spec->vmid);
	vn_autofree char *path = vn_format("%s/.owner", folder);
	json_t *owner;
	int result;

	if (files_make_folder(folder, 0700, err) < 0)
		return -1;
	if (access(path, F_OK) == 0)
		return 0;
	owner = json_pack("{s:s, s:s}", "instance", local->env->instance, "uuid", spec->uuid);
	if (!owner)
		abort();
	result = files_write_json(path, owner, err);
	json_decref(owner);
	return result < 0 ? -1 : files_sync_folder(local->extras, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* A file of that size, all hole. What a crash left under that name is written over. */
static int
make_file(const char *path, const struct disk_extra *extra, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return vn_fail_errno(err, errno, "make the disk '%s'", extra->name);
	if (files_check_room(fd, err) < 0)
		return -1;
	if (ftruncate(fd, (off_t)extra->size_bytes) < 0)
		return vn_fail_errno(err, errno, "make the disk '%s' of %llu bytes", extra->name,
				     (unsigned long long)extra->size_bytes);
	return 0;
}

/* A new file reads as zeros, so nothing has to be written to say so. */
static int
make_filesystem(const char *path, const struct disk_extra *extra, struct vn_error *err)
{
	const char *const argv[] = {
		"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,assume_storage_prezeroed=1,root_owner=0:0",
		path, NULL
	};

	if (extra->filesystem == DISK_NO_FILESYSTEM || tool_run(argv, MKFS_MS, NULL, err) == 0)
		return 0;
	vn_error_prefix(err, "make a file system on the disk '%s'", extra->name);
	return -1;
}

static int
sync_file(const char *path, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return vn_fail_errno(err, errno, "sync %s", path);
	return 0;
}

static int
make_extra(const struct local *local, const struct disk_spec *spec, const struct disk_extra *extra,
	   struct vn_error *err)
{
	vn_autofree char *folder = folder_of(local, spec->vmid);
	vn_autofree char *path = extra_path(local, spec->vmid, extra->name);
	vn_autofree char *new_path = vn_format("%s/.new-%s", folder, extra->name);

	if (make_file(new_path, extra, err) < 0 || make_filesystem(new_path, extra, err) < 0
	    || sync_file(new_path, err) < 0) {
		unlink(new_path);
		return -1;
	}
	if (rename(new_path, path) < 0) {
		vn_fail_errno(err, errno, "put the disk %s in place", path);
		unlink(new_path);
		return -1;
	}
	return files_sync_folder(folder, err);
}

/* Takes back what was made here; with the folder, if nothing was in it before. */
static void
take_back(const struct local *local, const struct disk_spec *spec, const bool *made, size_t count,
	  bool with_folder)
{
	struct vn_error ignored;

	if (with_folder) {
		extras_remove(local, spec, &ignored);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		vn_autofree char *path = extra_path(local, spec->vmid, spec->extras[i].name);

		if (made[i])
			trash_away(local->trash, path, "extra", &ignored);
	}
}

int
extras_up(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct local *local = vn_container_of(disk, struct local, base);
	vn_autofree bool *made = vn_alloc_array(spec->n_extras + 1, sizeof(*made));
	bool is_there;

	if (check_owner(local, spec, &is_there, err) < 0)
		return -1;
	if (!spec->n_extras)
		return 0;
	if (make_folder(local, spec, err) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_extras; i++) {
		vn_autofree char *path = extra_path(local, spec->vmid, spec->extras[i].name);

		if (access(path, F_OK) == 0)
			continue;
		if (make_extra(local, spec, &spec->extras[i], err) < 0) {
			take_back(local, spec, made, i, !is_there);
			return -1;
		}
		made[i] = true;
	}
	return 0;
}

/* ---- removing -------------------------------------------------------------------------------- */

static bool
is_named(const struct disk_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_extras; i++)
		if (!strcmp(spec->extras[i].name, name))
			return true;
	return false;
}

/* What a kill left half made goes as well. */
static int
remove_others(const struct local *local, const struct disk_spec *spec, const char *folder,
	      struct vn_error *err)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return vn_fail_errno(err, errno, "open %s", folder);
	while (result == 0 && (entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s", folder, entry->d_name);
		bool is_half = !strncmp(entry->d_name, ".new-", 5);

		if ((entry->d_name[0] != '.' || is_half) && !is_named(spec, entry->d_name))
			result = trash_away(local->trash, path, "extra", err);
	}
	closedir(dir);
	return result;
}

int
extras_keep(struct disk *disk, const struct disk_spec *spec, struct vn_error *err)
{
	const struct local *local = vn_container_of(disk, struct local, base);
	vn_autofree char *folder = folder_of(local, spec->vmid);
	bool is_there;

	if (check_owner(local, spec, &is_there, err) < 0)
		return -1;
	if (!is_there)
		return 0;
	return spec->n_extras ? remove_others(local, spec, folder, err) : extras_remove(local, spec, err);
}

int
extras_remove(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *folder = folder_of(local, spec->vmid);
	vn_autofree char *label = vn_format("extra-%lld", (long long)spec->vmid);
	bool is_there;

	if (check_owner(local, spec, &is_there, err) < 0)
		return -1;
	return is_there ? trash_away(local->trash, folder, label, err) : 0;
}
