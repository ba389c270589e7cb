/*
 * The store: what is durable when, in which order, and what happens to damaged, older, newer files
 * and full disks.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/log.h"
#include "daemon/store_schema.h"
#include "proto/base/ident.h"
#include "proto/base/mem.h"
#include "tests/unit/support.h"

#define PUT_META "INSERT INTO meta VALUES (?, ?)"

struct bench {
	struct loop *loop;
	char *dir;
	struct store *store;
	struct vn_error err;
};

static void
reopen(struct bench *b)
{
	ck_assert_msg(store_open(b->dir, b->loop, &b->store, &b->err) == 0, "%s", b->err.text);
}

static void
bench_open(struct bench *b)
{
	*b = (struct bench){ .loop = test_loop(), .dir = folder_new() };
	reopen(b);
}

static void
bench_close(struct bench *b)
{
	store_close(b->store);
	loop_close(b->loop);
	folder_remove(b->dir);
}

static void
settle(struct store *store, struct loop *loop)
{
	bool done = false;

	store_after(store, set_true, &done);
	run_until(loop, &done);
}

/* What a connection of its own sees: the first column of the first row, or "" */
static void
look(const char *dir, const char *sql, char *ret, size_t size)
{
	vn_autofree char *path = vn_format("%s/vnoded.db", dir);
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s",
		      sqlite3_errmsg(db));
	ret[0] = '\0';
	if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0))
		snprintf(ret, size, "%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(db);
}

#define ck_assert_seen(dir, sql, text) do {                                                        \
		char seen_[200];                                                                   \
		look((dir), (sql), seen_, sizeof(seen_));                                          \
		ck_assert_str_eq(seen_, (text));                                                   \
	} while (0)

static void
collect(void *arg, struct store_row *row)
{
	char *text = arg;
	const char *value = store_text(row, 1);

	sprintf(text + strlen(text), "%d=%s;", (int)store_int(row, 0), value ? value : "NULL");
}

START_TEST(what_was_put_is_on_disk_when_after_is_called)
{
	struct bench b;
	char text[200] = "";

	bench_open(&b);
	ck_assert(!store_is_pending(b.store));
	store_put(b.store, PUT_META, "ss", "7", "seven");
	store_put(b.store, PUT_META, "ss", "8", NULL);
	store_put(b.store, PUT_META, "is", (int64_t)9, "");
	store_put(b.store, PUT_META, "sd", "10", 0.5);
	ck_assert(store_is_pending(b.store));
	settle(b.store, b.loop);
	ck_assert(!store_is_pending(b.store));
	ck_assert_uint_eq(store_commits(b.store), 1);
	ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = '7'", "seven");
	ck_assert_int_eq(store_read(b.store, collect, text, &b.err, "SELECT key, value FROM meta "
		"WHERE key <> ? ORDER BY CAST(key AS INTEGER)", "s", "epoch"), 0);
	ck_assert_str_eq(text, "7=seven;8=NULL;9=;10=0.5;");
	bench_close(&b);
}
END_TEST

START_TEST(one_turn_is_one_commit)
{
	struct bench b;

	bench_open(&b);
	for (int64_t i = 0; i < 1000; i++)
		store_put(b.store, PUT_META, "is", i, "x");
	settle(b.store, b.loop);
	ck_assert_uint_eq(store_commits(b.store), 1);
	ck_assert_seen(b.dir, "SELECT count(*) FROM meta", "1001");
	bench_close(&b);
}
END_TEST

/* Puts rows over many turns, and counts the callbacks that come in the wrong order. */
struct stream {
	struct bench b;
	int64_t n_put, n_after, n_wrong;
	bool done;
};

static void
on_after(void *arg)
{
	struct stream *stream = arg;

	stream->n_after++;
	stream->done = stream->n_after == 2000;
}

static void
put_some(void *arg)
{
	struct stream *stream = arg;
	char seen[64];

	for (unsigned i = 0; i < 10; i++) {
		store_put(stream->b.store, PUT_META, "is", stream->n_put++, "x");
		store_after(stream->b.store, on_after, stream);
	}
	if (stream->n_put < 2000)
		loop_defer(stream->b.loop, put_some, stream);
	look(stream->b.dir, "SELECT count(*) FROM meta", seen, sizeof(seen));
	stream->n_wrong += (atoi(seen) - 1) % 10 != 0 || atoi(seen) - 1 < stream->n_after;
}

