/*
 * The writer thread. It holds one batch at a time and either commits all of it or ends the
 * process: the loop's objects are ahead of the database, so there is no way back, and a successor
 * begins from what is committed. The one failure it can mend is a full disk: it spends the reserve
 * and tries the batch again. Where that has been eaten too (a guest that writes and writes), it waits for
 * room: a successor would find none either, and meanwhile reading, exec and guests go on.
 *
 * A batch is one flat buffer: for each statement the literal's address, the types' address, then
 * the values; a text is its length (TEXT_NULL for SQL NULL) and its bytes.
 */
#include "daemon/store_writer.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/store_sql.h"
#include "daemon/thread.h"
#include "proto/base/mem.h"

#define TEXT_NULL SIZE_MAX
#define ROOM_MS   100		/* between two looks whether there is room again */

/* ---- batches --------------------------------------------------------------------------------- */

struct puts {
	char *data;
	size_t size, room;
};

struct reader {				/* walks over a batch */
	const char *at, *end;
};

struct puts *
puts_new(void)
{
	return vn_alloc(sizeof(struct puts));
}

void
puts_free(struct puts *batch)
{
	if (batch)
		free(batch->data);
	free(batch);
}

bool
puts_is_empty(const struct puts *batch)
{
	return batch->size == 0;
}

static void
append(struct puts *batch, const void *data, size_t size)
{
	if (batch->size + size > batch->room) {
		batch->room = 2 * (batch->size + size) + 256;
		batch->data = vn_realloc_array(batch->data, batch->room, 1);
	}
	if (size > 0)
		memcpy(batch->data + batch->size, data, size);
	batch->size += size;
}

static void
append_text(struct puts *batch, const char *text)
{
	size_t length = text ? strlen(text) : TEXT_NULL;

	append(batch, &length, sizeof(length));
	if (text)
		append(batch, text, length);
}

void
puts_add(struct puts *batch, const char *sql, const char *types, va_list args)
{
	append(batch, &sql, sizeof(sql));
	append(batch, &types, sizeof(types));
	for (; *types; types++) {
		if (*types == 's') {
			append_text(batch, va_arg(args, const char *));
		} else if (*types == 'd') {
			double number = va_arg(args, double);

			append(batch, &number, sizeof(number));
		} else {
			int64_t number = va_arg(args, int64_t);

			assert(*types == 'i');
			append(batch, &number, sizeof(number));
		}
	}
}

static void
take(struct reader *reader, void *ret, size_t size)
{
	assert((size_t)(reader->end - reader->at) >= size);
	memcpy(ret, reader->at, size);
	reader->at += size;
}

static int
bind_text(struct reader *reader, sqlite3_stmt *statement, int index)
{
	const char *text = NULL;
	size_t length;

	take(reader, &length, sizeof(length));
	if (length == TEXT_NULL)
		return sqlite3_bind_null(statement, index);
	text = reader->at;			/* stays until the batch is committed */
	reader->at += length;
	return sqlite3_bind_text64(statement, index, text, length, SQLITE_STATIC, SQLITE_UTF8);
}

static int
bind_values(struct reader *reader, sqlite3_stmt *statement, const char *types)
{
	int result = SQLITE_OK;

	for (int index = 1; *types && result == SQLITE_OK; types++, index++) {
		int64_t number = 0;
		double real = 0;

		if (*types == 's') {
			result = bind_text(reader, statement, index);
		} else if (*types == 'd') {
			take(reader, &real, sizeof(real));
			result = sqlite3_bind_double(statement, index, real);
		} else {
			take(reader, &number, sizeof(number));
			result = sqlite3_bind_int64(statement, index, number);
		}
	}
	return result;
}

/* ---- the thread ------------------------------------------------------------------------------ */

struct writer {
	struct sqlite3 *db;
	struct store_file *file;
	struct statements statements;
	char message[200];		/* SQLite's, of the last failure */
	void (*on_committed)(void *arg);
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct puts *batch;		/* under lock; NULL: idle */
	bool is_stopping;		/* under lock */
	bool is_drained;		/* under lock: the loop waits for the last batch */
	_Atomic(bool) is_abandoned;
};

/* Runs one statement of the batch; its text in *ret_sql, for the log. */
static int
run_statement(struct writer *writer, struct reader *reader, const char **ret_sql)
{
	const char *types;
	sqlite3_stmt *statement;
	int result;

	take(reader, ret_sql, sizeof(*ret_sql));
	take(reader, &types, sizeof(types));
	statement = statements_get(&writer->statements, writer->db, *ret_sql);
	if (!statement)
		return sqlite3_extended_errcode(writer->db);
	result = bind_values(reader, statement, types);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result == SQLITE_DONE || result == SQLITE_ROW ? SQLITE_OK : result;
}

static int
run_control(struct writer *writer, const char *sql, const char **ret_sql)
{
	sqlite3_stmt *statement = statements_get(&writer->statements, writer->db, sql);
	int result = statement ? sqlite3_step(statement) : sqlite3_extended_errcode(writer->db);

	*ret_sql = sql;
	sqlite3_reset(statement);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* One try at the whole batch. The transaction is gone or committed afterwards. */
static int
try_batch(struct writer *writer, const char **ret_sql)
{
	struct reader reader = { writer->batch->data, writer->batch->data + writer->batch->size };
	int result = run_control(writer, "BEGIN IMMEDIATE", ret_sql);

	while (result == SQLITE_OK && reader.at < reader.end)
		result = run_statement(writer, &reader, ret_sql);
	if (result == SQLITE_OK && !writer->is_abandoned)
		result = run_control(writer, "COMMIT", ret_sql);
	if (result != SQLITE_OK)		/* before ROLLBACK succeeds and hides it */
		snprintf(writer->message, sizeof(writer->message), "%s", sqlite3_errmsg(writer->db));
	if (!sqlite3_get_autocommit(writer->db)) {
		const char *ignored;

		run_control(writer, "ROLLBACK", &ignored);
	}
	return result;
}

static const char *
cure_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_FULL:
		return "the disk is full and the reserve is spent: free some space and start vnoded again";
	case SQLITE_CORRUPT: case SQLITE_NOTADB:
		return "put a copy of it in its place, or move it and the folder disks away to begin without vnodes";
	case SQLITE_IOERR: case SQLITE_CANTOPEN: case SQLITE_READONLY: case SQLITE_PERM:
		return "check the disk and the folder's owner; what was committed before is safe";
	default:
		return "this is an error in vnoded; what was committed before is safe";
	}
}

