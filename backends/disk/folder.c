/*
 * The folder of a vnode's disk. It is made under another name and renamed when it is whole, and
 * leaves by a rename into the trash: so under its own name it is there with its owner file, or not
 * at all, wherever we were killed.
 */
#include "backends/disk/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "backends/disk/trash.h"
#include "backends/disk/types.h"
#include "proto/base/mem.h"

/* Under this name a folder is made. A VMID is never given twice, so neither is the name. */
static char *
new_folder_path(const struct local *local, int64_t vmid)
{
	return vn_format("%s/.new-%lld", local->disks, (long long)vmid);
}

char *
folder_path(const struct local *local, int64_t vmid)
{
	return vn_format("%s/%lld", local->disks, (long long)vmid);
}

int
folder_check(const char *path, const struct disk_spec *spec, const char *image, bool *ret_there,
	     struct vn_error *err)
{
	vn_autofree char *owner_path = vn_format("%s/owner", path);
	const char *uuid = "", *of_image = "", *type = disk_type_words[DISK_OVERLAY];
	bool is_own, is_image, is_type;
	json_t *owner;

	*ret_there = access(path, F_OK) == 0;
	if (!*ret_there)
		return 0;
	owner = files_read_json(owner_path);
	if (owner)
		json_unpack(owner, "{s?s, s?s, s?s}", "uuid", &uuid, "image", &of_image, "type",
			    &type);
	is_own = !spec->uuid || !strcmp(uuid, spec->uuid);
	is_image = !image || !strcmp(of_image, image);
	is_type = !image || !strcmp(type, disk_type_words[spec->type]);
	json_decref(owner);
	if (!is_own)
		return vn_fail(err, VN_E_EXISTS, "the folder %s belongs to someone else: move it "
			       "away", path);
	if (!is_image)
		return vn_fail(err, VN_E_STATE, "the disk %s was made for another image: reload the "
			       "vnode", path);
	if (!is_type)
		return vn_fail(err, VN_E_STATE, "the disk %s was not made as %s: reload the vnode", path,
			       disk_type_words[spec->type]);
	return 0;
}

static int
write_owner(const struct local *local, const char *folder, const struct disk_spec *spec,
	    struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/owner", folder);
	json_t *owner = json_pack("{s:s, s:s, s:s, s:s}", "instance", local->env->instance,
				  "uuid", spec->uuid, "image", spec->image_sha256,
				  "type", disk_type_words[spec->type]);
	int result;

	if (!owner)
		abort();
	result = files_write_json(path, owner, err);
	json_decref(owner);
	return result;
}

/* Fills a folder with all that makes it a disk. */
static int
fill_folder(const struct local *local, const char *folder, const struct disk_spec *spec,
	    struct vn_error *err)
{
	if (mkdir(folder, 0700) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", folder);
	if (write_owner(local, folder, spec, err) < 0)
		return -1;
	return types_get(spec->type)->fill(local, folder, spec, err);
}

/* After the rename: most file systems then write both in one transaction, and all keep the order. */
static int
sync_disk(const struct local *local, const char *path, struct vn_error *err)
{
	return files_sync_folder(path, err) < 0 ? -1 : files_sync_folder(local->disks, err);
}

/* The folder and what its type has outside of it. A folder without an owner was not filled yet. */
static int
put_away(const struct local *local, const char *path, const char *label, struct vn_error *err)
{
	vn_autofree char *owner_path = vn_format("%s/owner", path);
	json_t *owner = files_read_json(owner_path);
	const char *word = disk_type_words[DISK_OVERLAY];
	int type, result = 0;

	if (owner)
		json_unpack(owner, "{s?s}", "type", &word);
	type = owner ? disk_type_find(word) : DISK_OVERLAY;
	if (type >= 0 && types_get(type)->drop)
		result = types_get(type)->drop(local, path, err);
	json_decref(owner);
	return result < 0 ? -1 : trash_away(local->trash, path, label, err);
}

int
folder_create(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *path = folder_path(local, spec->vmid);
	vn_autofree char *new_path = new_folder_path(local, spec->vmid);
	struct vn_error ignored;
	bool is_there;

	if (folder_check(path, spec, spec->image_sha256, &is_there, err) < 0)
		return -1;
	if (is_there)	/* perhaps since a life that was killed before it had synced it */
		return sync_disk(local, path, err);
	/* What a crash left under the other name is of no use. */
	if (put_away(local, new_path, "disk", err) < 0)
		return -1;
	if (fill_folder(local, new_path, spec, err) < 0) {
		put_away(local, new_path, "disk", &ignored);
		return -1;
	}
	if (renameat2(AT_FDCWD, new_path, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
		vn_fail_errno(err, errno, "put the disk %s in place", path);
		put_away(local, new_path, "disk", &ignored);
		return -1;
	}
	return sync_disk(local, path, err);
}

int
folder_renew(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *path = folder_path(local, spec->vmid);
	vn_autofree char *new_path = new_folder_path(local, spec->vmid);
	vn_autofree char *label = vn_format("disk-%lld", (long long)spec->vmid);
	struct vn_error ignored;
	bool is_there;

	if (folder_check(path, spec, NULL, &is_there, err) < 0)
		return -1;
	if (!is_there)
		return folder_create(local, spec, err);
	/* The old disk, where a crash came between the two renames below; or half a new one. */
	if (put_away(local, new_path, label, err) < 0)
		return -1;
	if (fill_folder(local, new_path, spec, err) < 0) {
		put_away(local, new_path, label, &ignored);
		return -1;
	}
	if (renameat2(AT_FDCWD, new_path, AT_FDCWD, path, RENAME_EXCHANGE) < 0) {
		vn_fail_errno(err, errno, "put the fresh disk %s in place", path);
		put_away(local, new_path, label, &ignored);
		return -1;
	}
	if (sync_disk(local, path, err) < 0)
		return -1;
	return put_away(local, new_path, label, err);
}

int
folder_destroy(const struct local *local, const struct disk_spec *spec, struct vn_error *err)
{
	vn_autofree char *path = folder_path(local, spec->vmid);
	vn_autofree char *new_path = new_folder_path(local, spec->vmid);
	vn_autofree char *label = vn_format("disk-%lld", (long long)spec->vmid);
	bool is_there;

	if (folder_check(path, spec, NULL, &is_there, err) < 0
	    || put_away(local, new_path, label, err) < 0)
		return -1;
	return is_there ? put_away(local, path, label, err) : 0;
}

/* Whether the owner file at `path` names the image. */
static bool
is_built_on(const char *path, const char *sha256)
{
	json_t *owner = files_read_json(path);
	const char *image = "";
	bool is_it = owner && json_unpack(owner, "{s:s}", "image", &image) == 0
		     && !strcmp(image, sha256);

	json_decref(owner);
	return is_it;
}

int
folder_check_unused(const struct local *local, const char *sha256, struct vn_error *err)
{
	DIR *dir = opendir(local->disks);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return vn_fail_errno(err, errno, "open %s", local->disks);
	while (result == 0 && (entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s/owner", local->disks, entry->d_name);

		if (entry->d_name[0] != '.' && is_built_on(path, sha256))
			result = vn_fail(err, VN_E_STATE, "the disk of VMID %s is built on the image "
					 "%.12s…: destroy that vnode first", entry->d_name, sha256);
	}
	closedir(dir);
	return result;
}
