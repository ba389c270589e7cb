/* Disks of type lvm-thin, with an lvm that fails when it is told to and keeps a log of all its calls. */
#include "tests/host/check_disk_types.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"
#include "tests/host/fake_lvm.h"

static void
begin_lvm(void)
{
	fake_lvm_begin(folder, &env);
	spec.type = privileged.type = DISK_LVM_THIN;
	begin("ext4");
}

/* Nothing of ours is left but what the pattern fits; what is not ours is as it was. */
static void
end_lvm(const char *left)
{
	run("test \"$(grep -o 'vnoded-11111111-[a-z0-9-]*\"' %s/lvm/volumes | grep -v 7-0 | grep -vc '%s')\" = 0", folder,
	    left);
	run("grep -q 'vnoded-11111111-7-0\": {\"tags\": \\[\"theirs\"\\], \"size\": 4194304}' %s/lvm/volumes", folder);
}

START_TEST(a_thin_volume_is_a_snapshot_of_its_image)
{
	struct disk_spec other = spec;

	begin_lvm();
	ok(disk->ops->type_check(disk, DISK_LVM_THIN, &err));
	add_image();
	other.type = DISK_LVM_THIN;
	other.vmid = 8;
	other.uuid = "33333333-3333-4333-8333-333333333333";
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->create(disk, &other, &err));
	run("test $(grep -c 'lvcreate.*--type thin' %s/lvm/log) = 1 && test $(grep -c 'lvcreate.* -s ' %s/lvm/log) = 2",
	    folder, folder);
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("test \"$(stat -c %u:%g etc/owned)\" = 33:34 && test $(stat -c %h etc/again) = 2");
	in_guest("test \"$(stat -c %a bin/su)\" = 4755 && test ! -e .vnoded-trash && echo mine >etc/mine");
	fails(disk->ops->destroy(disk, &spec, &err), VN_E_STATE);
	fails(disk->ops->grow(disk, &spec, &err), VN_E_STATE);
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->mount(disk, &other, path, &err));
	run("test ! -e %s/etc/mine", path);
	ok(disk->ops->unmount(disk, &other, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("grep -q mine etc/mine");
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->renew(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("test ! -e etc/mine && test -e etc/passwd");
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &(struct disk_spec){ .vmid = 7 }, &err));
	ok(disk->ops->destroy(disk, &other, &err));
	ok(disk->ops->image_remove(disk, SHA, &err));
	end_lvm("nothing");
}
END_TEST

START_TEST(a_thin_volume_grows_with_its_file_system)
{
	begin_lvm();
	add_image();
	spec.size_bytes = 512 << 20;
	fails(disk->ops->create(disk, &spec, &err), VN_E_INVALID);
	ck_assert_msg(strstr(err.text, "at least 1073741824") != NULL, "%s", err.text);
	run("! grep -q lvcreate %s/lvm/log && test -z \"$(find %s/disks %s/trash -mindepth 1)\"", folder, state_dir, state_dir);
	spec.size_bytes = 0;
	ok(disk->ops->create(disk, &spec, &err));
	spec.size_bytes = 2ull << 30;
	ok(disk->ops->grow(disk, &spec, &err));
	ok(disk->ops->grow(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("test $(($(stat -f -c '%b * %S' .))) -gt 1900000000 && test -e etc/passwd");
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	end_lvm("image");
}
END_TEST

START_TEST(a_raw_image_becomes_a_volume_that_only_guests_read)
{
	begin_lvm();
	add_raw_image();
	spec.image_sha256 = RAW;
	ok(disk->ops->create(disk, &spec, &err));
	run("cmp -n 8388608 %s/raw /dev/%s/$(grep -o 'vnoded-11111111-7-[a-z0-9]*' %s/disks/7/volume)", state_dir,
	    env.lvm_group, state_dir);
	fails(disk->ops->mount(disk, &spec, path, &err), VN_E_UNSUPPORTED);
	ok(disk->ops->destroy(disk, &spec, &err));
	end_lvm("image");
}
END_TEST

static const char *const lvm_faults[] = {
	"lvs 1", "lvcreate 1", "lvcreate 1+", "lvcreate 2", "lvcreate 2+", "lvchange 1", "lvchange 1+",
};

/* Whatever call fails, and whether it did its work: no disk, and what is left is found and goes. */
START_TEST(lvm_may_fail_at_any_call)
{
	begin_lvm();
	add_image();
	run(": >%s/lvm/log && echo %s >%s/lvm/fail", folder, lvm_faults[_i], folder);
	if (disk->ops->create(disk, &spec, &err) == 0)
		ck_abort_msg("'%s' was not met", lvm_faults[_i]);
	ck_assert_msg(strstr(err.text, "no luck") != NULL, "%s", err.text);
	run("rm %s/lvm/fail && test -z \"$(ls -A %s/disks)\"", folder, state_dir);
	ok(disk->ops->empty_trash(disk, &err));
	run("test $(grep -o 'vnoded-11111111-[a-z0-9-]*\": ' %s/lvm/volumes | grep -v 7-0 | grep -vc image) = 0", folder);
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("test -e etc/passwd");
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	end_lvm("image");
}
END_TEST

static const char *const lvm_removals[] = { "lvremove 1", "lvremove 1+" };

START_TEST(a_removal_that_fails_is_gone_on_with)
{
	begin_lvm();
	add_image();
	ok(disk->ops->create(disk, &spec, &err));
	run(": >%s/lvm/log && echo %s >%s/lvm/fail", folder, lvm_removals[_i], folder);
	ck_assert_int_eq(disk->ops->destroy(disk, &spec, &err), -1);
	run("rm %s/lvm/fail", folder);
	ok(disk->ops->destroy(disk, &spec, &err));
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH) + count_found(DISK_VNODE), 0);
	end_lvm("image");
}
END_TEST

