/* The sentences and paths of schema errors; run only when an input is refused. */
#include "proto/schema_private.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 40, NEAR_MAX = 3 };

enum vn_unit
schema_unit(enum field_kind kind)
{
	return kind == FIELD_SIZE ? VN_UNIT_SIZE : kind == FIELD_TIME ? VN_UNIT_TIME : VN_UNIT_RATE;
}

const struct field *
schema_find(const struct field *fields, const char *name)
{
	for (; fields->kind != FIELD_END; fields++) {
		const struct field *found = NULL;

		if (fields->kind == FIELD_INLINE)
			found = schema_find(fields->fields, name);
		else if (strcmp(fields->name, name) == 0)
			found = fields;
		if (found)
			return found;
	}
	return NULL;
}

/* Steps (insert, delete, replace) from a to b; NEAR_MAX + 1 when either is too long to be near. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[KEY_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > KEY_MAX || b_length > KEY_MAX)
		return NEAR_MAX + 1;
	for (unsigned j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

struct known {
	char list[300];
	size_t used;
	const char *nearest;
	unsigned distance;
};

static void
collect(const struct field *fields, const char *name, struct known *known)
{
	for (; fields->kind != FIELD_END; fields++) {
		unsigned steps;

		if (fields->kind == FIELD_INLINE) {
			collect(fields->fields, name, known);
			continue;
		}
		if (fields->flags & FIELD_UNSUPPORTED)
			continue;
		steps = distance(fields->name, name);
		if (steps < known->distance) {
			known->distance = steps;
			known->nearest = fields->name;
		}
		if (known->used < sizeof(known->list))
			known->used += (size_t)snprintf(known->list + known->used,
							sizeof(known->list) - known->used, "%s%s",
							known->used ? ", " : "", fields->name);
	}
}

int
schema_fail_unknown(const struct field *fields, const char *name, struct vn_error *err)
{
	struct known known = { .distance = NEAR_MAX + 1 };

	collect(fields, name, &known);
	if (known.used == 0)
		return vn_fail(err, VN_E_INVALID, "unknown field: there are none here");
	if (known.nearest && known.distance * 2 <= strlen(known.nearest))
		return vn_fail(err, VN_E_INVALID, "unknown field: did you mean \"%s\"? known: %s",
			       known.nearest, known.list);
	return vn_fail(err, VN_E_INVALID, "unknown field; known: %s", known.list);
}

void
schema_show(json_t *value, char text[static SCHEMA_SHOWN])
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		if (json_string_length(value) > KEY_MAX)
			snprintf(text, SCHEMA_SHOWN, "a string of %zu characters",
				 json_string_length(value));
		else
			snprintf(text, SCHEMA_SHOWN, "\"%s\"", json_string_value(value));
		break;
	case JSON_INTEGER:
		snprintf(text, SCHEMA_SHOWN, "the number %lld",
			 (long long)json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(text, SCHEMA_SHOWN, "the number %g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		snprintf(text, SCHEMA_SHOWN, "%s", json_is_true(value) ? "true" : "false");
		break;
	case JSON_NULL:
		snprintf(text, SCHEMA_SHOWN, "null");
		break;
	case JSON_ARRAY:
		snprintf(text, SCHEMA_SHOWN, "an array");
		break;
	case JSON_OBJECT:
		snprintf(text, SCHEMA_SHOWN, "an object");
		break;
	}
}

void
schema_escape(const char *key, char *text, size_t size)
{
	size_t used = 0;

	for (; *key && used + 3 <= size; key++) {
		if (*key == '~' || *key == '/') {
			text[used++] = '~';
			text[used++] = *key == '~' ? '0' : '1';
		} else {
			text[used++] = *key;
		}
	}
	text[used] = '\0';
}

int
schema_prefix_key(struct vn_error *err, const char *key)
{
	char pointer[sizeof(err->path)] = "/";

	schema_escape(key, pointer + 1, sizeof(pointer) - 1);
	vn_error_prefix_path(err, pointer);
	return -1;
}

int
schema_prefix_index(struct vn_error *err, size_t index)
{
	char pointer[24];

	snprintf(pointer, sizeof(pointer), "/%zu", index);
	vn_error_prefix_path(err, pointer);
	return -1;
}
