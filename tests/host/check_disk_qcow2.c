/* Disks of type qcow2, and the images of disks that they lie over. */
#include "tests/host/check_disk_types.h"

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

static uint64_t told;

static void
note_progress(void *arg, uint64_t done, uint64_t total)
{
	ck_assert_uint_ge(done, *(uint64_t *)arg);
	ck_assert_uint_le(done, total);
	*(uint64_t *)arg = done;
}

START_TEST(a_qcow2_disk_lies_over_its_image_and_grows)
{
	vn_autofree char *file = vn_format("%s/disks/7/disk.qcow2", state_dir);

	begin("ext4");
	add_raw_image();
	spec.type = DISK_QCOW2;
	spec.image_sha256 = RAW;
	ok(disk->ops->type_check(disk, DISK_QCOW2, &err));
	spec.size_bytes = 4 << 20;
	fails(disk->ops->create(disk, &spec, &err), VN_E_INVALID);
	run("test -z \"$(find %s/disks %s/trash -mindepth 1)\"", state_dir, state_dir);
	spec.size_bytes = 0;
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->create(disk, &spec, &err));
	run("qemu-img info --output json %s | grep -q '\"virtual-size\": 8388608' && "
	    "qemu-img info --output json %s | grep -q '\"backing-filename-format\": \"raw\"' && "
	    "qemu-img compare -q %s %s/raw", file, file, file, state_dir);
	spec.size_bytes = 16 << 20;
	ok(disk->ops->grow(disk, &spec, &err));
	ok(disk->ops->grow(disk, &spec, &err));
	run("qemu-img info --output json %s | grep -q '\"virtual-size\": 16777216'", file);
	spec.size_bytes = 8 << 20;
	ok(disk->ops->grow(disk, &spec, &err));
	run("qemu-img info --output json %s | grep -q '\"virtual-size\": 16777216'", file);
	fails(disk->ops->mount(disk, &spec, path, &err), VN_E_UNSUPPORTED);
	fails(disk->ops->image_remove(disk, RAW, &err), VN_E_STATE);
	spec.size_bytes = 0;
	ok(disk->ops->renew(disk, &spec, &err));
	run("qemu-img info --output json %s | grep -q '\"virtual-size\": 8388608'", file);
	ok(disk->ops->destroy(disk, &spec, &err));
}
END_TEST

START_TEST(a_disk_is_made_from_images_of_its_kind_only)
{
	begin("ext4");
	add_raw_image();
	add_image();
	spec.type = DISK_QCOW2;
	fails(disk->ops->create(disk, &spec, &err), VN_E_UNSUPPORTED);
	spec.type = DISK_OVERLAY;
	spec.image_sha256 = RAW;
	fails(disk->ops->create(disk, &spec, &err), VN_E_UNSUPPORTED);
	spec.image_sha256 = SHA;
	ok(disk->ops->create(disk, &spec, &err));
	fails(disk->ops->grow(disk, &spec, &err), VN_E_UNSUPPORTED);
	run("test \"$(ls %s/disks)\" = 7 && test -z \"$(ls %s/trash)\"", state_dir, state_dir);
}
END_TEST

/* What comes from another file system than the store's is copied: its holes stay, and half of it is never used. */
START_TEST(a_disk_from_another_file_system_is_copied_with_its_holes)
{
	vn_autofree char *file = vn_format("%s/raw", folder);
	vn_autofree char *stored = vn_format("%s/images/" RAW "/disk", state_dir);
	struct unpack_limits limits = { .bytes = 100 << 20, .entries = 100 };
	struct image_spec image = { .path = file, .sha256 = RAW, .format = IMAGE_RAW, .arg = &told,
				    .on_progress = note_progress };
	bool cancelled = true;
	struct image_facts facts;
	uint64_t progress = 0;

	told = 0;
	begin(_i == 2 ? "ext4" : cloning[_i]);
	run("truncate -s 32M %s && for at in 0 9 31; do dd if=/dev/urandom of=%s bs=1M count=1 seek=$at conv=notrunc status=none; "
	    "done", file, file);
	fails(disk->ops->image_unpack(disk, &image, &limits, &cancelled, &progress, &facts, &err), VN_E_CANCELLED);
	run("test -z \"$(find %s/images %s/trash -mindepth 1)\"", state_dir, state_dir);
	cancelled = false;
	progress = told = 0;
	ok(disk->ops->image_unpack(disk, &image, &limits, &cancelled, &progress, &facts, &err));
	run("cmp %s %s && test $(stat -c %%b %s) -lt 8000 && test $(stat -c %%a:%%h %s) = 600:1", file, stored, stored, stored);
	ck_assert_uint_eq(progress, 32 << 20);
	ck_assert_uint_eq(told, 32 << 20);
	ck_assert_uint_eq(facts.virtual_bytes, 32 << 20);
	run("test $(stat -c %%h %s) = 1", file);
}
END_TEST

void
add_qcow2_cases(TCase *tcase)
{
	tcase_add_test(tcase, a_qcow2_disk_lies_over_its_image_and_grows);
	tcase_add_test(tcase, a_disk_is_made_from_images_of_its_kind_only);
	tcase_add_loop_test(tcase, a_disk_from_another_file_system_is_copied_with_its_holes, 0, 3);
}
