/* Encoding by table: the canonical object, without what decoding would put back by itself. */
#include "proto/schema.h"

#include <stdlib.h>

#include "proto/schema_private.h"

static void encode_fields(const struct field *fields, const void *from, json_t *object);

/* Decoding zeroes a struct that is absent, padding included. */
static bool
is_zeroed(const unsigned char *bytes, size_t size)
{
	while (size > 0 && bytes[size - 1] == 0)
		size--;
	return size == 0;
}

/* Whether leaving the field out decodes to the same value. */
static bool
is_implied(const struct field *field, const void *at)
{
	switch (field->kind) {
	case FIELD_STRING:
		return !*(const char *const *)at;
	case FIELD_BOOL:
		return *(const bool *)at == (field->preset != 0);
	case FIELD_INT:
		return *(const int64_t *)at == field->preset;
	case FIELD_SIZE: case FIELD_TIME: case FIELD_RATE:
		return *(const uint64_t *)at == (uint64_t)field->preset;
	case FIELD_PROBABILITY:
		return !(*(const double *)at > 0);
	case FIELD_WORD:
		return *(const int *)at == (int)field->preset;
	case FIELD_LIST: case FIELD_MAP:
		return ((const struct field_array *)at)->count == 0;
	case FIELD_JSON:
		return !*(json_t *const *)at;
	case FIELD_STRUCT:
		return is_zeroed(at, field->size);
	case FIELD_INLINE: case FIELD_END:
		break;
	}
	return false;
}

static json_t *
encode_item(const struct field *field, const void *at)
{
	if (field->item == FIELD_STRING)
		return json_string(*(const char *const *)at);
	return schema_encode(field->fields, at);
}

static json_t *
encode_list(const struct field *field, const struct field_array *array)
{
	size_t size = field->item == FIELD_STRING ? sizeof(char *) : field->size;
	json_t *list;

	if ((field->flags & FIELD_OR_ONE) && array->count == 1)
		return encode_item(field, array->items);
	list = json_array();
	for (size_t i = 0; i < array->count; i++)
		json_array_append_new(list,
				      encode_item(field, (const char *)array->items + i * size));
	return list;
}

static json_t *
encode_map(const struct field *field, const struct field_array *array)
{
	json_t *map = json_object();

	for (size_t i = 0; i < array->count; i++) {
		const char *at = (const char *)array->items + i * field->size;

		json_object_set_new(map, *(const char *const *)(const void *)at,
				    schema_encode(field->fields, at));
	}
	return map;
}

static json_t *
encode_quantity(const struct field *field, uint64_t value)
{
	char text[VN_QUANTITY_TEXT];

	vn_quantity_print(schema_unit(field->kind), value, text);
	return json_string(text);
}

static json_t *
encode_probability(double value)
{
	char text[VN_QUANTITY_TEXT];

	vn_probability_print(value, text);
	return json_string(text);
}

static json_t *
encode_value(const struct field *field, const void *at)
{
	switch (field->kind) {
	case FIELD_STRING:
		return json_string(*(const char *const *)at);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_INT:
		return json_integer(*(const int64_t *)at);
	case FIELD_SIZE: case FIELD_TIME: case FIELD_RATE:
		return encode_quantity(field, *(const uint64_t *)at);
	case FIELD_PROBABILITY:
		return encode_probability(*(const double *)at);
	case FIELD_WORD:
		return json_string(field->words[*(const int *)at]);
	case FIELD_STRUCT:
		return schema_encode(field->fields, at);
	case FIELD_LIST:
		return encode_list(field, at);
	case FIELD_MAP:
		return encode_map(field, at);
	case FIELD_JSON:
		return json_incref(*(json_t *const *)at);
	case FIELD_INLINE: case FIELD_END:
		break;
	}
	abort();
}

static void
encode_field(const struct field *field, const void *at, json_t *object)
{
	if (field->flags & FIELD_UNSUPPORTED)
		return;
	if (!(field->flags & FIELD_REQUIRED) && is_implied(field, at))
		return;
	json_object_set_new(object, field->name, encode_value(field, at));
}

static void
encode_fields(const struct field *fields, const void *from, json_t *object)
{
	for (; fields->kind != FIELD_END; fields++) {
		const void *at = (const char *)from + fields->offset;

		if (fields->kind == FIELD_INLINE)
			encode_fields(fields->fields, at, object);
		else
			encode_field(fields, at, object);
	}
}

json_t *
schema_encode(const struct field *fields, const void *from)
{
	json_t *object = json_object();

	encode_fields(fields, from, object);
	return object;
}
