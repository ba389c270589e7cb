/*
 * Every method with no role, too small a role, each required parameter missing, each parameter of a
 * wrong type, and an unknown one: refused with the right word and path, and nothing has changed.
 */
#include "tests/unit/lab.h"

#include <stdio.h>
#include <string.h>

/* A value of the field's own kind; what it names need not exist, since the call is refused before. */
static json_t *
right_value(const struct field *field)
{
	switch (field->kind) {
	case FIELD_INT:
		return json_integer(field->min ? field->min : 1);
	case FIELD_BOOL:
		return json_true();
	case FIELD_LIST:
		return json_pack("[s]", strcmp(field->name, "observed") == 0 ? "running" : "true");
	case FIELD_JSON:
	case FIELD_STRUCT:
	case FIELD_MAP:
		return json_object();
	default:
		return json_string("none-such");
	}
}

/* NULL where every value is of the right type. */
static json_t *
wrong_value(const struct field *field)
{
	switch (field->kind) {
	case FIELD_JSON:
		return NULL;
	case FIELD_INT:
	case FIELD_BOOL:
		return json_string("7");
	case FIELD_END:
	case FIELD_STRING:
	case FIELD_SIZE:
	case FIELD_TIME:
	case FIELD_RATE:
	case FIELD_PROBABILITY:
	case FIELD_WORD:
	case FIELD_STRUCT:
	case FIELD_LIST:
	case FIELD_MAP:
	case FIELD_INLINE:
		return json_real(1.5);
	}
	return NULL;
}

static void
add_required(const struct field *fields, json_t *params)
{
	for (; fields->name; fields++)
		if (fields->kind == FIELD_INLINE)
			add_required(fields->fields, params);
		else if (fields->flags & FIELD_REQUIRED)
			json_object_set_new(params, fields->name, right_value(fields));
}

static json_t *
base_params(const struct method *method)
{
	json_t *params = json_object();

	add_required(method->fields, params);
	return params;
}

static void
refused(struct lab *lab, const struct method *method, VN_TAKES json_t *params, const char *word,
	const char *field)
{
	json_t *answer = lab_hear(lab, lab_send_json(lab, method->name, params));
	json_t *data = json_object_get(json_object_get(answer, "error"), "data");
	const char *path = json_string_value(json_object_get(data, "path"));
	vn_autofree char *expected = field ? vn_format("/%s", field) : NULL;

	ck_assert_msg(strcmp(lab_word(answer), word) == 0, "%s %s: %s instead of %s", method->name,
		      field ? field : "", lab_word(answer), word);
	if (expected)
		ck_assert_msg(path && strcmp(path, expected) == 0, "%s: path %s instead of %s",
			      method->name, path, expected);
	json_decref(answer);
}

static void
check_fields(struct lab *lab, const struct method *method, const struct field *fields)
{
	for (; fields->name; fields++) {
		json_t *params = base_params(method), *wrong = wrong_value(fields);

		if (fields->kind == FIELD_INLINE) {
			check_fields(lab, method, fields->fields);
		} else if (fields->flags & FIELD_UNSUPPORTED) {
			json_object_set_new(params, fields->name, json_object());
			refused(lab, method, json_incref(params), "unsupported", fields->name);
		} else if (wrong) {
			json_object_set(params, fields->name, wrong);
			refused(lab, method, json_incref(params), "invalid", fields->name);
		}
		if (fields->flags & FIELD_REQUIRED) {
			json_object_del(params, fields->name);
			refused(lab, method, json_incref(params), "invalid", fields->name);
			json_object_set_new(params, fields->name, json_null());
			refused(lab, method, json_incref(params), "invalid", fields->name);
		}
		json_decref(wrong);
		json_decref(params);
	}
}

START_TEST(every_parameter_of_every_method)
{
	struct lab *lab = lab_new();
	json_t *before = lab_picture(lab), *after;

	for (int i = 0; i < METHOD_COUNT; i++) {
		json_t *params = base_params(&methods[i]);

		check_fields(lab, &methods[i], methods[i].fields);
		json_object_set_new(params, "no-such", json_true());
		refused(lab, &methods[i], params, "invalid", "no-such");
		refused(lab, &methods[i], json_pack("[i]", 1), "invalid", NULL);
	}
	after = lab_picture(lab);
	lab_same(before, after, "refused calls");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(every_method_below_its_role)
{
	struct lab *lab = lab_new();

	for (enum role role = ROLE_NONE; role <= ROLE_ADMIN; role++) {
		lab_connect(lab, 1000, role);
		for (int i = 0; i < METHOD_COUNT; i++)
			if (methods[i].role > role)
				refused(lab, &methods[i], base_params(&methods[i]), "denied", NULL);
	}
	lab_free(lab);
}
END_TEST

START_TEST(a_privileged_vnode_is_for_admins)
{
	struct lab *lab = lab_new();
	json_t *error;

	lab_connect(lab, 1000, ROLE_OPERATOR);
	error = lab_error(lab, "denied", "vnode.create", "{ss sb}", "name", "p", "privileged", 1);
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/privileged");
	json_decref(error);
	error = lab_error(lab, "denied", "topology.apply", "{s{ss s{s{sb}}}}", "document", "topology",
			  "t", "vnodes", "p", "privileged", 1);
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")),
			 "/document/vnodes/p/privileged");
	json_decref(error);
	lab_connect(lab, 1000, ROLE_ADMIN);
	lab_do(lab, "vnode.create", "{ss sb sb}", "name", "p", "privileged", 1, "wait", 1);
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "p", "wait", 1);
	lab_connect(lab, 1000, ROLE_OPERATOR);
	lab_refuse(lab, "denied", "vnode.exec", "{ss ss s[s]}", "vnode", "p", "stdio", "capture", "argv",
		   "id");
	lab_refuse(lab, "denied", "vnode.console", "{ss}", "vnode", "p");
	lab_do(lab, "vnode.set", "{ss s{ss} sb}", "vnode", "p", "set", "restart", "always", "wait", 1);
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "p", "wait", 1);
	lab_refuse(lab, "denied", "vnode.set", "{ss s{s[s]}}", "vnode", "p", "set", "init", "/bin/evil");
	lab_refuse(lab, "denied", "topology.apply", "{s{ss s{s{sb s[s]}}}}", "document", "topology",
		   "default", "vnodes", "p", "privileged", 1, "init", "/bin/evil");
	lab_connect(lab, 1000, ROLE_ADMIN);
	lab_do(lab, "vnode.set", "{ss s{s[s]} sb}", "vnode", "p", "set", "init", "/bin/fine", "wait", 1);
	lab_clean(lab, "privileged");
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("call_matrix", (const TTest *const[]){
		every_parameter_of_every_method,
		every_method_below_its_role,
		a_privileged_vnode_is_for_admins,
		NULL });
}
