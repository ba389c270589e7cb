/*
 * The overlay backend on a real file system, with real mounts, in a mount namespace of the test's own.
 * The guest's view is taken by a child process in a real user namespace. Here: the mounts of a disk.
 */
#include "tests/host/check_disk.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/host/disk_vnode.h"
#include "tests/host/disk_world.h"

static void
set_up(void)
{
	world_begin("disk");
	describe_vnode(DISK_OVERLAY);
	open_disk();
}

static void
tear_down(void)
{
	close_disk();
	world_end();
}

void
add_image(const char *sha256)
{
	static const struct tar_entry entries[] = {
		{ "./", '5', .mode = 0755 },
		{ "./etc", '5' },
		{ "./etc/passwd", '0', .data = "root:x:0:0::/:/bin/sh\n" },
		{ "./etc/owned", '0', .uid = 33, .gid = 34, .data = "by 33\n" },
		{ "./tmp", '5', .mode = 01777 },
		{ "./bin/su", '0', .mode = 04755, .data = "setuid" },
	};

	add_entries(sha256, NULL, entries, VN_COUNT(entries));
}

void
create_and_mount(void)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
}

const char *
in_disk(const char *below)
{
	static char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s/disks/7/%s", state_dir, below);
	return text;
}

/* ---- mounts ---------------------------------------------------------------------------------- */

START_TEST(guest_sees_the_ids_of_its_image)
{
	create_and_mount();
	in_guest("test \"$(stat -c %u:%g:%a .)\" = 0:0:755");
	in_guest("test \"$(stat -c %u:%g etc/owned)\" = 33:34");
	in_guest("test \"$(stat -c %a bin/su)\" = 4755 && test \"$(stat -c %a tmp)\" = 1777");
}
END_TEST

