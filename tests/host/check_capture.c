/*
 * Disks become images and images disks again, on a real file system with real overlays. The judge is the
 * round: what was captured, also as a layer, made into another vnode's disk and captured from there, must be
 * the same archive to the byte, and look the same from outside by programs that know nothing of archives.
 */
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/host/fake_lvm.h"
#include "tests/tar_file.h"

#define SHA  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BASE 200000u

static char folder[64], state_dir[96], run_dir[96], userns[64];
static struct backend_env env;
static struct disk *disk;
static struct vn_error err;
static pid_t sleeper;
static bool cancelled, is_mounted;	/* is_mounted: state_dir is a file system of its own */

static const struct tar_entry image_entries[] = {
	{ "./", '5', .mode = 0755 },
	{ "./etc", '5' },
	{ "./etc/passwd", '0', .data = "root:x:0:0::/:/bin/sh\n" },
	{ "./etc/hosts", '0', .data = "127.0.0.1 of-the-image\n" },
	{ "./etc/machine-id", '0', .data = "uninitialized\n" },
	{ "./etc/owned", '0', .uid = 33, .gid = 34, .data = "by 33\n" },
	{ "./etc/gone", '0', .data = "x" },
	{ "./tmp", '5', .mode = 01777 },
	{ "./old", '5' },
	{ "./old/deep", '5' },
	{ "./old/deep/file", '0', .data = "moved\n" },
	{ "./over", '5' },
	{ "./over/hidden", '0', .data = "x" },
	{ "./one", '0', .data = "linked\n" },
	{ "./two", '1', .link = "./one" },
	{ "./bin/su", '0', .mode = 04755, .data = "setuid" },
};

