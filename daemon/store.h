#pragma once
/*
 * The SQLite database: WAL, synchronous FULL, one writer thread with group commit. The loop's objects
 * are the truth while the daemon runs; each change is put here, in order, and whoever must not act
 * before it is on disk asks with store_after. What is put between two commits becomes durable
 * together or not at all. Thread: loop.
 *
 * A full disk: the writer gives up a reserve file to commit what is pending, and store_check refuses
 * new work until the reserve could be made again. Where somebody has eaten the reserve as well, the
 * writer waits for room, and only what waits for a commit waits with it.
 */

#include "daemon/loop.h"

#define STORE_SCHEMA 5			/* of this program; the database holds its own */

struct store;

/*
 * Opens (creates, migrates) <state_dir>/vnoded.db and checks its integrity. Before a migration the
 * file is copied to vnoded.db.<old schema>.
 * Errors: VN_E_BUSY another vnoded has it open; VN_E_UNSUPPORTED made by a newer version;
 * VN_E_BACKEND damaged; VN_E_LIMIT disk full; VN_E_DENIED. Texts name the file and the cure.
 */
int store_open(const char *state_dir, struct loop *loop, struct store **ret, struct vn_error *err);
/* Commits what was put, then closes; callbacks of store_after are dropped. NULL is fine. */
void store_close(struct store *store);
/* For tests: closes as kill -9 would; what is not yet committed is lost. */
void store_abandon(struct store *store);
/* For tests, from any thread: from now on no commit happens; store_abandon is to follow. */
void store_freeze(struct store *store);

/*
 * Puts one statement. `sql` must be a literal (statements are prepared once and found by its address).
 * types: one letter a parameter: i int64_t, s const char * (NULL is SQL NULL; copied), d double.
 */
void store_put(struct store *store, const char *sql, const char *types, ...);
/* Calls fn(arg) once all that was put before is on disk, in order; never from inside. */
void store_after(struct store *store, watch_fn *fn, void *arg);
/* Fails with VN_E_LIMIT while the disk is full: for the door, before anything is promised. */
int store_check(struct store *store, struct vn_error *err);

/*
 * Reads committed rows; row(arg, statement) is called for each (sqlite3_column_* through store_int and
 * store_text). types as for store_put, but parameters come last. Errors: VN_E_BACKEND.
 */
struct store_row;
int store_read(struct store *store, void (*row)(void *arg, struct store_row *row), void *arg,
	       struct vn_error *err, const char *sql, const char *types, ...);
int64_t store_int(struct store_row *row, int column);
const char *store_text(struct store_row *row, int column);	/* NULL for SQL NULL; until row returns */

/* Commits so far; tests crash the daemon between any two. */
uint64_t store_commits(const struct store *store);
/* Whether anything was put that is not committed yet. */
bool store_is_pending(const struct store *store);
