/*
 * Types of disks on file systems that can have them and on some that cannot: images of btrfs, xfs and ext4
 * in files, mounted in a mount namespace of the test's own. Each type has a file; here is what they share.
 */
#include "tests/host/check_disk_types.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"
#include "tests/host/fake_lvm.h"

const char *const cloning[] = { "btrfs", "xfs" };

static void
set_up(void)
{
	world_begin("types");
	describe_vnode(DISK_REFLINK);
}

static void
tear_down(void)
{
	close_disk();
	fake_lvm_end();
	world_end();
}

void
begin(const char *kind)
{
	mount_state(kind);
	open_disk();
}

void
add_image(void)
{
	static const struct tar_entry entries[] = {
		{ "./", '5', .mode = 0755 },
		{ "./etc", '5' },
		{ "./etc/passwd", '0', .data = "root:x:0:0::/:/bin/sh\n" },
		{ "./etc/owned", '0', .uid = 33, .gid = 34, .data = "by 33\n" },
		{ "./etc/again", '1', "etc/owned" },
		{ "./etc/link", '2', "../tmp/nowhere" },
		{ "./etc/empty", '0' },
		{ "./sparse", '0', .data = "end of zeros:", .zeros = 1 << 20 },
		{ "./fifo", '6' },
		{ "./tmp", '5', .mode = 01777 },
		{ "./old", '5' },
		{ "./old/file", '0', .data = "old" },
		{ "./bin/su", '0', .mode = 04755, .data = "setuid" },
	};

	add_entries(SHA, NULL, entries, VN_COUNT(entries));
}

void
add_raw_image(void)
{
	vn_autofree char *file = vn_format("%s/raw", state_dir);

	run("truncate -s 8M %s && echo here | dd of=%s bs=1 seek=4194304 conv=notrunc status=none", file, file);
	ok(unpack(&(struct image_spec){ .path = file, .sha256 = RAW, .format = IMAGE_RAW }));
}

static void
add_tcase(Suite *suite, const char *name, void (*add)(TCase *tcase))
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 120);
	add(tcase);
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	Suite *suite = suite_create("types of disks");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0
	    || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		puts("skipped: needs root");
		return 77;
	}
	add_tcase(suite, "reflink", add_reflink_cases);
	add_tcase(suite, "extra", add_extra_cases);
	add_tcase(suite, "qcow2", add_qcow2_cases);
	add_tcase(suite, "lvm", add_lvm_cases);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
