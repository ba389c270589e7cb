#pragma once
/*
 * The database's tables, and the way from each older schema to this one. Only store*.c and its
 * test.
 */

#include "daemon/store.h"

struct store_migration {
	int from;			/* user_version before; afterwards it is one higher */
	const char *sql;
};

struct store_schema {
	int version;
	const char *tables;		/* makes a new database */
	const struct store_migration *migrations;
	size_t n_migrations;
};

extern const struct store_schema store_schema;

/* As store_open, with a schema of the caller's; a test brings one that has a past. */
int store_open_schema(const struct store_schema *schema, const char *state_dir, struct loop *loop,
		      struct store **ret, struct vn_error *err);
