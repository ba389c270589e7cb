#pragma once
/* What the files of check_store share: a store in a folder of its own. */

#include <stddef.h>

#include "daemon/store.h"
#include "proto/base/error.h"
#include "tests/unit/support.h"

#define PUT_META "INSERT INTO meta VALUES (?, ?)"

struct bench {
	struct loop *loop;
	char *dir;
	struct store *store;		/* NULL once it has been closed for good */
	struct vn_error err;
};

void bench_open(struct bench *b);
void bench_close(struct bench *b);
/* The store once more, after it was closed. */
void reopen(struct bench *b);

/* Runs the loop until all that was put is committed. */
void settle(struct store *store, struct loop *loop);
/* What a connection of its own sees: the first column of the first row, or "". */
void look(const char *dir, const char *sql, char *ret, size_t size);

#define ck_assert_seen(dir, sql, text) do {                                                        \
		char seen_[200];                                                                   \
		look((dir), (sql), seen_, sizeof(seen_));                                          \
		ck_assert_str_eq(seen_, (text));                                                   \
	} while (0)

/* A reader that appends "INTEGER=TEXT;" to the text in arg. */
void collect(void *arg, struct store_row *row);

void add_file_cases(TCase *tcase);
void add_room_cases(TCase *tcase);
