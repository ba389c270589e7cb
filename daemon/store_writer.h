#pragma once
/* Batches of statements, and the thread that commits them one by one. Only store*.c. */

#include <stdarg.h>

#include "daemon/store_file.h"
#include "proto/base/mem.h"

struct puts;

struct puts *puts_new(void);
void puts_free(struct puts *batch);		/* NULL is fine */
/* sql and types as in store_put; all values are copied. */
void puts_add(struct puts *batch, const char *sql, const char *types, va_list args);
bool puts_is_empty(const struct puts *batch);

struct writer;

/*
 * Starts the writer on its connection, which is taken over. on_committed(arg) is called on the
 * writer's thread after each batch. Errors: VN_E_LIMIT no thread left; the connection is closed.
 */
struct writer *writer_start(VN_TAKES struct sqlite3 *db, struct store_file *file,
			    void (*on_committed)(void *arg), void *arg, struct vn_error *err);
/* Commits a batch, which is taken over. The one before must have been committed. */
void writer_give(struct writer *writer, VN_TAKES struct puts *batch);
/* Waits until the batch in hand is committed. */
void writer_drain(struct writer *writer);
/*
 * Waits for the batch in hand, ends the thread and closes the connection. is_abandoned: the batch
 * in hand is rolled back unless it is committed already, and the log is left as a crash leaves it.
 */
void writer_stop(struct writer *writer, bool is_abandoned);
/* From any thread: no batch is committed from now on; writer_stop is to follow. */
void writer_freeze(struct writer *writer);
