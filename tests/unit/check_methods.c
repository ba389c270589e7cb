/*
 * The method table as a whole. Each method is tried with a parameter missing, of a wrong type, and
 * unknown, all made from its own table; the OpenRPC document is checked by following every
 * reference.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/message.h"
#include "proto/methods.h"
#include "proto/objects.h"
#include "tests/unit/run.h"

enum { PARAMS_MAX = 1024 };

static int
decode(const struct method *method, json_t *params, struct vn_error *err)
{
	_Alignas(max_align_t) unsigned char memory[PARAMS_MAX] = { 0 };
	vn_autoarena arena = { 0 };

	ck_assert_uint_le(method->params_size, sizeof(memory));
	*err = (struct vn_error){ 0 };
	return schema_decode(method->fields, params, &arena, memory, err);
}

/* ---- values made from a table ---- */

static const struct {
	const char *form, *value;
} samples[] = {
	{ "name", "a" },
	{ "name or TOPOLOGY/NAME", "lab/a" },
	{ "SHA-256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "http, https or file URL", "https://example.org/x.tar" },
	{ "address", "10.0.0.1" },
	{ "network", "10.0.0.0/8" },
	{ "interface name", "eth1" },
	{ "NAME=VALUE", "A=b" },
	{ "state", "running" },
	{ "event type", "vnode.exit" },
	{ "field of a vnode", "uuid" },
	{ "crypt(3) hash", "$6$saltsalt$0123456789012345678901" },
	{ "public key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOep1EHCMkyvEv80Y6bzx/jYssAJGZ5KD9FZ7I2Dyszq" },
	{ "time zone", "Europe/Berlin" },
	{ "path in the guest", "/etc/motd" },
	{ "mode", "0644" },
	{ "UID:GID", "0:0" },
};

static json_t *
sample_string(const struct field *field)
{
	if (!field->form)
		return json_string("x");
	for (size_t i = 0; i < VN_COUNT(samples); i++)
		if (strcmp(samples[i].form, field->form->name) == 0)
			return json_string(samples[i].value);
	ck_abort_msg("no sample for the form '%s'", field->form->name);
	return NULL;
}

static json_t *sample_object(const struct field *fields, bool all);

/* As few items as it takes, but one. */
static json_t *
sample_list(const struct field *field)
{
	json_t *list = json_array();

	do
		json_array_append_new(list, field->item == FIELD_STRING ? sample_string(field)
							: sample_object(field->fields, true));
	while ((int64_t)json_array_size(list) < field->min);
	return list;
}

static json_t *
sample_value(const struct field *field)
{
	switch (field->kind) {
	case FIELD_STRING:
		return sample_string(field);
	case FIELD_BOOL:
		return json_true();
	case FIELD_INT:
		return json_integer(field->min > 0 ? field->min : 0);
	case FIELD_SIZE:
		return json_string("64MiB");
	case FIELD_TIME:
		return json_string("1s");
	case FIELD_RATE:
		return json_string("1Mbit");
	case FIELD_PROBABILITY:
		return json_string("1%");
	case FIELD_WORD:
		return json_string(field->words[0]);
	case FIELD_LIST:
		return sample_list(field);
	case FIELD_STRUCT:
		return sample_object(field->fields, true);
	case FIELD_MAP: case FIELD_JSON:
		return json_object();
	case FIELD_INLINE: case FIELD_END:
		break;
	}
	return NULL;
}

static void
add_samples(json_t *object, const struct field *fields, bool all)
{
	for (; fields->kind != FIELD_END; fields++) {
		if (fields->kind == FIELD_INLINE)
			add_samples(object, fields->fields, all);
		else if (!(fields->flags & FIELD_UNSUPPORTED) &&
			 (all || fields->flags & FIELD_REQUIRED))
			json_object_set_new(object, fields->name, sample_value(fields));
	}
}

static json_t *
sample_object(const struct field *fields, bool all)
{
	json_t *object = json_object();

	add_samples(object, fields, all);
	return object;
}

/* Calls fn for each field that stands in the object, inlined ones included. */
static unsigned
each_field(const struct method *method, const struct field *fields,
	   void (*fn)(const struct method *, const struct field *))
{
	unsigned count = 0;

	for (; fields->kind != FIELD_END; fields++) {
		if (fields->kind == FIELD_INLINE) {
			count += each_field(method, fields->fields, fn);
		} else {
			fn(method, fields);
			count++;
		}
	}
	return count;
}

static void
expect_path(const struct method *method, const struct field *field, const struct vn_error *err)
{
	char path[80];

	snprintf(path, sizeof(path), "/%s", field->name);
	ck_assert_msg(strcmp(err->path, path) == 0, "%s: '%s' instead of '%s': %s", method->name,
		      err->path, path, err->text);
	ck_assert_msg(err->text[0] != '\0', "%s %s", method->name, path);
}

/* ---- each method ---- */

START_TEST(a_method_takes_its_least_and_all_its_params)
{
	const struct method *method = &methods[_i];
	json_t *least = sample_object(method->fields, false);
	json_t *all = sample_object(method->fields, true);
	struct vn_error err;

	ck_assert_msg(decode(method, least, &err) == 0, "%s%s: %s", method->name, err.path,
		      err.text);
	ck_assert_msg(decode(method, all, &err) == 0, "%s%s: %s", method->name, err.path, err.text);
	json_decref(least);
	json_decref(all);
}
END_TEST

static void
try_missing(const struct method *method, const struct field *field)
{
	json_t *params = sample_object(method->fields, true);
	struct vn_error err;

	json_object_del(params, field->name);
	if (field->flags & FIELD_REQUIRED) {
		ck_assert_int_eq(decode(method, params, &err), -1);
		ck_assert_int_eq(err.code, VN_E_INVALID);
		ck_assert_msg(strstr(err.text, "missing"), "%s", err.text);
		expect_path(method, field, &err);
	} else {
		ck_assert_int_eq(decode(method, params, &err), 0);
	}
	json_decref(params);
}

START_TEST(a_missing_param_is_named)
{
	each_field(&methods[_i], methods[_i].fields, try_missing);
}
END_TEST

static void
try_wrong_types(const struct method *method, const struct field *field)
{
	json_t *wrong[] = { json_string("\x01 no such thing"), json_integer(-99), json_real(1.5),
			    json_true(), json_pack("[[]]"), json_pack("{s{}}", "\x01") };

	for (size_t i = 0; i < VN_COUNT(wrong); i++) {
		json_t *params = sample_object(method->fields, true);
		bool is_fitting =
			(field->kind == FIELD_STRING && !field->form && json_is_string(wrong[i])) ||
			(field->kind == FIELD_BOOL && json_is_true(wrong[i])) ||
			(field->kind == FIELD_JSON && !(field->flags & FIELD_UNSUPPORTED));
		struct vn_error err;

		json_object_set(params, field->name, wrong[i]);
		if (is_fitting) {
			ck_assert_int_eq(decode(method, params, &err), 0);
		} else {
			ck_assert_msg(decode(method, params, &err) == -1, "%s takes %zu as '%s'",
				      method->name, i, field->name);
			ck_assert_int_eq(err.code, field->flags & FIELD_UNSUPPORTED
							   ? VN_E_UNSUPPORTED
							   : VN_E_INVALID);
			err.path[strlen(field->name) + 1] = '\0';	/* of an item: its list */
			expect_path(method, field, &err);
		}
		json_decref(params);
	}
	for (size_t i = 0; i < VN_COUNT(wrong); i++)
		json_decref(wrong[i]);
}

START_TEST(a_param_of_a_wrong_type_is_named)
{
	each_field(&methods[_i], methods[_i].fields, try_wrong_types);
}
END_TEST

START_TEST(an_unknown_param_is_named)
{
	json_t *params = sample_object(methods[_i].fields, true);
	struct vn_error err;

	json_object_set_new(params, "no_such_param", json_null());
	ck_assert_int_eq(decode(&methods[_i], params, &err), -1);
	ck_assert_int_eq(err.code, VN_E_INVALID);
	ck_assert_str_eq(err.path, "/no_such_param");
	ck_assert_msg(strstr(err.text, "unknown field"), "%s", err.text);
	json_decref(params);
}
END_TEST

START_TEST(params_by_position_are_refused)
{
	json_t *params = json_array();
	struct vn_error err;

	ck_assert_int_eq(decode(&methods[_i], params, &err), -1);
	ck_assert_int_eq(err.code, VN_E_INVALID);
	json_decref(params);
}
END_TEST

START_TEST(what_changes_things_takes_wait_and_needs_a_role)
{
	const struct method *method = &methods[_i];
	json_t *all = sample_object(method->fields, true);
	bool changes = method->flags & METHOD_CHANGES;

	ck_assert_int_eq(json_object_get(all, "wait") != NULL, changes);
	ck_assert_int_eq(json_object_get(all, "request_id") != NULL, changes);
	ck_assert_int_gt(method->role, ROLE_NONE);
	if (changes)
		ck_assert_int_ge(method->role, ROLE_OPERATOR);
	ck_assert_ptr_eq(method_find(method->name), method);
	for (size_t i = 0; i < (size_t)_i; i++)
		ck_assert_str_ne(methods[i].name, method->name);
	json_decref(all);
}
END_TEST

START_TEST(an_unknown_method_is_not_found)
{
	ck_assert_ptr_null(method_find(""));
	ck_assert_ptr_null(method_find("vnode"));
	ck_assert_ptr_null(method_find("vnode.getx"));
	ck_assert_ptr_null(method_find("VNODE.GET"));
}
END_TEST

/* ---- OpenRPC ---- */

static json_t *
follow(json_t *document, const char *pointer)
{
	json_t *at = document;
	vn_autofree char *copy = vn_strdup(pointer);
	char *rest = copy, *key;

	if (strncmp(pointer, "#/", 2) != 0)
		return NULL;
	strsep(&rest, "/");
	while ((key = strsep(&rest, "/")))
		at = json_object_get(at, key);
	return at;
}

static unsigned
check_references(json_t *document, json_t *value)
{
	unsigned count = 0;
	const char *key;
	json_t *item;
	size_t i;

	json_object_foreach(value, key, item) {
		if (strcmp(key, "$ref") == 0) {
			ck_assert_msg(follow(document, json_string_value(item)), "%s leads nowhere",
				      json_string_value(item));
			count++;
		}
		count += check_references(document, item);
	}
	json_array_foreach(value, i, item)
		count += check_references(document, item);
	return count;
}

START_TEST(the_openrpc_document_has_every_method_once)
{
	json_t *document = openrpc_document("1.2.3");
	json_t *list = json_object_get(document, "methods");

	ck_assert_str_eq(json_string_value(json_object_get(document, "openrpc")), "1.2.6");
	ck_assert_str_eq(
		json_string_value(json_object_get(json_object_get(document, "info"), "version")),
		"1.2.3");
	ck_assert_uint_eq(json_array_size(list), METHOD_COUNT);
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		json_t *method = json_array_get(list, i);

		ck_assert_str_eq(json_string_value(json_object_get(method, "name")),
				 methods[i].name);
		ck_assert_str_eq(json_string_value(json_object_get(method, "paramStructure")),
				 "by-name");
		ck_assert_str_eq(json_string_value(json_object_get(method, "x-role")),
				 role_words[methods[i].role]);
		ck_assert_int_eq(json_is_true(json_object_get(method, "x-changes")),
				 (methods[i].flags & METHOD_CHANGES) != 0);
		ck_assert(json_object_get(json_object_get(method, "result"), "schema"));
	}
	json_decref(document);
}
END_TEST

