/*
 * Tables are measured first and printed then, so that columns are as wide as they need to be and
 * the last one is never padded. Text from the daemon may hold what a guest or a library said:
 * control characters become "?" before a terminal sees them.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/output.h"
#include "client/shape.h"
#include "proto/base/mem.h"
#include "proto/base/units.h"

#define COLUMNS_MAX 16

void
output_json(json_t *value)
{
	size_t flags = isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT;

	json_dumpf(value, stdout, flags | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
}

const char *
output_text(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_t *
output_rows(json_t *result, const char *member)
{
	return json_is_array(result) ? result : json_object_get(result, member);
}

static json_t *
descend(json_t *object, const char *key)
{
	size_t length = strcspn(key, "/");
	vn_autofree char *first = vn_format("%.*s", (int)length, key);
	json_t *value = json_object_get(object, first);

	return key[length] ? descend(value, key + length + 1) : value;
}

/* Items, or one member of each, separated by commas. */
static char *
join(json_t *array, const char *member)
{
	char *text = vn_strdup("");
	size_t i;
	json_t *item;

	json_array_foreach(array, i, item) {
		vn_autofree char *before = text;
		vn_autofree char *cell = NULL;

		cell = output_cell(member ? json_object_get(item, member) : item, CELL_TEXT);
		text = vn_format("%s%s%s", before, i ? "," : "", cell);
	}
	return text;
}

static char *
print_size(json_t *value)
{
	char text[VN_QUANTITY_TEXT];

	if (!json_is_integer(value) || json_integer_value(value) <= 0)
		return vn_strdup("-");
	vn_quantity_print(VN_UNIT_SIZE, (uint64_t)json_integer_value(value), text);
	return vn_strdup(text);
}

static char *
print_exit(json_t *value)
{
	json_t *code = json_object_get(value, "code"), *number = json_object_get(value, "signal");
	const char *cause = output_text(value, "cause");

	if (!*cause)
		return vn_strdup("-");
	if (strcmp(cause, "exited") == 0 && json_is_integer(code))
		return vn_format("%s %d", cause, (int)json_integer_value(code));
	if (json_is_integer(number) && json_integer_value(number) > 0)
		return vn_format("%s %d", cause, (int)json_integer_value(number));
	return vn_strdup(cause);
}

static char *
print_plain(json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		return vn_strdup(json_string_value(value));
	case JSON_ARRAY:
		return join(value, NULL);
	case JSON_TRUE:
		return vn_strdup("yes");
	case JSON_FALSE:
		return vn_strdup("no");
	default:
		return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	}
}

static char *
print_value(json_t *value, enum cell kind)
{
	switch (kind) {
	case CELL_BYTES:
		return print_size(value);
	case CELL_LIMIT:
		return json_integer_value(value) ? print_plain(value) : vn_strdup("none");
	case CELL_EXIT:
		return print_exit(value);
	case CELL_COUNT:
		return vn_format("%zu", json_is_array(value) ? json_array_size(value)
							     : json_object_size(value));
	case CELL_TIME:
		return vn_format("%.19s%s",
				 json_string_value(value) ? json_string_value(value) : "-",
				 json_string_value(value) ? "Z" : "");
	case CELL_ERROR:
		return vn_strdup(json_is_object(value) ? output_text(value, "text")
						       : json_string_value(value));
	case CELL_MEMBERS:
		return join(value, "vnode");
	case CELL_SHAPE:
		return shape_text(value);
	case CELL_TEXT:
	case CELL_NUMBER:
		break;
	}
	return print_plain(value);
}

char *
output_cell(json_t *value, enum cell kind)
{
	char *text = !value || json_is_null(value) ? vn_strdup("-") : print_value(value, kind);

	if (!text || !*text) {
		free(text);
		text = vn_strdup("-");
	}
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	return text;
}

/* Characters, not bytes. */
static size_t
width(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += (*text & 0xc0) != 0x80;
	return count;
}

static void
print_padded(const char *text, size_t to, bool right, bool is_last)
{
	size_t pad = to - width(text);

	if (right)
		printf("%*s%s", (int)pad, "", text);
	else
		printf("%s%*s", text, is_last ? 0 : (int)pad, "");
	fputs(is_last ? "\n" : "  ", stdout);
}

static bool
is_right(enum cell kind)
{
	return kind == CELL_NUMBER || kind == CELL_BYTES || kind == CELL_COUNT;
}

/* Rows as an array: of a map its objects, each with its key as "name". A new reference. */
static json_t *
as_array(json_t *rows)
{
	json_t *array, *row;
	const char *key;

	if (!json_is_object(rows))
		return json_incref(rows);
	array = json_array();
	json_object_foreach(rows, key, row) {
		json_t *copy = json_copy(row);

		json_object_set_new(copy, "name", json_string(key));
		json_array_append_new(array, copy);
	}
	return array;
}

static void
print_rows(const struct column *columns, size_t n_columns, json_t *rows, const char *indent)
{
	size_t n_rows = json_array_size(rows), widths[COLUMNS_MAX];
	char **cells = vn_alloc_array(n_rows * n_columns + 1, sizeof(*cells));

	for (size_t c = 0; c < n_columns; c++) {
		widths[c] = width(columns[c].header);
		for (size_t r = 0; r < n_rows; r++) {
			json_t *value = descend(json_array_get(rows, r), columns[c].key);
			char *cell = output_cell(value, columns[c].kind);

			cells[r * n_columns + c] = cell;
			widths[c] = width(cell) > widths[c] ? width(cell) : widths[c];
		}
	}
	fputs(indent, stdout);
	for (size_t c = 0; c < n_columns; c++)
		print_padded(columns[c].header, widths[c], is_right(columns[c].kind),
			     c + 1 == n_columns);
	for (size_t i = 0; i < n_rows * n_columns; i++) {
		size_t c = i % n_columns;

		if (c == 0)
			fputs(indent, stdout);
		print_padded(cells[i], widths[c], is_right(columns[c].kind), c + 1 == n_columns);
		free(cells[i]);
	}
	free(cells);
}

static size_t
count_columns(const struct column *columns)
{
	size_t count = 0;

	while (columns[count].header)
		count++;
	return count < COLUMNS_MAX ? count : COLUMNS_MAX;
}

void
output_table(const struct column *columns, json_t *rows, const char *what)
{
	json_t *array = as_array(rows);

	if (json_array_size(array) > 0)
		print_rows(columns, count_columns(columns), array, "");
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "no %s\n", what);
	json_decref(array);
}

void
output_inner_table(const struct column *columns, json_t *rows)
{
	json_t *array = as_array(rows);

	if (json_array_size(array) > 0)
		print_rows(columns, count_columns(columns), array, "  ");
	json_decref(array);
}

void
output_record(const struct column *columns, json_t *object)
{
	size_t widest = 0;

	for (const struct column *column = columns; column->header; column++)
		if (width(column->header) > widest)
			widest = width(column->header);
	for (const struct column *column = columns; column->header; column++) {
		json_t *value = descend(object, column->key);
		vn_autofree char *cell = NULL;

		if (!value || json_is_null(value))
			continue;
		cell = output_cell(value, column->kind);
		printf("%s:%*s %s\n", column->header, (int)(widest - width(column->header)), "",
		       cell);
	}
}
