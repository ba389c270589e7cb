/*
 * One client. All it does happens in its turn: take a bounded number of lines, let sources send,
 * write, and only there may it end. Everything else (an answer that comes later, an event) just
 * queues output and asks for a turn, so that no caller ever finds a session gone under its hands.
 *
 * A client that has shut its sending side still gets its answers and events. The socket is then
 * always readable, so it is no longer watched for reading; that the other side is gone altogether
 * is told by an epoll descriptor of its own, which reports nothing but the hang-up. The lines of a
 * client that went away are still taken: it may have sent and left.
 */
#include "daemon/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/session_inner.h"

#define TURN_LINES    64u
#define TURN_BYTES    (256u << 10)
#define TURN_NS	      2000000u		/* some requests cost more than others */
#define STRANGER_LINE (64u << 10)	/* longest line of who may ask nothing anyway */
#define SOURCE_ROOM   (64u << 10)	/* sources send while less than this is unread */
#define DISCARD_BYTES (16u << 20)	/* of a lost stream, so that its writer gets to read why */
#define LINGER_MS     2000u

struct closer {
	struct vn_list link;
	uint64_t id;
	void (*fn)(void *arg);
	void *arg;
};

static void
on_ready(int fd, unsigned what, void *arg)
{
	struct session *session = arg;

	(void)fd, (void)what;
	if (vn_list_is_empty(&session->awake))
		session_turn(session);
}

struct session *
session_new(struct control *control, VN_TAKES int fd, uid_t uid, enum role role)
{
	struct session *session = vn_alloc(sizeof(*session));

	session->control = control;
	session->daemon = control->daemon;
	session->id = ++control->last_session;
	session->uid = uid;
	session->role = role;
	session->fd = fd;
	session->hangup_fd = -1;
	snprintf(session->fields, sizeof(session->fields), "session=%" PRIu64 " uid=%u",
		 session->id, (unsigned)uid);
	session->frame = frame_new(role == ROLE_NONE ? STRANGER_LINE : PROTOCOL_LINE_MAX);
	output_init(&session->output, &control->output_bytes);
	vn_list_init(&session->calls);
	vn_list_init(&session->sources);
	vn_list_init(&session->closers);
	vn_list_init(&session->link);
	vn_list_init(&session->awake);
	session->watch = loop_add_fd(control->daemon->loop, fd, WATCH_READ, on_ready, session);
	return session;
}

static void
tell_closers(struct session *session)
{
	while (!vn_list_is_empty(&session->closers)) {
		struct closer *first = vn_container_of(session->closers.next, struct closer, link);

		vn_list_remove(&first->link);
		first->fn(first->arg);
		free(first);
	}
}

void
session_close(struct session *session)
{
	session->doomed = session->in_turn = true;	/* those told now may still try to send */
	vn_list_remove(&session->link);
	vn_list_remove(&session->awake);
	session->control->n_sessions--;
	while (!vn_list_is_empty(&session->calls))
		call_detach(vn_container_of(session->calls.next, struct call, link));
	tell_closers(session);
	loop_remove(session->watch);
	loop_remove(session->hangup);
	loop_remove(session->linger);
	output_fini(&session->output);
	frame_free(session->frame);
	if (session->hangup_fd >= 0)
		close(session->hangup_fd);
	close(session->fd);
	free(session);
}

/* ---- lines in ------------------------------------------------------------------------------- */

static void
lose(struct session *session, const struct vn_error *err)
{
	rpc_refuse_line(session, err);
	session->lost = true;
	frame_free(vn_take_ptr(&session->frame));
}

static void
end_lines(struct session *session)
{
	struct vn_error err = { 0 };

	session->ended = true;
	if (frame_pending(session->frame) == 0)
		return;
	vn_fail(&err, VN_E_PARSE, "the connection's last line has no newline at its end");
	rpc_refuse_line(session, &err);
}

/* Hands one line on. Returns its length, or 0 when there is no whole one (or never will be). */
static size_t
take_line(struct session *session)
{
	struct frame_fds fds = { .count = 0 };
	struct vn_error err = { 0 };
	size_t length;
	char *line;
	int got = frame_next(session->frame, &line, &length, &fds, &err);

	if (got < 0)
		lose(session, &err);
	if (got <= 0)
		return 0;
	rpc_line(session, line, length, &fds);
	return length + 1;
}

