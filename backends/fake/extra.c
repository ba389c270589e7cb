/* Extra disks as rows. */
#include "backends/fake/disk.h"

#include <string.h>

static struct vextra *
find(struct world *world, int64_t vmid, const char *name)
{
	vn_list_each(struct vextra, extra, &world->extras, link)
		if (extra->vmid == vmid && strcmp(extra->name, name) == 0)
			return extra;
	return NULL;
}

static int
check_own(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	vn_list_each(struct vextra, extra, &call->world->extras, link)
		if (extra->vmid == spec->vmid && spec->uuid && strcmp(extra->uuid, spec->uuid) != 0)
			return vn_fail(err, VN_E_EXISTS, "the disks %lld belong to another vnode; remove them",
				       (long long)spec->vmid);
	return 0;
}

/* A world lacks them when one of its sentences has the word loop. */
int
fake_extra_check(struct disk *self, int filesystem, struct vn_error *err)
{
	struct call call;
	int result = 0;

	if (call_begin(&call, fake_disk_handle(self), "disk.extra_check", 0, CALL_LOOP, err) < 0)
		return -1;
	vn_list_each(struct word, lack, &call.world->lacks, link)
		if (filesystem != DISK_NO_FILESYSTEM && strstr(lack->text, " loop "))
			result = vn_fail(err, VN_E_UNSUPPORTED, "%s", lack->text);
	return call_end(&call, result, err);
}

static int
up(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	if (fake_disk_check_up(call, err) < 0 || check_own(call, spec, err) < 0)
		return -1;
	if (spec->n_extras && fake_disk_check_space(call, err) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_extras && !(call->is_amid && i == 1); i++) {
		const struct disk_extra *wanted = &spec->extras[i];
		struct vextra *extra = find(call->world, spec->vmid, wanted->name);

		if (extra)
			continue;
		extra = vn_alloc(sizeof(*extra));
		extra->vmid = spec->vmid;
		extra->uuid = vn_strdup(spec->uuid);
		extra->name = vn_strdup(wanted->name);
		extra->size_bytes = wanted->size_bytes;
		extra->filesystem = wanted->filesystem;
		vn_list_append(&call->world->extras, &extra->link);
	}
	return 0;
}

int
fake_extras_up(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.extras_up", spec->vmid, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	return call_end(&call, up(&call, spec, err), err);
}

static bool
is_named(const struct disk_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_extras; i++)
		if (strcmp(spec->extras[i].name, name) == 0)
			return true;
	return false;
}

int
fake_extras_drop(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	if (check_own(call, spec, err) < 0)
		return -1;
	vn_list_each_safe(struct vextra, extra, &call->world->extras, link) {
		vn_autofree char *name = vn_format("%lld-%s", (long long)extra->vmid, extra->name);

		if (extra->vmid != spec->vmid || is_named(spec, extra->name))
			continue;
		if (extra->is_mounted)
			return wrong_order(call, err, "the extra disk %s is mounted", name);
		extra_free(extra);
		if (call->is_amid)
			word_add(&call->world->trash, "disk", name);
	}
	return 0;
}

int
fake_extras_keep(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.extras_keep", spec->vmid, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	return call_end(&call, fake_extras_drop(&call, spec, err), err);
}

int
fake_extras_mount(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	for (size_t i = 0; i < spec->n_extras; i++) {
		const struct disk_extra *wanted = &spec->extras[i];
		struct vextra *extra = find(call->world, spec->vmid, wanted->name);

		if (!extra)
			return wrong_order(call, err, "vnode %lld has no disk '%s'", (long long)spec->vmid,
					   wanted->name);
		if (extra->size_bytes < wanted->size_bytes)
			extra->size_bytes = wanted->size_bytes;
		extra->is_mounted |= wanted->mount != NULL;
	}
	return 0;
}

void
fake_extras_unmount(struct world *world, int64_t vmid)
{
	vn_list_each(struct vextra, extra, &world->extras, link)
		if (!vmid || extra->vmid == vmid)
			extra->is_mounted = false;
}