START_TEST(batches_grow_while_the_writer_is_busy_and_stay_whole)
{
	struct stream stream = { .n_put = 0 };

	bench_open(&stream.b);
	loop_defer(stream.b.loop, put_some, &stream);
	run_until(stream.b.loop, &stream.done);
	ck_assert_int_eq(stream.n_wrong, 0);
	ck_assert_uint_le(store_commits(stream.b.store), 200);
	ck_assert_seen(stream.b.dir, "SELECT count(*) FROM meta", "2001");
	bench_close(&stream.b);
}
END_TEST

struct trace {
	struct store *store;
	char text[32];
};

static void note_1(void *arg) { strcat(((struct trace *)arg)->text, "1"); }
static void note_2(void *arg) { strcat(((struct trace *)arg)->text, "2"); }
static void note_4(void *arg) { strcat(((struct trace *)arg)->text, "4"); }

static void
note_3(void *arg)
{
	struct trace *trace = arg;

	strcat(trace->text, "3");
	store_after(trace->store, note_4, trace);
	strcat(trace->text, ".");
}

START_TEST(callbacks_come_in_order_and_never_from_inside)
{
	struct bench b;
	struct trace trace = { .text = "" };

	bench_open(&b);
	trace.store = b.store;
	store_after(b.store, note_1, &trace);		/* nothing is pending: soon */
	store_put(b.store, PUT_META, "ss", "a", "b");
	store_after(b.store, note_2, &trace);
	store_after(b.store, note_3, &trace);
	ck_assert_str_eq(trace.text, "");
	while (!strchr(trace.text, '4'))
		loop_run_once(b.loop, true);
	ck_assert_str_eq(trace.text, "123.4");
	bench_close(&b);
}
END_TEST

START_TEST(close_commits_and_abandon_does_not)
{
	struct bench b;
	bool called = false;

	bench_open(&b);
	store_put(b.store, PUT_META, "ss", "kept", "1");
	store_after(b.store, set_true, &called);
	store_close(b.store);
	ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = 'kept'", "1");
	reopen(&b);
	store_put(b.store, PUT_META, "ss", "committed", "1");
	settle(b.store, b.loop);
	store_put(b.store, PUT_META, "ss", "lost", "1");
	store_after(b.store, set_true, &called);
	store_abandon(b.store);
	while (loop_run_once(b.loop, false))
		;
	ck_assert(!called);
	reopen(&b);
	ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = 'committed'", "1");
	ck_assert_seen(b.dir, "SELECT count(*) FROM meta WHERE key = 'lost'", "0");
	bench_close(&b);
}
END_TEST

START_TEST(a_frozen_store_commits_nothing_and_tells_nobody)
{
	struct bench b;
	bool called = false;

	bench_open(&b);
	store_freeze(b.store);
	store_put(b.store, PUT_META, "ss", "lost", "1");
	store_after(b.store, set_true, &called);
	while (loop_run_once(b.loop, false))
		;
	store_abandon(b.store);
	while (loop_run_once(b.loop, false))
		;
	ck_assert(!called);
	reopen(&b);
	ck_assert_seen(b.dir, "SELECT count(*) FROM meta WHERE key = 'lost'", "0");
	bench_close(&b);
}
END_TEST

START_TEST(a_new_database_has_an_epoch_that_stays)
{
	struct bench b;
	char first[64];

	bench_open(&b);
	look(b.dir, "SELECT value FROM meta WHERE key = 'epoch'", first, sizeof(first));
	ck_assert(vn_uuid_is(first));
	store_close(b.store);
	reopen(&b);
	ck_assert_seen(b.dir, "SELECT value FROM meta WHERE key = 'epoch'", first);
	ck_assert_seen(b.dir, "PRAGMA user_version", "5");
	ck_assert_seen(b.dir, "PRAGMA journal_mode", "wal");
	bench_close(&b);
}
END_TEST

START_TEST(a_second_vnoded_is_told_who_has_the_folder)
{
	struct bench b;
	struct store *second = NULL;
	vn_autofree char *pid = vn_format("(process %d)", (int)getpid());

	bench_open(&b);
	ck_assert_int_eq(store_open(b.dir, b.loop, &second, &b.err), -1);
	ck_assert_int_eq(b.err.code, VN_E_BUSY);
	ck_assert_ptr_nonnull(strstr(b.err.text, pid));
	ck_assert_ptr_null(second);
	bench_close(&b);
}
END_TEST