/* Reads once. Returns the number of bytes, 0 when there is nothing to be had now. */
static size_t
read_more(struct session *session)
{
	struct vn_error err = { 0 };
	int n = frame_read(session->frame, session->fd, &err);

	if (n > 0)
		return (size_t)n;
	if (n == 0)
		session->eof = true;
	else if (err.code != VN_E_BUSY)
		session->eof = session->gone = true;
	return 0;
}

static bool
is_full(const struct session *session)
{
	return session->n_calls >= session->daemon->config.max_requests_per_client;
}

/* Takes lines until there are none or the client asks too much; true: until its turn is over. */
static bool
take_lines(struct session *session)
{
	uint64_t end = loop_monotonic_ns() + TURN_NS;
	size_t lines = 0, bytes = 0, n;

	while (!session->doomed && !session->lost && !session->ended && !is_full(session)) {
		if (lines >= TURN_LINES || bytes >= TURN_BYTES ||
		    (lines && loop_monotonic_ns() > end))
			return true;
		n = take_line(session);
		if (n) {
			lines++;
			bytes += n;
			continue;
		}
		if (session->lost)
			break;
		if (session->eof) {
			end_lines(session);
			break;
		}
		n = read_more(session);
		if (!n && !session->eof)
			break;
		bytes += n;
	}
	return false;
}

/* Reads away what a lost stream still brings, descriptors included. */
static void
discard(struct session *session)
{
	char scratch[1 << 16];
	ssize_t n;

	for (unsigned i = 0; i < 8; i++) {
		n = read(session->fd, scratch, sizeof(scratch));
		if (n < 0)
			break;
		session->n_discarded += (uint64_t)n;
		if (n == 0 || session->n_discarded > DISCARD_BYTES) {
			session->eof = true;
			return;
		}
	}
}

/* ---- lines out ------------------------------------------------------------------------------ */

/* Nobody will read what is sent from now on. */
static bool
is_mute(const struct session *session)
{
	return session->doomed || session->gone || session->said_bye;
}

void
session_drop(struct session *session)
{
	vn_log_warning("control", "session %" PRIu64 " of user %u: dropped, it left %" PRIu64
		       " bytes unread (max_output)", session->id, (unsigned)session->uid,
		       session->output.bytes);
	session->doomed = true;
	output_fini(&session->output);
	if (!session->in_turn)
		control_wake(session);
}

static void
check_output(struct session *session)
{
	if (session->output.bytes > session->daemon->config.max_output_bytes)
		session_drop(session);
	else
		control_check_output(session->control);
	if (!session->in_turn)
		control_wake(session);
}

void
session_send(struct session *session, VN_TAKES char *text, size_t length,
	     VN_TAKES struct frame_fds *fds)
{
	if (is_mute(session)) {
		free(text);
		if (fds)
			frame_fds_close(fds);
		return;
	}
	output_take(&session->output, text, length, fds);
	check_output(session);
}

void
session_notify(struct session *session, const char *line, size_t length)
{
	if (is_mute(session))
		return;
	output_add(&session->output, line, length);
	check_output(session);
}

/* Whether a source may send: with more unread, the socket's being writable brings the next turn. */
static bool
is_source_due(const struct session *session)
{
	return !is_mute(session) && session->output.bytes < SOURCE_ROOM &&
	       !vn_list_is_empty(&session->sources);
}

/* One source a turn, in rotation: what it looks through may be long though it sends little. */
static void
run_source(struct session *session)
{
	struct source *first;

	if (!is_source_due(session))
		return;
	first = vn_container_of(session->sources.next, struct source, link);
	vn_list_remove(&first->link);
	if (first->send_more(first))
		vn_list_append(&session->sources, &first->link);
}

static void
write_out(struct session *session)
{
	if (session->doomed || output_write(&session->output, session->fd) >= 0)
		return;
	session->gone = true;
	control_wake(session);
}

void
session_add_source(struct session *session, struct source *source)
{
	vn_list_append(&session->sources, &source->link);
	if (!session->in_turn)
		control_wake(session);
}

