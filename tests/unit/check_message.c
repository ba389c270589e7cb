/* Lines of JSON-RPC: what is refused as JSON, as a request, and that answers survive any text. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/message.h"
#include "proto/methods.h"
#include "tests/unit/run.h"

static json_t *
parse(const char *text)
{
	struct vn_error err = { 0 };
	json_t *value = NULL;

	ck_assert_msg(message_parse(text, strlen(text), &value, &err) == 0, "%s: %s", text,
		      err.text);
	return value;
}

#define LINE(text) text, sizeof(text) - 1

static const struct {
	const char *text;
	size_t length;
	const char *says;
} no_json[] = {
	{ LINE(""), "empty" },
	{ LINE("   "), "not valid JSON" },
	{ LINE("{"), "not valid JSON at byte 1" },
	{ LINE("{\"a\":1"), "not valid JSON" },
	{ LINE("{\"a\":1}x"), "not valid JSON at byte" },
	{ LINE("{\"a\":1}{}"), "end of file expected" },
	{ LINE("{\"a\":1,\"a\":2}"), "duplicate" },
	{ LINE("{\"a\":{\"b\":1,\"b\":1}}"), "duplicate" },
	{ LINE("{\"a\":\"\xff\"}"), "unable to decode byte" },
	{ LINE("{\"a\":\"\xc0\x80\"}"), "unable to decode byte" },
	{ LINE("{\"a\":\"\xed\xa0\x80\"}"), "unable to decode byte" },
	{ LINE("{\"\xff\":1}"), "unable to decode byte" },
	{ LINE("{\"a\":\"\0\"}"), "NUL byte" },
	{ LINE("{}\0"), "NUL byte" },
	{ LINE("\0{}"), "byte 0: a NUL" },
	{ LINE("{\"a\":\"\\u0000\"}"), "not valid JSON" },
	{ LINE("{\"\\u0000\":1}"), "not valid JSON" },
	{ LINE("{\"a\":\"\\ud800\"}"), "not valid JSON" },
	{ LINE("{\"a\":\"\t\"}"), "not valid JSON" },
	{ LINE("{\"a\":99999999999999999999}"), "too big integer" },
	{ LINE("{\"a\":1e999}"), "real number overflow" },
	{ LINE("{\"a\":NaN}"), "not valid JSON" },
	{ LINE("{\"a\":01}"), "not valid JSON" },
	{ LINE("{'a':1}"), "not valid JSON" },
	{ LINE("{\"a\":1,}"), "not valid JSON" },
	{ LINE("]"), "not valid JSON" },
	{ LINE("\xef\xbb\xbf{}"), "not valid JSON" },
};

START_TEST(what_is_no_strict_json_is_refused_with_its_place)
{
	struct vn_error err = { 0 };
	json_t *value = NULL;

	ck_assert_int_eq(message_parse(no_json[_i].text, no_json[_i].length, &value, &err), -1);
	ck_assert_int_eq(err.code, VN_E_PARSE);
	ck_assert_msg(strstr(err.text, no_json[_i].says), "'%s' for '%s'", err.text,
		      no_json[_i].text);
	ck_assert_ptr_null(value);
}
END_TEST

START_TEST(nesting_is_bounded_to_the_level)
{
	static const char brackets[] = "[]{}";
	char text[2 * 8 * (PROTOCOL_DEPTH_MAX + 2)] = "";
	struct vn_error err = { 0 };
	json_t *value = NULL;
	size_t length = 0;
	bool is_array = _i / 2 == 0;
	int depth = PROTOCOL_DEPTH_MAX + _i % 2;

	for (int i = 0; i < depth; i++)
		length += (size_t)sprintf(text + length, "%s", is_array ? "[" : "{\"a\":");
	length += (size_t)sprintf(text + length, "\"%.*s\\\"\"", 4, brackets);
	for (int i = 0; i < depth; i++)
		text[length++] = is_array ? ']' : '}';
	ck_assert_int_eq(message_parse(text, length, &value, &err),
			 depth > PROTOCOL_DEPTH_MAX ? -1 : 0);
	if (depth > PROTOCOL_DEPTH_MAX)
		ck_assert_msg(strstr(err.text, "nested deeper than 64"), "%s", err.text);
	json_decref(value);
}
END_TEST

START_TEST(a_line_full_of_opening_brackets_does_not_recurse)
{
	size_t length = PROTOCOL_LINE_MAX - 1;
	vn_autofree char *text = vn_alloc(length);
	struct vn_error err = { 0 };
	json_t *value = NULL;

	memset(text, '[', length);
	ck_assert_int_eq(message_parse(text, length, &value, &err), -1);
	ck_assert_int_eq(err.code, VN_E_PARSE);
}
END_TEST

START_TEST(brackets_in_strings_do_not_count)
{
	char text[400] = "\"";

	memset(text + 1, '[', 300);
	strcpy(text + 301, "\\\\\"");
	json_decref(parse(text));
}
END_TEST

static const struct {
	const char *text;
	const char *says;	/* NULL: a request */
	const char *id;		/* as it prints; NULL: a notification or unreadable */
} requests[] = {
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}", NULL, "1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"m\",\"params\":{}}", NULL, "\"x\"" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}", NULL, "null" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\",\"params\":[]}", NULL, "1.5" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", NULL, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":null}", NULL, NULL },
	{ "1", "a request is an object", NULL },
	{ "[]", "a request is an object", NULL },
	{ "{}", "\"jsonrpc\": \"2.0\"", NULL },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}", "\"jsonrpc\": \"2.0\"", "1" },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", "\"jsonrpc\": \"2.0\"", "1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1}", "needs \"method\"", "1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", "needs \"method\"", "1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}", "\"id\" must be", NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}", "\"id\" must be", NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":1}", "\"params\" must be",
	  "1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"parms\":{}}", "no member \"parms\"",
	  "1" },
};

