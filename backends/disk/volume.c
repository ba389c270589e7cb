/*
 * LVM as a program: each call names group and volume as arguments of their own, and what it tells is read from
 * its JSON report. A name alone never makes a volume ours, since people may choose any: before one is changed
 * or removed its tag is looked at.
 */
#include "backends/disk/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "backends/disk/files.h"
#include "backends/disk/tool.h"
#include "proto/base/mem.h"

#define LVM_MS  30000u
#define GROW_MS 50000u

char *
volume_name(const struct local *local, const char *what)
{
	return vn_format("vnoded-%.8s-%s", local->env->instance, what);
}

char *
volume_device(const struct local *local, const char *name)
{
	return vn_format("/dev/%s/%s", local->env->lvm_group, name);
}

static char *
path_of(const struct local *local, const char *name)
{
	return vn_format("%s/%s", local->env->lvm_group, name);
}

static char *
tag_of(const struct local *local, const char *what)
{
	return vn_format("vnoded:%s:%s", local->env->instance, what);
}

/* ---- reports --------------------------------------------------------------------------------- */

/* The rows of a report about `what`, a new reference. */
static int
report(const char *what, const char *columns, json_t **ret, struct vn_error *err)
{
	const char *const argv[] = { "lvm", "lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o",
				     columns, what, NULL };
	vn_autofree char *text = NULL;
	json_t *report, *rows;

	if (tool_run(argv, LVM_MS, &text, err) < 0)
		return -1;
	report = json_loads(text, 0, NULL);
	rows = json_object_get(json_array_get(json_object_get(report, "report"), 0), "lv");
	*ret = json_is_array(rows) ? json_incref(rows) : NULL;
	json_decref(report);
	return *ret ? 0 : vn_fail(err, VN_E_BACKEND, "lvm's report on %s cannot be read", what);
}