/* Opens expecting a refusal. */
static void
refuse(struct bench *b, enum vn_code code, const char *text)
{
	b->store = NULL;
	ck_assert_int_eq(store_open(b->dir, b->loop, &b->store, &b->err), -1);
	ck_assert_msg(b->err.code == code && strstr(b->err.text, text), "%d %s", b->err.code,
		      b->err.text);
	ck_assert_ptr_null(b->store);
}

START_TEST(a_newer_database_is_refused_and_left_alone)
{
	struct bench b;
	char seen[8];

	bench_open(&b);
	store_close(b.store);
	look(b.dir, "PRAGMA user_version = 99", seen, sizeof(seen));
	refuse(&b, VN_E_UNSUPPORTED, "made by a newer vnoded (schema 99, this one knows 5)");
	ck_assert_seen(b.dir, "PRAGMA user_version", "99");
	bench_close(&b);
}
END_TEST

START_TEST(a_lost_database_is_not_begun_anew_over_disks_that_are_there)
{
	struct bench b;
	char seen[64];

	bench_open(&b);
	store_close(b.store);
	vn_autofree char *db = vn_format("%s/vnoded.db", b.dir), *kept = vn_format("%s/kept", b.dir);
	vn_autofree char *disks = vn_format("%s/disks", b.dir), *disk = vn_format("%s/7", disks);

	look(b.dir, "PRAGMA wal_checkpoint(TRUNCATE)", seen, sizeof(seen));
	ck_assert_int_eq(mkdir(disks, 0700) | mkdir(disk, 0700), 0);
	ck_assert_int_eq(rename(db, kept), 0);
	refuse(&b, VN_E_BACKEND, "holds the disks of 1 vnodes: put a copy of the database in its place");
	ck_assert_int_eq(access(db, F_OK), -1);
	ck_assert_int_eq(rename(kept, db), 0);
	reopen(&b);
	store_close(b.store);
	ck_assert_int_eq(unlink(db) | rmdir(disk), 0);
	reopen(&b);
	rmdir(disks);
	bench_close(&b);
}
END_TEST

static void
scribble(const char *dir, off_t at, const char *text, unsigned times)
{
	vn_autofree char *path = vn_format("%s/vnoded.db", dir);
	vn_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	for (unsigned i = 0; i < times; i++)
		ck_assert_int_gt(pwrite(fd, text, strlen(text), at + (off_t)(i * strlen(text))), 0);
}

START_TEST(damaged_and_foreign_files_are_refused_with_the_cure)
{
	struct bench b;
	char seen[8];

	bench_open(&b);
	for (int64_t i = 0; i < 3000; i++)
		store_put(b.store, PUT_META, "is", i, "a row that takes some room in the file");
	store_close(b.store);
	scribble(b.dir, 40000, "damage", 4000);
	refuse(&b, VN_E_BACKEND, "move it and the folder disks away to begin without vnodes");
	scribble(b.dir, 0, "this is not a database at all", 100);
	refuse(&b, VN_E_BACKEND, "is damaged");
	folder_remove(b.dir);
	b.dir = folder_new();
	look(b.dir, "CREATE TABLE mine (x)", seen, sizeof(seen));
	refuse(&b, VN_E_BACKEND, "is not vnoded's database");
	bench_close(&b);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_named)
{
	struct bench b;

	bench_open(&b);
	store_close(b.store);
	folder_remove(b.dir);
	b.dir = vn_strdup("/proc/no-such-folder/state");
	refuse(&b, VN_E_NOT_FOUND, "/proc/no-such-folder/state");
	b.store = NULL;
	bench_close(&b);
}
END_TEST

static const struct store_migration steps[] = {
	{ 1, "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 5" },
	{ 2, "UPDATE things SET size = size + 1" },
};
static const struct store_migration broken_steps[] = {
	{ 1, "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 5" },
	{ 2, "UPDATE things SET size = 0; UPDATE nothing SET size = 0" },
};
static const char things[] = "CREATE TABLE meta (key, value); CREATE TABLE things (name TEXT);"
	"INSERT INTO things VALUES ('one');";