START_TEST(a_volume_of_nobody_is_found_and_one_of_others_stays)
{
	begin_lvm();
	add_image();
	ok(disk->ops->create(disk, &spec, &err));
	/* As if killed after the snapshot and before the folder was whole. */
	run("rm -r %s/disks/7", state_dir);
	ck_assert_uint_eq(count_found(DISK_TRASH), 1);
	ok(disk->ops->empty_trash(disk, &err));
	end_lvm("image");
}
END_TEST

/* As someone who wants the room may do; and one who gives a volume another owner. */
START_TEST(volumes_that_others_take_away_are_missed_when_they_are_needed)
{
	struct disk_spec other = spec;

	begin_lvm();
	add_image();
	ok(disk->ops->create(disk, &spec, &err));
	run("lvm lvremove %s/$(grep -o 'vnoded-11111111-image-[a-z0-9]*\": ' %s/lvm/volumes | cut -d'\"' -f1)", env.lvm_group,
	    folder);
	other.type = DISK_LVM_THIN;
	other.vmid = 8;
	ok(disk->ops->create(disk, &other, &err));
	ok(disk->ops->mount(disk, &other, path, &err));
	in_guest("test -e etc/passwd");
	ok(disk->ops->unmount(disk, &other, &err));
	run("sed -i 's/vnoded:11111111-1111-4111-8111-111111111111:22222222[^\"]*/theirs/g' %s/lvm/volumes", folder);
	ok(disk->ops->destroy(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &other, &err));
	ok(disk->ops->empty_trash(disk, &err));
	run("test $(grep -oE 'vnoded-11111111-[78]-[a-z0-9]{2,}\": ' %s/lvm/volumes | wc -l) = 2", folder);
}
END_TEST

#define CROWD 12

/* The judge is the log of all calls. */
START_TEST(a_crowd_of_volumes_takes_one_look_not_one_each)
{
	struct disk_found *found;
	size_t count;

	begin_lvm();
	add_image();
	for (int64_t vmid = 7; vmid < 7 + CROWD; vmid++) {
		spec.vmid = vmid;
		ok(disk->ops->create(disk, &spec, &err));
	}
	/* The pool, then whether the image has its volume. */
	run("test $(grep -c '^lvs' %s/lvm/log) = 2 && test $(grep -c ^lvcreate %s/lvm/log) = %d && "
	    "test $(wc -l <%s/lvm/log) = %d", folder, folder, CROWD + 1, folder, CROWD + 4);
	/* One that is found again by a new daemon, and all but one left by a crash. */
	run(": >%s/lvm/log && for vmid in $(seq 8 %d); do rm -r %s/disks/$vmid; done", folder, 6 + CROWD, state_dir);
	disk->ops->close(disk);
	open_disk();
	ok(disk->ops->inventory(disk, &found, &count, &err));
	free(found);
	ck_assert_uint_eq(count, CROWD - 1 + 2);	/* with one disk, and its image */
	ok(disk->ops->empty_trash(disk, &err));
	run("test $(grep -c '^lvs' %s/lvm/log) = 3 && test $(grep -c ^lvremove %s/lvm/log) = 1 && "
	    "test $(wc -l <%s/lvm/log) = 4", folder, folder, folder);
	run(": >%s/lvm/log", folder);
	spec.vmid = 7;
	ok(disk->ops->mount(disk, &spec, path, &err));
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	run("test $(wc -l <%s/lvm/log) = 1", folder);
	end_lvm("image");
}
END_TEST

START_TEST(thin_volumes_need_a_group_and_a_pool)
{
	begin_lvm();
	env.lvm_pool = "linear";
	ok(disk->ops->host_up(disk, &err));
	fails(disk->ops->type_check(disk, DISK_LVM_THIN, &err), VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "no thin pool") != NULL, "%s", err.text);
	env.lvm_pool = NULL;
	ok(disk->ops->host_up(disk, &err));
	fails(disk->ops->type_check(disk, DISK_LVM_THIN, &err), VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "lvm_pool") != NULL, "%s", err.text);
	add_image();
	fails(disk->ops->create(disk, &spec, &err), VN_E_UNSUPPORTED);
	end_lvm("nothing");
}
END_TEST

void
add_lvm_cases(TCase *tcase)
{
	tcase_add_test(tcase, a_thin_volume_is_a_snapshot_of_its_image);
	tcase_add_test(tcase, a_thin_volume_grows_with_its_file_system);
	tcase_add_test(tcase, a_raw_image_becomes_a_volume_that_only_guests_read);
	tcase_add_loop_test(tcase, lvm_may_fail_at_any_call, 0, VN_COUNT(lvm_faults));
	tcase_add_loop_test(tcase, a_removal_that_fails_is_gone_on_with, 0, VN_COUNT(lvm_removals));
	tcase_add_test(tcase, a_volume_of_nobody_is_found_and_one_of_others_stays);
	tcase_add_test(tcase, volumes_that_others_take_away_are_missed_when_they_are_needed);
	tcase_add_test(tcase, a_crowd_of_volumes_takes_one_look_not_one_each);
	tcase_add_test(tcase, thin_volumes_need_a_group_and_a_pool);
}
