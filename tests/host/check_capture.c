/*
 * Disks become images and images disks again, on a real file system with real overlays. The judge is the
 * round: what was captured, also as a layer, made into another vnode's disk and captured from there, must be
 * the same archive to the byte, and look the same from outside by programs that know nothing of archives.
 */
#include "tests/host/check_capture.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/host/capture_vnode.h"
#include "tests/host/disk_world.h"
#include "tests/host/fake_lvm.h"

static void
set_up(void)
{
	cancelled = false;
	world_begin("capture");
	open_disk();
	run("mkdir %s/archives", folder);
}

static void
tear_down(void)
{
	close_disk();
	fake_lvm_end();
	world_end();
}

START_TEST(a_whole_capture_is_the_same_of_every_vnode_with_those_contents)
{
	struct vnode first, second;
	struct capture_facts a, b, c;

	lived(&first);
	capture(&first, false, "a", &a);
	capture(&first, false, "b", &b);
	ck_assert_str_eq(a.sha256, b.sha256);
	unpack_captured("a", &a, NULL);
	create(&second, 8, a.sha256);
	inject(&second);
	capture(&second, false, "c", &c);
	run("cmp %s/archives/a %s/archives/c", folder, folder);
	ck_assert_str_eq(a.sha256, c.sha256);
	look(&first, "first");
	look(&second, "second");
	run("test $(wc -l <%s/first) -gt 25 && diff %s/first %s/second", folder, folder, folder);
}
END_TEST

START_TEST(a_delta_on_the_same_image_is_the_same_vnode)
{
	struct vnode first, second;
	struct capture_facts whole, delta, again;

	lived(&first);
	capture(&first, false, "whole", &whole);
	capture(&first, true, "delta", &delta);
	capture(&first, true, "again", &again);
	ck_assert_str_eq(delta.sha256, again.sha256);
	ck_assert_str_ne(delta.sha256, whole.sha256);
	unpack_captured("delta", &delta, SHA);
	create(&second, 8, delta.sha256);
	inject(&second);
	look(&first, "first");
	look(&second, "second");
	run("diff %s/first %s/second", folder, folder);
	capture(&second, false, "round", &again);
	run("cmp %s/archives/whole %s/archives/round", folder, folder);
}
END_TEST

START_TEST(a_delta_holds_what_differs_and_nothing_else)
{
	struct capture_facts facts;
	struct vnode vnode;

	add_base_image();
	create(&vnode, 7, SHA);
	inject(&vnode);
	capture(&vnode, true, "none", &facts);
	run("! tar -tf %s/archives/none | grep -v '/$'", folder);
	in_guest(&vnode, "echo 1 >etc/new; rm one");
	capture(&vnode, true, "some", &facts);
	run("test \"$(tar -tf %s/archives/some | grep -v '/$' | tr '\\n' ' ')\" = './.wh.one ./etc/new '", folder);
}
END_TEST

START_TEST(deltas_of_deltas_go_on)
{
	struct vnode first, second, third;
	struct capture_facts facts[4];

	lived(&first);
	capture(&first, true, "0", &facts[0]);
	unpack_captured("0", &facts[0], SHA);
	create(&second, 8, facts[0].sha256);
	inject(&second);
	in_guest(&second, "mv new newer; rm -r over; echo 2 >over; rm three; mkdir etc/gone; echo 1 >etc/gone/here");
	capture(&second, true, "1", &facts[1]);
	capture(&second, false, "2", &facts[2]);
	unpack_captured("1", &facts[1], facts[0].sha256);
	create(&third, 9, facts[1].sha256);
	inject(&third);
	capture(&third, false, "3", &facts[3]);
	run("cmp %s/archives/2 %s/archives/3", folder, folder);
	in_guest(&third, "test -f newer/deep/file && test -d newer/deep/inside && test ! -e new && test ! -e old "
		 "&& test -f over && test ! -e three && test -f etc/gone/here");
}
END_TEST

START_TEST(nothing_of_a_machine_of_its_own_gets_into_an_image)
{
	struct vnode vnode;
	struct capture_facts facts;

	lived(&vnode);
	for (int delta = 0; delta <= 1; delta++) {
		capture(&vnode, delta, "a", &facts);
		run("cd %s/archives && ! grep -qaE 'key of|vnode-7|user\\.overlay|trusted\\.|SCHILY.ino=[1-9]|atime' a"
		    " && ! tar -tf a | grep -E 'hostname|ssh_host|authorized_keys|socket'", folder);
	}
	capture(&vnode, false, "a", &facts);
	run("cd %s/archives && tar -xOf a ./etc/hosts | grep -q of-the-image && "
	    "tar -xOf a ./etc/machine-id | grep -q uninitialized", folder);
}
END_TEST

START_TEST(entries_come_in_the_order_of_their_paths_bytes)
{
	struct vnode vnode;
	struct capture_facts facts;

	lived(&vnode);
	for (int delta = 0; delta <= 1; delta++) {
		capture(&vnode, delta, "a", &facts);
		run("cd %s/archives && tar --quoting-style=literal -tf a >list && test $(wc -l <list) -gt 15 && "
		    "LC_ALL=C sort -c list", folder);
	}
	run("cd %s/archives && tar -tf a | grep -qx ./over/.wh..wh..opq && tar -tf a | grep -qx ./.wh.old "
	    "&& tar -tf a | grep -qx ./new/deep/file", folder);
}
END_TEST

START_TEST(holes_are_what_is_zero_not_what_is_unwritten)
{
	struct vnode vnode;
	struct capture_facts a, b;

	lived(&vnode);
	capture(&vnode, false, "a", &a);
	ck_assert_uint_lt(a.bytes, 1 << 20);
	in_guest(&vnode, "touch -r sparse mark; cp --sparse=never sparse full; cat full >sparse; "
		 "touch -r mark sparse; rm full mark; touch -d @1 .");
	capture(&vnode, false, "a", &a);
	in_guest(&vnode, "cp --sparse=always -p sparse thin; mv thin sparse; touch -d @1 .");
	capture(&vnode, false, "b", &b);
	ck_assert_str_eq(a.sha256, b.sha256);
}
END_TEST

static void
add_round_cases(TCase *tcase)
{
	tcase_add_test(tcase, a_whole_capture_is_the_same_of_every_vnode_with_those_contents);
	tcase_add_test(tcase, a_delta_on_the_same_image_is_the_same_vnode);
	tcase_add_test(tcase, a_delta_holds_what_differs_and_nothing_else);
	tcase_add_test(tcase, deltas_of_deltas_go_on);
	tcase_add_test(tcase, nothing_of_a_machine_of_its_own_gets_into_an_image);
	tcase_add_test(tcase, entries_come_in_the_order_of_their_paths_bytes);
	tcase_add_test(tcase, holes_are_what_is_zero_not_what_is_unwritten);
}

static int
run_all(void)
{
	Suite *suite = suite_create("capture");
	TCase *tcase = tcase_create("capture");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 120);
	add_round_cases(tcase);
	add_type_cases(tcase);
	add_refusal_cases(tcase);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed;
}

int
main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		puts("skipped: needs root");
		return 77;
	}
	return run_all() ? 1 : 0;
}
