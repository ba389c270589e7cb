#pragma once
/* What goes to stdout: wire objects as JSON, or tables and records for people. */

#include <jansson.h>
#include <stdbool.h>

enum cell {
	CELL_TEXT,			/* as it is; lists joined with commas; absent: "-" */
	CELL_NUMBER,			/* the same, flush right */
	CELL_BYTES,			/* 67108864 as 64MiB, 0 as "-" */
	CELL_LIMIT,			/* 0 as "none" */
	CELL_TIME,			/* RFC 3339 without its fraction */
	CELL_COUNT,			/* number of items of a list or map */
	CELL_EXIT,			/* {cause, code, signal} as "exited 3" */
	CELL_ERROR,			/* {code, text} as its text */
	CELL_MEMBERS,			/* members of a LAN as "alice,bob" */
	CELL_SHAPE,			/* "10Mbit 5ms" */
};

struct column {
	const char *header;		/* of a table; in a record the name before the colon */
	const char *key;		/* of the object; "a/b" goes down */
	enum cell kind;
};

/* Prints the value on lines of its own on a terminal, on one line elsewhere. */
void output_json(json_t *value);

/* A string member, "" where there is none; borrowed. */
const char *output_text(json_t *object, const char *key);

/* The array inside an answer: the answer itself, or its member. Borrowed; NULL: none. */
json_t *output_rows(json_t *result, const char *member);

/* A value as one cell of text without control characters, to be freed. */
char *output_cell(json_t *value, enum cell kind);

/*
 * Columns end with an empty row. rows: an array of objects, or a map of objects, whose keys then
 * are the first column. `what` names them where there are none ("vnodes"): on stderr, on a
 * terminal.
 */
void output_table(const struct column *columns, json_t *rows, const char *what);
/* The same with spaces before each line and nothing where there are no rows. */
void output_inner_table(const struct column *columns, json_t *rows);

/* "name: value" lines; members that are absent or null are left out. */
void output_record(const struct column *columns, json_t *object);
