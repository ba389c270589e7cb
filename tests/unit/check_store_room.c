/* The store on disks that are full, really or for SQLite alone, and what cannot be committed at all. */
#include "tests/unit/check_store.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/log.h"
#include "proto/base/mem.h"

/*
 * A disk that fills up: SQLite's own file functions with another xWrite, which fails like a full
 * disk while `is_full`, unless the store has given up its reserve.
 */
static struct {
	sqlite3_vfs vfs, *real;
	struct {			/* SQLite has one set for databases and one for logs */
		const sqlite3_io_methods *real;
		sqlite3_io_methods methods;
	} kinds[4];
	_Atomic(bool) is_full, is_hopeless;
	char *reserve;
} disk;

static int
disk_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
	struct stat reserve = { 0 };

	if (disk.is_hopeless)
		return SQLITE_FULL;
	if (disk.is_full && stat(disk.reserve, &reserve) == 0 && reserve.st_size > 0)
		return SQLITE_FULL;
	for (unsigned i = 0; i < VN_COUNT(disk.kinds); i++)
		if (file->pMethods == &disk.kinds[i].methods)
			return disk.kinds[i].real->xWrite(file, data, size, at);
	return SQLITE_MISUSE;
}

static int
disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	int result = disk.real->xOpen(disk.real, name, file, flags, ret_flags);
	unsigned at = 0;

	(void)vfs;
	if (result != SQLITE_OK || !file->pMethods)
		return result;
	while (disk.kinds[at].real && disk.kinds[at].real != file->pMethods)
		ck_assert_uint_lt(++at, VN_COUNT(disk.kinds));
	if (!disk.kinds[at].real) {
		disk.kinds[at].real = file->pMethods;
		disk.kinds[at].methods = *file->pMethods;
		disk.kinds[at].methods.xWrite = disk_write;
	}
	file->pMethods = &disk.kinds[at].methods;
	return SQLITE_OK;
}

static void
disk_mount(const char *dir)
{
	disk.is_full = disk.is_hopeless = false;
	disk.reserve = vn_format("%s/reserve", dir);
	disk.real = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "disk";
	disk.vfs.xOpen = disk_open;
	sqlite3_vfs_register(&disk.vfs, 1);
}

static void
disk_unmount(void)
{
	sqlite3_vfs_register(disk.real, 1);
	sqlite3_vfs_unregister(&disk.vfs);
	free(disk.reserve);
}

/* For a moment no file may grow over so many bytes: the reserve cannot be made. */
static int
check_with_limit(struct bench *b, rlim_t bytes)
{
	struct rlimit limit, old;
	int result;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){ bytes, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &limit);
	result = store_check(b->store, &b->err);
	setrlimit(RLIMIT_FSIZE, &old);
	return result;
}

static void
ignore_line(enum log_level level, const char *subject, const char *text)
{
	(void)level, (void)subject, (void)text;
}

START_TEST(a_full_disk_costs_the_reserve_and_no_change)
{
	struct bench b = { .loop = test_loop(), .dir = folder_new() };

	log_set_sink(ignore_line);
	disk_mount(b.dir);
	reopen(&b);
	ck_assert_int_eq(store_check(b.store, &b.err), 0);
	disk.is_full = true;
	store_put(b.store, PUT_META, "ss", "full", "but kept");
	store_put(b.store, PUT_META, "ss", "both", "of them");
	settle(b.store, b.loop);
	ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = 'full'", "but kept");
	ck_assert_int_eq(check_with_limit(&b, 1 << 20), -1);
	ck_assert_int_eq(b.err.code, VN_E_LIMIT);
	ck_assert_ptr_nonnull(strstr(b.err.text, b.dir));
	store_put(b.store, PUT_META, "ss", "still", "works");
	settle(b.store, b.loop);
	ck_assert_int_eq(check_with_limit(&b, 1 << 20), -1);
	disk.is_full = false;
	ck_assert_int_eq(store_check(b.store, &b.err), 0);
	ck_assert_seen(b.dir, "SELECT count(*) FROM meta", "4");
	store_close(b.store);
	b.store = NULL;
	disk_unmount();
	log_set_sink(NULL);
	bench_close(&b);
}
END_TEST

/* Takes all that is left of the file system. */
static void
fill_up(const char *dir)
{
	vn_autofree char *path = vn_format("%s/filler", dir);
	vn_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	static const char zeros[4096];

	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
}

static void
free_up(const char *dir)
{
	vn_autofree char *path = vn_format("%s/filler", dir);

	ck_assert_int_eq(unlink(path), 0);
}

/*
 * In a child with a small file system of its own. Returns the exit status: 0, or where it failed.
 */
