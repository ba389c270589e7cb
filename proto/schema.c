/*
 * Decoding by table. Each decoder reports its error with the path from its own value on; the
 * callers put their keys before it on the way out, so that a good input costs no path at all.
 */
#include "proto/schema.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/schema_private.h"

enum { STRING_MAX = 4096, COUNT_MAX = 65536 };

/* What all decoders of one input share. */
struct decoder {
	struct vn_arena *arena;
	struct vn_error *err;
};

static int decode_object(struct decoder *d, const struct field *fields, json_t *object, void *ret);

/* ---- checks of one value ---- */

static int
expect(struct decoder *d, json_t *value, const char *what)
{
	char got[SCHEMA_SHOWN];

	schema_show(value, got);
	return vn_fail(d->err, VN_E_INVALID, "expected %s, got %s", what, got);
}

static int
check_count(struct decoder *d, const struct field *field, size_t count, int64_t max,
	    const char *things)
{
	if ((int64_t)count < field->min)
		return vn_fail(d->err, VN_E_INVALID, "expected at least %lld %s, got %zu",
			       (long long)field->min, things, count);
	if ((int64_t)count > max)
		return vn_fail(d->err, VN_E_INVALID, "expected at most %lld %s, got %zu",
			       (long long)max, things, count);
	return 0;
}

static int
decode_string(struct decoder *d, const struct field *field, json_t *value, const char **ret)
{
	char what[64];

	if (!json_is_string(value)) {
		snprintf(what, sizeof(what), "a string%s%s%s", field->form ? " (" : "",
			 field->form ? field->form->name : "", field->form ? ")" : "");
		return expect(d, value, what);
	}
	if (field->kind == FIELD_STRING &&
	    check_count(d, field, json_string_length(value), field->max ? field->max : STRING_MAX,
			"bytes") < 0)
		return -1;
	if (field->kind != FIELD_STRING && json_string_length(value) > STRING_MAX)
		return vn_fail(d->err, VN_E_INVALID, "expected at most %d bytes, got %zu",
			       STRING_MAX, json_string_length(value));
	if (field->form && field->form->check(json_string_value(value), d->err) < 0)
		return -1;
	*ret = vn_arena_strdup(d->arena, json_string_value(value));
	return 0;
}

static int
decode_int(struct decoder *d, const struct field *field, json_t *value, int64_t *ret)
{
	int64_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return expect(d, value, "a whole number");
	if (number < field->min)
		return vn_fail(d->err, VN_E_INVALID, "expected at least %lld, got %lld",
			       (long long)field->min, (long long)number);
	if (field->max != 0 && number > field->max)
		return vn_fail(d->err, VN_E_INVALID, "expected at most %lld, got %lld",
			       (long long)field->max, (long long)number);
	*ret = number;
	return 0;
}

static int
decode_quantity(struct decoder *d, const struct field *field, json_t *value, uint64_t *ret)
{
	static const char *const what[] = {
		[VN_UNIT_SIZE] = "a size such as \"64MiB\"",
		[VN_UNIT_TIME] = "a time such as \"250us\"",
		[VN_UNIT_RATE] = "a rate such as \"10Mbit\"",
	};
	enum vn_unit unit = schema_unit(field->kind);
	uint64_t number, max = field->max ? (uint64_t)field->max : INT64_MAX;
	char limit[VN_QUANTITY_TEXT];

	if (!json_is_string(value))
		return expect(d, value, what[unit]);
	if (vn_quantity_parse(unit, json_string_value(value), &number, d->err) < 0)
		return -1;
	if (number >= (uint64_t)field->min && number <= max) {
		*ret = number;
		return 0;
	}
	vn_quantity_print(unit, number > max ? max : (uint64_t)field->min, limit);
	return vn_fail(d->err, VN_E_INVALID, "expected at %s %s, got \"%.40s\"",
		       number > max ? "most" : "least", limit, json_string_value(value));
}

static int
decode_probability(struct decoder *d, json_t *value, double *ret)
{
	if (!json_is_string(value))
		return expect(d, value, "a probability such as \"0.1%\"");
	return vn_probability_parse(json_string_value(value), ret, d->err);
}

static int
decode_word(struct decoder *d, const struct field *field, json_t *value, int *ret)
{
	char what[200] = "one of ";
	size_t used = strlen(what);

	for (int i = 0; field->words[i]; i++) {
		if (json_is_string(value) &&
		    strcmp(field->words[i], json_string_value(value)) == 0) {
			*ret = i;
			return 0;
		}
		if (used < sizeof(what))
			used += (size_t)snprintf(what + used, sizeof(what) - used, "%s\"%s\"",
						 i ? ", " : "", field->words[i]);
	}
	return expect(d, value, what);
}

/* ---- values that hold others ---- */

static int
decode_item(struct decoder *d, const struct field *field, json_t *value, void *ret)
{
	if (field->item == FIELD_STRING)
		return decode_string(d, field, value, ret);
	return decode_object(d, field->fields, value, ret);
}

static int
decode_list(struct decoder *d, const struct field *field, json_t *value, struct field_array *ret)
{
	size_t size = field->item == FIELD_STRING ? sizeof(char *) : field->size;
	struct field_array array = { 0 };
	size_t i;
	json_t *item;

	if (!json_is_array(value)) {
		if (!(field->flags & FIELD_OR_ONE))
			return expect(d, value, "an array");
		*ret = (struct field_array){ .items = vn_arena_alloc(d->arena, size), .count = 1 };
		return decode_item(d, field, value, ret->items);
	}
	if (check_count(d, field, json_array_size(value), field->max ? field->max : COUNT_MAX,
			"items") < 0)
		return -1;
	array.count = json_array_size(value);
	array.items = vn_arena_alloc(d->arena, array.count * size);
	json_array_foreach(value, i, item) {
		if (decode_item(d, field, item, (char *)array.items + i * size) < 0)
			return schema_prefix_index(d->err, i);
	}
	*ret = array;
	return 0;
}

