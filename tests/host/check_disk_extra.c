/* Extra disks: files on loop devices below the root, which outlive it. */
#include "tests/host/check_disk_types.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

static const struct disk_extra pair[] = {
	{ "logs", 32 << 20, DISK_EXT4, "/data/logs" }, { "data", 64 << 20, DISK_EXT4, "/data" },
};

static void
begin_extras(void)
{
	begin("ext4");
	spec.type = privileged.type = DISK_OVERLAY;
	spec.extras = privileged.extras = pair;
	spec.n_extras = privileged.n_extras = 2;
	add_image();
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->extras_up(disk, &spec, &err));
	ok(disk->ops->extras_up(disk, &spec, &err));
}

static void
remount(void)
{
	ok(disk->ops->unmount(disk, &spec, &err));
	run("! grep -q %s/root/ /proc/self/mountinfo && ! losetup -a | grep -q %s/extra", run_dir, state_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
}

START_TEST(an_extra_disk_is_the_guests_and_stays_when_the_root_is_made_anew)
{
	begin_extras();
	ok(disk->ops->mount(disk, &spec, path, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
	run("test $(grep -c %s/root/7 /proc/self/mountinfo) = 3", run_dir);
	in_guest("test \"$(stat -c %u:%g:%a data)\" = 0:0:755 && test \"$(stat -f -c %T data)\" = ext2/ext3");
	in_guest("echo kept >data/file && chown 33:34 data/file && echo kept >data/logs/file");
	remount();
	in_guest("test \"$(stat -c %u:%g data/file)\" = 33:34 && grep -q kept data/logs/file");
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->renew(disk, &spec, &err));
	ok(disk->ops->mount(disk, &privileged, path, &err));
	run("cd %s && grep -q kept data/file && test $(stat -c %%u data/file) = 33", path);
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &(struct disk_spec){ .vmid = 7 }, &err));
	run("test -z \"$(find %s/extra %s/disks %s/trash -mindepth 1)\"", state_dir, state_dir, state_dir);
}
END_TEST

