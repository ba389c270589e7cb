/*
 * A call from its birth to its one answer. Whoever answers later holds a ticket, looked up in the
 * control's table: it is void after the answer and after the client left. An answer that comes
 * while the handler still runs is kept and sent when the handler has returned.
 */
#include <assert.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/session_inner.h"
#include "proto/message.h"

struct daemon *
call_daemon(struct call *call)
{
	return call->daemon;
}

uid_t
call_uid(const struct call *call)
{
	return call->uid;
}

enum role
call_role(const struct call *call)
{
	return call->role;
}

json_t *
call_params(struct call *call)
{
	return call->params;
}

const struct method *
call_method(const struct call *call)
{
	return call->method;
}

struct session *
call_session(struct call *call)
{
	return call->session;
}

struct call *
call_new(struct session *session, struct answers *batch)
{
	struct call *call = vn_alloc(sizeof(*call));

	call->daemon = session->daemon;
	call->session = session;
	call->batch = batch;
	call->uid = session->uid;
	call->role = session->role;
	call->reply_fd = -1;
	if (batch)
		answers_hold(batch);
	session_track(session, call);
	return call;
}

static void
void_ticket(struct call *call)
{
	if (call->ticket)
		table_remove(&call->daemon->control->tickets, (int64_t)call->ticket);
	call->ticket = 0;
}

static void
call_free(struct call *call)
{
	void_ticket(call);
	if (call->session)
		session_untrack(call->session, call);
	if (call->batch)
		answers_release(call->batch, call->session);
	json_decref(call->id);
	json_decref(call->params);
	json_decref(call->result);
	free(call->result_text);
	vn_arena_fini(&call->arena);
	if (call->reply_fd >= 0)
		close(call->reply_fd);
	free(call);
}

/* ---- answers -------------------------------------------------------------------------------- */

#define BATCH_SPARE (1u << 20)		/* what results leave to error answers in a batch's line */

static int
send_text(struct call *call, VN_TAKES char *text, size_t length, VN_TAKES int fd, size_t spare,
	  struct vn_error *err)
{
	struct frame_fds fds = { .fd = { fd }, .count = fd >= 0 };

	if (length > PROTOCOL_ANSWER_MAX) {
		free(text);
		frame_fds_close(&fds);
		return vn_fail(err, VN_E_LIMIT, "the answer to '%s' has %zu bytes, at most %u are "
			       "sent; ask for less at a time", call->method->name, length,
			       PROTOCOL_ANSWER_MAX);
	}
	if (call->batch)
		return answers_add(call->batch, text, length, fd, spare, err);
	session_send(call->session, text, length, &fds);
	return 0;
}

static int
send_answer(struct call *call, VN_TAKES json_t *answer, VN_TAKES int fd, size_t spare,
	    struct vn_error *err)
{
	size_t length;
	char *text = message_print(answer, &length);

	json_decref(answer);
	return send_text(call, text, length, fd, spare, err);
}

/* The answer around a result that is text already. */
static int
send_result(struct call *call, struct vn_error *err)
{
	vn_autofree char *id = NULL, *result = vn_take_ptr(&call->result_text);
	char *text;

	if (!result)
		return send_answer(call, message_result(call->id, vn_take_ptr(&call->result)),
				   vn_take_fd(&call->reply_fd), BATCH_SPARE, err);
	id = call->id ? json_dumps(call->id, JSON_COMPACT | JSON_ENCODE_ANY) : vn_strdup("null");
	text = vn_format("{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}\n", id, result);
	return send_text(call, text, strlen(text), vn_take_fd(&call->reply_fd), BATCH_SPARE, err);
}

void
call_fail(struct call *call, const struct vn_error *err)
{
	struct vn_error too_much;

	if (err->code == VN_E_INTERNAL)
		vn_log_error("rpc", "%s: %s", call->method ? call->method->name : "request",
			     err->text);
	else
		vn_log_debug("rpc", "%s: %s: %s", call->method ? call->method->name : "request",
			     vn_code_word(err->code), err->text);
	if (call->session && !call->silent)
		send_answer(call, message_error(call->id, err, call->error_job), -1, 0, &too_much);
	call_free(call);
}

void
call_finish(struct call *call)
{
	struct vn_error err;

	if (call->session && !call->silent && send_result(call, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	call_free(call);
}

void
call_detach(struct call *call)
{
	void (*on_gone)(void *) = call->on_gone;
	void *arg = call->arg;

	session_untrack(call->session, call);
	call->session = NULL;
	call_free(call);
	if (on_gone)
		on_gone(arg);
}

/* ---- for handlers --------------------------------------------------------------------------- */

int
call_take_fd(struct call *call, int64_t index)
{
	if (!call->fds || index < 0 || index >= (int64_t)call->fds->count)
		return -1;
	return vn_take_fd(&call->fds->fd[index]);
}

void
call_reply(struct call *call, VN_TAKES json_t *result)
{
	assert(!call->answered && result);
	call->result = result;
	call->answered = true;
}

void
call_reply_text(struct call *call, VN_TAKES char *text)
{
	assert(!call->answered && text);
	call->result_text = text;
	call->answered = true;
}

void
call_attach_fd(struct call *call, VN_TAKES int fd)
{
	assert(call->reply_fd < 0);
	call->reply_fd = fd;
}

void
call_error_job(struct call *call, int64_t job)
{
	call->error_job = job;
}

uint64_t
call_defer(struct call *call, void (*on_gone)(void *arg), void *arg)
{
	struct control *control = call->daemon->control;

	assert(!call->ticket && !call->answered);
	call->ticket = ++control->last_ticket;
	call->on_gone = on_gone;
	call->arg = arg;
	table_set(&control->tickets, (int64_t)call->ticket, call);
	return call->ticket;
}

/* The deferred call, which is deferred no longer; NULL for a void ticket. */
static struct call *
redeem(struct daemon *daemon, uint64_t ticket)
{
	struct call *call = NULL;

	if (ticket && daemon->control)
		call = table_get(&daemon->control->tickets, (int64_t)ticket);
	if (call) {
		void_ticket(call);
		call->on_gone = NULL;
	}
	return call;
}

void
call_continue(struct daemon *daemon, uint64_t ticket, handler_fn *half, const void *arg)
{
	struct call *call = redeem(daemon, ticket);
	struct vn_error err = { 0 };
	int result;

	if (!call)
		return;
	call->running = true;
	result = half(call, arg, &err);
	rpc_returned(call, result, &err);
}

void
call_answer_fd(struct daemon *daemon, uint64_t ticket, VN_TAKES json_t *result, VN_TAKES int fd)
{
	struct call *call = redeem(daemon, ticket);

	if (!call) {
		json_decref(result);
		if (fd >= 0)
			close(fd);
		return;
	}
	call_reply(call, result);
	call->reply_fd = fd;
	if (!call->running)
		call_finish(call);
}

void
call_answer(struct daemon *daemon, uint64_t ticket, VN_TAKES json_t *result)
{
	call_answer_fd(daemon, ticket, result, -1);
}

void
call_answer_error(struct daemon *daemon, uint64_t ticket, const struct vn_error *error,
		  int64_t job)
{
	struct call *call = redeem(daemon, ticket);

	if (!call)
		return;
	call->error_job = job;
	if (call->running) {
		call->failure = *error;
		call->answered = true;
		return;
	}
	call_fail(call, error);
}