START_TEST(each_reference_of_the_openrpc_document_resolves)
{
	json_t *document = openrpc_document("1");

	ck_assert_uint_gt(check_references(document, document), 2 * METHOD_COUNT);
	json_decref(document);
}
END_TEST

START_TEST(each_param_is_described_required_ones_first)
{
	json_t *document = openrpc_document("1");
	json_t *method = json_array_get(json_object_get(document, "methods"), (size_t)_i);
	json_t *params = json_object_get(method, "params"), *param;
	json_t *all = sample_object(methods[_i].fields, true);
	bool is_required = true;
	size_t i;

	ck_assert_uint_eq(json_array_size(params), json_object_size(all));
	json_array_foreach(params, i, param) {
		const char *name = json_string_value(json_object_get(param, "name"));
		bool was_required = is_required;
		json_t *schema = json_object_get(param, "schema");

		ck_assert_msg(json_object_get(all, name), "%s", name);
		is_required = json_is_true(json_object_get(param, "required"));
		ck_assert(was_required || !is_required);
		ck_assert(json_string_length(json_object_get(schema, "description")) > 0);
		ck_assert(json_object_get(schema, "type") || json_object_get(schema, "oneOf") ||
			  strcmp(name, "set") == 0);
	}
	json_decref(all);
	json_decref(document);
}
END_TEST

