/* Disks of type reflink: clones of their image, on btrfs and on xfs. */
#include "tests/host/check_disk_types.h"

#include <string.h>

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

static const struct tar_entry layer_entries[] = {
	{ "./etc/.wh.passwd", '0' },
	{ "./etc/owned", '0', .uid = 35, .data = "by 35\n" },
	{ "./old/.wh..wh..opq", '0' },
	{ "./old/new", '0', .data = "new" },
	{ "./tmp", '0', .data = "a file where a folder was" },
	{ "./fifo", '5', .mode = 0700 },
};

static void
create_and_mount(const char *kind)
{
	begin(kind);
	add_image();
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
}

/* The tree without what may differ: names, kinds, modes, owners, sizes, times, links. */
static void
same_trees(const char *one, const char *other)
{
	run("for tree in %s %s; do (cd $tree && find . -printf '%%p %%y %%m %%U %%G %%s %%T@ %%n %%l\\n' | "
	    "sed 's/^\\(\\S* d \\S* \\S* \\S*\\) [0-9]* \\(\\S*\\) [0-9]*/\\1 \\2/' | sort; "
	    "getfattr -hRd -m - . 2>/dev/null | sort); done >%s/both && "
	    "n=$(wc -l <%s/both) && test $n -gt 20 && head -$((n / 2)) %s/both >%s/a && "
	    "tail -$((n / 2)) %s/both | diff %s/a - && diff -r --no-dereference --exclude=fifo %s %s", one,
	    other, folder, folder, folder, folder, folder, folder, one, other);
}

START_TEST(a_clone_is_its_image_to_the_attribute)
{
	vn_autofree char *image = vn_format("%s/images/" SHA "/root", state_dir);
	vn_autofree char *root = vn_format("%s/disks/7/root", state_dir);

	begin(cloning[_i]);
	add_image();
	run("cd %s && setfattr -n user.note -v kept etc/passwd && setfattr -n trusted.note -v kept etc && "
	    "setfattr -h -n trusted.note -v kept etc/link && setfattr -n security.capability -v "
	    "0x0100000200000000000000000000000000000000 bin/su", image);
	ok(disk->ops->create(disk, &spec, &err));
	same_trees(image, root);
	run("test $(stat -c %%h %s/etc/again) = 2 && test %s/etc/again -ef %s/etc/owned", root, root, root);
	run("getfattr -n user.note %s/etc/passwd >/dev/null 2>&1 && getfattr -n security.capability "
	    "%s/bin/su >/dev/null 2>&1", root, root);
}
END_TEST

START_TEST(a_clone_takes_no_room_for_its_contents)
{
	vn_autofree char *root = vn_format("%s/disks/7/root", state_dir);

	begin(cloning[_i]);
	add_image();
	/* Filled half by one file: a copy of it would not fit. */
	run("dd if=/dev/urandom of=%s/images/" SHA "/root/large bs=1M count=150 status=none && sync -f %s",
	    state_dir, state_dir);
	ok(disk->ops->create(disk, &spec, &err));
	run("cmp %s/large %s/images/" SHA "/root/large", root, state_dir);
	for (int64_t vmid = 8; vmid < 12; vmid++) {
		struct disk_spec another = spec;

		another.vmid = vmid;
		ok(disk->ops->create(disk, &another, &err));
	}
}
END_TEST

START_TEST(layers_become_one_tree)
{
	struct disk_spec overlay = spec;
	vn_autofree char *root = vn_format("%s/disks/7/root", state_dir);
	vn_autofree char *shown = vn_format("%s/root/8", run_dir);

	begin(cloning[_i]);
	add_image();
	add_entries(OTHER, SHA, layer_entries, VN_COUNT(layer_entries));
	spec.image_sha256 = overlay.image_sha256 = OTHER;
	overlay.vmid = 8;
	overlay.type = DISK_OVERLAY;
	overlay.userns = NULL;
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->create(disk, &overlay, &err));
	ok(disk->ops->mount(disk, &overlay, path, &err));
	run("cd %s && test ! -e etc/passwd && grep -q 'by 35' etc/owned && grep -q 'by 33' etc/again && "
	    "test -f tmp && test -d fifo && test -e old/new && test ! -e old/file", root);
	run("cd %s && find . -mindepth 1 -printf '%%p %%y %%m %%U %%G %%T@\\n' | sort >%s/clone && cd %s && "
	    "find . -mindepth 1 -printf '%%p %%y %%m %%U %%G %%T@\\n' | sort | diff %s/clone -", root, folder, shown,
	    folder);
	run("! getfattr -hRd -m trusted.overlay %s | grep .", root);
}
END_TEST