static void
die(struct writer *writer, int result, const char *sql)
{
	vn_log_error("store", "cannot commit to %s: %s (%d, in \"%.80s\"); %s", writer->file->path,
		     writer->message, result, sql, cure_of(result));
	abort();
}

/* A full disk shows as FULL, or where SQLite extends its shared memory file as that. */
static bool
is_full(int result)
{
	return (result & 0xff) == SQLITE_FULL || result == SQLITE_IOERR_SHMSIZE;
}

static bool
is_wanted_to_end(struct writer *writer)
{
	return writer->is_drained || writer->is_stopping || writer->is_abandoned;
}

/* Waits a moment; false: there is no time to wait, since the process is to end. */
static bool
await_room(struct writer *writer)
{
	struct timespec until;
	bool goes_on;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ROOM_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&writer->lock);
	if (!is_wanted_to_end(writer))
		pthread_cond_timedwait(&writer->changed, &writer->lock, &until);
	goes_on = !is_wanted_to_end(writer);
	pthread_mutex_unlock(&writer->lock);
	return goes_on;
}

static void
commit_batch(struct writer *writer)
{
	const char *sql = "";
	bool is_waiting = false;
	int result;

	for (;;) {
		result = try_batch(writer, &sql);
		if (result == SQLITE_OK && is_waiting)
			vn_log_warning("store", "there is room in %s again", writer->file->dir);
		if (result == SQLITE_OK)
			return;
		if (is_full(result) && store_file_spend_reserve(writer->file)) {
			vn_log_warning("store", "no space left in %s: the reserve is spent and new "
				       "work refused until there is space again", writer->file->dir);
			continue;
		}
		if (is_full(result) && !is_waiting)
			vn_log_error("store", "no space left in %s, and the reserve is eaten too: all changes "
				     "wait until there is some (vnodectl exec still works)", writer->file->dir);
		is_waiting |= is_full(result);
		if (is_full(result) && await_room(writer))
			continue;
		if (is_full(result) && writer->is_abandoned)
			return;
		if ((result & 0xff) != SQLITE_BUSY)
			die(writer, result, sql);
		if (writer->is_abandoned)
			return;
		vn_log_warning("store", "%s is locked by another program for ten seconds now",
			       writer->file->path);
	}
}

static void *
run_writer(void *arg)
{
	struct writer *writer = arg;

	pthread_mutex_lock(&writer->lock);
	for (;;) {
		while (!writer->batch && !writer->is_stopping)
			pthread_cond_wait(&writer->changed, &writer->lock);
		if (!writer->batch)
			break;
		pthread_mutex_unlock(&writer->lock);
		commit_batch(writer);
		pthread_mutex_lock(&writer->lock);
		puts_free(vn_take_ptr(&writer->batch));
		pthread_cond_broadcast(&writer->changed);
		pthread_mutex_unlock(&writer->lock);
		if (!writer->is_abandoned)		/* else it may have been rolled back */
			writer->on_committed(writer->arg);
		pthread_mutex_lock(&writer->lock);
	}
	pthread_mutex_unlock(&writer->lock);
	return NULL;
}

static void
free_writer(struct writer *writer)
{
	statements_fini(&writer->statements);
	sqlite3_close(writer->db);
	pthread_cond_destroy(&writer->changed);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}

struct writer *
writer_start(struct sqlite3 *db, struct store_file *file, void (*on_committed)(void *arg),
	     void *arg, struct vn_error *err)
{
	struct writer *writer = vn_alloc(sizeof(*writer));

	writer->db = db;
	writer->file = file;
	writer->on_committed = on_committed;
	writer->arg = arg;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_cond_init(&writer->changed, NULL);
	if (thread_start(&writer->thread, "vnoded-store", run_writer, writer))
		return writer;
	vn_fail(err, VN_E_LIMIT, "no thread is left for the database; raise TasksMax of the "
		"service");
	free_writer(writer);
	return NULL;
}

void
writer_give(struct writer *writer, struct puts *batch)
{
	pthread_mutex_lock(&writer->lock);
	assert(!writer->batch);
	writer->batch = batch;
	pthread_cond_broadcast(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
}

void
writer_drain(struct writer *writer)
{
	pthread_mutex_lock(&writer->lock);
	writer->is_drained = true;
	pthread_cond_broadcast(&writer->changed);
	while (writer->batch)
		pthread_cond_wait(&writer->changed, &writer->lock);
	pthread_mutex_unlock(&writer->lock);
}

void
writer_stop(struct writer *writer, bool is_abandoned)
{
	writer->is_abandoned = is_abandoned;
	pthread_mutex_lock(&writer->lock);
	writer->is_stopping = true;
	pthread_cond_broadcast(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
	pthread_join(writer->thread, NULL);
	if (is_abandoned)
		sqlite3_db_config(writer->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	free_writer(writer);
}

void
writer_freeze(struct writer *writer)
{
	writer->is_abandoned = true;		/* whoever waits for room looks at it soon */
}
