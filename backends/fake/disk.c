/*
 * Disks and mounts as rows. Strict where a real disk would lose something: nothing mounted, in use or
 * running is removed.
 */
#include "backends/fake/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FAKE_FREE_BYTES (100ull << 30)

struct handle *
fake_disk_handle(struct disk *self)
{
	return &vn_container_of(self, struct fake_disk, base)->handle;
}

static int
fake_open(const struct backend_env *env, struct disk **ret, struct vn_error *err)
{
	struct fake_disk *fake = vn_alloc(sizeof(*fake));

	(void)err;
	fake->base.ops = &disk_fake;
	fake->run_dir = vn_strdup(env->run_dir);
	handle_open(&fake->handle, env);
	*ret = &fake->base;
	return 0;
}

static void
fake_close(struct disk *self)
{
	struct fake_disk *fake = vn_container_of(self, struct fake_disk, base);

	if (!self)
		return;
	handle_close(&fake->handle);
	free(fake->run_dir);
	free(fake);
}

static int
fake_host_up(struct disk *self, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.host_up", 0, CALL_CHANGES, err) < 0)
		return -1;
	call.world->disk_is_up = true;
	return call_end(&call, 0, err);
}

static int
fake_host_down(struct disk *self, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.host_down", 0, CALL_CHANGES, err) < 0)
		return -1;
	vn_list_each(struct vdisk, disk, &call.world->disks, link)
		free(vn_take_ptr(&disk->mount));
	fake_extras_unmount(call.world, 0);
	call.world->disk_is_up = false;
	return call_end(&call, 0, err);
}

static int
fake_missing(struct disk *self, char ***ret, struct vn_error *err)
{
	return call_missing(fake_disk_handle(self), "disk.missing", "disk", ret, err);
}

int
fake_disk_check_up(struct call *call, struct vn_error *err)
{
	if (call->world->disk_is_up)
		return 0;
	return wrong_order(call, err, "the folders are not there: host_up comes first");
}

int
fake_disk_check_space(struct call *call, struct vn_error *err)
{
	if (!call->world->is_full)
		return 0;
	return vn_fail_errno(err, ENOSPC, "write to the disk; free some space");
}

static int
check_own(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);

	if (disk && spec->uuid && strcmp(disk->uuid, spec->uuid) != 0)
		return vn_fail(err, VN_E_EXISTS, "disk %lld belongs to another vnode; remove it",
			       (long long)spec->vmid);
	return 0;
}

static int
create(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);

	if (fake_disk_check_up(call, err) < 0 || check_own(call, spec, err) < 0)
		return -1;
	if (disk && strcmp(disk->image, spec->image_sha256) != 0)
		return vn_fail(err, VN_E_EXISTS, "disk %lld is on another image; destroy it first",
			       (long long)spec->vmid);
	if (disk && disk->type != spec->type)
		return wrong_order(call, err, "disk %lld is of another type", (long long)spec->vmid);
	if (disk)
		return 0;
	if (fake_disk_check_type(call, spec, err) < 0 || fake_disk_check_space(call, err) < 0)
		return -1;
	disk = vn_alloc(sizeof(*disk));
	disk->vmid = spec->vmid;
	disk->uuid = vn_strdup(spec->uuid);
	disk->image = vn_strdup(spec->image_sha256);
	disk->privileged = !spec->userns;
	disk->type = spec->type;
	disk->size_bytes = spec->size_bytes;
	disk->idmap_base = spec->idmap_base;
	vn_list_init(&disk->files);
	vn_list_append(&call->world->disks, &disk->link);
	return 0;
}

/* The rows of a real disk's two folders in one: the old one goes once the new one can be made. */
static int
renew(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);
	vn_autofree char *name = vn_format("%lld", (long long)spec->vmid);

	if (fake_disk_check_up(call, err) < 0 || check_own(call, spec, err) < 0 ||
	    fake_disk_check_type(call, spec, err) < 0 ||
	    fake_disk_check_space(call, err) < 0)
		return -1;
	if (disk && disk->mount)
		return wrong_order(call, err, "disk %s is mounted", name);
	if (guest_by_vmid(call->world, spec->vmid))
		return wrong_order(call, err, "vnode %s is still running", name);
	if (disk)
		disk_free(disk);
	if (disk && call->is_amid)
		word_add(&call->world->trash, "disk", name);
	return create(call, spec, err);
}

static int
fake_renew(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.renew", spec->vmid,
		       CALL_CHANGES | CALL_INSIDE, err) < 0)
		return -1;
	return call_end(&call, renew(&call, spec, err), err);
}

static int
fake_create(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.create", spec->vmid, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, create(&call, spec, err), err);
}

