/*
 * The overlay backend on a real file system, with real mounts, in a mount namespace of the test's own.
 * The guest's view is taken by a child process in a real user namespace.
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
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/tar_file.h"

#define SHA   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define BASE  200000u

static char folder[64], state_dir[96], run_dir[96], userns[64], path[PATH_MAX];
static struct backend_env env;
static struct disk *disk;
static struct vn_error err;
static struct disk_spec spec, privileged;
static pid_t sleeper;

static const struct tar_entry image_entries[] = {
	{ "./", '5', .mode = 0755 },
	{ "./etc", '5' },
	{ "./etc/passwd", '0', .data = "root:x:0:0::/:/bin/sh\n" },
	{ "./etc/owned", '0', .uid = 33, .gid = 34, .data = "by 33\n" },
	{ "./tmp", '5', .mode = 01777 },
	{ "./bin/su", '0', .mode = 04755, .data = "setuid" },
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

static int
unpack_image(const struct image_spec *image)
{
	struct unpack_limits limits = { .bytes = 1 << 20, .entries = 100 };
	struct image_facts facts;
	bool cancelled = false;
	uint64_t progress = 0;

	return disk->ops->image_unpack(disk, image, &limits, &cancelled, &progress, &facts, &err);
}

static int
unpack(const char *archive, const char *sha256)
{
	return unpack_image(&(struct image_spec){ .path = archive, .sha256 = sha256 });
}

static void
add_image(const char *sha256)
{
	vn_autofree char *archive = vn_format("%s/image.tar", folder);

	tar_write(archive, image_entries, VN_COUNT(image_entries));
	ok(unpack(archive, sha256));
}

static void
open_disk(void)
{
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
}

static void
set_up(void)
{
	memset(&err, 0, sizeof(err));
	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-disk-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(state_dir, sizeof(state_dir), "%s/state", folder);
	snprintf(run_dir, sizeof(run_dir), "%s/run", folder);
	env = (struct backend_env){ .instance = "11111111-1111-4111-8111-111111111111",
				    .state_dir = state_dir, .run_dir = run_dir };
	make_userns();
	spec = (struct disk_spec){ .vmid = 7, .uuid = "22222222-2222-4222-8222-222222222222",
				   .image_sha256 = SHA, .userns = userns, .idmap_base = BASE };
	privileged = spec;
	privileged.userns = NULL;
	open_disk();
}

static void
tear_down(void)
{
	ok(disk->ops->host_down(disk, &err));
	disk->ops->close(disk);
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
	run("! grep -q %s /proc/self/mountinfo && rm -rf %s", folder, folder);
}

static void
create_and_mount(void)
{
	add_image(SHA);
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

static const char *
in_disk(const char *below)
{
	static char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s/disks/7/%s", state_dir, below);
	return text;
}

static size_t
count_found(enum disk_kind kind)
{
	struct disk_found *found;
	size_t n_found, count = 0;

	ok(disk->ops->inventory(disk, &found, &n_found, &err));
	for (size_t i = 0; i < n_found; i++)
		count += found[i].kind == kind;
	free(found);
	return count;
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

/* ---- disks ----------------------------------------------------------------------------------- */

START_TEST(create_and_destroy_may_be_repeated)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->create(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	ok(disk->ops->destroy(disk, &spec, &err));
	ck_assert_uint_eq(count_found(DISK_VNODE), 0);
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
	fails(disk->ops->mount(disk, &spec, path, &err), VN_E_NOT_FOUND);
}
END_TEST

START_TEST(a_disk_of_someone_else_is_left_alone)
{
	struct disk_spec other = spec;

	add_image(SHA);
	other.uuid = "33333333-3333-4333-8333-333333333333";
	ok(disk->ops->create(disk, &spec, &err));
	fails(disk->ops->create(disk, &other, &err), VN_E_EXISTS);
	fails(disk->ops->destroy(disk, &other, &err), VN_E_EXISTS);
	fails(disk->ops->mount(disk, &other, path, &err), VN_E_EXISTS);
	run("mkdir -p %s/disks/9/upper", state_dir);
	other.vmid = 9;
	fails(disk->ops->create(disk, &other, &err), VN_E_EXISTS);
	fails(disk->ops->destroy(disk, &other, &err), VN_E_EXISTS);
	run("test -d %s/disks/9/upper", state_dir);
}
END_TEST

