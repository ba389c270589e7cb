/*
 * LVM as a program: each call names group and volume as arguments of their own, and what it tells is read from
 * its JSON report. A name alone never makes a volume ours, since people may choose any: what is changed or
 * removed is looked up by its tag.
 *
 * Each call is a process and takes LVM's lock on the group: one is made where many would do.
 */
#include "backends/disk/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "backends/disk/tool.h"
#include "proto/base/arena.h"
#include "proto/base/mem.h"

#define LVM_MS  30000u
#define GROW_MS 50000u

#define REMOVED_AT_ONCE 50u
#define REMOVE_MS	1000u

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

int
volume_remove(const struct local *local, const char *name, const char *what, struct vn_error *err)
{
	vn_autofree char *tag = tag_of(local, what);
	vn_autofree char *select = vn_format("lv_name=\"%s\" && lv_tags={\"%s\"}", name, tag);
	const char *const argv[] = { "lvm", "lvremove", "-q", "-f", "-y", "-S", select, local->env->lvm_group, NULL };

	return lvm(argv, err);
}

/* One call; its deadline is that of its work. */
static int
remove_some(const struct local *local, const struct volume *volumes, size_t count, struct vn_error *err)
{
	const char *argv[5 + REMOVED_AT_ONCE + 1] = { "lvm", "lvremove", "-q", "-f", "-y" };
	vn_autoarena arena = { 0 };

	for (size_t i = 0; i < count; i++) {
		vn_autofree char *path = path_of(local, volumes[i].name);

		argv[5 + i] = vn_arena_strdup(&arena, path);
	}
	return tool_run(argv, LVM_MS + REMOVE_MS * (unsigned)count, NULL, err);
}

int
volume_remove_all(const struct local *local, const struct volume *volumes, size_t count, struct vn_error *err)
{
	for (size_t i = 0; i < count; i += REMOVED_AT_ONCE) {
		size_t left = count - i;

		if (remove_some(local, volumes + i, left < REMOVED_AT_ONCE ? left : REMOVED_AT_ONCE, err) < 0)
			return -1;
	}
	return 0;
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
