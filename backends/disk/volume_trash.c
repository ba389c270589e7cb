/*
 * Volumes that a crash left. A disk's folder names its volume before that is made, so one that no folder names
 * belongs to nothing; neither does an image's without its mark.
 *
 * The surprise: folders are read twice. One that is renamed while its neighbours are read may be met under
 * neither name, and each is renamed once.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "backends/disk/files.h"
#include "backends/disk/volume.h"
#include "proto/base/mem.h"

/* Adds what the folders below disks name, whole or in the making. */
static int
add_names(const struct local *local, json_t *names, struct vn_error *err)
{
	DIR *dir = opendir(local->disks);
	struct dirent *entry;

	if (!dir)
		return vn_fail_errno(err, errno, "open %s", local->disks);
	while ((entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s/volume", local->disks, entry->d_name);
		json_t *json = files_read_json(path);
		const char *name = json_string_value(json_object_get(json, "name"));

		if (name)
			json_object_set_new(names, name, json_true());
		json_decref(json);
	}
	closedir(dir);
	return 0;
}

static bool
is_trash(const struct local *local, const struct volume *volume, const json_t *names)
{
	if (strstr(volume->tags, ":image."))
		return !volume_has_tag(local, volume, "finished");
	return !json_object_get(names, volume->name);
}

/* What is there is asked before who names it: what comes meanwhile has its name already. */
static int
list_trash(const struct local *local, struct volume **ret, size_t *ret_count, struct vn_error *err)
{
	vn_autofree struct volume *volumes = NULL;
	json_t *names = json_object();
	size_t count, n_trash = 0;
	int result = volume_list(local, &volumes, &count, err);

	for (int round = 0; round < 2 && result == 0; round++)
		result = add_names(local, names, err);
	for (size_t i = 0; i < count && result == 0; i++)
		if (is_trash(local, &volumes[i], names))
			volumes[n_trash++] = volumes[i];
	json_decref(names);
	if (result < 0)
		return -1;
	*ret = vn_take_ptr(&volumes);
	*ret_count = n_trash;
	return 0;
}

int
volume_list_trash(struct local *local, struct volume **ret, size_t *ret_count, struct vn_error *err)
{
	struct vn_error why;

	*ret = NULL;
	*ret_count = 0;
	return types_check_local(local, DISK_LVM_THIN, &why) < 0 ? 0 : list_trash(local, ret, ret_count, err);
}

/* Locked: an image that is being made has no mark yet. */
int
volume_empty_trash(struct local *local, struct vn_error *err)
{
	vn_autofree struct volume *volumes = NULL;
	size_t count;
	int result;

	pthread_mutex_lock(&local->volumes);
	result = volume_list_trash(local, &volumes, &count, err);
	if (result == 0)
		result = volume_remove_all(local, volumes, count, err);
	pthread_mutex_unlock(&local->volumes);
	return result;
}