static int
destroy(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);
	vn_autofree char *name = vn_format("%lld", (long long)spec->vmid);

	if (check_own(call, spec, err) < 0)
		return -1;
	if (disk && disk->mount)
		return wrong_order(call, err, "disk %s is mounted", name);
	if (guest_by_vmid(call->world, spec->vmid))
		return wrong_order(call, err, "vnode %s is still running", name);
	if (disk)
		disk_free(disk);
	if (disk && call->is_amid) {
		word_add(&call->world->trash, "disk", name);
		return 0;
	}
	return fake_extras_drop(call, &(struct disk_spec){ .vmid = spec->vmid, .uuid = spec->uuid }, err);
}

static int
fake_destroy(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.destroy", spec->vmid,
		       CALL_CHANGES | CALL_INSIDE, err) < 0)
		return -1;
	return call_end(&call, destroy(&call, spec, err), err);
}

static int
mount(struct call *call, const struct disk_spec *spec, const char *path, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);

	if (fake_disk_check_up(call, err) < 0 || check_own(call, spec, err) < 0)
		return -1;
	if (!disk)
		return wrong_order(call, err, "vnode %lld has no disk", (long long)spec->vmid);
	if (!disk_traits[disk->type].can_mount)
		return vn_fail(err, VN_E_UNSUPPORTED, "the host cannot mount a disk of type '%s'",
			       disk_type_words[disk->type]);
	if (fake_image_look(call, disk->image, err) < 0)
		return wrong_order(call, err, "image %.12s is not here", disk->image);
	if (strcmp(disk->image, spec->image_sha256) != 0 || disk->type != spec->type)
		return wrong_order(call, err, "disk %lld is on another image, or of another type",
				   (long long)spec->vmid);
	if (fake_extras_mount(call, spec, err) < 0)
		return -1;
	if (!disk->mount)
		disk->mount = vn_strdup(path);
	return 0;
}

static int
fake_mount(struct disk *self, const struct disk_spec *spec, char *path, struct vn_error *err)
{
	struct fake_disk *fake = vn_container_of(self, struct fake_disk, base);
	vn_autofree char *root = vn_format("%s/root/%lld", fake->run_dir, (long long)spec->vmid);
	struct call call;

	if (call_begin(&call, &fake->handle, "disk.mount", spec->vmid, CALL_CHANGES, err) < 0)
		return -1;
	if (call_end(&call, mount(&call, spec, root, err), err) < 0)
		return -1;
	snprintf(path, PATH_MAX, "%s", root);
	return 0;
}

static int
fake_unmount(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct vdisk *disk;
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.unmount", spec->vmid, CALL_CHANGES, err) < 0)
		return -1;
	disk = disk_find(call.world, spec->vmid);
	if (disk && (!spec->uuid || strcmp(disk->uuid, spec->uuid) == 0)) {
		free(vn_take_ptr(&disk->mount));
		fake_extras_unmount(call.world, spec->vmid);
	}
	return call_end(&call, 0, err);
}

/* Of a copy: the whole of what it is a copy of; "" where that is gone. */
static char *
read_source(const char *path)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = vn_alloc(GUEST_FILE_BYTES + 1);

	if (fd < 0 || read(fd, text, GUEST_FILE_BYTES) < 0)
		text[0] = '\0';
	return text;
}

/* The fake's images have everything that any file is written for. */
static void
put_file(struct vdisk *disk, const struct guest_file *file)
{
	struct injected *injected = NULL;

	vn_list_each(struct injected, known, &disk->files, link)
		if (strcmp(known->path, file->path) == 0)
			injected = known;
	if (!injected) {
		injected = vn_alloc(sizeof(*injected));
		injected->path = vn_strdup(file->path);
		vn_list_append(&disk->files, &injected->link);
	}
	free(injected->text);
	injected->text = file->source ? read_source(file->source) : vn_strdup(file->text);
	injected->mode = file->mode;
}

static void
forget_file(struct injected *file)
{
	vn_list_remove(&file->link);
	injected_free(file);
}

static void
remove_file(struct vdisk *disk, const char *path)
{
	vn_list_each_safe(struct injected, file, &disk->files, link)
		if (strcmp(file->path, path) == 0)
			forget_file(file);
}

static void
prune_files(struct vdisk *disk, const char *prefix, const struct guest_file *files, size_t n_files)
{
	vn_list_each_safe(struct injected, file, &disk->files, link) {
		bool is_kept = strncmp(file->path, prefix, strlen(prefix)) != 0;

		for (size_t i = 0; i < n_files; i++)
			is_kept |= strcmp(files[i].path, file->path) == 0;
		if (!is_kept)
			forget_file(file);
	}
}