/* ---- the turn ------------------------------------------------------------------------------- */

static void
on_hangup(int fd, unsigned what, void *arg)
{
	struct session *session = arg;

	(void)fd, (void)what;
	session->gone = true;
	loop_remove(vn_take_ptr(&session->hangup));
	control_wake(session);
}

static void
watch_hangup(struct session *session)
{
	struct epoll_event none = { .events = 0 };

	session->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
	if (session->hangup_fd < 0)
		return;			/* none left just now: its next turn tries again */
	if (epoll_ctl(session->hangup_fd, EPOLL_CTL_ADD, session->fd, &none) < 0) {
		close(vn_take_fd(&session->hangup_fd));
		return;
	}
	session->hangup = loop_add_fd(session->daemon->loop, session->hangup_fd, WATCH_READ,
				      on_hangup, session);
}

static void
on_linger_over(void *arg)
{
	struct session *session = arg;

	session->doomed = true;
	control_wake(session);
}

/* The last line has left: says so, and gives the client a moment to read it. */
static void
say_bye(struct session *session)
{
	session->said_bye = true;
	shutdown(session->fd, SHUT_WR);
	session->linger = loop_add_timer(session->daemon->loop, LINGER_MS, on_linger_over, session);
}

/* What it sent before it left still counts; what it wanted to hear does not. */
static void
forget_client(struct session *session)
{
	output_fini(&session->output);
	while (!vn_list_is_empty(&session->calls))
		call_detach(vn_container_of(session->calls.next, struct call, link));
}

static bool
is_over(const struct session *session)
{
	if (session->doomed || (session->gone && (session->ended || session->lost)))
		return true;
	if (session->output.bytes)
		return false;
	if (session->lost)
		return session->eof;
	return session->ended && !session->n_calls && vn_list_is_empty(&session->sources) &&
	       vn_list_is_empty(&session->closers);
}

static void
set_watch(struct session *session)
{
	unsigned what = 0;

	if (!session->eof && (session->lost || !is_full(session)))
		what |= WATCH_READ;
	if (session->output.bytes)
		what |= WATCH_WRITE;
	loop_change_fd(session->watch, what);
}

void
session_turn(struct session *session)
{
	bool again;

	vn_list_remove(&session->awake);
	session->in_turn = true;
	log_context(session->fields);
	if (session->gone)
		forget_client(session);
	again = take_lines(session);
	if (session->lost && !session->eof)
		discard(session);
	run_source(session);
	write_out(session);
	again |= is_source_due(session) || (session->gone && session->n_calls);
	if (!is_over(session) && (session->ended || is_full(session)) && session->hangup_fd < 0)
		watch_hangup(session);
	if (!is_over(session) && session->lost && !session->output.bytes && !session->said_bye)
		say_bye(session);
	session->in_turn = false;
	if (is_over(session)) {
		session_close(session);
	} else {
		set_watch(session);
		if (again)
			control_wake(session);
	}
	log_context(NULL);
}

/* ---- calls and closers ---------------------------------------------------------------------- */

void
session_track(struct session *session, struct call *call)
{
	vn_list_init(&call->link);
	vn_list_append(&session->calls, &call->link);
	session->n_calls++;
}

void
session_untrack(struct session *session, struct call *call)
{
	vn_list_remove(&call->link);
	session->n_calls--;
	if (!session->in_turn)
		control_wake(session);
}

uint64_t
session_on_close(struct session *session, void (*fn)(void *arg), void *arg)
{
	struct closer *closer = vn_alloc(sizeof(*closer));

	closer->id = ++session->last_closer;
	closer->fn = fn;
	closer->arg = arg;
	vn_list_init(&closer->link);
	vn_list_append(&session->closers, &closer->link);
	return closer->id;
}

void
session_forget_close(struct session *session, uint64_t id)
{
	vn_list_each_safe(struct closer, closer, &session->closers, link) {
		if (closer->id != id)
			continue;
		vn_list_remove(&closer->link);
		free(closer);
	}
	if (!session->in_turn)
		control_wake(session);	/* it may have been what kept a half-closed session */
}
