/*
 * Unpacking of hostile and of honest archives. Needs a root directory per thread (chroot): without
 * root the test makes itself a user namespace, and is skipped where the machine forbids that.
 */
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backends/disk/unpack.h"
#include "proto/base/mem.h"
#include "tests/shell.h"
#include "tests/tar_file.h"

static char folder[64], archive[96], into[96], outside[96];
static struct unpack_limits limits;
static bool cancelled;
static uint64_t progress;
static struct unpacked unpacked;
static struct vn_error err;

static void
set_up(void)
{
	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-unpack-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(archive, sizeof(archive), "%s/archive", folder);
	snprintf(into, sizeof(into), "%s/into", folder);
	snprintf(outside, sizeof(outside), "%s/outside", folder);
	ck_assert_int_eq(mkdir(into, 0755), 0);
	ck_assert_int_eq(mkdir(outside, 0755), 0);
	limits = (struct unpack_limits){ .bytes = 64 << 20, .entries = 1000 };
	cancelled = false;
	progress = 0;
	memset(&unpacked, 0, sizeof(unpacked));
	memset(&err, 0, sizeof(err));
}

static void
tear_down(void)
{
	run("rm -rf %s", folder);
}

static int
unpack(void)
{
	const struct unpack_spec spec = { .path = archive, .into = into };

	return unpack_archive(&spec, &limits, &cancelled, &progress, &unpacked, &err);
}

static void
assert_refused(enum vn_code code, const char *text)
{
	ck_assert_int_eq(unpack(), -1);
	ck_assert_msg(err.code == code, "%s: %s", vn_code_word(err.code), err.text);
	ck_assert_msg(strstr(err.text, text), "'%s' is not in '%s'", text, err.text);
}

static const char *
in(const char *path)
{
	static char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s/%s", into, path);
	return text;
}

/* Hostile entries, each after an honest file; what the error must name. */
static const struct {
	const char *label, *names;
	struct tar_entry entries[3];
} hostile[] = {
	{ "parent path", "'../evil'", { { "../evil", '0', .data = "x" } } },
	{ "parent path inside", "'a/../../evil'", { { "a/../../evil", '0', .data = "x" } } },
	{ "absolute path", "'/tmp/evil'", { { "/tmp/evil", '0', .data = "x" } } },
	{ "write through a link", "link/evil",
	  { { "link", '2', "/tmp" }, { "link/evil", '0', .data = "x" } } },
	{ "write through a relative link", "sub/link/evil",
	  { { "sub", '5' }, { "sub/link", '2', "." }, { "sub/link/evil", '0', .data = "x" } } },
	{ "folder below a link", "link/evil", { { "link", '2', "outside" }, { "link/evil", '5' } } },
	{ "link that climbs out", "'up'", { { "up", '2', "../outside" } } },
	{ "link that climbs out deeper", "'a/b/up'", { { "a/b/up", '2', "../../../outside" } } },
	{ "hard link outside", "'../outside'", { { "hard", '1', "../outside" } } },
	{ "absolute hard link", "'/etc/passwd'", { { "hard", '1', "/etc/passwd" } } },
	{ "hard link to nothing", "'hard'", { { "hard", '1', "nothing" } } },
	{ "character device", "'disk'", { { "disk", '3' } } },
	{ "block device", "'etc/disk'", { { "etc/disk", '4' } } },
	{ "device under a look-alike", "'x/dev/disk'", { { "x/dev/disk", '4' } } },
	{ "too high an owner", "65536", { { "owned", '0', .uid = 65536 } } },
	{ "empty name", "no name", { { "", '0', .data = "x" } } },
};

START_TEST(refuses_hostile_entries)
{
	static const struct tar_entry honest = { "honest", '0', .data = "fine" };
	FILE *file = fopen(archive, "we");

	tar_add(file, &honest);
	for (size_t i = 0; i < 3 && hostile[_i].entries[i].name; i++)
		tar_add(file, &hostile[_i].entries[i]);
	tar_end(file);
	fclose(file);
	assert_refused(VN_E_INVALID, hostile[_i].names);
	run("test -z \"$(ls -A %s)\" && test ! -e /tmp/evil && test ! -e %s/evil", outside, folder);
}
END_TEST

START_TEST(refuses_a_path_that_is_too_long)
{
	char name[6000];
	struct tar_entry entry = { name, '0', .data = "x" };

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 100; i < sizeof(name) - 1; i += 100)
		name[i] = '/';
	tar_write(archive, &entry, 1);
	assert_refused(VN_E_INVALID, "longer than");
}
END_TEST

START_TEST(refuses_a_name_that_is_too_long)
{
	char name[400] = "";
	struct tar_entry entry = { name, '0', .data = "x" };

	memset(name, 'a', sizeof(name) - 1);
	tar_write(archive, &entry, 1);
	assert_refused(VN_E_INVALID, "aaaa");
}
END_TEST

START_TEST(refuses_too_many_entries)
{
	FILE *file = fopen(archive, "we");
	char name[32];
	struct tar_entry entry = { name, '0' };

	for (unsigned i = 0; i < 1001; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		tar_add(file, &entry);
	}
	tar_end(file);
	fclose(file);
	assert_refused(VN_E_INVALID, "1000 entries");
}
END_TEST

