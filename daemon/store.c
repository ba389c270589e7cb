/*
 * The loop's side of the database. What is put in one turn of the loop is gathered in a batch and
 * given to the writer when that is idle; while it is busy the batch grows. That is all of group
 * commit: under load the batches grow by themselves, and alone a change waits for no timer.
 *
 * Batches are numbered. store_after belongs to the batch with the last change before it; numbers
 * that are committed move their callbacks to `ready`, from where they are called on the loop.
 */
#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store_sql.h"
#include "daemon/store_writer.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"

struct after {
	struct vn_list link;
	uint64_t batch;
	watch_fn *fn;
	void *arg;
};

struct store {
	/* set at birth */
	struct loop *loop;
	struct store_file file;
	struct sqlite3 *reader;
	struct statements statements;	/* of the reader */
	struct writer *writer;

	struct puts *filling;
	uint64_t n_given, n_committed;	/* batches; equal: the writer is idle */
	struct vn_list waiting, ready;	/* struct after, in order */
	bool is_flush_due, has_lingered;
};

/* ---- writing --------------------------------------------------------------------------------- */

/* Gives the writer what has gathered, if it is idle. */
static void
give(struct store *store)
{
	if (store->n_given != store->n_committed || puts_is_empty(store->filling))
		return;
	store->n_given++;
	writer_give(store->writer, store->filling);
	store->filling = puts_new();
}

/*
 * Not in the turn of the put but in the next: what was put may lead to more (a new job to its first step),
 * and one commit does for both.
 */
static void
flush(void *arg)
{
	struct store *store = arg;

	if (!store->has_lingered) {
		store->has_lingered = true;
		loop_defer(store->loop, flush, store);
		return;
	}
	store->is_flush_due = store->has_lingered = false;
	give(store);
}

/* Calls those that are ready; one of them may ask for more, which then come in the next turn. */
static void
call_ready(void *arg)
{
	struct store *store = arg;
	struct vn_list due;

	vn_list_init(&due);
	vn_list_splice(&due, &store->ready);
	while (!vn_list_is_empty(&due)) {
		struct after *after = vn_container_of(due.next, struct after, link);

		vn_list_remove(&after->link);
		after->fn(after->arg);
		free(after);
	}
}

/* On the loop: the batch in hand is on disk. */
static void
take_commit(void *arg)
{
	struct store *store = arg;

	store->n_committed++;
	give(store);
	vn_list_each_safe(struct after, after, &store->waiting, link) {
		if (after->batch > store->n_committed)
			break;
		vn_list_remove(&after->link);
		vn_list_append(&store->ready, &after->link);
	}
	call_ready(store);
}

/* On the writer's thread. */
static void
on_committed(void *arg)
{
	struct store *store = arg;

	loop_post(store->loop, take_commit, store);
}

void
store_put(struct store *store, const char *sql, const char *types, ...)
{
	va_list args;

	va_start(args, types);
	puts_add(store->filling, sql, types, args);
	va_end(args);
	if (store->is_flush_due)
		return;
	store->is_flush_due = true;
	loop_defer(store->loop, flush, store);
}

void
store_after(struct store *store, watch_fn *fn, void *arg)
{
	struct after *after = vn_alloc(sizeof(*after));

	after->fn = fn;
	after->arg = arg;
	after->batch = store->n_given + !puts_is_empty(store->filling);
	if (after->batch > store->n_committed) {
		vn_list_append(&store->waiting, &after->link);
		return;
	}
	if (vn_list_is_empty(&store->ready))
		loop_defer(store->loop, call_ready, store);
	vn_list_append(&store->ready, &after->link);
}

int
store_check(struct store *store, struct vn_error *err)
{
	return store_file_make_reserve(&store->file, err);
}

uint64_t
store_commits(const struct store *store)
{
	return store->n_committed;
}

bool
store_is_pending(const struct store *store)
{
	return store->n_given != store->n_committed || !puts_is_empty(store->filling);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
bind_args(sqlite3_stmt *statement, const char *types, va_list args)
{
	for (int index = 1; *types; types++, index++) {
		int result;

		if (*types == 's') {
			const char *text = va_arg(args, const char *);

			result = sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
		} else if (*types == 'd') {
			result = sqlite3_bind_double(statement, index, va_arg(args, double));
		} else {
			result = sqlite3_bind_int64(statement, index, va_arg(args, int64_t));
		}
		assert(result == SQLITE_OK);	/* else types and sql disagree */
	}
}

int
store_read(struct store *store, void (*row)(void *arg, struct store_row *row), void *arg,
	   struct vn_error *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *statement = statements_get(&store->statements, store->reader, sql);
	int result;
	va_list args;

	if (!statement)
		return vn_fail_sql(err, store->reader, "cannot read %s", store->file.path);
	assert(!sqlite3_stmt_busy(statement));	/* a row's callback asked the same again */
	va_start(args, types);
	bind_args(statement, types, args);
	va_end(args);
	while ((result = sqlite3_step(statement)) == SQLITE_ROW)
		row(arg, (struct store_row *)statement);
	if (result != SQLITE_DONE)
		vn_fail_sql(err, store->reader, "cannot read %s", store->file.path);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result == SQLITE_DONE ? 0 : -1;
}

int64_t
store_int(struct store_row *row, int column)
{
	return sqlite3_column_int64((sqlite3_stmt *)row, column);
}

const char *
store_text(struct store_row *row, int column)
{
	return (const char *)sqlite3_column_text((sqlite3_stmt *)row, column);
}

/* ---- life ------------------------------------------------------------------------------------ */

int
store_open_schema(const struct store_schema *schema, const char *state_dir, struct loop *loop,
		  struct store **ret, struct vn_error *err)
{
	struct store *store = vn_alloc(sizeof(*store));
	sqlite3 *db = NULL;

	store->loop = loop;
	vn_list_init(&store->waiting);
	vn_list_init(&store->ready);
	store->filling = puts_new();
	if (store_file_open(&store->file, schema, state_dir, &db, err) < 0)
		goto fail;
	store->writer = writer_start(db, &store->file, on_committed, store, err);
	if (!store->writer || store_file_open_reader(&store->file, &store->reader, err) < 0)
		goto fail;
	*ret = store;
	return 0;
fail:
	store_abandon(store);
	return -1;
}

int
store_open(const char *state_dir, struct loop *loop, struct store **ret, struct vn_error *err)
{
	return store_open_schema(&store_schema, state_dir, loop, ret, err);
}

static void
drop_afters(struct vn_list *list)
{
	vn_list_each_safe(struct after, after, list, link)
		free(after);
}

static void
end(struct store *store, bool is_abandoned)
{
	statements_fini(&store->statements);
	sqlite3_close(store->reader);
	if (store->writer)
		writer_stop(store->writer, is_abandoned);
	loop_forget(store->loop, store);
	store_file_close(&store->file);
	drop_afters(&store->waiting);
	drop_afters(&store->ready);
	puts_free(store->filling);
	free(store);
}

void
store_close(struct store *store)
{
	if (!store)
		return;
	writer_drain(store->writer);
	if (!puts_is_empty(store->filling))
		writer_give(store->writer, vn_take_ptr(&store->filling));
	end(store, false);
}

void
store_abandon(struct store *store)
{
	if (store)
		end(store, true);
}

void
store_freeze(struct store *store)
{
	writer_freeze(store->writer);
}
