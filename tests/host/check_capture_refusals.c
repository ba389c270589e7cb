/* Captures that cannot be: they say why, and leave nothing behind. */
#include "tests/host/check_capture.h"

#include <string.h>
#include <sys/mount.h>

#include "proto/base/mem.h"
#include "tests/host/capture_vnode.h"
#include "tests/host/disk_world.h"

static const struct {
	const char *command, *says;
} refused[] = {
	{ "echo >a/.wh.x", ".wh." },
	{ "mkdir .wh..wh..opq", ".wh." },
	{ "printf 1 >\"a/$(printf 'x\\377')\"", "UTF-8" },
	{ "ln -s \"$(printf 'x\\377')\" bad", "UTF-8" },
	{ "ln -s ../../../../../x bad", "outside" },
	{ "truncate -s 1G big; dd if=/dev/urandom of=big bs=1M count=70 conv=notrunc status=none", "image_unpacked_limit" },
	{ "mkdir many; for i in $(seq 1100); do : >many/$i; done", "image_entries" },
};

START_TEST(what_an_image_cannot_hold_is_named)
{
	vn_autofree char *path = NULL;
	struct capture_facts facts;
	struct vnode vnode;

	lived(&vnode);
	in_guest(&vnode, refused[_i].command);
	path = vn_format("%s/archives/x", folder);
	for (int delta = 0; delta <= 1; delta++) {
		ck_assert_int_eq(try_capture(&vnode, delta, path, &facts), -1);
		ck_assert_msg(strstr(err.text, refused[_i].says), "%s", err.text);
		ck_assert(err.code == VN_E_INVALID || err.code == VN_E_LIMIT);
		run("test ! -e %s", path);
	}
}
END_TEST

START_TEST(a_capture_can_be_called_off_and_needs_a_disk_to_itself)
{
	vn_autofree char *path = vn_format("%s/archives/x", folder);
	struct capture_facts facts;
	struct vnode vnode, absent = { 0 };

	lived(&vnode);
	cancelled = true;
	fails(try_capture(&vnode, false, path, &facts), VN_E_CANCELLED);
	cancelled = false;
	ok(disk->ops->mount(disk, &vnode.spec, vnode.root, &err));
	fails(try_capture(&vnode, false, path, &facts), VN_E_STATE);
	ok(disk->ops->unmount(disk, &vnode.spec, &err));
	absent.spec = vnode.spec;
	absent.spec.vmid = 99;
	fails(try_capture(&absent, false, path, &facts), VN_E_NOT_FOUND);
	run("test ! -e %s", path);
}
END_TEST

/* A small file system for the archive alone: full at many points. */
START_TEST(a_full_disk_leaves_nothing)
{
	vn_autofree char *small = vn_format("%s/small", folder);
	vn_autofree char *path = vn_format("%s/x", small);
	struct capture_facts facts;
	struct vnode vnode;
	unsigned refusals = 0;

	lived(&vnode);
	in_guest(&vnode, "dd if=/dev/urandom of=noise bs=1M count=3 status=none");
	run("mkdir %s", small);
	for (unsigned kib = 1 << 10; kib < 16 << 10; kib += 900) {
		vn_autofree char *options = vn_format("size=%uk", kib);

		ck_assert_int_eq(mount("tmpfs", small, "tmpfs", 0, options), 0);
		if (try_capture(&vnode, false, path, &facts) < 0) {
			ck_assert_msg(err.code == VN_E_LIMIT, "%s", err.text);
			run("test -z \"$(ls -A %s)\"", small);
			refusals++;
		}
		ck_assert_int_eq(umount2(small, 0), 0);
	}
	ck_assert_uint_gt(refusals, 5);
	ck_assert_uint_lt(refusals, 17);
}
END_TEST

void
add_refusal_cases(TCase *tcase)
{
	tcase_add_loop_test(tcase, what_an_image_cannot_hold_is_named, 0, VN_COUNT(refused));
	tcase_add_test(tcase, a_capture_can_be_called_off_and_needs_a_disk_to_itself);
	tcase_add_test(tcase, a_full_disk_leaves_nothing);
}