static int
decode_map(struct decoder *d, const struct field *field, json_t *value, struct field_array *ret)
{
	struct field_array array = { 0 };
	const char *key;
	json_t *item;

	if (!json_is_object(value))
		return expect(d, value, "an object");
	if (check_count(d, field, json_object_size(value), field->max ? field->max : COUNT_MAX,
			"members") < 0)
		return -1;
	array.items = vn_arena_alloc(d->arena, json_object_size(value) * field->size);
	json_object_foreach(value, key, item) {
		char *at = (char *)array.items + array.count++ * field->size;

		if ((field->form && field->form->check(key, d->err) < 0) ||
		    decode_object(d, field->fields, item, at) < 0)
			return schema_prefix_key(d->err, key);
		*(const char **)at = vn_arena_strdup(d->arena, key);
	}
	*ret = array;
	return 0;
}

/* ---- objects ---- */

static int
decode_value(struct decoder *d, const struct field *field, json_t *value, void *at)
{
	switch (field->kind) {
	case FIELD_STRING:
		return decode_string(d, field, value, at);
	case FIELD_BOOL:
		if (!json_is_boolean(value))
			return expect(d, value, "true or false");
		*(bool *)at = json_is_true(value);
		return 0;
	case FIELD_INT:
		return decode_int(d, field, value, at);
	case FIELD_SIZE: case FIELD_TIME: case FIELD_RATE:
		return decode_quantity(d, field, value, at);
	case FIELD_PROBABILITY:
		return decode_probability(d, value, at);
	case FIELD_WORD:
		return decode_word(d, field, value, at);
	case FIELD_STRUCT:
		if (field->flags & FIELD_MARKED)
			*(bool *)at = true;
		return decode_object(d, field->fields, value, at);
	case FIELD_LIST:
		return decode_list(d, field, value, at);
	case FIELD_MAP:
		return decode_map(d, field, value, at);
	case FIELD_JSON:
		*(json_t **)at = value;
		return 0;
	case FIELD_INLINE: case FIELD_END:
		break;
	}
	abort();
}

static void
set_preset(const struct field *field, void *at)
{
	switch (field->kind) {
	case FIELD_BOOL:
		*(bool *)at = field->preset != 0;
		break;
	case FIELD_INT:
		*(int64_t *)at = field->preset;
		break;
	case FIELD_SIZE: case FIELD_TIME: case FIELD_RATE:
		*(uint64_t *)at = (uint64_t)field->preset;
		break;
	case FIELD_WORD:
		*(int *)at = (int)field->preset;
		break;
	case FIELD_STRING:
	case FIELD_PROBABILITY:
	case FIELD_STRUCT:
	case FIELD_LIST:
	case FIELD_MAP:
	case FIELD_JSON: case FIELD_INLINE: case FIELD_END:
		break;			/* zeroed already */
	}
}

static int
decode_field(struct decoder *d, const struct field *field, json_t *value, void *ret)
{
	void *at = (char *)ret + field->offset;

	if (field->flags & FIELD_UNSUPPORTED) {
		if (!value || json_is_null(value))
			return 0;
		vn_fail(d->err, VN_E_UNSUPPORTED,
			"\"%s\" is not supported by this version: leave it out", field->name);
		return schema_prefix_key(d->err, field->name);
	}
	if (value && !json_is_null(value)) {
		if (decode_value(d, field, value, at) < 0)
			return schema_prefix_key(d->err, field->name);
		return 0;
	}
	if (field->flags & FIELD_REQUIRED) {
		vn_fail(d->err, VN_E_INVALID, "\"%s\" is missing: %s", field->name, field->help);
		return schema_prefix_key(d->err, field->name);
	}
	set_preset(field, at);
	return 0;
}

/* Decodes the fields that stand in `object`; raises *known by those of its keys that have one. */
static int
decode_fields(struct decoder *d, const struct field *fields, json_t *object, void *ret,
	      size_t *known)
{
	for (const struct field *field = fields; field->kind != FIELD_END; field++) {
		json_t *value;

		if (field->kind == FIELD_INLINE) {
			if (decode_fields(d, field->fields, object, (char *)ret + field->offset,
					  known) < 0)
				return -1;
			continue;
		}
		value = json_object_get(object, field->name);
		*known += value != NULL;
		if (decode_field(d, field, value, ret) < 0)
			return -1;
	}
	return 0;
}

/* Unknown keys come first: a misspelt required field is reported as what it is. */
static int
check_keys(struct decoder *d, const struct field *fields, json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		if (schema_find(fields, key))
			continue;
		schema_fail_unknown(fields, key, d->err);
		return schema_prefix_key(d->err, key);
	}
	return 0;
}

static int
decode_object(struct decoder *d, const struct field *fields, json_t *object, void *ret)
{
	struct vn_error first;
	size_t known = 0;
	int decoded;

	if (object && !json_is_object(object))
		return expect(d, object, "an object");
	decoded = decode_fields(d, fields, object, ret, &known);
	if (decoded == 0 && known == json_object_size(object))
		return 0;
	first = *d->err;
	if (check_keys(d, fields, object) < 0)
		return -1;
	assert(decoded < 0);
	*d->err = first;
	return -1;
}

int
schema_decode(const struct field *fields, json_t *object, struct vn_arena *arena, void *ret,
	      struct vn_error *err)
{
	struct decoder decoder = { .arena = arena, .err = err };

	return decode_object(&decoder, fields, json_is_null(object) ? NULL : object, ret);
}
