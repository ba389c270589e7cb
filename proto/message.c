/*
 * Lines of JSON-RPC. jansson recurses, so the depth is counted over the bytes first. A text that
 * goes out may hold what some library wrote, so it is mended to valid UTF-8.
 */
#include "proto/message.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/utf8.h"
#include "proto/methods.h"

/* ---- reading ---- */

/* Returns the offset of the first bracket that nests too deeply, or -1. */
static long
find_too_deep(const char *line, size_t length)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		char c = line[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > PROTOCOL_DEPTH_MAX)
				return (long)i;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return -1;
}

int
message_parse(const char *line, size_t length, json_t **ret, struct vn_error *err)
{
	const char *nul = memchr(line, '\0', length);
	long too_deep;
	json_error_t error;
	json_t *value;

	if (length == 0)
		return vn_fail(err, VN_E_PARSE, "not valid JSON: the line is empty");
	if (nul)
		return vn_fail(err, VN_E_PARSE, "not valid JSON at byte %zu: a NUL byte",
			       (size_t)(nul - line));
	too_deep = find_too_deep(line, length);
	if (too_deep >= 0)
		return vn_fail(err, VN_E_PARSE,
			       "not accepted at byte %ld: arrays and objects nested deeper than %d",
			       too_deep, PROTOCOL_DEPTH_MAX);
	value = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value)
		return vn_fail(err, VN_E_PARSE, "not valid JSON at byte %d: %s", error.position,
			       json_error_code(&error) == json_error_null_character
			       ? "\\u0000 has no place in a text here" : error.text);
	*ret = value;
	return 0;
}

/* Members of a request that mean something. */
static bool
is_request_member(const char *key)
{
	static const char *const members[] = { "jsonrpc", "id", "method", "params" };

	for (size_t i = 0; i < VN_COUNT(members); i++)
		if (strcmp(members[i], key) == 0)
			return true;
	return false;
}

static int
check_members(json_t *value, struct vn_error *err)
{
	const char *key;
	json_t *ignored;

	json_object_foreach(value, key, ignored) {
		if (!is_request_member(key))
			return vn_fail(err, VN_E_REQUEST,
				       "a request has no member \"%.40s\": parameters belong into "
				       "\"params\"",
				       key);
	}
	return 0;
}

int
message_request(json_t *value, struct request *ret, struct vn_error *err)
{
	json_t *id, *version, *method, *params;

	*ret = (struct request){ 0 };
	if (!json_is_object(value))
		return vn_fail(err, VN_E_REQUEST,
			       "a request is an object such as {\"jsonrpc\": \"2.0\", "
			       "\"id\": 1, \"method\": \"host.info\"}");
	id = json_object_get(value, "id");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return vn_fail(err, VN_E_REQUEST, "\"id\" must be a string or a number");
	ret->id = id;
	version = json_object_get(value, "jsonrpc");
	if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
		return vn_fail(err, VN_E_REQUEST, "a request needs \"jsonrpc\": \"2.0\"");
	method = json_object_get(value, "method");
	if (!json_is_string(method))
		return vn_fail(err, VN_E_REQUEST, "a request needs \"method\", a string");
	params = json_object_get(value, "params");
	if (params && !json_is_object(params) && !json_is_array(params) && !json_is_null(params))
		return vn_fail(err, VN_E_REQUEST, "\"params\" must be an object");
	if (check_members(value, err) < 0)
		return -1;
	ret->method = json_string_value(method);
	ret->params = json_is_null(params) ? NULL : params;
	return 0;
}

/* ---- writing ---- */

/* A JSON string of any text. */
static json_t *
mended_string(const char *text)
{
	json_t *string = json_string(text);
	vn_autofree char *copy = NULL;

	if (string)
		return string;
	copy = vn_strdup(text);
	vn_utf8_mend(copy);
	return json_string(copy);
}

static json_t *
new_message(void)
{
	json_t *message = json_object();

	json_object_set_new_nocheck(message, "jsonrpc", json_string_nocheck("2.0"));
	return message;
}