/* What a guest does to its disk; $P is a program that sets attributes. */
static const char deeds[] =
	"rm etc/gone; chown 33:34 etc/passwd; mv old new; mkdir new/deep/inside; rm -r over; mkdir over;"
	"echo 1 >over/own; ln etc/owned etc/second; ln two three; echo more >>one;"
	"mkdir 'a' a-b; echo x >a/x; echo x >a.c; : >'name with \xc3\xa4 and blank';"
	"ln -s /nowhere/at/all link; ln -s ../etc/passwd a/up; mkfifo -m 640 fifo;"
	"dd if=/dev/zero of=zeros bs=64k count=20 status=none;"
	"dd if=/dev/urandom of=sparse bs=4k count=3 seek=700 status=none; truncate -s 9M sparse;"
	"truncate -s 5M hole; chmod 2751 bin/su; chmod 0 tmp; touch -d '1999-12-31 23:59:59.123456789' a/x;"
	"mkdir $(printf 'd%.0s' $(seq 200)); echo long >$(printf 'd%.0s' $(seq 200))/$(printf 'f%.0s' $(seq 200));"
	"python3 -c 'import os, struct, socket\n"
	"os.setxattr(\"one\", \"user.colour\", b\"red\\0blue\")\n"
	"os.setxattr(\"one\", \"user.about\", b\"\")\n"
	"os.setxattr(\"a\", \"user.overlay.opaque\", b\"y\")\n"
	"acl = struct.pack(\"<I\", 2) + b\"\".join(struct.pack(\"<HHI\", *row) for row in ((1, 7, 0xffffffff),"
	" (2, 5, 33), (4, 4, 0xffffffff), (8, 6, 34), (16, 7, 0xffffffff), (32, 1, 0xffffffff)))\n"
	"os.setxattr(\"a-b\", \"system.posix_acl_default\", acl)\n"
	"os.setxattr(\"a/x\", \"system.posix_acl_access\", acl)\n"
	"os.setxattr(\"bin/su\", \"security.capability\", struct.pack(\"<5I\", 0x02000001, 1 << 10, 0, 0, 0))\n"
	"socket.socket(socket.AF_UNIX).bind(\"socket\")'";

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
run(const char *format, ...)
{
	char command[4096];
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

static void
unpack(const char *archive, const char *sha256, const char *base)
{
	struct unpack_limits limits = { .bytes = 64 << 20, .entries = 1000 };
	const struct image_spec image = { .path = archive, .sha256 = sha256, .format = IMAGE_TAR,
					  .base = base };
	struct image_facts facts;
	uint64_t progress = 0;

	ok(disk->ops->image_unpack(disk, &image, &limits, &cancelled, &progress, &facts, &err));
}

static void
set_up(void)
{
	memset(&err, 0, sizeof(err));
	cancelled = is_mounted = false;
	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-capture-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(state_dir, sizeof(state_dir), "%s/state", folder);
	snprintf(run_dir, sizeof(run_dir), "%s/run", folder);
	env = (struct backend_env){ .instance = "11111111-1111-4111-8111-111111111111",
				    .state_dir = state_dir, .run_dir = run_dir };
	make_userns();
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
	run("mkdir %s/archives", folder);
}

static void
tear_down(void)
{
	ok(disk->ops->host_down(disk, &err));
	disk->ops->close(disk);
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
	fake_lvm_end();
	if (is_mounted)
		run("umount %s", state_dir);
	run("! grep -q %s /proc/self/mountinfo && ! losetup -a | grep -q %s && rm -rf %s", folder, folder, folder);
}

/* ---- vnodes ---------------------------------------------------------------------------------- */

struct vnode {
	struct disk_spec spec;
	char uuid[VN_UUID_TEXT], image[65], root[PATH_MAX];
};

static void
vnode_init(struct vnode *vnode, int64_t vmid, const char *image)
{
	snprintf(vnode->uuid, sizeof(vnode->uuid), "22222222-2222-4222-8222-%012d", (int)vmid);
	snprintf(vnode->image, sizeof(vnode->image), "%s", image);
	vnode->spec = (struct disk_spec){ .vmid = vmid, .uuid = vnode->uuid, .image_sha256 = vnode->image,
					  .userns = userns, .idmap_base = BASE };
}

static void
create(struct vnode *vnode, int64_t vmid, const char *image)
{
	vnode_init(vnode, vmid, image);
	ok(disk->ops->create(disk, &vnode->spec, &err));
}

/* As vnoded does before a boot. */
static void
inject(struct vnode *vnode)
{
	vn_autofree char *hosts = vn_format("127.0.0.1 vnode-%d\n", (int)vnode->spec.vmid);
	vn_autofree char *key = vn_format("key of %d\n", (int)vnode->spec.vmid);
	const struct guest_file files[] = { { .path = "/etc/hosts", .text = hosts, .mode = 0644 },
		{ .path = "/etc/hostname", .text = key, .mode = 0644 },
		{ .path = "/etc/ssh/ssh_host_ed25519_key", .text = key, .mode = 0600 },
		{ .path = "/etc/machine-id", .text = key, .mode = 0444 },
		{ .path = "/root/.ssh/authorized_keys", .text = key, .mode = 0600, .folder_mode = 0700 } };
	struct disk_spec plain = vnode->spec;

	plain.userns = NULL;
	ok(disk->ops->mount(disk, &plain, vnode->root, &err));
	ok(disk->ops->inject(disk, &plain, files, VN_COUNT(files), &err));
	ok(disk->ops->unmount(disk, &plain, &err));
}

static void
in_guest(struct vnode *vnode, const char *command)
{
	int fd, ns = open(userns, O_RDONLY | O_CLOEXEC), status;
	pid_t pid;

	ok(disk->ops->mount(disk, &vnode->spec, vnode->root, &err));
	fd = open(vnode->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	pid = fork();
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
	ok(disk->ops->unmount(disk, &vnode->spec, &err));
}

/* A vnode as it is after it has run for a while. */
static void
lived(struct vnode *vnode)
{
	vn_autofree char *archive = vn_format("%s/image.tar", folder);

	tar_write(archive, image_entries, VN_COUNT(image_entries));
	unpack(archive, SHA, NULL);
	create(vnode, 7, SHA);
	inject(vnode);
	in_guest(vnode, deeds);
	inject(vnode);
}

static const char *const own[] = { "/etc/hosts", "/etc/hostname", "/root/.ssh/authorized_keys", NULL };

static int
try_capture(const struct vnode *vnode, bool delta, const char *path, struct capture_facts *ret)
{
	const struct capture_spec spec = { .path = path, .delta = delta, .own = own,
					   .limit_bytes = 64 << 20, .limit_entries = 1000 };

	return disk->ops->capture(disk, &vnode->spec, &spec, &cancelled, ret, &err);
}

static void
capture(const struct vnode *vnode, bool delta, const char *name, struct capture_facts *ret)
{
	vn_autofree char *path = vn_format("%s/archives/%s", folder, name);

	ok(try_capture(vnode, delta, path, ret));
	run("test $(stat -c %%s %s) = %llu && test $(sha256sum <%s | cut -c-64) = %s", path,
	    (unsigned long long)ret->bytes, path, ret->sha256);
}

static void
unpack_captured(const char *name, const struct capture_facts *facts, const char *base)
{
	vn_autofree char *path = vn_format("%s/archives/%s", folder, name);

	unpack(path, facts->sha256, base);
}

/* All that can be seen of a tree but sockets and what is the vnode's own. */
static const char looker[] =
	"import hashlib, os, stat\n"
	"own = ('./etc/hosts', './etc/hostname', './etc/machine-id', './root/.ssh/authorized_keys', './etc/ssh/ssh_host_ed25519_key')\n"
	"def facts(path):\n"
	"    st = os.lstat(path)\n"
	"    names = [n for n in sorted(os.listxattr(path, follow_symlinks=False)) if not n.startswith('user.overlay')]\n"
	"    is_file = stat.S_ISREG(st.st_mode)\n"
	"    return (path, oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, stat.S_ISLNK(st.st_mode) and os.readlink(path),\n"
	"            is_file and (st.st_nlink, st.st_size, hashlib.sha256(open(path, 'rb').read()).hexdigest()),\n"
	"            [(n, os.getxattr(path, n, follow_symlinks=False)) for n in names])\n"
	"for folder, folders, files in os.walk('.'):\n"
	"    for path in [folder] + [os.path.join(folder, n) for n in files + [n for n in folders if os.path.islink(os.path.join(folder, n))]]:\n"
	"        if path not in own and not stat.S_ISSOCK(os.lstat(path).st_mode):\n"
	"            print(*facts(path))\n";

static void
look(struct vnode *vnode, const char *name)
{
	struct disk_spec plain = vnode->spec;
	vn_autofree char *program = vn_format("%s/look.py", folder);
	FILE *file = fopen(program, "we");

	plain.userns = NULL;
	ck_assert_ptr_nonnull(file);
	fputs(looker, file);
	fclose(file);
	ok(disk->ops->mount(disk, &plain, vnode->root, &err));
	run("cd %s && python3 %s | sort >%s/%s", vnode->root, program, folder, name);
	ok(disk->ops->unmount(disk, &plain, &err));
}

/* ---- rounds ---------------------------------------------------------------------------------- */

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
	vn_autofree char *archive = vn_format("%s/image.tar", folder);
	struct capture_facts facts;
	struct vnode vnode;

	tar_write(archive, image_entries, VN_COUNT(image_entries));
	unpack(archive, SHA, NULL);
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

/* ---- disks of other types -------------------------------------------------------------------- */

static const struct {
	int type;
	const char *file_system;	/* of state_dir */
} places[] = {
	{ DISK_REFLINK, "btrfs" }, { DISK_REFLINK, "xfs" }, { DISK_LVM_THIN, "ext4" },
};

/* The backend on a host that can have disks of that type, and a vnode that has lived on an overlay. */
static void
begin_place(size_t at, struct vnode *vnode, struct capture_facts *facts)
{
	const char *kind = places[at].file_system;

	ok(disk->ops->host_down(disk, &err));
	disk->ops->close(disk);
	run("truncate -s 400M %s/fs && mkfs.%s -q %s/fs >/dev/null 2>&1 && mount -o loop %s/fs %s", folder, kind,
	    folder, folder, state_dir);
	is_mounted = true;
	if (places[at].type == DISK_LVM_THIN)
		fake_lvm_begin(folder, &env);
	ok(disk_local.open(&env, &disk, &err));
	ok(disk->ops->host_up(disk, &err));
	lived(vnode);
	capture(vnode, false, "overlay", facts);
	unpack_captured("overlay", facts, NULL);
}

static void
create_there(size_t at, struct vnode *vnode, int64_t vmid, const char *image)
{
	vnode_init(vnode, vmid, image);
	vnode->spec.type = places[at].type;
	ok(disk->ops->create(disk, &vnode->spec, &err));
}

START_TEST(disks_of_all_types_give_the_same_archive)
{
	struct vnode first, second, third;
	struct capture_facts facts, again;

	begin_place((size_t)_i, &first, &facts);
	create_there((size_t)_i, &second, 8, facts.sha256);
	inject(&second);
	capture(&second, false, "other", &again);
	run("cmp %s/archives/overlay %s/archives/other", folder, folder);
	ck_assert_str_eq(facts.sha256, again.sha256);
	/* And back: what lived there becomes an overlay. */
	create_there((size_t)_i, &third, 9, SHA);
	inject(&third);
	in_guest(&third, deeds);
	inject(&third);
	capture(&third, false, "lived", &facts);
	capture(&third, false, "again", &again);
	ck_assert_str_eq(facts.sha256, again.sha256);
	unpack_captured("lived", &facts, NULL);
	create(&first, 10, facts.sha256);
	inject(&first);
	capture(&first, false, "back", &again);
	run("cmp %s/archives/lived %s/archives/back", folder, folder);
	fails(try_capture(&third, true, "/nowhere/x", &facts), VN_E_UNSUPPORTED);
	ok(disk->ops->destroy(disk, &second.spec, &err));
	ok(disk->ops->destroy(disk, &third.spec, &err));
}
END_TEST

/* e2fsck makes the folder when a disk is made larger. */
START_TEST(what_ext4_has_for_itself_is_in_no_archive)
{
	struct vnode first, second;
	struct capture_facts facts;

	begin_place(2, &first, &facts);
	create_there(2, &second, 8, facts.sha256);
	in_guest(&second, "test ! -e lost+found");
	second.spec.size_bytes = 2ull << 30;
	ok(disk->ops->grow(disk, &second.spec, &err));
	in_guest(&second, "test -d lost+found");
	capture(&second, false, "grown", &facts);
	run("cmp %s/archives/overlay %s/archives/grown", folder, folder);
	/* What it has found is the guest's. */
	in_guest(&second, "echo found >lost+found/1");
	capture(&second, false, "found", &facts);
	run("tar -tf %s/archives/found | grep -qx ./lost+found/1", folder);
	ok(disk->ops->destroy(disk, &second.spec, &err));
}
END_TEST

START_TEST(a_lost_and_found_of_the_image_stays_in_it)
{
	struct vnode first, second, third;
	struct capture_facts facts, again;

	begin_place(2, &first, &facts);
	in_guest(&first, "mkdir lost+found && echo 1 >lost+found/1 && touch -d @1 .");
	capture(&first, false, "with", &facts);
	unpack_captured("with", &facts, NULL);
	create_there(2, &second, 8, facts.sha256);
	create(&third, 9, facts.sha256);
	in_guest(&second, "rm lost+found/1 && touch -d @2 lost+found");
	in_guest(&third, "rm lost+found/1 && touch -d @2 lost+found");
	capture(&second, false, "second", &facts);
	capture(&third, false, "third", &again);
	run("cmp %s/archives/second %s/archives/third && tar -tf %s/archives/second | grep -qx ./lost+found/", folder,
	    folder, folder);
	ok(disk->ops->destroy(disk, &second.spec, &err));
}
END_TEST

/* ---- refusals -------------------------------------------------------------------------------- */

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

static int
run_all(void)
{
	Suite *suite = suite_create("capture");
	TCase *tcase = tcase_create("capture");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_whole_capture_is_the_same_of_every_vnode_with_those_contents);
	tcase_add_test(tcase, a_delta_on_the_same_image_is_the_same_vnode);
	tcase_add_test(tcase, a_delta_holds_what_differs_and_nothing_else);
	tcase_add_test(tcase, deltas_of_deltas_go_on);
	tcase_add_test(tcase, nothing_of_a_machine_of_its_own_gets_into_an_image);
	tcase_add_test(tcase, entries_come_in_the_order_of_their_paths_bytes);
	tcase_add_test(tcase, holes_are_what_is_zero_not_what_is_unwritten);
	tcase_add_loop_test(tcase, disks_of_all_types_give_the_same_archive, 0, VN_COUNT(places));
	tcase_add_test(tcase, what_ext4_has_for_itself_is_in_no_archive);
	tcase_add_test(tcase, a_lost_and_found_of_the_image_stays_in_it);
	tcase_add_loop_test(tcase, what_an_image_cannot_hold_is_named, 0, VN_COUNT(refused));
	tcase_add_test(tcase, a_capture_can_be_called_off_and_needs_a_disk_to_itself);
	tcase_add_test(tcase, a_full_disk_leaves_nothing);
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
