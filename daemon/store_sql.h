#pragma once
/* SQLite's errors and statements in this project's terms. Only store*.c. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct sqlite3;
struct sqlite3_stmt;

/*
 * Sets *err from the connection's last error and returns -1; full disk: LIMIT, locked: BUSY, no
 * permission: DENIED, all else BACKEND. Text: "<formatted>: <SQLite's>".
 */
int vn_fail_sql(struct vn_error *err, struct sqlite3 *db, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Prepared statements, found by the address of their literal. A zeroed one is empty. */
#define STATEMENTS_MAX 512
struct statements {
	struct {
		const char *sql;
		struct sqlite3_stmt *statement;
	} slot[STATEMENTS_MAX];
	unsigned count;
};

/* The statement, reset and ready to be bound; NULL when SQLite refuses the text. */
struct sqlite3_stmt *statements_get(struct statements *statements, struct sqlite3 *db,
				    const char *sql);
void statements_fini(struct statements *statements);

/* Runs statements without results. Errors: as vn_fail_sql. */
int sql_run(struct sqlite3 *db, struct vn_error *err, const char *sql);
/* Reads one number or one text (cut) of the first row; 0 and "" where there is no row. */
int sql_read_int(struct sqlite3 *db, const char *sql, int64_t *ret, struct vn_error *err);
int sql_read_text(struct sqlite3 *db, const char *sql, char *ret, size_t size,
		  struct vn_error *err);
