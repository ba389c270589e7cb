/*
 * All clients together: the socket they come through, how many there may be, and whose turn it is.
 * A session that wants a turn stands in one list, and one deferred call of the loop gives each a
 * turn, so that a client with much to say and one with little alternate.
 */
#include "daemon/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "daemon/daemon.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
#include "daemon/session_inner.h"

#define ROOT_SPARE	 16		/* places that other users cannot fill */
#define STRANGERS	 64		/* places of all users without a role, */
#define STRANGERS_OF_UID 8		/* and of one of them: all they get is a refusal */
#define OUTPUTS		 4		/* times max_output may all clients together leave unread */
#define TURNS_NS	 5000000u	/* of turns, before descriptors and timers have theirs */

int
control_open(struct daemon *daemon, struct control **ret, struct vn_error *err)
{
	int passed = notify_listen_fd();
	struct stat at = { 0 };
	struct control *control;
	int fd;

	if (passed >= 0 ? listen_adopt(passed, &fd, err) < 0
			: listen_open(daemon->config.socket, &fd, &at, err) < 0)
		return -1;
	control = vn_alloc(sizeof(*control));
	control->daemon = daemon;
	control->owns_path = passed < 0;
	control->at = at;
	vn_list_init(&control->sessions);
	vn_list_init(&control->awake);
	control->acceptor = acceptor_new(control, fd);
	*ret = control;
	return 0;
}

void
control_close(struct control *control)
{
	if (!control)
		return;
	if (control->owns_path)
		listen_remove(control->daemon->config.socket, &control->at);
	acceptor_free(control->acceptor);
	while (!vn_list_is_empty(&control->sessions))
		session_close(vn_container_of(control->sessions.next, struct session, link));
	loop_forget(control->daemon->loop, control);
	table_fini(&control->tickets);
	if (control->daemon->control == control)
		control->daemon->control = NULL;	/* tickets that come back find nothing */
	free(control);
}

void
control_start(struct control *control)
{
	acceptor_start(control->acceptor);
}

unsigned
control_clients(const struct control *control)
{
	return control->n_sessions;
}

static void give_turns(void *arg);

static void
wake(struct control *control)
{
	if (control->wake_is_due)
		return;
	control->wake_is_due = true;
	loop_defer(control->daemon->loop, give_turns, control);
}

/* For a slice of time; those left come first the next time. */
static void
give_turns(void *arg)
{
	struct control *control = arg;
	uint64_t end = loop_monotonic_ns() + TURNS_NS;
	struct vn_list due;

	control->wake_is_due = false;
	vn_list_init(&due);
	vn_list_splice(&due, &control->awake);
	while (!vn_list_is_empty(&due) && loop_monotonic_ns() < end)
		session_turn(vn_container_of(due.next, struct session, awake));
	if (vn_list_is_empty(&due))
		return;
	vn_list_splice(&due, &control->awake);
	vn_list_splice(&control->awake, &due);
	wake(control);
}

void
control_wake(struct session *session)
{
	struct control *control = session->control;

	if (!vn_list_is_empty(&session->awake))
		return;
	vn_list_append(&control->awake, &session->awake);
	wake(control);
}

void
control_check_output(struct control *control)
{
	uint64_t limit = OUTPUTS * control->daemon->config.max_output_bytes;

	while (control->output_bytes > limit) {
		struct session *most = NULL;

		vn_list_each(struct session, session, &control->sessions, link)
			if (!most || session->output.bytes > most->output.bytes)
				most = session;
		if (!most || !most->output.bytes)
			return;		/* what is left belongs to one that is just closing */
		session_drop(most);
	}
}

/* Who has no role is only ever told so: few places do, and the others' stay free. */
static int
has_stranger_room(const struct control *control, uid_t uid, struct vn_error *err)
{
	unsigned all = 0, same = 0;

	vn_list_each(struct session, session, &control->sessions, link) {
		all += session->role == ROLE_NONE;
		same += session->role == ROLE_NONE && session->uid == uid;
	}
	if (all >= STRANGERS || same >= STRANGERS_OF_UID)
		return vn_fail(err, VN_E_LIMIT, "user %u has no role, and %u connections of such "
			       "users are open already", (unsigned)uid, same >= STRANGERS_OF_UID ?
			       same : all);
	return 0;
}

int
control_has_room(const struct control *control, uid_t uid, enum role role,
		 struct vn_error *err)
{
	const struct config *config = &control->daemon->config;
	int64_t same = 0, most = config->max_clients + (uid == 0 ? ROOT_SPARE : 0);

	if (control->n_sessions >= most)
		return vn_fail(err, VN_E_LIMIT, "vnoded serves %" PRId64 " clients already; close "
			       "some, or raise max_clients", most);
	if (uid == 0)
		return 0;
	if (role == ROLE_NONE)
		return has_stranger_room(control, uid, err);
	vn_list_each(struct session, session, &control->sessions, link)
		same += session->uid == uid;
	if (same >= config->max_clients_per_uid)
		return vn_fail(err, VN_E_LIMIT, "user %u has %" PRId64 " connections already; "
			       "close some, or raise max_clients_per_uid", (unsigned)uid, same);
	return 0;
}

void
control_add_session(struct control *control, VN_TAKES int fd, uid_t uid, enum role role)
{
	struct session *session = session_new(control, fd, uid, role);

	vn_list_append(&control->sessions, &session->link);
	control->n_sessions++;
}

int
control_add(struct control *control, VN_TAKES int fd, uid_t uid, enum role role,
	    struct vn_error *err)
{
	vn_autoclose int taken = fd;

	if (control_has_room(control, uid, role, err) < 0)
		return -1;
	if (fcntl(taken, F_SETFL, fcntl(taken, F_GETFL) | O_NONBLOCK) < 0)
		return vn_fail_errno(err, errno, "set a client's socket to non-blocking");
	control_add_session(control, vn_take_fd(&taken), uid, role);
	return 0;
}
