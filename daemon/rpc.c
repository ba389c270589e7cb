/*
 * From a line to handlers: parse, take apart, find the row, compare roles, admit, decode, call. One
 * line is one request or a batch of them; each member is a call of its own, and the batch is
 * answered when the last of them is.
 */
#include <assert.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/roles.h"
#include "daemon/session_inner.h"
#include "proto/message.h"

static handler_fn *const handlers[METHOD_COUNT] = {
#define X(id, ...) handle_##id,
	METHODS(X)
#undef X
};

/* Whether a call that changes things may be made now. */
static int
admit_change(struct daemon *daemon, const struct method *method, struct vn_error *err)
{
	if (daemon->refusal)
		return vn_fail(err, VN_E_STATE, "%s", daemon->refusal);
	if (!daemon->ready)
		return vn_fail(err, VN_E_BUSY, "vnoded is still recovering what was there before; "
			       "try again in a moment");
	return (method->flags & METHOD_FREES) == METHOD_FREES ? 0 : store_check(daemon->store, err);
}

static int
check_role(const struct call *call, const struct method *method, struct vn_error *err)
{
	if (call->role == ROLE_NONE)
		return vn_fail(err, VN_E_DENIED, "user %u is in none of the groups %s, %s, %s; ask "
			       "the administrator of this host for one of them",
			       (unsigned)call->uid, role_group(ROLE_VIEWER), role_group(ROLE_OPERATOR),
			       role_group(ROLE_ADMIN));
	if (method && call->role < method->role)
		return vn_fail(err, VN_E_DENIED, "'%s' needs the role %s (group %s), user %u has "
			       "the role %s", method->name, role_words[method->role],
			       role_group(method->role), (unsigned)call->uid,
			       role_words[call->role]);
	return 0;
}

static const struct change_params *
change_of(const struct method *method, const void *params)
{
	const struct field *field = method->fields;

	while (field->fields != change_params_fields)
		field++;		/* every method that changes something has them */
	return (const void *)((const char *)params + field->offset);
}

/* Returns what the handler returned, or -1. A repeated request is answered before anything is looked up:
 * what it names may be gone by its own doing. */
static int
dispatch(struct call *call, const struct request *request, struct vn_error *err)
{
	const struct method *method = method_find(request->method);
	int known;
	void *params;

	if (check_role(call, method, err) < 0)
		return -1;
	if (!method)
		return vn_fail(err, VN_E_NO_METHOD, "no method '%.80s'; rpc.discover lists them",
			       request->method);
	call->method = method;
	if ((method->flags & METHOD_CHANGES) && admit_change(call->daemon, method, err) < 0)
		return -1;
	params = vn_arena_alloc(&call->arena, method->params_size);
	if (schema_decode(method->fields, request->params, &call->arena, params, err) < 0)
		return -1;
	call->params = json_is_object(request->params) ? json_incref(request->params)
						       : json_object();
	if ((method->flags & METHOD_CHANGES) && call->daemon->answer_repeated) {
		known = call->daemon->answer_repeated(call, change_of(method, params), err);
		if (known)
			return known < 0 ? -1 : 0;
	}
	return handlers[method - methods](call, params, err);
}

void
rpc_returned(struct call *call, int result, const struct vn_error *err)
{
	call->running = false;
	if (result < 0)
		call_fail(call, err);
	else if (call->answered && (call->result || call->result_text))
		call_finish(call);
	else if (call->answered)
		call_fail(call, &call->failure);
	else
		assert(call->ticket);	/* a handler that returns 0 has replied or deferred */
}

/* One member of a batch, or the only request of a line. */
static void
take_request(struct session *session, struct answers *batch, json_t *value, struct frame_fds *fds)
{
	struct call *call = call_new(session, batch);
	struct request request = { 0 };
	struct vn_error err = { 0 };
	int result = message_request(value, &request, &err);

	call->id = json_incref(request.id);
	call->silent = result == 0 && !request.id;
	call->fds = fds;
	call->running = true;
	if (result == 0)
		result = dispatch(call, &request, &err);
	call->fds = NULL;
	rpc_returned(call, result, &err);
}

static void
take_batch(struct session *session, json_t *value, struct frame_fds *fds)
{
	size_t limit = (size_t)session->daemon->config.max_requests_per_client;
	struct vn_error err = { 0 };
	struct answers *batch;
	json_t *member;
	size_t i;

	if (!json_array_size(value) || json_array_size(value) > limit) {
		vn_fail(&err, VN_E_REQUEST, "a batch has 1 to %zu requests, this one has %zu",
			limit, json_array_size(value));
		rpc_refuse_line(session, &err);
		return;
	}
	batch = answers_new();
	json_array_foreach(value, i, member)
		take_request(session, batch, member, fds);
	answers_release(batch, session);
}

void
rpc_line(struct session *session, const char *line, size_t length, VN_TAKES struct frame_fds *fds)
{
	struct vn_error err = { 0 };
	json_t *value = NULL;

	if (message_parse(line, length, &value, &err) < 0)
		rpc_refuse_line(session, &err);
	else if (json_is_array(value))
		take_batch(session, value, fds);
	else
		take_request(session, NULL, value, fds);
	json_decref(value);
	frame_fds_close(fds);
}

void
rpc_refuse_line(struct session *session, const struct vn_error *err)
{
	json_t *answer = message_error(NULL, err, 0);
	size_t length;
	char *text = message_print(answer, &length);

	vn_log_debug("rpc", "line refused: %s", err->text);
	json_decref(answer);
	session_send(session, text, length, NULL);
}
