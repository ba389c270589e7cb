#pragma once
/* What control.c, session.c and the calls share; no one else includes it. */

#include <sys/stat.h>

#include "daemon/call_inner.h"
#include "daemon/loop.h"
#include "daemon/output.h"
#include "daemon/session.h"
#include "daemon/table.h"

struct control {
	struct daemon *daemon;
	struct vn_list sessions;	/* of struct session by `link` */
	unsigned n_sessions;
	struct vn_list awake;		/* of struct session by `awake`: want a turn */
	bool wake_is_due;
	struct table tickets;		/* ticket -> deferred call */
	uint64_t last_ticket, last_session;
	uint64_t output_bytes;		/* unread by all sessions together */
	struct acceptor *acceptor;
	bool owns_path;			/* the socket file is ours, not systemd's */
	struct stat at;			/* the socket file, to know it again */
};

/* Something that has lines to send as soon as the client has read what was sent before. */
struct source {
	struct vn_list link;
	/* Sends some lines; false when there is nothing left, and the source is taken out. */
	bool (*send_more)(struct source *source);
};

struct session {
	/* set at birth */
	struct control *control;
	struct daemon *daemon;
	uint64_t id;
	uid_t uid;
	enum role role;
	int fd;
	char fields[48];		/* "session=… uid=…" for the log */

	struct watch *watch;
	struct watch *hangup;		/* on hangup_fd; see session.c */
	struct watch *linger;
	int hangup_fd;
	struct frame *frame;
	struct output output;

	bool in_turn;
	bool eof;			/* the client will send nothing more */
	bool ended;			/* and all it sent was handed on */
	bool lost;			/* its stream cannot be split into lines any more */
	bool said_bye;			/* our side of the socket is shut */
	bool gone;			/* nobody reads any more */
	bool doomed;			/* to be closed in its next turn */
	uint64_t n_discarded;		/* bytes read since it was lost */

	struct vn_list calls;		/* of struct call, unanswered */
	int64_t n_calls;
	struct vn_list sources;		/* of struct source */
	struct vn_list closers;
	uint64_t last_closer;
	struct vn_list link, awake;
};

/* session.c */
struct session *session_new(struct control *control, VN_TAKES int fd, uid_t uid, enum role role);
void session_turn(struct session *session);
void session_close(struct session *session);
/* Closes it in its next turn, and lets go of what it has not read now. */
void session_drop(struct session *session);
/* Queues a whole line; text and fds (NULL: none) are taken. */
void session_send(struct session *session, VN_TAKES char *text, size_t length,
		  VN_TAKES struct frame_fds *fds);
void session_track(struct session *session, struct call *call);
void session_untrack(struct session *session, struct call *call);
void session_add_source(struct session *session, struct source *source);

/* control.c: gives the session a turn soon; harmless when it is to get one already. */
void control_wake(struct session *session);

/* Errors: VN_E_LIMIT too many clients, or too many of this user or of those without a role. */
int control_has_room(const struct control *control, uid_t uid, enum role role,
		     struct vn_error *err);
/* Drops whoever left most unread while all together leave too much. */
void control_check_output(struct control *control);
void control_add_session(struct control *control, VN_TAKES int fd, uid_t uid, enum role role);

/* accept.c: takes clients from a listening socket. */
struct acceptor *acceptor_new(struct control *control, VN_TAKES int fd);
void acceptor_free(struct acceptor *acceptor);
void acceptor_start(struct acceptor *acceptor);