START_TEST(a_disk_is_mounted_on_its_own_image_only)
{
	struct disk_spec other = spec;

	add_image(SHA);
	add_image(OTHER);
	other.image_sha256 = OTHER;
	ok(disk->ops->create(disk, &spec, &err));
	fails(disk->ops->mount(disk, &other, path, &err), VN_E_STATE);
	fails(disk->ops->create(disk, &other, &err), VN_E_STATE);
	fails(disk->ops->image_remove(disk, SHA, &err), VN_E_STATE);
	ok(disk->ops->image_remove(disk, OTHER, &err));
	ok(disk->ops->image_remove(disk, OTHER, &err));
	fails(disk->ops->image_check(disk, OTHER, &err), VN_E_NOT_FOUND);
}
END_TEST

START_TEST(a_renewed_disk_is_fresh_on_any_image_and_the_old_one_goes)
{
	struct disk_spec other = spec;

	add_image(SHA);
	add_image(OTHER);
	other.image_sha256 = OTHER;
	ok(disk->ops->create(disk, &spec, &err));
	run("touch %s/disks/7/upper/mine", state_dir);
	fails(disk->ops->renew(disk, &(struct disk_spec){ .vmid = 7, .uuid = "33333333-3333-4333-8333-333333333333",
				       .image_sha256 = SHA }, &err), VN_E_EXISTS);
	run("test -e %s/disks/7/upper/mine", state_dir);
	ok(disk->ops->renew(disk, &other, &err));
	run("test ! -e %s/disks/7/upper/mine && test ! -e %s/disks/.new-7", state_dir, state_dir);
	ok(disk->ops->mount(disk, &other, path, &err));
	fails(disk->ops->renew(disk, &other, &err), VN_E_STATE);
	ok(disk->ops->unmount(disk, &other, &err));
	/* As if killed between putting the fresh one in place and trashing the old one. */
	run("mkdir -p %s/disks/.new-7/upper && touch %s/disks/.new-7/upper/old", state_dir, state_dir);
	ok(disk->ops->renew(disk, &spec, &err));
	run("test ! -e %s/disks/.new-7", state_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
	ok(disk->ops->unmount(disk, &spec, &err));
}
END_TEST

/* What a kill in the middle leaves, made by hand: the next call goes on from there. */
START_TEST(half_made_disks_are_made_whole)
{
	add_image(SHA);
	run("mkdir -p %s/disks/.new-7/upper && echo '{}' >%s/disks/.new-7/owner.new", state_dir,
	    state_dir);
	ok(disk->ops->create(disk, &spec, &err));
	run("test ! -e %s/disks/.new-7", state_dir);
	run("mkdir %s/root/7", run_dir);
	ok(disk->ops->mount(disk, &spec, path, &err));
	ok(disk->ops->unmount(disk, &spec, &err));
	run("mkdir %s/trash/disk-7-0 && mv %s/disks/7 %s/trash/disk-7-0/0", state_dir, state_dir,
	    state_dir);
	ok(disk->ops->destroy(disk, &spec, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 1);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

START_TEST(trees_of_any_depth_are_deleted)
{
	int at;

	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	at = open(in_disk("upper"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int next;

		ck_assert_int_eq(mkdirat(at, "d", 0755), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
	}
	close(at);
	ok(disk->ops->destroy(disk, &spec, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

START_TEST(links_out_of_a_deleted_disk_are_not_followed)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	run("mkdir %s/keep && echo x >%s/keep/file && cd %s && mkdir -p a/b && ln -s %s/keep a/b/link && "
	    "ln -s %s/keep link && ln -s / root && ln %s/keep/file hard && mkfifo pipe && "
	    "for i in $(seq 300); do mkdir -p many/$i/x; touch many/$i/x/f; done",
	    folder, folder, in_disk("upper"), folder, folder, folder);
	ok(disk->ops->destroy(disk, &spec, &err));
	run("test -e %s/keep/file && test -z \"$(ls -A %s/trash)\"", folder, state_dir);
}
END_TEST

START_TEST(mounts_below_a_deleted_disk_are_not_entered)
{
	add_image(SHA);
	ok(disk->ops->create(disk, &spec, &err));
	run("mkdir -p %s/mnt && mount -t tmpfs other %s/mnt && echo x >%s/mnt/kept", in_disk("upper"),
	    in_disk("upper"), in_disk("upper"));
	fails(disk->ops->destroy(disk, &spec, &err), VN_E_BUSY);
	run("m=$(awk '/trash/ {print $5}' /proc/self/mountinfo) && test -e $m/kept && umount $m");
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_TRASH), 0);
}
END_TEST

/* ---- images ---------------------------------------------------------------------------------- */

START_TEST(an_image_counts_only_when_it_is_finished)
{
	fails(disk->ops->image_check(disk, SHA, &err), VN_E_NOT_FOUND);
	fails(disk->ops->create(disk, &spec, &err), VN_E_NOT_FOUND);
	run("mkdir -p %s/images/" SHA "/root/etc %s/images/" SHA ".partial-1/root", state_dir, state_dir);
	fails(disk->ops->image_check(disk, SHA, &err), VN_E_NOT_FOUND);
	ck_assert_uint_eq(count_found(DISK_IMAGE_PARTIAL), 2);
	add_image(SHA);
	ok(disk->ops->image_check(disk, SHA, &err));
	add_image(SHA);
	ck_assert_uint_eq(count_found(DISK_IMAGE_PARTIAL), 1);
	ck_assert_uint_eq(count_found(DISK_IMAGE), 1);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_uint_eq(count_found(DISK_IMAGE_PARTIAL), 0);
	ok(disk->ops->image_check(disk, SHA, &err));
}
END_TEST

START_TEST(an_image_in_the_making_is_not_trash)
{
	vn_autofree char *partial = vn_format("%s/images/" SHA ".partial-1", state_dir);
	int fd;

	run("mkdir -p %s/root", partial);
	fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_int_eq(access(partial, F_OK), 0);
	close(fd);
	ok(disk->ops->empty_trash(disk, &err));
	ck_assert_int_eq(access(partial, F_OK), -1);
}
END_TEST

START_TEST(a_bad_archive_leaves_nothing)
{
	static const struct tar_entry evil[] = { { "a", '0', .data = "x" }, { "../b", '0', .data = "x" } };
	vn_autofree char *archive = vn_format("%s/evil.tar", folder);

	tar_write(archive, evil, 2);
	fails(unpack(archive, SHA), VN_E_INVALID);
	run("test -z \"$(ls -A %s/images %s/trash | grep -v :)\"", state_dir, state_dir);
	fails(unpack(archive, "../../etc"), VN_E_INVALID);
	fails(unpack("/nonexistent", SHA), VN_E_NOT_FOUND);
	run("test -z \"$(ls -A %s/images %s/trash | grep -v :)\"", state_dir, state_dir);
}
END_TEST

/* A real full disk: a small file system in a file. */
START_TEST(a_full_disk_is_a_limit_and_leaves_nothing)
{
	struct tar_entry entries[40];
	char names[40][8], data[2][70000];
	vn_autofree char *archive = vn_format("%s/large.tar", folder);

	disk->ops->close(disk);
	memset(data, 'x', sizeof(data));
	data[0][sizeof(data[0]) - 1] = '\0';
	for (int i = 0; i < 40; i++) {
		snprintf(names[i], sizeof(names[i]), "f%d", i);
		entries[i] = (struct tar_entry){ names[i], '0', .data = data[0] };
	}
	tar_write(archive, entries, 14);
	run("mount -t tmpfs -o size=512k small %s", state_dir);
	open_disk();
	fails(unpack(archive, SHA), VN_E_LIMIT);
	run("test -z \"$(ls -A %s/images %s/trash | grep -v :)\"", state_dir, state_dir);
	run("umount %s", state_dir);
}
END_TEST

/* ---- inject ---------------------------------------------------------------------------------- */

static int
inject(const char *file, const char *text, unsigned mode)
{
	struct guest_file guest_file = { .path = file, .text = text, .mode = mode };

	return disk->ops->inject(disk, &spec, &guest_file, 1, &err);
}

START_TEST(injected_files_belong_to_the_guests_root)
{
	create_and_mount();
	ok(inject("/etc/hostname", "alice\n", 0644));
	ok(inject("/var/lib/vnoded/deep/secret", "s\n", 0600));
	in_guest("test \"$(stat -c %u:%g:%a etc/hostname)\" = 0:0:644 && grep -q alice etc/hostname");
	in_guest("test \"$(stat -c %u:%a var/lib/vnoded/deep)\" = 0:755");
	in_guest("test \"$(stat -c %u:%a var/lib/vnoded/deep/secret)\" = 0:600");
	in_guest("test -z \"$(find . -name '.vnoded*')\"");
}
END_TEST

START_TEST(unchanged_files_are_not_rewritten)
{
	struct stat before, after;
	vn_autofree char *file = NULL;

	create_and_mount();
	file = vn_format("%s/etc/hostname", path);
	ok(inject("/etc/hostname", "alice\n", 0644));
	stat(file, &before);
	ok(inject("/etc/hostname", "alice\n", 0644));
	stat(file, &after);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ok(inject("/etc/hostname", "bob\n", 0644));
	stat(file, &after);
	ck_assert_uint_ne(before.st_ino, after.st_ino);
	in_guest("chmod 600 etc/hostname");
	ok(inject("/etc/hostname", "bob\n", 0644));
	in_guest("test \"$(stat -c %a etc/hostname)\" = 644");
}
END_TEST

/* What a guest may have put in the way, and whether the file arrives all the same. */
static const struct {
	const char *command, *file;
	bool arrives;
} evil[] = {
	{ "ln -s %s/outside etc/hostname", "/etc/hostname", true },
	{ "rm -r etc; ln -s ../../../..%s/outside etc", "/etc/hostname", false },
	{ "rm -r etc; ln -s %s/outside etc", "/etc/hostname", false },
	{ "mv etc real; ln -s /real etc", "/etc/hostname", true },
	{ "mv etc real; ln -s ../../real etc", "/etc/hostname", true },
	{ "rm -r etc; ln -s etc etc", "/etc/hostname", false },
	{ "rm -r etc; ln -s /proc/self/root/tmp etc", "/etc/hostname", false },
	{ "rm -r etc; touch etc", "/etc/hostname", false },
	{ "mkfifo etc/hostname", "/etc/hostname", true },
	{ "mkdir etc/hostname", "/etc/hostname", false },
	{ "ln -s %s/outside/x etc/.vnoded-new", "/etc/hostname", true },
	{ "chmod 0 etc; chown 5:5 etc", "/etc/hostname", true },
	{ "true", "/../../../../%s/outside/x", true },
};

START_TEST(links_of_a_guest_never_lead_outside)
{
	char command[512], file[512];

	create_and_mount();
	run("mkdir %s/outside", folder);
	snprintf(command, sizeof(command), "%s", evil[_i].command);
	if (strstr(command, "%s"))
		snprintf(command, sizeof(command), "%.*s%s%s",
			 (int)(strstr(evil[_i].command, "%s") - evil[_i].command), evil[_i].command,
			 folder, strstr(evil[_i].command, "%s") + 2);
	snprintf(file, sizeof(file), "%s", evil[_i].file);
	in_guest(command);
	if (evil[_i].arrives) {
		ok(inject(file, "alice\n", 0644));
		if (!strstr(file, "%s"))
			in_guest("grep -q alice \"$(find . -name hostname -type f)\"");
	} else {
		ck_assert_int_eq(inject(file, "alice\n", 0644), -1);
	}
	run("test -z \"$(ls -A %s/outside)\" && test ! -e /tmp/hostname", folder);
}
END_TEST

START_TEST(bad_paths_are_refused)
{
	static const char *const bad[] = { "etc/x", "", "/", "/etc/", "/etc/.", "/etc/.." };

	create_and_mount();
	for (size_t i = 0; i < VN_COUNT(bad); i++)
		fails(inject(bad[i], "x", 0644), VN_E_INVALID);
}
END_TEST

static void
add_mounts(TCase *tcase)
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

static void
add_disks_and_images(TCase *tcase)
{
	tcase_add_test(tcase, create_and_destroy_may_be_repeated);
	tcase_add_test(tcase, a_disk_of_someone_else_is_left_alone);
	tcase_add_test(tcase, a_disk_is_mounted_on_its_own_image_only);
	tcase_add_test(tcase, a_renewed_disk_is_fresh_on_any_image_and_the_old_one_goes);
	tcase_add_test(tcase, half_made_disks_are_made_whole);
	tcase_add_test(tcase, trees_of_any_depth_are_deleted);
	tcase_add_test(tcase, links_out_of_a_deleted_disk_are_not_followed);
	tcase_add_test(tcase, mounts_below_a_deleted_disk_are_not_entered);
	tcase_add_test(tcase, an_image_counts_only_when_it_is_finished);
	tcase_add_test(tcase, an_image_in_the_making_is_not_trash);
	tcase_add_test(tcase, a_bad_archive_leaves_nothing);
	tcase_add_test(tcase, a_full_disk_is_a_limit_and_leaves_nothing);
	tcase_add_test(tcase, injected_files_belong_to_the_guests_root);
	tcase_add_test(tcase, unchanged_files_are_not_rewritten);
	tcase_add_loop_test(tcase, links_of_a_guest_never_lead_outside, 0, VN_COUNT(evil));
	tcase_add_test(tcase, bad_paths_are_refused);
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
	add_mounts(tcase);
	add_disks_and_images(tcase);
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
