/*
 * The store: what is durable when and in which order, and who may have it. Damaged, older and newer files
 * are in check_store_files, full disks in check_store_room.
 */
#include "tests/unit/check_store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/ident.h"
#include "proto/base/mem.h"

void
reopen(struct bench *b)
{
	ck_assert_msg(store_open(b->dir, b->loop, &b->store, &b->err) == 0, "%s", b->err.text);
}

void
bench_open(struct bench *b)
{
	*b = (struct bench){ .loop = test_loop(), .dir = folder_new() };
	reopen(b);
}

void
bench_close(struct bench *b)
{
	store_close(b->store);
	loop_close(b->loop);
	folder_remove(b->dir);
}

void
settle(struct store *store, struct loop *loop)
{
	bool done = false;

	store_after(store, set_true, &done);
	run_until(loop, &done);
}

void
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

void
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

static void
add_store_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		what_was_put_is_on_disk_when_after_is_called,
		one_turn_is_one_commit,
		batches_grow_while_the_writer_is_busy_and_stay_whole,
		callbacks_come_in_order_and_never_from_inside,
		close_commits_and_abandon_does_not,
		a_frozen_store_commits_nothing_and_tells_nobody,
		a_new_database_has_an_epoch_that_stays,
		a_second_vnoded_is_told_who_has_the_folder,
		a_read_that_fails_says_so,
		NULL });
}

int
main(void)
{
	return run_files("store", (const add_cases_fn[]){ add_store_cases, add_file_cases, add_room_cases, NULL });
}
