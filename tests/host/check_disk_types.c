/*
 * Types of disks on file systems that can have them and on some that cannot: images of btrfs, xfs and ext4
 * in files, mounted in a mount namespace of the test's own.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/host/fake_lvm.h"
#include "tests/tar_file.h"

#define SHA   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LAYER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define BASE  200000u

static const char *const cloning[] = { "btrfs", "xfs" };

static char folder[64], state_dir[96], run_dir[96], userns[64], path[PATH_MAX];
static struct backend_env env;
static struct disk *disk;
static struct vn_error err;
static struct disk_spec spec, privileged;
static pid_t sleeper;

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

static const struct tar_entry layer_entries[] = {
	{ "./etc/.wh.passwd", '0' },
	{ "./etc/owned", '0', .uid = 35, .data = "by 35\n" },
	{ "./old/.wh..wh..opq", '0' },
	{ "./old/new", '0', .data = "new" },
	{ "./tmp", '0', .data = "a file where a folder was" },
	{ "./fifo", '5', .mode = 0700 },
};

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
run(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	ck_assert_msg(system(command) == 0, "failed: %s", command);
}

#define ok(call) ck_assert_msg((call) == 0, "%s: %s", #call, err.text)
#define fails(call, wanted)                                                                        \
	do {                                                                                       \
		ck_assert_msg((call) == -1, "%s succeeded", #call);                                \
		ck_assert_msg(err.code == (wanted), "%s: %s: %s", #call, vn_code_word(err.code),   \
			      err.text);                                                           \
	} while (0)

/* A process in a user namespace whose ids are shifted by BASE. */
static void
make_userns(void)
{
	char ready;
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	sleeper = fork();
	if (sleeper == 0) {
		if (unshare(CLONE_NEWUSER) < 0 || write(pipes[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(pipes[0], &ready, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	run("echo 0 %u 65536 >/proc/%d/uid_map && echo 0 %u 65536 >/proc/%d/gid_map", BASE, sleeper,
	    BASE, sleeper);
	snprintf(userns, sizeof(userns), "/proc/%d/ns/user", sleeper);
}

/* A file system of that kind below state_dir, and the backend on it. */
static void
begin(const char *kind)
{
	run("truncate -s 400M %s/fs && mkfs.%s -q %s/fs >/dev/null 2>&1 && mkdir -p %s && "
	    "mount -o loop %s/fs %s", folder, kind, folder, state_dir, folder, state_dir);
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
}

static void
set_up(void)
{
	memset(&err, 0, sizeof(err));
	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-types-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(state_dir, sizeof(state_dir), "%s/state", folder);
	snprintf(run_dir, sizeof(run_dir), "%s/run", folder);
	env = (struct backend_env){ .instance = "11111111-1111-4111-8111-111111111111",
				    .state_dir = state_dir, .run_dir = run_dir };
	make_userns();
	spec = (struct disk_spec){ .vmid = 7, .uuid = "22222222-2222-4222-8222-222222222222",
				   .image_sha256 = SHA, .type = DISK_REFLINK, .userns = userns,
				   .idmap_base = BASE };
	privileged = spec;
	privileged.userns = NULL;
}

static void
tear_down(void)
{
	ok(disk->ops->host_down(disk, &err));
	disk->ops->close(disk);
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
	fake_lvm_end();
	run("umount %s && ! grep -q %s /proc/self/mountinfo && ! losetup -a | grep -q %s && rm -rf %s",
	    state_dir, folder, folder, folder);
}

static void
add_image(const char *sha256, const char *base, const struct tar_entry *list, size_t count)
{
	vn_autofree char *archive = vn_format("%s/image.tar", folder);
	struct image_spec image = { .path = archive, .sha256 = sha256, .base = base };
	struct unpack_limits limits = { .bytes = 10 << 20, .entries = 100 };
	struct image_facts facts;
	bool cancelled = false;
	uint64_t progress = 0;

	tar_write(archive, list, count);
	ok(disk->ops->image_unpack(disk, &image, &limits, &cancelled, &progress, &facts, &err));
}

static void
create_and_mount(const char *kind)
{
	begin(kind);
	add_image(SHA, NULL, entries, VN_COUNT(entries));
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->mount(disk, &spec, path, &err));
}

/* Runs a shell command as the guest's root, in its root folder. */
static void
in_guest(const char *command)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), ns = open(userns, O_RDONLY | O_CLOEXEC);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setns(ns, CLONE_NEWUSER) < 0 || setgid(0) < 0 || setuid(0) < 0 || fchdir(fd) < 0)
			_exit(99);
		execl("/bin/sh", "sh", "-ec", command, NULL);
		_exit(98);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(fd);
	close(ns);
	ck_assert_msg(status == 0, "status %d of: %s", status, command);
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

/* ---- reflink --------------------------------------------------------------------------------- */

START_TEST(a_clone_is_its_image_to_the_attribute)
{
	vn_autofree char *image = vn_format("%s/images/" SHA "/root", state_dir);
	vn_autofree char *root = vn_format("%s/disks/7/root", state_dir);

	begin(cloning[_i]);
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
	add_image(LAYER, SHA, layer_entries, VN_COUNT(layer_entries));
	spec.image_sha256 = overlay.image_sha256 = LAYER;
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
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
	fails(disk->ops->type_check(disk, DISK_REFLINK, &err), VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "btrfs") != NULL, "%s", err.text);
	ok(disk->ops->type_check(disk, DISK_OVERLAY, &err));
	fails(disk->ops->create(disk, &spec, &err), VN_E_UNSUPPORTED);
	run("test -z \"$(find %s/disks %s/trash -mindepth 1)\"", state_dir, state_dir);
}
END_TEST

/* ---- extra disks ----------------------------------------------------------------------------- */

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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
	fails(disk->ops->extra_check(disk, DISK_EXT4, &err), VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "module 'loop'") != NULL, "%s", err.text);
	ok(disk->ops->extra_check(disk, DISK_NO_FILESYSTEM, &err));
	run("umount /dev/loop-control && mount -t tmpfs none %s", state_dir);
}
END_TEST

