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

int
fake_disk_check_type(struct call *call, const struct disk_spec *spec, struct vn_error *err)
{
	const struct disk_traits *traits = &disk_traits[spec->type];
	bool is_archive;

	if (fake_image_look(call, spec->image_sha256, err) < 0 || check_type(call->world, spec->type, err) < 0)
		return -1;
	is_archive = fake_image_find(call->world, spec->image_sha256)->facts.format == IMAGE_TAR;
	if (is_archive ? traits->of_archive : traits->of_disk)
		return 0;
	return vn_fail(err, VN_E_UNSUPPORTED, is_archive ? "the image is an archive"
		       : "the image is the disk of a virtual machine");
}
