#pragma once
/* What rpc.c, call.c and session.c share about requests under way; no one else includes it. */

#include "daemon/call.h"
#include "proto/base/arena.h"
#include "proto/base/list.h"

struct answers;

struct call {
	/* set at birth */
	struct daemon *daemon;
	struct session *session;	/* NULL once the client is gone */
	struct answers *batch;		/* it is a member of; NULL: alone on its line */
	uid_t uid;
	enum role role;
	const struct method *method;
	json_t *id;			/* owned; NULL: null in the answer */
	bool silent;			/* a notification: no answer, whatever happens */

	/* while its handler runs */
	bool running;
	struct frame_fds *fds;		/* that came with the line, borrowed */
	json_t *params;			/* owned; what was decoded borrows from it */
	struct vn_arena arena;		/* holds what was decoded */

	/* the answer */
	bool answered;
	json_t *result;			/* owned; both NULL: the answer is `failure` */
	char *result_text;		/* owned: the result as JSON text */
	struct vn_error failure;
	int reply_fd;			/* owned; -1: none */
	int64_t error_job;

	uint64_t ticket;		/* 0: not deferred */
	void (*on_gone)(void *arg);
	void *arg;
	struct vn_list link;		/* in the session's calls */
};

/* rpc.c: what came on one line. Takes the descriptors. */
void rpc_line(struct session *session, const char *line, size_t length,
	      VN_TAKES struct frame_fds *fds);
/* Answers with id null: nobody knows what was asked. */
void rpc_refuse_line(struct session *session, const struct vn_error *err);

/* Sends what a handler's return leads to; it may have deferred. */
void rpc_returned(struct call *call, int result, const struct vn_error *err);

/* call.c */
struct call *call_new(struct session *session, struct answers *batch);
/* Sends what was set, or the error, and frees the call. */
void call_finish(struct call *call);
void call_fail(struct call *call, const struct vn_error *err);
/* The client is gone: the ticket is void, on_gone is told, the call is freed. */
void call_detach(struct call *call);

/* answers.c: the answers of a batch become one line when the last member has ended. */
struct answers *answers_new(void);
void answers_hold(struct answers *batch);
/* The last to let go sends the line; session NULL: the client is gone. */
void answers_release(struct answers *batch, struct session *session);
/* Fails with VN_E_LIMIT when less than `spare` bytes of the line would be left. text and fd (may be
 * -1) are taken. */
int answers_add(struct answers *batch, VN_TAKES char *text, size_t length, VN_TAKES int fd,
	      size_t spare, struct vn_error *err);