START_TEST(refuses_a_bomb_of_zeros)
{
	struct tar_entry entry = { "zeros", '0', .zeros = 65 << 20 };

	tar_write(archive, &entry, 1);
	run("gzip %s && mv %s.gz %s", archive, archive, archive);
	assert_refused(VN_E_INVALID, "larger than 67108864 bytes");
}
END_TEST

static const struct tar_entry plain[] = {
	{ "./", '5', .mode = 0711 },
	{ "./bin", '5' },
	{ "./bin/busybox", '0', .data = "binary", .mode = 04755 },
	{ "./bin/sh", '2', "/bin/busybox" },
	{ "./bin/ash", '1', "./bin/busybox" },
	{ "./etc/mtab", '2', "../proc/mounts" },
	{ "./run/pipe", '6' },
	{ "./dev/null", '3', .mode = 0666 },
	{ "./gr\303\274n", '0', .data = "utf-8" },
	{ "./big", '0', .zeros = 1 << 20 },
};

static const char *const filters[] = { "cat", "gzip -c", "xz -c", "zstd -qc", "bzip2 -c" };

static void
make_plain(const char *filter)
{
	vn_autofree char *tar = vn_format("%s.tar", archive);

	tar_write(tar, plain, VN_COUNT(plain));
	run("%s <%s >%s", filter, tar, archive);
}

