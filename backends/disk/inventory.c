/* What lies in the backend's folders, read from the folders themselves. */
#include "backends/disk/local.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/disk/image.h"
#include "backends/disk/volume.h"
#include "proto/base/mem.h"

struct inventory {
	const struct local *local;
	struct disk_found *found;
	size_t count;
};

/* Writes into *ret what the entry is; false: nothing of ours. */
typedef bool classify_fn(const struct local *local, const char *name, struct disk_found *ret);

static bool
read_vmid(const char *name, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(name, &end, 10);
	return errno == 0 && *end == '\0' && *ret > 0 && name[0] != '+';
}

static bool
classify_image(const struct local *local, const char *name, struct disk_found *ret)
{
	struct image_info info;

	ret->kind = DISK_IMAGE_PARTIAL;
	if (image_is_finished(local->images, name, &info)) {
		ret->kind = DISK_IMAGE;
		ret->facts = info.facts;
	}
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return true;
}

static bool
classify_disk(const struct local *local, const char *name, struct disk_found *ret)
{
	(void)local;
	ret->kind = DISK_VNODE;
	return read_vmid(name, &ret->vmid);
}

static bool
classify_trash(const struct local *local, const char *name, struct disk_found *ret)
{
	(void)local;
	ret->kind = DISK_TRASH;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return true;
}

static bool
classify_root(const struct local *local, const char *name, struct disk_found *ret)
{
	vn_autofree char *path = vn_format("%s/%s", local->roots, name);
	bool is_ours, is_foreign;
	struct vn_error ignored;

	ret->kind = DISK_MOUNT;
	return read_vmid(name, &ret->vmid)
	       && local_is_mounted(local, path, &is_ours, &is_foreign, &ignored) == 0
	       && is_ours;
}

static int list_folder(struct inventory *inventory, const char *path, classify_fn *classify,
		       struct vn_error *err);

static bool
classify_extra(const struct local *local, const char *name, struct disk_found *ret)
{
	(void)local;
	ret->kind = DISK_EXTRA;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return true;
}

static bool
classify_extras(const struct local *local, const char *name, struct disk_found *ret)
{
	(void)local;
	ret->kind = DISK_EXTRA;
	return read_vmid(name, &ret->vmid);
}

/* The folder of each vnode, which may be all that is left, and the extra disks in it by their names. */
static int
list_extras(struct inventory *inventory, struct vn_error *err)
{
	size_t first = inventory->count, end;

	if (list_folder(inventory, inventory->local->extras, classify_extras, err) < 0)
		return -1;
	end = inventory->count;
	for (size_t i = first; i < end; i++) {
		int64_t vmid = inventory->found[i].vmid;
		vn_autofree char *path = vn_format("%s/%lld", inventory->local->extras, (long long)vmid);
		size_t below = inventory->count;

		if (list_folder(inventory, path, classify_extra, err) < 0)
			return -1;
		for (; below < inventory->count; below++)
			inventory->found[below].vmid = vmid;
	}
	return 0;
}

static void
add(struct inventory *inventory, const struct disk_found *found)
{
	inventory->found = vn_realloc_array(inventory->found, inventory->count + 1, sizeof(*found));
	inventory->found[inventory->count++] = *found;
}

/* Volumes that a crash left; all others are told by their folders. */
static int
list_volumes(struct inventory *inventory, struct vn_error *err)
{
	struct local *local = (struct local *)(uintptr_t)inventory->local;	/* its lock is taken */
	vn_autofree struct volume *volumes = NULL;
	size_t count;

	if (volume_list_trash(local, &volumes, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct disk_found found = { .kind = DISK_TRASH };

		snprintf(found.name, sizeof(found.name), "%.79s", volumes[i].name);
		add(inventory, &found);
	}
	return 0;
}

static int
list_folder(struct inventory *inventory, const char *path, classify_fn *classify,
	    struct vn_error *err)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : vn_fail_errno(err, errno, "open %s", path);
	while ((entry = readdir(dir))) {
		struct disk_found found = { 0 };

		if (entry->d_name[0] == '.' || !classify(inventory->local, entry->d_name, &found))
			continue;
		add(inventory, &found);
	}
	closedir(dir);
	return 0;
}

int
local_inventory(struct disk *disk, struct disk_found **ret, size_t *ret_count,
		  struct vn_error *err)
{
	const struct local *local = vn_container_of(disk, struct local, base);
	struct inventory inventory = { .local = local };

	if (list_folder(&inventory, local->images, classify_image, err) < 0
	    || list_folder(&inventory, local->disks, classify_disk, err) < 0
	    || list_folder(&inventory, local->trash, classify_trash, err) < 0
	    || list_folder(&inventory, local->roots, classify_root, err) < 0
	    || list_extras(&inventory, err) < 0 || list_volumes(&inventory, err) < 0) {
		free(inventory.found);
		return -1;
	}
	*ret = inventory.found;
	*ret_count = inventory.count;
	return 0;
}
