#pragma once
/*
 * One request on its way to an answer. The handler answers exactly once: it returns -1 (the dispatcher
 * sends err), sets the reply and returns 0, or calls call_defer and answers later by ticket. A session
 * that closes leaves its calls alive but detached: the answer is dropped. Thread: loop.
 */

#include "proto/frame.h"
#include "proto/methods.h"

struct daemon;
struct session;
struct call;

typedef int handler_fn(struct call *call, const void *params, struct vn_error *err);

struct daemon *call_daemon(struct call *call);
uid_t call_uid(const struct call *call);
enum role call_role(const struct call *call);
/* The decoded params' JSON, borrowed; an empty object where none was given. */
json_t *call_params(struct call *call);
const struct method *call_method(const struct call *call);
/* NULL once the client is gone. */
struct session *call_session(struct call *call);

/* Takes the descriptor with this index out of those that came with the line; -1 when there is none. */
int call_take_fd(struct call *call, int64_t index);

/* Sets the answer: result is taken. For use before the handler returns 0. */
void call_reply(struct call *call, VN_TAKES json_t *result);
/* The same with the result as JSON text, for large results that are kept as text. */
void call_reply_text(struct call *call, VN_TAKES char *text);
/* Sends a descriptor with the answer's first byte; taken. */
void call_attach_fd(struct call *call, VN_TAKES int fd);

/*
 * The call will be answered later: returns a ticket. The handler must then return 0 without a reply.
 * on_gone (may be NULL) is called when the client goes away before the answer; the ticket is void then.
 */
uint64_t call_defer(struct call *call, void (*on_gone)(void *arg), void *arg);
/* Answers a deferred call; a void ticket is ignored. result is taken. */
void call_answer(struct daemon *daemon, uint64_t ticket, VN_TAKES json_t *result);
/* The same with a descriptor. */
void call_answer_fd(struct daemon *daemon, uint64_t ticket, VN_TAKES json_t *result, VN_TAKES int fd);
void call_answer_error(struct daemon *daemon, uint64_t ticket, const struct vn_error *error,
		       int64_t job);
/*
 * Runs the second half of a deferred call's handler, which answers as the first could have; there are no
 * descriptors any more. A void ticket is ignored: nothing is run.
 */
void call_continue(struct daemon *daemon, uint64_t ticket, handler_fn *half, const void *arg);
/* Sets data.job of the error answer that follows when the handler returns -1. */
void call_error_job(struct call *call, int64_t job);

/* Declares handle_<id> for every method; each lives in daemon/handle_<noun>.c. */
#define X(id, ...) handler_fn handle_##id;
METHODS(X)
#undef X
