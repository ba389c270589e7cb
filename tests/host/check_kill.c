/*
 * kill -9 on the real files, at every system call that changes something: a child unpacks an image (or writes
 * a part of a download), traced by its parent, which kills it when it enters the kth such call. Whatever k
 * is, the image is then finished and whole or not there at all, and what is left over can be swept.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/disk/part_file.h"
#include "proto/base/mem.h"
#include "tests/mini_loop.h"
#include "tests/shell.h"
#include "tests/tar_file.h"

#define SHA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PART_SIZE 1000u

static char folder[64];
static struct backend_env env;
static struct mini_loop *loop;
static struct vn_error err;

/* ---- killing at the kth change --------------------------------------------------------------- */

static bool
is_change(const struct user_regs_struct *regs)
{
	static const unsigned long long changes[] = {
		SYS_write, SYS_pwrite64, SYS_mkdir, SYS_mkdirat, SYS_rename, SYS_renameat,
		SYS_renameat2, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_link, SYS_linkat, SYS_symlink,
		SYS_symlinkat, SYS_mknod, SYS_mknodat, SYS_ftruncate, SYS_fsync, SYS_syncfs,
		SYS_lsetxattr, SYS_fsetxattr, SYS_chmod, SYS_fchmod, SYS_fchown, SYS_lchown, SYS_utimensat,
		SYS_flock,
	};

	if (regs->orig_rax == SYS_openat)
		return regs->rdx & O_CREAT;
	if (regs->orig_rax == SYS_open)
		return regs->rsi & O_CREAT;
	for (size_t i = 0; i < VN_COUNT(changes); i++)
		if (regs->orig_rax == changes[i])
			return true;
	return false;
}

/* Whether a stop is the entry into a change: an exit has an answer in rax already. */
static bool
enters_change(pid_t thread, int status)
{
	struct user_regs_struct regs;

	return WSTOPSIG(status) == (SIGTRAP | 0x80)
	       && ptrace(PTRACE_GETREGS, thread, NULL, &regs) == 0
	       && (long long)regs.rax == -ENOSYS && is_change(&regs);
}

static int
signal_of(int status)
{
	int signal = WSTOPSIG(status);

	return signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
}

/* Follows all threads of the child. Returns whether it was killed; false: it ended by itself, well. */
static bool
kill_at_change(pid_t child, unsigned k)
{
	unsigned seen = 0;
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACECLONE
				| PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	ptrace(PTRACE_SYSCALL, child, NULL, 0);
	for (;;) {
		pid_t thread = waitpid(-1, &status, __WALL);

		ck_assert_int_gt(thread, 0);
		if (thread == child && WIFEXITED(status)) {
			ck_assert_int_eq(WEXITSTATUS(status), 0);
			return false;
		}
		if (thread == child && WIFSIGNALED(status)) {
			ck_assert_int_eq(WTERMSIG(status), SIGKILL);
			return true;
		}
		if (!WIFSTOPPED(status))
			continue;
		if (enters_change(thread, status) && ++seen == k)
			kill(child, SIGKILL);
		else
			ptrace(PTRACE_SYSCALL, thread, NULL, signal_of(status));
	}
}

static pid_t
start(int (*work)(void))
{
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child > 0)
		return child;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	_exit(work() == 0 ? 0 : 1);
}

/* ---- an image -------------------------------------------------------------------------------- */

static const struct tar_entry entries[] = {
	{ "etc", '5' },
	{ "etc/passwd", '0', .data = "root" },
	{ "etc/link", '2', "passwd" },
	{ "etc/hard", '1', "etc/passwd" },
	{ "var/deep/er/file", '0', .data = "x" },
	{ ".wh.gone", '0' },
	{ "full/.wh..wh..opq", '0' },
};

static int
unpack(void)
{
	vn_autofree char *archive = vn_format("%s/archive", folder);
	const struct image_spec spec = { .path = archive, .sha256 = SHA };
	const struct unpack_limits limits = { .bytes = 1 << 20, .entries = 100 };
	const bool cancelled = false;
	struct image_facts facts;
	uint64_t progress = 0;
	struct disk *disk;
	int result;

	if (disk_local.open(&env, &disk, &err) < 0)
		return -1;
	result = disk->ops->image_unpack(disk, &spec, &limits, &cancelled, &progress, &facts, &err);
	disk->ops->close(disk);
	return result;
}

