#pragma once
/*
 * Lines of JSON-RPC 2.0: reading a request line strictly, writing answers. Both sides of the socket
 * use it. Nothing here reads or writes a descriptor.
 */

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/error.h"

/*
 * Parses one line (without its LF). Refuses duplicate keys, invalid UTF-8, NUL bytes (also \u0000),
 * nesting over PROTOCOL_DEPTH_MAX (checked before the parser recurses), numbers out of range, and
 * anything after the value. *ret is a new reference. Errors: VN_E_PARSE saying where.
 */
int message_parse(const char *line, size_t length, json_t **ret, struct vn_error *err);

struct request {
	json_t *id;			/* borrowed; NULL: a notification */
	const char *method;		/* borrowed */
	json_t *params;			/* borrowed; NULL: none */
};

/* Takes one member apart. Errors: VN_E_REQUEST (ret->id is set where it could be read). */
int message_request(json_t *value, struct request *ret, struct vn_error *err);

/* {"jsonrpc": "2.0", "id": …, "result": …}; id is borrowed (NULL: null), result is taken. */
json_t *message_result(json_t *id, json_t *result);
/* The error answer; job 0 leaves data.job out. */
json_t *message_error(json_t *id, const struct vn_error *error, int64_t job);
/* A notification; params is taken. */
json_t *message_notification(const char *method, json_t *params);
/* A request; params is taken and may be NULL. */
json_t *message_call(int64_t id, const char *method, json_t *params);

/* Reads an answer for a client: a borrowed result, or -1 with err filled from its error object;
 * *ret_job is data.job or 0. Errors besides the daemon's own: VN_E_INTERNAL no valid answer. */
int message_answer(json_t *answer, json_t **ret_result, int64_t *ret_job, struct vn_error *err);

/* One compact line with its LF, to be freed; *ret_length counts the LF. */
char *message_print(json_t *value, size_t *ret_length);
