/*
 * Text to JSON by the kind of field. Quantities stay strings, the daemon reads their units; a
 * forward may be written 2201:22/tcp, a disk lvm-thin,10GiB. A field that this program does not know yet is sent as it
 * stands, so that an older client can set what a newer daemon has.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/fields.h"
#include "proto/base/mem.h"
#include "proto/document.h"

static const struct field *
find(const char *name, size_t length)
{
	for (const struct field *field = doc_vnode_fields; field->kind != FIELD_END; field++)
		if (strlen(field->name) == length && strncmp(field->name, name, length) == 0)
			return field;
	return NULL;
}

bool
field_is_known(const char *name, size_t length)
{
	return find(name, length);
}

bool
field_is_flag(const char *name, size_t length)
{
	const struct field *field;

	if (length > 3 && strncmp(name, "no-", 3) == 0) {
		name += 3;
		length -= 3;
	}
	field = find(name, length);
	return field && field->kind == FIELD_BOOL;
}

int
field_set_flag(json_t *fields, const char *name, struct vn_error *err)
{
	bool on = strncmp(name, "no-", 3) != 0;

	(void)err;
	return json_object_set_new(fields, on ? name : name + 3, json_boolean(on));
}

static int
read_integer(const char *name, const char *text, json_t **ret, struct vn_error *err)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || !*text || *end)
		return vn_fail(err, VN_E_INVALID, "%s: expected a number, not '%s'", name, text);
	*ret = json_integer(value);
	return 0;
}

static int
read_bool(const char *name, const char *text, json_t **ret, struct vn_error *err)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return vn_fail(err, VN_E_INVALID, "%s: expected true or false, not '%s'", name,
			       text);
	*ret = json_boolean(*text == 't');
	return 0;
}

/* "HOST:GUEST[/PROTOCOL]" */
static int
read_forward(const char *text, json_t **ret, struct vn_error *err)
{
	unsigned host, guest;
	char protocol[8] = "tcp";
	int used = 0;

	if (sscanf(text, "%5u:%5u%n/%7s%n", &host, &guest, &used, protocol, &used) < 2 ||
	    text[used])
		return vn_fail(err, VN_E_INVALID,
			       "forwards: expected HOST:GUEST or HOST:GUEST/PROTOCOL, not '%s'",
			       text);
	*ret = json_pack("{s:i, s:i, s:s}", "host", host, "guest", guest, "protocol", protocol);
	return 0;
}

/* "TYPE[,SIZE]" */
static int
read_disk(const char *text, json_t **ret)
{
	size_t length = strcspn(text, ",");

	*ret = json_pack("{s:s%}", "type", text, length);
	if (*ret && text[length])
		json_object_set_new(*ret, "size", json_string(text + length + 1));
	return *ret ? 0 : -1;
}

static int
read_json(const char *name, const char *text, json_t **ret, struct vn_error *err)
{
	json_error_t bad;

	*ret = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &bad);
	return *ret ? 0 : vn_fail(err, VN_E_INVALID, "%s: %s in '%s'", name, bad.text, text);
}

static int
read_string(const char *name, const char *text, json_t **ret, struct vn_error *err)
{
	*ret = json_string(text);
	return *ret ? 0 : vn_fail(err, VN_E_INVALID, "%s: the value is not UTF-8", name);
}

static int
read_value(const struct field *field, const char *text, json_t **ret, struct vn_error *err)
{
	switch (field->kind) {
	case FIELD_INT:
		return read_integer(field->name, text, ret, err);
	case FIELD_BOOL:
		return read_bool(field->name, text, ret, err);
	case FIELD_STRING:
	case FIELD_SIZE:
	case FIELD_TIME:
	case FIELD_RATE:
	case FIELD_PROBABILITY:
	case FIELD_WORD:
		return read_string(field->name, text, ret, err);
	case FIELD_LIST:
		if (*text == '[' || *text == '{')
			return read_json(field->name, text, ret, err);
		if (strcmp(field->name, "forwards") == 0)
			return read_forward(text, ret, err);
		return read_string(field->name, text, ret, err);
	case FIELD_STRUCT:
		if (*text != '{' && strcmp(field->name, "disk") == 0 && read_disk(text, ret) == 0)
			return 0;
		break;
	case FIELD_MAP:
	case FIELD_INLINE:
	case FIELD_JSON:
	case FIELD_END:
		break;
	}
	return read_json(field->name, text, ret, err);
}

int
field_add(json_t *fields, const char *name, size_t length, const char *text, struct vn_error *err)
{
	const struct field *field = find(name, length);
	json_t *value, *list;

	if (read_value(field, text, &value, err) < 0)
		return -1;
	if (field->kind != FIELD_LIST || json_is_array(value))
		return json_object_set_new(fields, field->name, value);
	list = json_object_get(fields, field->name);
	if (!list)
		json_object_set_new(fields, field->name, list = json_array());
	return json_array_append_new(list, value);
}

/* Splits at the first "="; *ret_value points behind it. */
static int
split(const char *assignment, char **ret_name, const char **ret_value,
      struct vn_error *err)
{
	const char *equals = strchr(assignment, '=');

	if (!equals || equals == assignment)
		return vn_fail(err, VN_E_INVALID, "expected FIELD=VALUE, not '%s'", assignment);
	*ret_name = vn_format("%.*s", (int)(equals - assignment), assignment);
	*ret_value = equals + 1;
	return 0;
}

int
field_assign(json_t *fields, const char *assignment, struct vn_error *err)
{
	vn_autofree char *name = NULL;
	const char *value;

	if (split(assignment, &name, &value, err) < 0)
		return -1;
	if (!*value)
		return json_object_set_new(fields, name, json_null());
	if (!field_is_known(name, strlen(name)))
		return field_assign_any(fields, assignment, err);
	return field_add(fields, name, strlen(name), value, err);
}

int
field_assign_any(json_t *fields, const char *assignment, struct vn_error *err)
{
	vn_autofree char *name = NULL;
	const char *text;
	json_t *value;

	if (split(assignment, &name, &text, err) < 0)
		return -1;
	value = *text ? json_loads(text, JSON_DECODE_ANY, NULL) : json_null();
	if (!value && read_string(name, text, &value, err) < 0)
		return -1;
	return json_object_set_new(fields, name, value);
}

static const char *
value_word(const struct field *field)
{
	switch (field->kind) {
	case FIELD_BOOL:
		return "";
	case FIELD_INT:
		return "COUNT";
	case FIELD_SIZE:
		return "SIZE";
	case FIELD_TIME:
		return "TIME";
	case FIELD_RATE:
		return "RATE";
	case FIELD_LIST:
		return strcmp(field->name, "forwards") == 0 ? "HOST:GUEST[/PROTOCOL]" : "ITEM";
	case FIELD_STRUCT:
		return strcmp(field->name, "disk") == 0 ? "TYPE[,SIZE]" : "VALUE";
	default:
		return "VALUE";
	}
}

void
field_each(void (*fn)(void *arg, const char *name, const char *value, const char *help), void *arg)
{
	for (const struct field *field = doc_vnode_fields; field->kind != FIELD_END; field++) {
		vn_autofree char *negated = vn_format("no-%s", field->name);
		bool is_off = field->kind == FIELD_BOOL && field->preset;

		if (!(field->flags & FIELD_UNSUPPORTED))
			fn(arg, is_off ? negated : field->name, value_word(field),
			   field->help ? field->help : "");
	}
}