static const char *
text_of(json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

int
volume_probe(const struct local *local, struct vn_error *err)
{
	vn_autofree char *pool = NULL;
	json_t *rows;
	bool is_pool;

	if (!local->env->lvm_group || !local->env->lvm_pool)
		return vn_fail(err, VN_E_UNSUPPORTED, "lvm_group and lvm_pool are not set in vnoded.conf");
	if (tool_check("lvm", "lvm2", err) < 0 || tool_check("mkfs.ext4", "e2fsprogs", err) < 0)
		return -1;
	pool = path_of(local, local->env->lvm_pool);
	if (report(pool, "lv_name,segtype", &rows, err) < 0)
		return -1;
	is_pool = !strcmp(text_of(json_array_get(rows, 0), "segtype"), "thin-pool");
	json_decref(rows);
	return is_pool ? 0 : vn_fail(err, VN_E_UNSUPPORTED, "%s is no thin pool", pool);
}

int
volume_list(const struct local *local, struct volume **ret, size_t *ret_count, struct vn_error *err)
{
	vn_autofree char *prefix = tag_of(local, "");
	struct volume *volumes;
	json_t *rows, *row;
	size_t i, count = 0;

	if (report(local->env->lvm_group, "lv_name,lv_tags,lv_size", &rows, err) < 0)
		return -1;
	volumes = vn_alloc_array(json_array_size(rows) + 1, sizeof(*volumes));
	json_array_foreach(rows, i, row) {
		struct volume *volume = &volumes[count];

		if (!strstr(text_of(row, "lv_tags"), prefix))
			continue;
		snprintf(volume->name, sizeof(volume->name), "%s", text_of(row, "lv_name"));
		snprintf(volume->tags, sizeof(volume->tags), "%s", text_of(row, "lv_tags"));
		volume->bytes = strtoull(text_of(row, "lv_size"), NULL, 10);
		count++;
	}
	json_decref(rows);
	*ret = volumes;
	*ret_count = count;
	return 0;
}

int
volume_find(const struct local *local, const char *name, struct volume *ret, struct vn_error *err)
{
	vn_autofree struct volume *volumes = NULL;
	size_t count;

	if (volume_list(local, &volumes, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(volumes[i].name, name)) {
			*ret = volumes[i];
			return 0;
		}
	return vn_fail(err, VN_E_NOT_FOUND, "there is no volume %s of ours in %s", name, local->env->lvm_group);
}

/* A whole tag, not a part of another one. */
bool
volume_has_tag(const struct local *local, const struct volume *volume, const char *what)
{
	vn_autofree char *tag = tag_of(local, what);
	size_t length = strlen(tag);

	for (const char *at = volume->tags; (at = strstr(at, tag)); at += length)
		if ((at == volume->tags || at[-1] == ',') && (at[length] == ',' || !at[length]))
			return true;
	return false;
}

/* ---- changes --------------------------------------------------------------------------------- */

static int
lvm(const char *const *argv, struct vn_error *err)
{
	return tool_run(argv, LVM_MS, NULL, err);
}

int
volume_create(const struct local *local, const char *name, uint64_t bytes, const char *what,
	      struct vn_error *err)
{
	vn_autofree char *pool = path_of(local, local->env->lvm_pool), *tag = tag_of(local, what);
	vn_autofree char *size = vn_format("%llub", (unsigned long long)bytes);
	const char *const argv[] = { "lvm", "lvcreate", "-q", "-y", "--type", "thin", "-V", size, "-n", name,
				     "--addtag", tag, "--thinpool", pool, NULL };

	return lvm(argv, err);
}

int
volume_snapshot(const struct local *local, const char *origin, const char *name, const char *what,
		struct vn_error *err)
{
	vn_autofree char *path = path_of(local, origin), *tag = tag_of(local, what);
	const char *const argv[] = { "lvm", "lvcreate", "-q", "-y", "-s", "-kn", "-ay", "-n", name, "--addtag", tag,
				     path, NULL };

	return lvm(argv, err);
}

int
volume_grow(const struct local *local, const char *name, uint64_t bytes, struct vn_error *err)
{
	vn_autofree char *path = path_of(local, name);
	vn_autofree char *size = vn_format("%llub", (unsigned long long)bytes);
	const char *const argv[] = { "lvm", "lvextend", "-q", "-y", "-L", size, path, NULL };
	struct volume volume;

	if (volume_find(local, name, &volume, err) < 0)
		return -1;
	return volume.bytes >= bytes ? 0 : lvm(argv, err);
}

int
volume_tag(const struct local *local, const char *name, const char *what, struct vn_error *err)
{
	vn_autofree char *path = path_of(local, name), *tag = tag_of(local, what);
	const char *const argv[] = { "lvm", "lvchange", "-q", "-y", "--addtag", tag, path, NULL };

	return lvm(argv, err);
}

static int
rename_volume(const struct local *local, const char *name, const char *new_name, struct vn_error *err)
{
	const char *const argv[] = { "lvm", "lvrename", "-q", "-y", local->env->lvm_group, name, new_name, NULL };

	return lvm(argv, err);
}

static int
erase(const struct local *local, const char *name, struct vn_error *err)
{
	vn_autofree char *path = path_of(local, name);
	const char *const argv[] = { "lvm", "lvremove", "-q", "-f", "-y", path, NULL };

	return lvm(argv, err);
}

int
volume_remove(const struct local *local, const char *name, struct vn_error *err)
{
	struct volume volume;
	vn_autofree char *trash = NULL, *what = NULL;
	char random[17];

	if (volume_find(local, name, &volume, err) < 0)
		return err->code == VN_E_NOT_FOUND ? 0 : -1;
	files_random_name(random);
	what = vn_format("trash-%s", random);
	trash = volume_name(local, what);
	if (volume_tag(local, name, "trash", err) < 0 || rename_volume(local, name, trash, err) < 0)
		return -1;
	return erase(local, trash, err);
}

/* ---- trash ----------------------------------------------------------------------------------- */

/* Whether a folder below disks, whole or in the making, names the volume. */
static bool
is_named(const struct local *local, const char *name)
{
	DIR *dir = opendir(local->disks);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s/volume", local->disks, entry->d_name);
		json_t *json = files_read_json(path);

		found = !strcmp(text_of(json, "name"), name);
		json_decref(json);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool
volume_is_trash(const struct local *local, const struct volume *volume)
{
	if (volume_has_tag(local, volume, "trash"))
		return true;
	if (strstr(volume->tags, ":image."))
		return !volume_has_tag(local, volume, "finished");
	return !is_named(local, volume->name);
}

int
volume_empty_trash(struct local *local, struct vn_error *err)
{
	vn_autofree struct volume *volumes = NULL;
	struct vn_error why;
	size_t count = 0;
	int result = 0;

	if (types_check_local(local, DISK_LVM_THIN, &why) < 0)
		return 0;
	if (volume_list(local, &volumes, &count, err) < 0)
		return -1;
	pthread_mutex_lock(&local->volumes);
	for (size_t i = 0; i < count && result == 0; i++)
		if (volume_is_trash(local, &volumes[i]))
			result = erase(local, volumes[i].name, err);
	pthread_mutex_unlock(&local->volumes);
	return result;
}

/* ---- file systems ---------------------------------------------------------------------------- */

int
volume_grow_filesystem(const struct local *local, const char *name, struct vn_error *err)
{
	vn_autofree char *device = volume_device(local, name);
	const char *const check[] = { "e2fsck", "-f", "-p", device, NULL };
	const char *const resize[] = { "resize2fs", device, NULL };

	/* Status 1: it has mended something. */
	if (tool_run(check, GROW_MS, NULL, err) < 0 && (err->code != VN_E_BACKEND || err->sys != 1))
		return -1;
	return tool_run(resize, GROW_MS, NULL, err);
}

int
volume_mount(const struct local *local, const char *name, int *ret_fd, struct vn_error *err)
{
	vn_autofree char *device = volume_device(local, name);
	vn_autoclose int fs = fsopen("ext4", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "the kernel has no ext4: load the module 'ext4'");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0
	    || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return vn_fail_errno(err, errno, "mount the volume %s", device);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (fd < 0)
		return vn_fail_errno(err, errno, "mount the volume %s", device);
	*ret_fd = fd;
	return 0;
}