static int
inject(struct call *call, const struct disk_spec *spec, const struct guest_file *files,
       size_t n_files, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);

	if (!disk || !disk->mount || strcmp(disk->uuid, spec->uuid) != 0)
		return wrong_order(call, err, "the disk of vnode %lld is not mounted",
				   (long long)spec->vmid);
	if (fake_disk_check_space(call, err) < 0)
		return -1;
	for (size_t i = 0; i < n_files; i++)
		if (files[i].path[0] != '/')
			return vn_fail(err, VN_E_INVALID, "'%s' is not absolute", files[i].path);
	for (size_t i = 0; i < n_files && !(call->is_amid && i == 1); i++)
		if (files[i].how == GUEST_FILE_PRUNE)
			prune_files(disk, files[i].path, files, n_files);
		else if (files[i].how == GUEST_FILE_REMOVE)
			remove_file(disk, files[i].path);
		else
			put_file(disk, &files[i]);
	return 0;
}

static int
fake_inject(struct disk *self, const struct disk_spec *spec, const struct guest_file *files,
	    size_t n_files, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.inject", spec->vmid,
		       CALL_CHANGES | CALL_INSIDE, err) < 0)
		return -1;
	return call_end(&call, inject(&call, spec, files, n_files, err), err);
}

static int
fake_free_bytes(struct disk *self, uint64_t *ret, struct vn_error *err)
{
	struct call call;
	uint64_t bytes;

	if (call_begin(&call, fake_disk_handle(self), "disk.free_bytes", 0, 0, err) < 0)
		return -1;
	bytes = call.world->is_full ? 0 : FAKE_FREE_BYTES;
	if (call_end(&call, 0, err) < 0)
		return -1;
	*ret = bytes;
	return 0;
}

struct findings {
	struct disk_found *items;
	size_t count;
};

static void
find(struct findings *findings, const struct disk_found *item, const char *name)
{
	findings->items = vn_realloc_array(findings->items, findings->count + 1, sizeof(*item));
	findings->items[findings->count] = *item;
	strncpy(findings->items[findings->count].name, name, sizeof(item->name) - 1);
	findings->count++;
}

static void
find_all(struct world *world, struct findings *found)
{
	vn_list_each(struct image, image, &world->images, link)
		find(found, &(struct disk_found){ .facts = image->facts,
			.kind = image->is_partial ? DISK_IMAGE_PARTIAL : DISK_IMAGE },
		     image->sha256);
	vn_list_each(struct vdisk, disk, &world->disks, link) {
		find(found, &(struct disk_found){ .kind = DISK_VNODE, .vmid = disk->vmid }, "");
		if (disk->mount)
			find(found, &(struct disk_found){ .kind = DISK_MOUNT, .vmid = disk->vmid },
			     "");
	}
	vn_list_each(struct vextra, extra, &world->extras, link)
		find(found, &(struct disk_found){ .kind = DISK_EXTRA, .vmid = extra->vmid }, extra->name);
	vn_list_each(struct word, trash, &world->trash, link)
		find(found, &(struct disk_found){ .kind = DISK_TRASH }, trash->text);
}

static int
fake_inventory(struct disk *self, struct disk_found **ret, size_t *ret_count,
	       struct vn_error *err)
{
	struct findings found = { 0 };
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.inventory", 0, 0, err) < 0)
		return -1;
	find_all(call.world, &found);
	if (call_end(&call, 0, err) < 0) {
		free(found.items);
		return -1;
	}
	*ret = found.items;
	*ret_count = found.count;
	return 0;
}

static int
fake_empty_trash(struct disk *self, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.empty_trash", 0, CALL_CHANGES, err) < 0)
		return -1;
	vn_list_each_safe(struct word, trash, &call.world->trash, link)
		word_free(trash);
	vn_list_each_safe(struct image, image, &call.world->images, link)
		if (image->is_partial)
			fake_image_free(image);
	return call_end(&call, 0, err);
}

const struct disk_ops disk_fake = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.host_up = fake_host_up,
	.host_down = fake_host_down,
	.missing = fake_missing,
	.type_check = fake_disk_type_check,
	.image_unpack = fake_image_unpack,
	.image_remove = fake_image_remove,
	.image_check = fake_image_check,
	.create = fake_create,
	.renew = fake_renew,
	.grow = fake_disk_grow,
	.destroy = fake_destroy,
	.extra_check = fake_extra_check,
	.extras_up = fake_extras_up,
	.extras_keep = fake_extras_keep,
	.mount = fake_mount,
	.unmount = fake_unmount,
	.inject = fake_inject,
	.capture = fake_capture,
	.free_bytes = fake_free_bytes,
	.inventory = fake_inventory,
	.empty_trash = fake_empty_trash,
};