START_TEST(the_openrpc_document_fits_a_line)
{
	json_t *document = openrpc_document("1");
	size_t length = 0;
	vn_autofree char *line = message_print(document, &length);

	ck_assert_uint_lt(strlen(line), PROTOCOL_ANSWER_MAX);
	json_decref(document);
}
END_TEST

START_TEST(no_field_of_an_object_stands_twice)
{
	for (const struct object_field *field = object_fields; field->object; field++)
		if (field->name)
			ck_assert_msg(object_field_find(field->object, field->name) == field,
				      "%s.%s", field->object, field->name);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("methods");

	tcase_add_loop_test(tcase, a_method_takes_its_least_and_all_its_params, 0, METHOD_COUNT);
	tcase_add_loop_test(tcase, a_missing_param_is_named, 0, METHOD_COUNT);
	tcase_add_loop_test(tcase, a_param_of_a_wrong_type_is_named, 0, METHOD_COUNT);
	tcase_add_loop_test(tcase, an_unknown_param_is_named, 0, METHOD_COUNT);
	tcase_add_loop_test(tcase, params_by_position_are_refused, 0, METHOD_COUNT);
	tcase_add_loop_test(tcase, what_changes_things_takes_wait_and_needs_a_role, 0,
			    METHOD_COUNT);
	tcase_add_test(tcase, an_unknown_method_is_not_found);
	tcase_add_test(tcase, the_openrpc_document_has_every_method_once);
	tcase_add_test(tcase, each_reference_of_the_openrpc_document_resolves);
	tcase_add_loop_test(tcase, each_param_is_described_required_ones_first, 0, METHOD_COUNT);
	tcase_add_test(tcase, the_openrpc_document_fits_a_line);
	tcase_add_test(tcase, no_field_of_an_object_stands_twice);
	return run_tcase("methods", tcase);
}
