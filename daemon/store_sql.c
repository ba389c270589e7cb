/* The border to SQLite: its result codes end here. */
#include "daemon/store_sql.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum vn_code
code_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_FULL:
		return VN_E_LIMIT;
	case SQLITE_BUSY: case SQLITE_LOCKED:
		return VN_E_BUSY;
	case SQLITE_PERM: case SQLITE_READONLY: case SQLITE_CANTOPEN: case SQLITE_AUTH:
		return VN_E_DENIED;
	default:
		return VN_E_BACKEND;
	}
}

int
vn_fail_sql(struct vn_error *err, struct sqlite3 *db, const char *format, ...)
{
	int result = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	vn_fail(err, code_of(result), "%s: %s", text, db ? sqlite3_errmsg(db) : "out of memory");
	err->sys = result;
	return -1;
}

struct sqlite3_stmt *
statements_get(struct statements *statements, struct sqlite3 *db, const char *sql)
{
	unsigned at = (unsigned)((uintptr_t)sql * 0x9e3779b97f4a7c15u >> 40) % STATEMENTS_MAX;
	sqlite3_stmt *statement = NULL;

	while (statements->slot[at].sql && statements->slot[at].sql != sql)
		at = (at + 1) % STATEMENTS_MAX;
	if (statements->slot[at].sql)
		return statements->slot[at].statement;
	assert(statements->count < STATEMENTS_MAX / 2);		/* sql that is no literal? */
	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL))
		return NULL;
	statements->slot[at].sql = sql;
	statements->slot[at].statement = statement;
	statements->count++;
	return statement;
}

void
statements_fini(struct statements *statements)
{
	for (unsigned i = 0; i < STATEMENTS_MAX; i++)
		sqlite3_finalize(statements->slot[i].statement);
	memset(statements, 0, sizeof(*statements));
}

int
sql_run(struct sqlite3 *db, struct vn_error *err, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return vn_fail_sql(err, db, "'%.60s'", sql);
	return 0;
}

int
sql_read_text(struct sqlite3 *db, const char *sql, char *ret, size_t size, struct vn_error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result == SQLITE_ROW || result == SQLITE_DONE) {
		const char *text = (const char *)sqlite3_column_text(statement, 0);

		snprintf(ret, size, "%s", text ? text : "");
		sqlite3_finalize(statement);
		return 0;
	}
	vn_fail_sql(err, db, "'%.60s'", sql);
	sqlite3_finalize(statement);
	return -1;
}

int
sql_read_int(struct sqlite3 *db, const char *sql, int64_t *ret, struct vn_error *err)
{
	char text[32];

	if (sql_read_text(db, sql, text, sizeof(text), err) < 0)
		return -1;
	*ret = strtoll(text, NULL, 10);
	return 0;
}