START_TEST(a_guest_has_its_own_ids_in_a_clone)
{
	create_and_mount(cloning[_i]);
	in_guest("test \"$(stat -c %u:%g:%a .)\" = 0:0:755 && test \"$(stat -c %u:%g etc/owned)\" = 33:34");
	in_guest("test \"$(stat -c %a bin/su)\" = 4755");
	in_guest("echo new >etc/new && chown 33:34 etc/new && echo more >>etc/owned && rm etc/passwd");
	run("test \"$(stat -c %%u:%%g %s/disks/7/root/etc/new)\" = 33:34", state_dir);
	run("test ! -e %s/disks/7/root/etc/passwd && grep -q root %s/images/" SHA "/root/etc/passwd && "
	    "test \"$(cat %s/images/" SHA "/root/etc/owned)\" = 'by 33'", state_dir, state_dir, state_dir);
}
END_TEST

START_TEST(a_clone_survives_unmount_and_a_new_daemon)
{
	create_and_mount(cloning[_i]);
	in_guest("mkdir srv && echo 1 >srv/count");
	ok(disk->ops->unmount(disk, &spec, &err));
	run("! grep -q root/7 /proc/self/mountinfo");
	ok(disk->ops->mount(disk, &spec, path, &err));
	disk->ops->close(disk);
	open_disk();
	fails(disk->ops->destroy(disk, &spec, &err), VN_E_STATE);
	fails(disk->ops->renew(disk, &spec, &err), VN_E_STATE);
	in_guest("grep -q 1 srv/count");
	ok(disk->ops->unmount(disk, &(struct disk_spec){ .vmid = 7 }, &err));
	ok(disk->ops->destroy(disk, &(struct disk_spec){ .vmid = 7 }, &err));
	run("test -z \"$(find %s/disks %s/trash %s/root -mindepth 1)\"", state_dir, state_dir, run_dir);
}
END_TEST

START_TEST(a_disk_may_become_one_of_another_type)
{
	struct disk_spec overlay = spec;

	overlay.type = DISK_OVERLAY;
	create_and_mount(cloning[_i]);
	ok(disk->ops->unmount(disk, &spec, &err));
	fails(disk->ops->mount(disk, &overlay, path, &err), VN_E_STATE);
	fails(disk->ops->create(disk, &overlay, &err), VN_E_STATE);
	ok(disk->ops->renew(disk, &overlay, &err));
	ok(disk->ops->mount(disk, &overlay, path, &err));
	in_guest("test -e etc/passwd");
	ok(disk->ops->unmount(disk, &overlay, &err));
	ok(disk->ops->renew(disk, &spec, &err));
	ok(disk->ops->mount(disk, &privileged, path, &err));
	run("test -e %s/etc/passwd", path);
}
END_TEST

START_TEST(a_clone_that_does_not_fit_leaves_nothing)
{
	begin(cloning[_i]);
	add_image();
	run("cd %s && dd if=/dev/zero of=filler bs=64k status=none 2>/dev/null; sync -f . || true", state_dir);
	fails(disk->ops->create(disk, &spec, &err), VN_E_LIMIT);
	run("rm %s/filler && test -z \"$(find %s/disks %s/trash -mindepth 1)\"", state_dir, state_dir,
	    state_dir);
	ok(disk->ops->create(disk, &spec, &err));
}
END_TEST

START_TEST(a_file_system_without_clones_is_named)
{
	begin("ext4");
	add_image();
	fails(disk->ops->type_check(disk, DISK_REFLINK, &err), VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "btrfs") != NULL, "%s", err.text);
	ok(disk->ops->type_check(disk, DISK_OVERLAY, &err));
	fails(disk->ops->create(disk, &spec, &err), VN_E_UNSUPPORTED);
	run("test -z \"$(find %s/disks %s/trash -mindepth 1)\"", state_dir, state_dir);
}
END_TEST

void
add_reflink_cases(TCase *tcase)
{
	tcase_add_loop_test(tcase, a_clone_is_its_image_to_the_attribute, 0, 2);
	tcase_add_loop_test(tcase, a_clone_takes_no_room_for_its_contents, 0, 2);
	tcase_add_loop_test(tcase, layers_become_one_tree, 0, 2);
	tcase_add_loop_test(tcase, a_guest_has_its_own_ids_in_a_clone, 0, 2);
	tcase_add_loop_test(tcase, a_clone_survives_unmount_and_a_new_daemon, 0, 2);
	tcase_add_loop_test(tcase, a_disk_may_become_one_of_another_type, 0, 2);
	tcase_add_loop_test(tcase, a_clone_that_does_not_fit_leaves_nothing, 0, 2);
	tcase_add_test(tcase, a_file_system_without_clones_is_named);
}