START_TEST(a_member_is_a_request_or_its_fault_is_named)
{
	json_t *value = parse(requests[_i].text);
	struct vn_error err = { 0 };
	struct request request;

	ck_assert_int_eq(message_request(value, &request, &err), requests[_i].says ? -1 : 0);
	if (requests[_i].says) {
		ck_assert_int_eq(err.code, VN_E_REQUEST);
		ck_assert_msg(strstr(err.text, requests[_i].says), "%s", err.text);
	} else {
		ck_assert_str_eq(request.method, "m");
	}
	if (requests[_i].id) {
		vn_autofree char *id = json_dumps(request.id, JSON_ENCODE_ANY);

		ck_assert_str_eq(id, requests[_i].id);
	} else {
		ck_assert_ptr_null(request.id);
	}
	json_decref(value);
}
END_TEST

START_TEST(a_result_is_printed_as_one_line)
{
	json_t *id = json_integer(7), *answer = message_result(id, json_pack("{ss}", "a", "b\n"));
	size_t length = 0;
	vn_autofree char *line = message_print(answer, &length);

	ck_assert_str_eq(line, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":\"b\\n\"}}\n");
	ck_assert_uint_eq(length, strlen(line));
	json_decref(answer);
	json_decref(id);
}
END_TEST

START_TEST(each_error_survives_the_way_to_the_client)
{
	struct vn_error sent = { .code = (enum vn_code)_i, .path = "/vnode", .text = "a reason" };
	struct vn_error received = { 0 };
	json_t *answer = message_error(NULL, &sent, 17), *result = NULL;
	int64_t job = 0;

	ck_assert_int_eq(message_answer(answer, &result, &job, &received), -1);
	ck_assert_int_eq(received.code, sent.code);
	ck_assert_str_eq(received.path, sent.path);
	ck_assert_str_eq(received.text, sent.text);
	ck_assert_int_eq(job, 17);
	ck_assert(json_is_null(json_object_get(answer, "id")));
	json_decref(answer);
}
END_TEST