START_TEST(an_extra_disk_takes_room_as_it_is_filled_and_grows)
{
	static const struct disk_extra larger[] = { { "data", 256 << 20, DISK_EXT4, "/data" } };

	begin_extras();
	run("test $(du -k %s/extra/7/data | cut -f1) -lt 8192", state_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("echo kept >data/file && test $(($(stat -f -c '%b * %S' data))) -lt 67108864");
	ok(disk->ops->unmount(disk, &spec, &err));
	spec.extras = larger;
	spec.n_extras = 1;
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("grep -q kept data/file && test $(($(stat -f -c '%b * %S' data))) -gt 200000000");
	ok(disk->ops->unmount(disk, &spec, &err));
	run("fsck.ext4 -fn %s/extra/7/data >/dev/null 2>&1", state_dir);
}
END_TEST

/* While something still holds the old mount a second one shows the same file system, not another on it. */
START_TEST(a_disk_that_is_still_held_is_not_set_up_twice)
{
	begin_extras();
	ok(disk->ops->mount(disk, &spec, path, &err));
	run("mkdir %s/held && mount --bind %s/data %s/held", folder, path, folder);
	ok(disk->ops->unmount(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
	in_guest("echo one >data/file");
	run("grep -q one %s/held/file && test $(losetup -a | grep -c %s/extra/7/data) = 1", folder, state_dir);
	run("umount %s/held", folder);
}
END_TEST

START_TEST(mount_points_of_a_guest_never_lead_outside)
{
	vn_autofree char *outside = vn_format("%s/outside", folder);

	begin_extras();
	run("mkdir -p %s %s/disks/7/upper%s && ln -s ../../../../../../../../../..%s %s/disks/7/upper/data", outside,
	    state_dir, outside, outside, state_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
	run("test -z \"$(ls -A %s)\" && ! grep -q ' %s' /proc/self/mountinfo", outside, outside);
	run("test -d %s%s/logs", path, outside);
	remount();
}
END_TEST

START_TEST(a_file_where_a_mount_point_is_to_be_fails_the_mount_alone)
{
	begin_extras();
	run("echo file >%s/disks/7/upper/data", state_dir);
	ck_assert_int_eq(disk->ops->mount(disk, &spec, path, &err), -1);
	ck_assert_msg(strstr(err.text, "/data") != NULL, "%s", err.text);
	run("! grep -q %s/root/ /proc/self/mountinfo && ! losetup -a | grep -q %s/extra", run_dir, state_dir);
}
END_TEST

START_TEST(extra_disks_come_and_go_one_by_one)
{
	static const struct disk_extra other[] = { { "more", 16 << 20, DISK_EXT4, "/more" } };
	struct disk_spec fewer = spec;

	begin_extras();
	fewer.extras = pair;
	fewer.n_extras = 1;
	run("touch %s/extra/7/.new-half", state_dir);
	ok(disk->ops->extras_keep(disk, &fewer, &err));
	run("test \"$(find %s/extra/7 -type f -name '[!.]*')\" = %s/extra/7/logs && test ! -e %s/extra/7/.new-half",
	    state_dir, state_dir, state_dir);
	fewer.extras = other;
	ok(disk->ops->extras_up(disk, &fewer, &err));
	run("test -e %s/extra/7/logs && test -e %s/extra/7/more", state_dir, state_dir);
	fewer.uuid = "33333333-3333-4333-8333-333333333333";
	fails(disk->ops->extras_up(disk, &fewer, &err), VN_E_EXISTS);
	fails(disk->ops->extras_keep(disk, &fewer, &err), VN_E_EXISTS);
	fewer.uuid = spec.uuid;
	fewer.n_extras = 0;
	ok(disk->ops->extras_keep(disk, &fewer, &err));
	run("test -z \"$(find %s/extra -mindepth 1)\"", state_dir);
}
END_TEST

START_TEST(extra_disks_are_found_again)
{
	struct disk_found *found;
	size_t count, n_named = 0, n_folders = 0;

	begin_extras();
	ok(disk->ops->inventory(disk, &found, &count, &err));
	for (size_t i = 0; i < count; i++) {
		ck_assert(found[i].kind != DISK_EXTRA || found[i].vmid == 7);
		n_named += found[i].kind == DISK_EXTRA && found[i].name[0];
		n_folders += found[i].kind == DISK_EXTRA && !found[i].name[0];
	}
	free(found);
	ck_assert_uint_eq(n_named, 2);
	ck_assert_uint_eq(n_folders, 1);
}
END_TEST

/* mkfs as a program of the test's own, which fails at its second run. */
START_TEST(a_file_system_that_cannot_be_made_leaves_no_disk)
{
	vn_autofree char *before = vn_strdup(getenv("PATH")), *with = vn_format("%s/bin:%s", folder, before);

	begin("ext4");
	spec.extras = pair;
	spec.n_extras = 2;
	run("mkdir %s/bin && printf '#!/bin/sh\\ntest ! -e %s/second || { echo no luck >&2; exit 3; }; : >%s/second\\n' "
	    ">%s/bin/mkfs.ext4 && chmod 755 %s/bin/mkfs.ext4", folder, folder, folder, folder, folder);
	setenv("PATH", with, 1);
	fails(disk->ops->extras_up(disk, &spec, &err), VN_E_BACKEND);
	setenv("PATH", before, 1);
	ck_assert_msg(strstr(err.text, "no luck") && strstr(err.text, "'data'"), "%s", err.text);
	run("test -z \"$(find %s/extra %s/trash -mindepth 1)\"", state_dir, state_dir);
	ok(disk->ops->extras_up(disk, &spec, &err));
}
END_TEST

START_TEST(a_machine_without_loop_devices_is_named)
{
	run("mount --bind /dev/null /dev/loop-control");
	open_disk();
	fails(disk->ops->extra_check(disk, DISK_EXT4, &err), VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "module 'loop'") != NULL, "%s", err.text);
	ok(disk->ops->extra_check(disk, DISK_NO_FILESYSTEM, &err));
	run("umount /dev/loop-control");
}
END_TEST

void
add_extra_cases(TCase *tcase)
{
	tcase_add_test(tcase, an_extra_disk_is_the_guests_and_stays_when_the_root_is_made_anew);
	tcase_add_test(tcase, an_extra_disk_takes_room_as_it_is_filled_and_grows);
	tcase_add_test(tcase, a_disk_that_is_still_held_is_not_set_up_twice);
	tcase_add_test(tcase, mount_points_of_a_guest_never_lead_outside);
	tcase_add_test(tcase, a_file_where_a_mount_point_is_to_be_fails_the_mount_alone);
	tcase_add_test(tcase, extra_disks_come_and_go_one_by_one);
	tcase_add_test(tcase, extra_disks_are_found_again);
	tcase_add_test(tcase, a_file_system_that_cannot_be_made_leaves_no_disk);
	tcase_add_test(tcase, a_machine_without_loop_devices_is_named);
}
