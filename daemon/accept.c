/*
 * Takes clients in. When the process or the machine has no descriptor left, accept would fail again
 * at once for ever: the spare descriptor is given up to take one client and tell it, and then
 * nothing is accepted for a while, longer each time.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/roles.h"
#include "daemon/session_inner.h"
#include "proto/message.h"

#define TURN_CLIENTS 64u
#define PAUSE_MIN_MS 100u
#define PAUSE_MAX_MS 5000u
#define REFUSAL_MS   1000u

struct acceptor {
	struct control *control;
	struct roles roles;
	int fd, spare_fd;
	struct watch *watch, *pause;
	unsigned pause_ms;		/* of the next pause */
	unsigned refused;		/* clients, since it was logged last */
	uint64_t logged_ms;
};

/* Tells a client why it is not served. */
static void
refuse(VN_TAKES int fd, const struct vn_error *err)
{
	json_t *answer = message_error(NULL, err, 0);
	size_t length;
	vn_autofree char *text = message_print(answer, &length);

	json_decref(answer);
	if (send(fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		vn_log_debug("control", "a refused client did not wait to be told");
	close(fd);
}

static void
on_pause_over(void *arg)
{
	struct acceptor *acceptor = arg;

	loop_remove(vn_take_ptr(&acceptor->pause));
	if (acceptor->spare_fd < 0)
		acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	loop_change_fd(acceptor->watch, WATCH_READ);
}

static void
pause_accepting(struct acceptor *acceptor, int reason)
{
	struct vn_error err = { 0 };
	int fd;

	vn_fail_errno(&err, reason, "vnoded has no room for another client just now, try again "
		      "later");
	if (acceptor->spare_fd >= 0) {
		close(vn_take_fd(&acceptor->spare_fd));
		fd = accept4(acceptor->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			refuse(fd, &err);
		acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	vn_log_warning("control", "%s; accepting nobody for %u ms", err.text, acceptor->pause_ms);
	loop_change_fd(acceptor->watch, 0);
	acceptor->pause = loop_add_timer(acceptor->control->daemon->loop, acceptor->pause_ms,
					 on_pause_over, acceptor);
	acceptor->pause_ms *= 2;
	if (acceptor->pause_ms > PAUSE_MAX_MS)
		acceptor->pause_ms = PAUSE_MAX_MS;
}

/* Once a second: whoever tries again and again must not fill the log. */
static void
log_refusal(struct acceptor *acceptor, const struct vn_error *err)
{
	uint64_t now_ms = loop_now_ms(acceptor->control->daemon->loop);

	acceptor->refused++;
	if (acceptor->logged_ms && now_ms < acceptor->logged_ms + REFUSAL_MS)
		return;
	vn_log_info("control", "client refused (%u since the last such line): %s",
		    acceptor->refused, err->text);
	acceptor->logged_ms = now_ms;
	acceptor->refused = 0;
}

static void
admit(struct acceptor *acceptor, VN_TAKES int fd)
{
	struct vn_error err = { 0 };
	enum role role;
	uid_t uid;

	acceptor->pause_ms = PAUSE_MIN_MS;
	if (roles_of_peer(&acceptor->roles, fd, &uid, &role, &err) < 0) {
		refuse(fd, &err);
		return;
	}
	if (control_has_room(acceptor->control, uid, role, &err) < 0) {
		log_refusal(acceptor, &err);
		refuse(fd, &err);
		return;
	}
	control_add_session(acceptor->control, fd, uid, role);
}

static void
on_clients(int listening, unsigned what, void *arg)
{
	struct acceptor *acceptor = arg;

	(void)what;
	for (unsigned i = 0; i < TURN_CLIENTS; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			admit(acceptor, fd);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN)
			pause_accepting(acceptor, errno);
		return;
	}
}

struct acceptor *
acceptor_new(struct control *control, VN_TAKES int fd)
{
	struct acceptor *acceptor = vn_alloc(sizeof(*acceptor));

	acceptor->control = control;
	acceptor->fd = fd;
	acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	acceptor->pause_ms = PAUSE_MIN_MS;
	roles_init(&acceptor->roles);
	return acceptor;
}

void
acceptor_start(struct acceptor *acceptor)
{
	if (!acceptor->watch)
		acceptor->watch = loop_add_fd(acceptor->control->daemon->loop, acceptor->fd,
					      WATCH_READ, on_clients, acceptor);
}

void
acceptor_free(struct acceptor *acceptor)
{
	if (!acceptor)
		return;
	loop_remove(acceptor->pause);
	loop_remove(acceptor->watch);
	if (acceptor->spare_fd >= 0)
		close(acceptor->spare_fd);
	close(acceptor->fd);
	free(acceptor);
}