static const char *const mangled[] = { "\xff", "caf\xc3", "\xf0\x9f\x92", "a\xed\xa0\x80z",
				       "\xc3\xa9\x80" };

START_TEST(an_error_text_with_broken_utf8_is_mended)
{
	struct vn_error sent = { .code = VN_E_INVALID };
	json_t *answer;
	size_t length = 0;

	snprintf(sent.text, sizeof(sent.text), "%s", mangled[_i]);
	snprintf(sent.path, sizeof(sent.path), "/%s", mangled[_i]);
	answer = message_error(NULL, &sent, 0);
	{
		vn_autofree char *line = message_print(answer, &length);

		line[length - 1] = '\0';
		json_decref(parse(line));
		ck_assert_msg(strstr(line, "?"), "%s", line);
	}
	ck_assert_ptr_null(
		json_object_get(json_object_get(json_object_get(answer, "error"), "data"), "job"));
	json_decref(answer);
}
END_TEST

START_TEST(calls_and_notifications_read_back)
{
	json_t *call = message_call(3, "vnode.get", json_pack("{ss}", "vnode", "a"));
	json_t *notification = message_notification("event", NULL);
	struct vn_error err = { 0 };
	struct request request;

	ck_assert_int_eq(message_request(call, &request, &err), 0);
	ck_assert_int_eq(json_integer_value(request.id), 3);
	ck_assert_str_eq(request.method, "vnode.get");
	ck_assert(json_is_object(request.params));
	ck_assert_int_eq(message_request(notification, &request, &err), 0);
	ck_assert_ptr_null(request.id);
	json_decref(call);
	json_decref(notification);
}
END_TEST

static const char *const no_answers[] = {
	"{}",           "[]", "1", "{\"result\":1,\"error\":{\"message\":\"x\"}}", "{\"error\":{}}",
	"{\"error\":1}"
};

START_TEST(what_is_no_answer_is_said_to_be_none)
{
	json_t *value = parse(no_answers[_i]), *result = NULL;
	struct vn_error err = { 0 };
	int64_t job = 0;

	ck_assert_int_eq(message_answer(value, &result, &job, &err), -1);
	ck_assert_int_eq(err.code, VN_E_INTERNAL);
	ck_assert_ptr_null(result);
	json_decref(value);
}
END_TEST

START_TEST(a_large_value_prints_whole)
{
	json_t *list = json_array();
	size_t length = 0;

	for (int i = 0; i < 20000; i++)
		json_array_append_new(list, json_integer(i));
	{
		vn_autofree char *line = message_print(list, &length);

		ck_assert_uint_eq(length, strlen(line));
		line[length - 1] = '\0';
		json_decref(parse(line));
	}
	json_decref(list);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("message");

	tcase_add_loop_test(tcase, what_is_no_strict_json_is_refused_with_its_place, 0,
			    VN_COUNT(no_json));
	tcase_add_loop_test(tcase, nesting_is_bounded_to_the_level, 0, 4);
	tcase_add_test(tcase, a_line_full_of_opening_brackets_does_not_recurse);
	tcase_add_test(tcase, brackets_in_strings_do_not_count);
	tcase_add_loop_test(tcase, a_member_is_a_request_or_its_fault_is_named, 0,
			    VN_COUNT(requests));
	tcase_add_test(tcase, a_result_is_printed_as_one_line);
	tcase_add_loop_test(tcase, each_error_survives_the_way_to_the_client, VN_E_PARSE,
			    VN_E_INTERNAL + 1);
	tcase_add_loop_test(tcase, an_error_text_with_broken_utf8_is_mended, 0, VN_COUNT(mangled));
	tcase_add_test(tcase, calls_and_notifications_read_back);
	tcase_add_loop_test(tcase, what_is_no_answer_is_said_to_be_none, 0, VN_COUNT(no_answers));
	tcase_add_test(tcase, a_large_value_prints_whole);
	return run_tcase("message", tcase);
}
