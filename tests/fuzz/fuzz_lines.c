/*
 * A client's bytes as the daemon takes them: split into lines, parsed, taken apart, decoded by
 * their method's table, answered. Whatever comes in, the answer is one line of valid JSON.
 */
#include <assert.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/fuzz/target.h"

enum { LINE_MAX = 4096, PARAMS_MAX = 1024 };

/* Every answer must be a line that we would read ourselves. */
static void
check_answer(json_t *answer)
{
	struct vn_error err = { 0 };
	json_t *again = NULL;
	size_t length = 0;
	vn_autofree char *line = message_print(answer, &length);
	int parsed;

	assert(length == strlen(line) && line[length - 1] == '\n');
	assert(!memchr(line, '\n', length - 1));
	parsed = message_parse(line, length - 1, &again, &err);
	assert(parsed == 0);
	assert(json_equal(answer, again));
	json_decref(again);
	json_decref(answer);
}

static int
decode_params(const struct request *request, struct vn_error *err)
{
	_Alignas(max_align_t) unsigned char memory[PARAMS_MAX] = { 0 };
	const struct method *method = method_find(request->method);
	vn_autoarena arena = { 0 };
	json_t *encoded;

	if (!method)
		return vn_fail(err, VN_E_NO_METHOD, "no method '%s'", request->method);
	if (schema_decode(method->fields, request->params, &arena, memory, err) < 0)
		return -1;
	encoded = schema_encode(method->fields, memory);
	assert(json_is_object(encoded));
	json_decref(encoded);
	return 0;
}

static void
take_member(json_t *member)
{
	struct vn_error err = { 0 };
	struct request request;

	if (message_request(member, &request, &err) < 0 || decode_params(&request, &err) < 0) {
		assert(err.code != VN_OK && err.text[0] != '\0');
		assert(err.path[0] == '\0' || err.path[0] == '/');
		check_answer(message_error(request.id, &err, 0));
	} else {
		check_answer(message_result(request.id, NULL));
	}
}

static void
take_line(const char *line, size_t length)
{
	struct vn_error err = { 0 };
	json_t *value = NULL, *member;
	size_t i;

	if (message_parse(line, length, &value, &err) < 0) {
		check_answer(message_error(NULL, &err, 0));
		return;
	}
	if (json_is_array(value)) {
		json_array_foreach(value, i, member)
			take_member(member);
	} else {
		take_member(value);
	}
	json_decref(value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame *frame = frame_new(LINE_MAX);
	size_t piece = size > 0 ? data[0] % 64 + 1u : 1;

	for (size_t at = 1; at < size; at += piece) {
		struct frame_fds fds = { 0 };
		struct vn_error err = { 0 };
		size_t length, rest = size - at;
		char *line;

		frame_feed(frame, (const char *)data + at, rest < piece ? rest : piece, &fds);
		while (frame_next(frame, &line, &length, &fds, &err) == 1)
			take_line(line, length);
		assert(frame_pending(frame) < LINE_MAX);
	}
	frame_free(frame);
	return 0;
}