static size_t
count_in(const char *name)
{
	vn_autofree char *path = vn_format("%s/state/%s", folder, name);
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static void
check_whole(void)
{
	static const char *const paths[] = { "etc/passwd", "etc/link", "etc/hard", "var/deep/er/file",
					     "gone", "full" };
	vn_autofree char *archive = vn_format("%s/archive", folder);

	for (size_t i = 0; i < VN_COUNT(paths); i++) {
		vn_autofree char *path = vn_format("%s/state/images/" SHA "/root/%s", folder, paths[i]);
		struct stat st;

		ck_assert_msg(lstat(path, &st) == 0, "%s is missing", path);
	}
	ck_assert_int_eq(access(archive, F_OK), 0);
}

/* After a death: the old state or the new one, and nothing else once it has been swept. */
static bool
check_store(unsigned k)
{
	struct disk *disk;
	bool is_there;

	ck_assert_msg(disk_local.open(&env, &disk, &err) == 0, "%s", err.text);
	is_there = disk->ops->image_check(disk, SHA, &err) == 0;
	ck_assert_msg(is_there || err.code == VN_E_NOT_FOUND, "killed at %u: %s", k, err.text);
	if (is_there)
		check_whole();
	ck_assert_msg(disk->ops->empty_trash(disk, &err) == 0, "killed at %u: %s", k, err.text);
	ck_assert_uint_eq(count_in("images"), is_there);
	ck_assert_uint_eq(count_in("trash"), 0);
	ck_assert_msg(unpack() == 0, "killed at %u: %s", k, err.text);
	check_whole();
	ck_assert_int_eq(disk->ops->image_remove(disk, SHA, &err), 0);
	disk->ops->close(disk);
	return is_there;
}

START_TEST(an_image_is_whole_or_not_there_wherever_unpacking_was_killed)
{
	unsigned k, there = 0;

	for (k = 1; kill_at_change(start(unpack), k); k++)
		there += check_store(k);
	check_store(k);
	ck_assert_uint_gt(k, 30);		/* changes: some for each entry, and those around them */
	ck_assert_uint_ge(there, 1);
}
END_TEST

/* ---- a part of a download -------------------------------------------------------------------- */

static char data[PART_SIZE];

/* A file of other bytes is there in part; it turns out to have changed, and is fetched whole. */
static int
write_part(void)
{
	vn_autofree char *path = vn_format("%s/part/file", folder);
	const struct part_origin origin = { .etag = "\"new\"", .total = PART_SIZE };
	char sha256[DIGEST_TEXT];
	struct part_file *file;

	if (part_file_open(mini_loop_ops(loop), path, "key", false, &file, &err) < 0
	    || part_file_restart(file, &origin, &err) < 0)
		return -1;
	for (size_t at = 0; at < PART_SIZE; at += PART_SIZE / 4)
		if (part_file_write(file, data + at, PART_SIZE / 4, &err) < 0)
			return -1;
	if (part_file_finish(file, sha256, &err) < 0)
		return -1;
	part_file_free(file);
	return 0;
}

/* A part of a file of another origin, all zeros. */
static void
write_old_part(void)
{
	vn_autofree char *path = vn_format("%s/part/file", folder);
	const struct part_origin origin = { .etag = "\"old\"", .total = 700 };
	static const char zeros[500];
	struct part_file *file;

	ck_assert_int_eq(part_file_open(mini_loop_ops(loop), path, "key", false, &file, &err), 0);
	ck_assert_int_eq(part_file_restart(file, &origin, &err), 0);
	ck_assert_int_eq(part_file_write(file, zeros, sizeof(zeros), &err), 0);
	part_file_free(file);
}

static void
check_bytes(const char *path, size_t size, const char *etag, unsigned k)
{
	char got[PART_SIZE];
	FILE *file = fopen(path, "re");
	static const char zeros[PART_SIZE];

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_ge(fread(got, 1, sizeof(got), file), size);
	fclose(file);
	ck_assert_msg(memcmp(got, etag[1] == 'n' ? data : zeros, size) == 0,
		      "killed at %u: other bytes lie under %s", k, etag);
}

START_TEST(a_part_is_one_of_what_is_said_wherever_its_writer_was_killed)
{
	vn_autofree char *path = vn_format("%s/part/file", folder);
	vn_autofree char *part = vn_format("%s.part", path);
	struct part_file *file;
	unsigned k = 0, parts = 0;
	bool killed = true;

	while (killed) {
		write_old_part();
		killed = kill_at_change(start(write_part), ++k);
		ck_assert_int_eq(part_file_open(mini_loop_ops(loop), path, "key", false, &file, &err), 0);
		if (part_file_origin(file)) {
			parts++;
			check_bytes(part, (size_t)part_file_bytes(file), part_file_origin(file)->etag, k);
		} else {
			ck_assert_uint_eq(part_file_bytes(file), 0);
		}
		part_file_spoil(file);
		part_file_free(file);
		ck_assert_int_ne(access(part, F_OK), 0);
		ck_assert_int_ne(access(path, F_OK), 0);
	}
	ck_assert_uint_gt(k, 8);
	ck_assert_uint_gt(parts, 4);
}
END_TEST

/* ---- setup ----------------------------------------------------------------------------------- */

static void
set_up(void)
{
	static const char *const below[] = { "state", "run", "part" };
	static char state[96], run[96];
	vn_autofree char *archive = NULL;

	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-kill-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	for (size_t i = 0; i < VN_COUNT(below); i++) {
		vn_autofree char *path = vn_format("%s/%s", folder, below[i]);

		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	snprintf(state, sizeof(state), "%s/state", folder);
	snprintf(run, sizeof(run), "%s/run", folder);
	archive = vn_format("%s/archive", folder);
	tar_write(archive, entries, VN_COUNT(entries));
	loop = mini_loop_new();
	env = (struct backend_env){ .watch = mini_loop_ops(loop), .state_dir = state, .run_dir = run,
				    .instance = "11111111-1111-4111-8111-111111111111" };
	for (size_t i = 0; i < PART_SIZE; i++)
		data[i] = (char)(i + 1);
}

static void
tear_down(void)
{
	mini_loop_free(loop);
	run("rm -rf %s", folder);
}

int
main(void)
{
	Suite *suite = suite_create("kill");
	TCase *tcase = tcase_create("kill");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (geteuid() != 0) {
		puts("skipped: needs root");
		return 77;
	}
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, an_image_is_whole_or_not_there_wherever_unpacking_was_killed);
	tcase_add_test(tcase, a_part_is_one_of_what_is_said_wherever_its_writer_was_killed);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