static void
set_id(json_t *message, json_t *id)
{
	json_object_set_new_nocheck(message, "id", id ? json_incref(id) : json_null());
}

json_t *
message_result(json_t *id, json_t *result)
{
	json_t *message = new_message();

	set_id(message, id);
	json_object_set_new_nocheck(message, "result", result ? result : json_null());
	return message;
}

json_t *
message_error(json_t *id, const struct vn_error *error, int64_t job)
{
	json_t *message = new_message(), *body = json_object(), *data = json_object();

	json_object_set_new_nocheck(data, "code", json_string_nocheck(vn_code_word(error->code)));
	json_object_set_new_nocheck(data, "path", mended_string(error->path));
	json_object_set_new_nocheck(data, "retryable",
				    json_boolean(vn_code_is_retryable(error->code)));
	if (job != 0)
		json_object_set_new_nocheck(data, "job", json_integer(job));
	json_object_set_new_nocheck(body, "code", json_integer(vn_code_number(error->code)));
	json_object_set_new_nocheck(body, "message", mended_string(error->text));
	json_object_set_new_nocheck(body, "data", data);
	set_id(message, id);
	json_object_set_new_nocheck(message, "error", body);
	return message;
}

json_t *
message_notification(const char *method, json_t *params)
{
	json_t *message = new_message();

	json_object_set_new_nocheck(message, "method", json_string(method));
	if (params)
		json_object_set_new_nocheck(message, "params", params);
	return message;
}

json_t *
message_call(int64_t id, const char *method, json_t *params)
{
	json_t *message = new_message();

	json_object_set_new_nocheck(message, "id", json_integer(id));
	json_object_set_new_nocheck(message, "method", json_string(method));
	if (params)
		json_object_set_new_nocheck(message, "params", params);
	return message;
}

/* Which code an error object stands for: the number tells apart what shares a word. */
static enum vn_code
read_code(json_t *error)
{
	const char *word =
		json_string_value(json_object_get(json_object_get(error, "data"), "code"));

	switch (json_integer_value(json_object_get(error, "code"))) {
	case -32700:
		return VN_E_PARSE;
	case -32600:
		return VN_E_REQUEST;
	case -32601:
		return VN_E_NO_METHOD;
	default:
		return word ? vn_code_from_word(word) : VN_E_INTERNAL;
	}
}

int
message_answer(json_t *answer, json_t **ret_result, int64_t *ret_job, struct vn_error *err)
{
	json_t *result = json_object_get(answer, "result");
	json_t *error = json_object_get(answer, "error");
	json_t *data = json_object_get(error, "data");
	const char *text = json_string_value(json_object_get(error, "message"));
	const char *path = json_string_value(json_object_get(data, "path"));

	*ret_job = json_integer_value(json_object_get(data, "job"));
	if (result && !error) {
		*ret_result = result;
		return 0;
	}
	if (!text || result)
		return vn_fail(err, VN_E_INTERNAL, "the daemon sent no valid JSON-RPC answer");
	return vn_fail_at(err, path ? path : "", read_code(error), "%s", text);
}

/* ---- printing ---- */

struct output {
	char *text;
	size_t length, size;
};

static int
append(const char *text, size_t length, void *arg)
{
	struct output *output = arg;

	if (output->size - output->length < length) {
		while (output->size - output->length < length)
			output->size *= 2;
		output->text = vn_realloc_array(output->text, output->size, 1);
	}
	memcpy(output->text + output->length, text, length);
	output->length += length;
	return 0;
}

char *
message_print(json_t *value, size_t *ret_length)
{
	struct output output = { .text = vn_alloc(256), .size = 256 };
	int printed = json_dump_callback(value, append, &output, JSON_COMPACT | JSON_ENCODE_ANY);

	assert(printed == 0);
	append("\n", 2, &output);		/* with the NUL */
	*ret_length = output.length - 1;
	return output.text;
}
