/* Tables as JSON Schema (draft 7). Unsupported fields are left out: they may not be given. */
#include "proto/schema.h"

#include <stdlib.h>

#include "proto/schema_private.h"

static json_t *describe_value(const struct field *field);

static void
set_text(json_t *schema, const char *key, const char *text)
{
	json_object_set_new(schema, key, json_string(text));
}

static json_t *
new_schema(const char *type)
{
	json_t *schema = json_object();

	set_text(schema, "type", type);
	return schema;
}

static void
set_bounds(json_t *schema, const struct field *field, const char *least, const char *most)
{
	if (field->min != 0 || field->kind == FIELD_INT)
		json_object_set_new(schema, least, json_integer(field->min));
	if (field->max != 0)
		json_object_set_new(schema, most, json_integer(field->max));
}

static json_t *
describe_string(const struct field *field)
{
	json_t *schema = new_schema("string");

	if (field->form && field->form->pattern)
		set_text(schema, "pattern", field->form->pattern);
	return schema;
}

static json_t *
describe_pattern(const char *pattern)
{
	json_t *schema = new_schema("string");

	set_text(schema, "pattern", pattern);
	return schema;
}

static json_t *
describe_words(const struct field *field)
{
	json_t *schema = new_schema("string"), *words = json_array();

	for (int i = 0; field->words[i]; i++)
		json_array_append_new(words, json_string(field->words[i]));
	json_object_set_new(schema, "enum", words);
	return schema;
}

static json_t *
describe_item(const struct field *field)
{
	return field->item == FIELD_STRING ? describe_string(field)
					   : schema_describe(field->fields);
}

static json_t *
describe_list(const struct field *field)
{
	json_t *schema = new_schema("array"), *choices = json_array(), *either;

	json_object_set_new(schema, "items", describe_item(field));
	set_bounds(schema, field, "minItems", "maxItems");
	if (!(field->flags & FIELD_OR_ONE)) {
		json_decref(choices);
		return schema;
	}
	json_array_append_new(choices, describe_item(field));
	json_array_append_new(choices, schema);
	either = json_object();
	json_object_set_new(either, "oneOf", choices);
	return either;
}

static json_t *
describe_map(const struct field *field)
{
	json_t *schema = new_schema("object");

	if (field->form)
		json_object_set_new(schema, "propertyNames", describe_string(field));
	json_object_set_new(schema, "additionalProperties", schema_describe(field->fields));
	set_bounds(schema, field, "minProperties", "maxProperties");
	return schema;
}

/* FIELD_JSON: any value, or, where a table says how it must look, that. */
static json_t *
describe_json(const struct field *field)
{
	json_t *schema;

	if (field->item != FIELD_STRUCT)
		return field->fields ? schema_describe(field->fields) : json_object();
	schema = new_schema("array");
	json_object_set_new(schema, "items", schema_describe(field->fields));
	return schema;
}

static json_t *
describe_bounded(const struct field *field, json_t *schema, const char *least, const char *most)
{
	set_bounds(schema, field, least, most);
	return schema;
}

static json_t *
describe_value(const struct field *field)
{
	switch (field->kind) {
	case FIELD_STRING:
		return describe_bounded(field, describe_string(field), "minLength", "maxLength");
	case FIELD_BOOL:
		return new_schema("boolean");
	case FIELD_INT:
		return describe_bounded(field, new_schema("integer"), "minimum", "maximum");
	case FIELD_SIZE:
		return describe_pattern("^[0-9]+(\\.[0-9]+)?([KMGT]i)?B$");
	case FIELD_TIME:
		return describe_pattern("^[0-9]+(\\.[0-9]+)?(ns|us|ms|s)$");
	case FIELD_RATE:
		return describe_pattern("^[0-9]+(\\.[0-9]+)?[kMG]?bit$");
	case FIELD_PROBABILITY:
		return describe_pattern("^[0-9]+(\\.[0-9]+)?%$");
	case FIELD_WORD:
		return describe_words(field);
	case FIELD_STRUCT:
		return schema_describe(field->fields);
	case FIELD_LIST:
		return describe_list(field);
	case FIELD_MAP:
		return describe_map(field);
	case FIELD_JSON:
		return describe_json(field);
	case FIELD_INLINE: case FIELD_END:
		break;
	}
	abort();
}

/* The value that leaving the field out stands for; NULL where that says nothing. */
static json_t *
describe_preset(const struct field *field)
{
	char text[VN_QUANTITY_TEXT];

	switch (field->kind) {
	case FIELD_BOOL:
		return json_boolean(field->preset != 0);
	case FIELD_WORD:
		return field->preset < 0 ? NULL : json_string(field->words[field->preset]);
	case FIELD_INT:
		return field->preset >= field->min && field->preset != 0
			       ? json_integer(field->preset)
			       : NULL;
	case FIELD_SIZE: case FIELD_TIME: case FIELD_RATE:
		if (field->preset == 0)
			return NULL;
		vn_quantity_print(schema_unit(field->kind), (uint64_t)field->preset, text);
		return json_string(text);
	case FIELD_STRING:
	case FIELD_PROBABILITY:
	case FIELD_STRUCT:
	case FIELD_LIST:
	case FIELD_MAP:
	case FIELD_JSON: case FIELD_INLINE: case FIELD_END:
		break;
	}
	return NULL;
}

static void
describe_fields(const struct field *fields, json_t *properties, json_t *required)
{
	for (; fields->kind != FIELD_END; fields++) {
		json_t *schema, *preset;

		if (fields->kind == FIELD_INLINE) {
			describe_fields(fields->fields, properties, required);
			continue;
		}
		if (fields->flags & FIELD_UNSUPPORTED)
			continue;
		schema = describe_value(fields);
		set_text(schema, "description", fields->help);
		preset = fields->flags & FIELD_REQUIRED ? NULL : describe_preset(fields);
		if (preset)
			json_object_set_new(schema, "default", preset);
		json_object_set_new(properties, fields->name, schema);
		if (fields->flags & FIELD_REQUIRED)
			json_array_append_new(required, json_string(fields->name));
	}
}

json_t *
schema_describe(const struct field *fields)
{
	json_t *schema = new_schema("object");
	json_t *properties = json_object(), *required = json_array();

	describe_fields(fields, properties, required);
	json_object_set_new(schema, "properties", properties);
	if (json_array_size(required) > 0)
		json_object_set_new(schema, "required", required);
	else
		json_decref(required);
	json_object_set_new(schema, "additionalProperties", json_false());
	return schema;
}