START_TEST(unpacks_an_honest_archive)
{
	struct stat st, other;
	char target[64] = "";

	make_plain(filters[_i]);
	ck_assert_msg(unpack() == 0, "%s", err.text);
	ck_assert_uint_eq(unpacked.entries, VN_COUNT(plain));
	ck_assert_uint_eq(unpacked.bytes, strlen("binary") + strlen("utf-8") + (1 << 20));
	ck_assert_int_eq(lstat(into, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0711);
	ck_assert_int_eq(lstat(in("bin/busybox"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 04755);
	ck_assert_int_eq(st.st_mtime, 1000000000);
	ck_assert_int_eq(lstat(in("bin/ash"), &other), 0);
	ck_assert_uint_eq(st.st_ino, other.st_ino);
	ck_assert_int_eq(readlink(in("bin/sh"), target, sizeof(target) - 1), 12);
	ck_assert_int_eq(lstat(in("run/pipe"), &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert_int_eq(lstat(in("dev/null"), &st), -1);
	ck_assert_int_eq(lstat(in("gr\303\274n"), &st), 0);
	ck_assert_int_eq(lstat(in("big"), &st), 0);
	ck_assert_int_lt(st.st_blocks, 100);
	ck_assert_int_eq(stat(archive, &st), 0);
	ck_assert_uint_eq(progress, (uint64_t)st.st_size);
}
END_TEST

/* Any cut must be noticed, also between two entries and within the zeros at the end. */
START_TEST(refuses_a_truncated_archive)
{
	static const unsigned per_mille[] = { 1, 100, 500, 900, 995 };
	struct stat st;

	for (size_t i = 0; i < VN_COUNT(per_mille); i++) {
		make_plain(filters[_i]);
		stat(archive, &st);
		ck_assert_int_eq(truncate(archive, st.st_size * per_mille[i] / 1000), 0);
		ck_assert_msg(unpack() == -1, "cut at %u", per_mille[i]);
		ck_assert_msg(err.code == VN_E_INVALID, "%s", err.text);
		run("rm -rf %s && mkdir %s", into, into);
	}
}
END_TEST

START_TEST(refuses_an_archive_cut_between_entries)
{
	struct stat st;

	make_plain("cat");
	stat(archive, &st);
	ck_assert_int_eq(truncate(archive, st.st_size - 1024), 0);
	assert_refused(VN_E_INVALID, "its end is missing");
}
END_TEST

START_TEST(refuses_trailing_garbage)
{
	make_plain(filters[_i]);
	run("printf 'more than was asked for, and long enough to be seen' >>%s", archive);
	ck_assert_int_eq(unpack(), -1);
	ck_assert_msg(err.code == VN_E_INVALID, "%s", err.text);
}
END_TEST

START_TEST(refuses_a_second_archive_behind_the_first)
{
	make_plain("cat");
	run("cp %s %s.2 && cat %s.2 >>%s", archive, archive, archive, archive);
	assert_refused(VN_E_INVALID, "follows the end");
}
END_TEST

START_TEST(accepts_padding_behind_the_end)
{
	make_plain("cat");
	run("head -c 20000 /dev/zero >>%s && gzip %s && mv %s.gz %s", archive, archive, archive,
	    archive);
	ck_assert_msg(unpack() == 0, "%s", err.text);
}
END_TEST

/* What is no archive at all: how it is made and what the error says. */
static const struct {
	const char *command, *text;
} no_archives[] = {
	{ ": >", "empty" },
	{ "head -c 100000 /dev/urandom >", "" },
	{ "echo hello >", "" },
	{ "head -c 100000 /dev/urandom | gzip -c >", "" },
	{ "gzip -c </dev/null >", "" },
	{ "head -c 10240 /dev/zero >", "empty" },
	{ "printf 'PK\\003\\004zip' >", "" },
	{ "echo hello | cpio --quiet -o >/dev/null 2>&1; printf '070701hello' >", "" },
};

START_TEST(refuses_what_is_no_archive)
{
	run("%s%s", no_archives[_i].command, archive);
	assert_refused(VN_E_INVALID, no_archives[_i].text);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	ck_assert_int_eq(mkfifo(archive, 0600), 0);
	assert_refused(VN_E_INVALID, "no file");
}
END_TEST

START_TEST(keeps_attributes_and_holes)
{
	char value[32] = "";
	struct stat st;

	run("mkdir %s/tree && echo x >%s/tree/f && python3 -c \"import os; "
	    "os.setxattr('%s/tree/f', 'user.note', b'kept')\" && "
	    "truncate -s 8G %s/tree/hole && printf end >>%s/tree/hole && "
	    "tar -C %s/tree --xattrs -S --format=posix -cf %s .",
	    folder, folder, folder, folder, folder, folder, archive);
	ck_assert_msg(unpack() == 0, "%s", err.text);
	ck_assert_int_eq(getxattr(in("f"), "user.note", value, sizeof(value)), 4);
	ck_assert_str_eq(value, "kept");
	ck_assert_int_eq(stat(in("hole"), &st), 0);
	ck_assert_int_eq(st.st_size, (8ll << 30) + 3);
	ck_assert_int_lt(st.st_blocks, 100);
	ck_assert_uint_lt(unpacked.bytes, 100000);
}
END_TEST

START_TEST(refuses_attributes_of_overlayfs)
{
	run("mkdir %s/tree && echo x >%s/tree/f && python3 -c \"import tarfile; "
	    "t = tarfile.open('%s', 'w', format=tarfile.PAX_FORMAT); i = t.gettarinfo('%s/tree/f', 'f'); "
	    "i.pax_headers = {'SCHILY.xattr.trusted.overlay.redirect': '/etc'}; "
	    "t.addfile(i, open('%s/tree/f', 'rb')); t.close()\"",
	    folder, folder, archive, folder, folder);
	assert_refused(VN_E_INVALID, "trusted.overlay.redirect");
}
END_TEST

START_TEST(ends_when_cancelled)
{
	make_plain("cat");
	cancelled = true;
	assert_refused(VN_E_CANCELLED, "cancelled");
}
END_TEST

START_TEST(leaves_the_process_alone)
{
	char before[PATH_MAX], after[PATH_MAX];
	struct stat root, root_after;
	mode_t mask = umask(027);

	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	stat("/", &root);
	make_plain("gzip -c");
	ck_assert_msg(unpack() == 0, "%s", err.text);
	ck_assert_ptr_nonnull(getcwd(after, sizeof(after)));
	ck_assert_str_eq(before, after);
	stat("/", &root_after);
	ck_assert_uint_eq(root.st_ino, root_after.st_ino);
	ck_assert_uint_eq(umask(mask), 027);
}
END_TEST

static bool
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	return file && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* Root, real or in a user namespace of our own. */
static bool
become_root(void)
{
	char uid_map[64], gid_map[64];

	if (geteuid() == 0)
		return true;
	snprintf(uid_map, sizeof(uid_map), "0 %u 1", getuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1", getgid());
	return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/setgroups", "deny")
	       && write_file("/proc/self/uid_map", uid_map)
	       && write_file("/proc/self/gid_map", gid_map);
}

int
main(void)
{
	Suite *suite = suite_create("unpack");
	TCase *tcase = tcase_create("unpack");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (!become_root()) {
		puts("skipped: needs root, or the right to make a user namespace");
		return 77;
	}
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, refuses_hostile_entries, 0, VN_COUNT(hostile));
	tcase_add_test(tcase, refuses_a_path_that_is_too_long);
	tcase_add_test(tcase, refuses_a_name_that_is_too_long);
	tcase_add_test(tcase, refuses_too_many_entries);
	tcase_add_test(tcase, refuses_a_bomb_of_zeros);
	tcase_add_loop_test(tcase, unpacks_an_honest_archive, 0, VN_COUNT(filters));
	tcase_add_loop_test(tcase, refuses_a_truncated_archive, 0, VN_COUNT(filters));
	tcase_add_test(tcase, refuses_an_archive_cut_between_entries);
	tcase_add_loop_test(tcase, refuses_trailing_garbage, 0, VN_COUNT(filters));
	tcase_add_test(tcase, refuses_a_second_archive_behind_the_first);
	tcase_add_test(tcase, accepts_padding_behind_the_end);
	tcase_add_loop_test(tcase, refuses_what_is_no_archive, 0, VN_COUNT(no_archives));
	tcase_add_test(tcase, refuses_what_is_no_file);
	tcase_add_test(tcase, keeps_attributes_and_holes);
	tcase_add_test(tcase, refuses_attributes_of_overlayfs);
	tcase_add_test(tcase, ends_when_cancelled);
	tcase_add_test(tcase, leaves_the_process_alone);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