static int
run_on_small_disk(const char *dir)
{
	struct bench b = { .loop = test_loop(), .dir = vn_strdup(dir) };
	vn_autofree char *text = vn_alloc(64 * 1024);
	int n_put = 0;

	log_set_sink(ignore_line);
	reopen(&b);
	fill_up(dir);
	memset(text, 'x', 64 * 1024 - 1);
	while (store_check(b.store, &b.err) == 0 && n_put < 1000) {
		store_put(b.store, PUT_META, "is", (int64_t)n_put++, text);
		settle(b.store, b.loop);
	}
	if (n_put == 1000 || b.err.code != VN_E_LIMIT)
		return 1;
	for (int i = 0; i < 8; i++) {		/* what is under way goes on, from the reserve */
		store_put(b.store, PUT_META, "is", (int64_t)n_put++, text);
		settle(b.store, b.loop);
	}
	free_up(dir);
	if (store_check(b.store, &b.err) < 0)
		return 2;
	store_close(b.store);
	reopen(&b);
	look(dir, "SELECT count(*) FROM meta", text, 16);
	store_close(b.store);
	loop_close(b.loop);
	free(b.dir);
	return atoi(text) == n_put + 1 ? 0 : 3;
}

START_TEST(a_file_system_that_is_really_full_loses_nothing)
{
	char *dir;
	pid_t child;
	int status = 0;

	if (geteuid() != 0)
		return;				/* the test before has shown it without mounting */
	dir = folder_new();
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0
		    || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
		    || mount("tmpfs", dir, "tmpfs", 0, "size=16m") < 0)
			_exit(0);		/* a container that may not */
		_exit(run_on_small_disk(dir));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
	folder_remove(dir);
}
END_TEST

/* In a child: what abort() leaves is what the parent looks at. */
static int
run_child(const char *dir, bool is_hopeless)
{
	struct bench b = { .loop = test_loop(), .dir = vn_strdup(dir) };

	log_set_sink(ignore_line);
	disk_mount(dir);
	reopen(&b);
	store_put(b.store, PUT_META, "ss", "before", "1");
	settle(b.store, b.loop);
	disk.is_hopeless = is_hopeless;
	store_put(b.store, is_hopeless ? PUT_META : "INSERT INTO nowhere VALUES (?, ?)", "ss",
		  "never", "1");
	if (is_hopeless)
		store_close(b.store);		/* it cannot wait for room, and does not go without a word */
	else
		settle(b.store, b.loop);
	return 0;
}

struct later {
	bool is_committed, is_over;
};

static void
on_later(void *arg)
{
	struct later *later = arg;

	ck_assert(!later->is_committed);
	disk.is_hopeless = false;
	later->is_over = true;
}

static void
on_room(void *arg)
{
	((struct later *)arg)->is_committed = true;
}

/* Whoever has filled the disk has taken the reserve too. */
START_TEST(without_any_room_it_waits_for_some)
{
	struct bench b = { .loop = test_loop(), .dir = folder_new() };
	struct later later = { false };
	char text[32] = "";
	struct watch *watch;

	log_set_sink(ignore_line);
	disk_mount(b.dir);
	reopen(&b);
	disk.is_hopeless = true;
	store_put(b.store, PUT_META, "ss", "full", "but kept");
	store_after(b.store, on_room, &later);
	watch = loop_add_timer(b.loop, 100, on_later, &later);
	while (!later.is_over)
		loop_run_once(b.loop, true);
	ck_assert_int_eq(store_read(b.store, collect, text, &b.err, "SELECT 1, 2", ""), 0);
	settle(b.store, b.loop);
	ck_assert(later.is_committed);
	ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = 'full'", "but kept");
	loop_remove(watch);
	store_close(b.store);
	b.store = NULL;
	disk_unmount();
	log_set_sink(NULL);
	bench_close(&b);
}
END_TEST

START_TEST(what_cannot_be_committed_ends_the_process_and_loses_only_itself)
{
	for (int is_hopeless = 0; is_hopeless < 2; is_hopeless++) {
		struct bench b = { .loop = test_loop(), .dir = folder_new() };
		pid_t child = fork();
		int status = 0;

		if (child == 0) {
			struct rlimit no_core = { 0, 0 };

			setrlimit(RLIMIT_CORE, &no_core);
			signal(SIGABRT, SIG_DFL);
			_exit(run_child(b.dir, is_hopeless));
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		reopen(&b);
		ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = 'before'", "1");
		ck_assert_seen(b.dir, "SELECT count(*) FROM meta WHERE key = 'never'", "0");
		bench_close(&b);
	}
}
END_TEST

void
add_room_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		a_full_disk_costs_the_reserve_and_no_change,
		a_file_system_that_is_really_full_loses_nothing,
		without_any_room_it_waits_for_some,
		what_cannot_be_committed_ends_the_process_and_loses_only_itself,
		NULL });
}
