/* The OpenRPC document: the method table, each method's parameters, and the objects of answers. */
#include "proto/methods.h"

#include <string.h>

#include "proto/objects.h"

#define SPECIFICATION "1.2.6"

static bool
is_required(json_t *schema, const char *name)
{
	json_t *required = json_object_get(schema, "required"), *item;
	size_t i;

	json_array_foreach(required, i, item) {
		if (strcmp(json_string_value(item), name) == 0)
			return true;
	}
	return false;
}

/* Appends the properties of `schema` that are required, or those that are not. */
static void
append_params(json_t *params, json_t *schema, bool required)
{
	const char *name;
	json_t *property;

	json_object_foreach(json_object_get(schema, "properties"), name, property) {
		if (is_required(schema, name) != required)
			continue;
		json_array_append_new(params, json_pack("{ss sb sO}", "name", name, "required",
							required, "schema", property));
	}
}

static json_t *
describe_params(const struct method *method)
{
	json_t *schema = schema_describe(method->fields), *params = json_array();

	append_params(params, schema, true);
	append_params(params, schema, false);
	json_decref(schema);
	return params;
}

static json_t *
describe_method(const struct method *method)
{
	json_t *result = json_pack("{ss s{so}}", "name", method->result, "schema", "$ref",
				   json_sprintf("#/components/schemas/%s", method->result));

	return json_pack("{ss ss ss so so s[{ss}] ss sb}",
			 "name", method->name,
			 "summary", method->summary,
			 "paramStructure", "by-name",
			 "params", describe_params(method),
			 "result", result,
			 "errors", "$ref", "#/components/errors/failure",
			 "x-role", role_words[method->role],
			 "x-changes", (method->flags & METHOD_CHANGES) != 0);
}

/* What every method may answer; `data` says what a program branches on. */
static json_t *
describe_error(void)
{
	return json_pack("{si ss s{ss ss ss ss}}",
			 "code", -32000,
			 "message", "A sentence that names the thing and the cure",
			 "data",
			 "code", "invalid, not_found, exists, state, busy, denied, limit, "
				 "unsupported, backend, timeout, cancelled or internal",
			 "path", "RFC 6901 pointer into the parameters",
			 "retryable", "whether the same call may succeed later",
			 "job", "the job that failed or is in the way, where there is one");
}

json_t *
openrpc_document(const char *version)
{
	json_t *list = json_array(), *schemas = objects_describe();

	for (size_t i = 0; i < METHOD_COUNT; i++)
		json_array_append_new(list, describe_method(&methods[i]));
	json_object_set_new(schemas, "document", schema_describe(document_fields));
	return json_pack("{ss s{ss ss ss} so s{so s{so}}}",
			 "openrpc", SPECIFICATION,
			 "info",
			 "title", "vnoded",
			 "version", version,
			 "description", "Virtual nodes of a network testbed host",
			 "methods", list,
			 "components",
			 "schemas", schemas,
			 "errors", "failure", describe_error());
}