static const struct store_schema schema_1 = { 1, things, NULL, 0 };
static const struct store_schema schema_3 = { 3, things, steps, 2 };
static const struct store_schema schema_broken = { 3, things, broken_steps, 2 };
static const struct store_schema schema_gap = { 3, things, steps, 1 };

static int
open_as(struct bench *b, const struct store_schema *schema)
{
	b->store = NULL;
	return store_open_schema(schema, b->dir, b->loop, &b->store, &b->err);
}

START_TEST(a_migration_leaves_a_copy_of_the_old_database)
{
	struct bench b = { .loop = test_loop(), .dir = folder_new() };
	vn_autofree char *copy = vn_format("%s/vnoded.db.1", b.dir);
	vn_autofree char *path = vn_format("%s/vnoded.db", b.dir);

	ck_assert_int_eq(open_as(&b, &schema_1), 0);
	store_close(b.store);
	ck_assert_int_eq(open_as(&b, &schema_3), 0);
	store_close(b.store);
	ck_assert_seen(b.dir, "SELECT size FROM things", "6");
	ck_assert_seen(b.dir, "PRAGMA user_version", "3");
	ck_assert_int_eq(rename(copy, path), 0);
	ck_assert_seen(b.dir, "PRAGMA user_version", "1");
	ck_assert_int_eq(open_as(&b, &schema_1), 0);	/* the older program goes on with it */
	bench_close(&b);
}
END_TEST

START_TEST(a_migration_that_fails_changes_nothing_of_its_step)
{
	struct bench b = { .loop = test_loop(), .dir = folder_new() };

	ck_assert_int_eq(open_as(&b, &schema_1), 0);
	store_close(b.store);
	ck_assert_int_eq(open_as(&b, &schema_broken), -1);
	ck_assert_ptr_nonnull(strstr(b.err.text, "migration from schema 2"));
	ck_assert_seen(b.dir, "PRAGMA user_version", "2");
	ck_assert_seen(b.dir, "SELECT size FROM things", "5");
	ck_assert_int_eq(open_as(&b, &schema_gap), -1);
	ck_assert_ptr_nonnull(strstr(b.err.text, "no longer migrates"));
	ck_assert_int_eq(open_as(&b, &schema_3), 0);
	ck_assert_seen(b.dir, "SELECT size FROM things", "6");
	bench_close(&b);
}
END_TEST

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

START_TEST(a_read_that_fails_says_so)
{
	struct bench b;
	char text[32] = "";

	bench_open(&b);
	ck_assert_int_eq(store_read(b.store, collect, text, &b.err,
				    "SELECT * FROM nowhere", ""), -1);
	ck_assert_int_eq(b.err.code, VN_E_BACKEND);
	ck_assert_int_eq(store_read(b.store, collect, text, &b.err,
				    "SELECT ?, ?", "is", (int64_t)-3, "x"), 0);
	ck_assert_int_eq(store_read(b.store, collect, text, &b.err,
				    "SELECT ?, ? WHERE ? > 1", "isd", (int64_t)-4, "y", 1.5), 0);
	ck_assert_str_eq(text, "-3=x;-4=y;");
	bench_close(&b);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		what_was_put_is_on_disk_when_after_is_called,
		one_turn_is_one_commit,
		batches_grow_while_the_writer_is_busy_and_stay_whole,
		callbacks_come_in_order_and_never_from_inside,
		close_commits_and_abandon_does_not,
		a_frozen_store_commits_nothing_and_tells_nobody,
		a_new_database_has_an_epoch_that_stays,
		a_second_vnoded_is_told_who_has_the_folder,
		a_newer_database_is_refused_and_left_alone,
		a_lost_database_is_not_begun_anew_over_disks_that_are_there,
		damaged_and_foreign_files_are_refused_with_the_cure,
		a_folder_that_cannot_be_made_is_named,
		a_migration_leaves_a_copy_of_the_old_database,
		a_migration_that_fails_changes_nothing_of_its_step,
		a_full_disk_costs_the_reserve_and_no_change,
		a_file_system_that_is_really_full_loses_nothing,
		without_any_room_it_waits_for_some,
		what_cannot_be_committed_ends_the_process_and_loses_only_itself,
		a_read_that_fails_says_so,
		NULL
	};

	return run_suite("store", tests);
}