/* ---- qcow2 ------------------------------------------------------------------------------------ */

#define RAW "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

/* An 8 MiB disk with something in it. */
static void
add_raw_image(void)
{
	vn_autofree char *file = vn_format("%s/raw", state_dir);
	struct image_spec image = { .path = file, .sha256 = RAW, .format = IMAGE_RAW };
	struct unpack_limits limits = { .bytes = 100 << 20, .entries = 100 };
	struct image_facts facts;
	bool cancelled = false;
	uint64_t progress = 0;

	run("truncate -s 8M %s && echo here | dd of=%s bs=1 seek=4194304 conv=notrunc status=none", file, file);
	ok(disk->ops->image_unpack(disk, &image, &limits, &cancelled, &progress, &facts, &err));
}

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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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

/* ---- lvm-thin -------------------------------------------------------------------------------- */

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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	struct disk_found *found;
	size_t count, n_trash = 0;

	begin_lvm();
	add_image(SHA, NULL, entries, VN_COUNT(entries));
	ok(disk->ops->create(disk, &spec, &err));
	run(": >%s/lvm/log && echo %s >%s/lvm/fail", folder, lvm_removals[_i], folder);
	ck_assert_int_eq(disk->ops->destroy(disk, &spec, &err), -1);
	run("rm %s/lvm/fail", folder);
	ok(disk->ops->destroy(disk, &spec, &err));
	ok(disk->ops->empty_trash(disk, &err));
	ok(disk->ops->inventory(disk, &found, &count, &err));
	for (size_t i = 0; i < count; i++)
		n_trash += found[i].kind == DISK_TRASH || found[i].kind == DISK_VNODE;
	free(found);
	ck_assert_uint_eq(n_trash, 0);
	end_lvm("image");
}
END_TEST

START_TEST(a_volume_of_nobody_is_found_and_one_of_others_stays)
{
	struct disk_found *found;
	size_t count, n_trash = 0;

	begin_lvm();
	add_image(SHA, NULL, entries, VN_COUNT(entries));
	ok(disk->ops->create(disk, &spec, &err));
	/* As if killed after the snapshot and before the folder was whole. */
	run("rm -r %s/disks/7", state_dir);
	ok(disk->ops->inventory(disk, &found, &count, &err));
	for (size_t i = 0; i < count; i++)
		n_trash += found[i].kind == DISK_TRASH;
	free(found);
	ck_assert_uint_eq(n_trash, 1);
	ok(disk->ops->empty_trash(disk, &err));
	end_lvm("image");
}
END_TEST

/* As someone who wants the room may do; and one who gives a volume another owner. */
START_TEST(volumes_that_others_take_away_are_missed_when_they_are_needed)
{
	struct disk_spec other = spec;

	begin_lvm();
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
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
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
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
	add_image(SHA, NULL, entries, VN_COUNT(entries));
	fails(disk->ops->create(disk, &spec, &err), VN_E_UNSUPPORTED);
	end_lvm("nothing");
}
END_TEST

/* ---- all ------------------------------------------------------------------------------------- */

static void
add_reflinks(TCase *tcase)
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

static void
add_extras(TCase *tcase)
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

static void
add_qcow2(TCase *tcase)
{
	tcase_add_test(tcase, a_qcow2_disk_lies_over_its_image_and_grows);
	tcase_add_test(tcase, a_disk_is_made_from_images_of_its_kind_only);
	tcase_add_loop_test(tcase, a_disk_from_another_file_system_is_copied_with_its_holes, 0, 3);
}

static void
add_lvm(TCase *tcase)
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
	add_tcase(suite, "reflink", add_reflinks);
	add_tcase(suite, "extra", add_extras);
	add_tcase(suite, "qcow2", add_qcow2);
	add_tcase(suite, "lvm", add_lvm);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
