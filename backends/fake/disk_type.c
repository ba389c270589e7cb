/* The types of disks in a world: it has all of them but those that one of its sentences names. */
#include "backends/fake/disk.h"

#include <string.h>

static int
check_type(const struct world *world, int type, struct vn_error *err)
{
	vn_autofree char *needle = vn_format(" %s ", disk_type_words[type]);

	vn_list_each(struct word, lack, &world->lacks, link)
		if (strstr(lack->text, needle))
			return vn_fail(err, VN_E_UNSUPPORTED, "%s", lack->text);
	return 0;
}

int
fake_disk_type_check(struct disk *self, int type, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.type_check", 0, CALL_LOOP, err) < 0)
		return -1;
	return call_end(&call, check_type(call.world, type, err), err);
}

static int
check_size(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	const struct image *image = fake_image_find(call->world, spec->image_sha256);
	bool is_archive = image->facts.format == IMAGE_TAR;
	uint64_t bytes = is_archive ? 0 : image->facts.virtual_bytes;

	for (; is_archive && image; image = image->facts.base[0] ? fake_image_find(call->world, image->facts.base) : NULL)
		bytes += image->facts.bytes;
	if (!spec->size_bytes || spec->size_bytes >= disk_least_bytes(spec->type, is_archive, bytes))
		return 0;
	return vn_fail(err, VN_E_INVALID, "the disk would be smaller than what its image holds");
}

int
fake_disk_check_type(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	const struct disk_traits *traits = &disk_traits[spec->type];
	int format;

	if (fake_image_look(call, spec->image_sha256, err) < 0 || check_type(call->world, spec->type, err) < 0)
		return -1;
	format = fake_image_find(call->world, spec->image_sha256)->facts.format;
	if (format == IMAGE_TAR ? traits->of_archive : format == IMAGE_RAW ? traits->of_raw : traits->of_qcow2)
		return check_size(call, spec, err);
	return vn_fail(err, VN_E_UNSUPPORTED, format == IMAGE_TAR ? "the image is an archive"
		       : "the image is the disk of a virtual machine");
}

static int
grow(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	struct vdisk *disk = disk_find(call->world, spec->vmid);

	if (!disk)
		return wrong_order(call, err, "vnode %lld has no disk", (long long)spec->vmid);
	if (disk->mount || guest_by_vmid(call->world, spec->vmid))
		return wrong_order(call, err, "the disk of vnode %lld is in use", (long long)spec->vmid);
	if (!disk_traits[disk->type].has_size)
		return vn_fail(err, VN_E_UNSUPPORTED, "a disk of type '%s' has no size",
			       disk_type_words[disk->type]);
	if (fake_disk_check_space(call, err) < 0)
		return -1;
	if (disk->size_bytes < spec->size_bytes)
		disk->size_bytes = spec->size_bytes;
	return 0;
}

int
fake_disk_grow(struct disk *self, const struct disk_spec *spec, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, fake_disk_handle(self), "disk.grow", spec->vmid, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, grow(&call, spec, err), err);
}