START_TEST(writes_land_in_the_disk_with_the_ids_of_the_image)
{
	struct stat st;

	create_and_mount();
	in_guest("echo new >etc/new && chown 33:34 etc/new && echo more >>etc/owned && rm etc/passwd");
	ck_assert_int_eq(lstat(in_disk("upper/etc/new"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 33);
	ck_assert_uint_eq(st.st_gid, 34);
	ck_assert_int_eq(lstat(in_disk("upper/etc/owned"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 33);
	ck_assert_int_eq(lstat(in_disk("upper/etc/passwd"), &st), 0);
	ck_assert(S_ISCHR(st.st_mode));
	run("grep -q root %s/images/" SHA "/root/etc/passwd", state_dir);
	run("test \"$(cat %s/images/" SHA "/root/etc/owned)\" = 'by 33'", state_dir);
}
END_TEST

START_TEST(a_disk_survives_unmount_and_mount)
{
	create_and_mount();
	in_guest("mkdir -p srv && echo 1 >srv/count && mv etc etc.old && mkdir etc");
	for (int i = 0; i < 3; i++) {
		ok(disk->ops->unmount(disk, &spec, &err));
		ok(disk->ops->unmount(disk, &spec, &err));
		ok(disk->ops->mount(disk, &spec, path, &err));
		ok(disk->ops->mount(disk, &spec, path, &err));
		in_guest("test -f etc.old/passwd && test ! -e etc/passwd && grep -q 1 srv/count");
	}
	ck_assert_uint_eq(count_found(DISK_MOUNT), 1);
}
END_TEST

START_TEST(two_vnodes_share_an_image_and_nothing_else)
{
	struct disk_spec other = spec;
	char other_path[PATH_MAX];

	create_and_mount();
	other.vmid = 8;
	other.uuid = "33333333-3333-4333-8333-333333333333";
	ok(disk->ops->create(disk, &other, &err));
	ok(disk->ops->mount(disk, &other, other_path, &err));
	in_guest("echo mine >etc/mine");
	run("test ! -e %s/etc/mine && test -e %s/etc/passwd", other_path, other_path);
	ok(disk->ops->unmount(disk, &other, &err));
	ok(disk->ops->destroy(disk, &other, &err));
	in_guest("grep -q mine etc/mine");
}
END_TEST

START_TEST(a_privileged_vnode_has_the_hosts_ids)
{
	struct stat st;

	add_image(SHA);
	ok(disk->ops->create(disk, &privileged, &err));
	ok(disk->ops->mount(disk, &privileged, path, &err));
	run("test \"$(stat -c %%u %s/etc/owned)\" = 33 && echo x >%s/x", path, path);
	ck_assert_int_eq(lstat(in_disk("upper/x"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 0);
}
END_TEST

START_TEST(a_busy_root_is_not_taken_away)
{
	int fd;

	create_and_mount();
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fails(disk->ops->unmount(disk, &spec, &err), VN_E_BUSY);
	fails(disk->ops->destroy(disk, &spec, &err), VN_E_STATE);
	close(fd);
	ok(disk->ops->unmount(disk, &spec, &err));
}
END_TEST

/* Another namespace that was made while the root was mounted must not keep it busy. */
START_TEST(an_unmount_reaches_other_namespaces)
{
	int go[2], ready[2], status;
	char byte;
	pid_t pid;

	create_and_mount();
	ck_assert_int_eq(pipe(go) | pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		bool is_there;

		if (unshare(CLONE_NEWNS) < 0
		    || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0
		    || write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(2);
		is_there = system(vn_format("grep -q '%s/root/7 ' /proc/self/mountinfo", run_dir)) == 0;
		_exit(is_there);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ok(disk->ops->unmount(disk, &spec, &err));
	ck_assert_int_eq(write(go[1], "g", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(ready[i]);
	}
}
END_TEST

START_TEST(a_foreign_mount_is_left_alone)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	run("mkdir %s/root/7 && mount -t tmpfs foreign %s/root/7", run_dir, run_dir);
	fails(disk->ops->mount(disk, &spec, path, &err), VN_E_EXISTS);
	fails(disk->ops->unmount(disk, &spec, &err), VN_E_EXISTS);
	fails(disk->ops->inject(disk, &spec, NULL, 0, &err), VN_E_STATE);
	run("umount %s/root/7", run_dir);
}
END_TEST

START_TEST(the_host_sees_no_helper_mounts)
{
	create_and_mount();
	run("test $(grep -c %s /proc/self/mountinfo) -le 2", folder);
	run("grep '%s/root/7 ' /proc/self/mountinfo | grep -q nodev", run_dir);
}
END_TEST

START_TEST(host_down_unmounts_everything)
{
	create_and_mount();
	ok(disk->ops->host_down(disk, &err));
	ok(disk->ops->host_down(disk, &err));
	run("! grep -q %s /proc/self/mountinfo", folder);
	ok(disk->ops->host_up(disk, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
}
END_TEST

START_TEST(this_machine_lacks_nothing)
{
	char **missing;

	for (int i = 0; i < 2; i++) {
		ok(disk->ops->missing(disk, &missing, &err));
		/* How full the disk is says nothing about the code. */
		ck_assert_msg(!missing[0] || strstr(missing[0], "room for disks"), "%s", missing[0]);
		backend_free_strings(missing);
	}
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

/* A state folder on overlayfs, as on a live system or in a container. */
START_TEST(a_state_folder_on_overlayfs_is_named)
{
	struct disk *other;
	struct backend_env other_env = env;
	vn_autofree char *other_state = vn_format("%s/merged/state", folder);
	char **missing;

	run("cd %s && mkdir l u w merged && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none "
	    "merged", folder);
	other_env.state_dir = other_state;
	ok(disk_local.open(&other_env, &other, &err));
	ok(other->ops->missing(other, &missing, &err));
	ck_assert_ptr_nonnull(missing[0]);
	ck_assert_msg(strstr(missing[0], "ext4"), "%s", missing[0]);
	backend_free_strings(missing);
	other->ops->close(other);
	run("umount %s/merged", folder);
}
END_TEST

static void
add_mount_cases(TCase *tcase)
{
	tcase_add_test(tcase, guest_sees_the_ids_of_its_image);
	tcase_add_test(tcase, writes_land_in_the_disk_with_the_ids_of_the_image);
	tcase_add_test(tcase, a_disk_survives_unmount_and_mount);
	tcase_add_test(tcase, two_vnodes_share_an_image_and_nothing_else);
	tcase_add_test(tcase, a_privileged_vnode_has_the_hosts_ids);
	tcase_add_test(tcase, a_busy_root_is_not_taken_away);
	tcase_add_test(tcase, an_unmount_reaches_other_namespaces);
	tcase_add_test(tcase, a_foreign_mount_is_left_alone);
	tcase_add_test(tcase, the_host_sees_no_helper_mounts);
	tcase_add_test(tcase, host_down_unmounts_everything);
	tcase_add_test(tcase, this_machine_lacks_nothing);
	tcase_add_test(tcase, a_state_folder_on_overlayfs_is_named);
}

/* Once with mounts that are private, as without systemd, once with mounts that are shared, as with it. */
static int
run_all(unsigned long propagation)
{
	Suite *suite = suite_create(propagation == MS_SHARED ? "disk, shared mounts"
							     : "disk, private mounts");
	TCase *tcase = tcase_create("overlay");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	add_mount_cases(tcase);
	add_life_cases(tcase);
	add_image_cases(tcase);
	add_inject_cases(tcase);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	if (mount(NULL, "/", NULL, MS_REC | propagation, NULL) < 0)
		perror("set the propagation of /");
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed;
}

int
main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
		puts("skipped: needs root");
		return 77;
	}
	return run_all(MS_PRIVATE) + run_all(MS_SHARED) ? 1 : 0;
}
