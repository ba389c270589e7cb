#pragma once
/*
 * Clients of the control socket: `control` accepts and reads credentials once, a session drains lines
 * and hands requests on in their order, answers leave in the order they are ready. A client that does
 * not read is dropped when its unread output passes max_output_bytes; one that asks too much waits
 * (its socket is not read while max_requests_per_client are unanswered). Thread: loop.
 */

#include "daemon/call.h"

struct control;

/*
 * Listens: on the descriptor passed by systemd if there is one, else on config->socket (made 0666; a
 * stale socket of a dead daemon is replaced, one that answers is VN_E_BUSY).
 */
int control_open(struct daemon *daemon, struct control **ret, struct vn_error *err);
/* Closes all sessions. The socket file stays when systemd owns it. NULL is fine. */
void control_close(struct control *control);
/* Starts accepting; before, clients wait in the queue. */
void control_start(struct control *control);
unsigned control_clients(const struct control *control);

/*
 * Sends a notification line; `line` is shared by all subscribers and borrowed for the call.
 * A session over its output limit is dropped.
 */
void session_notify(struct session *session, const char *line, size_t length);
/* Calls on_close(arg) when the session ends, once; for subscriptions. Returns an id. */
uint64_t session_on_close(struct session *session, void (*fn)(void *arg), void *arg);
void session_forget_close(struct session *session, uint64_t id);

/* For tests and the bench: a session over one end of a socketpair with given credentials. */
int control_add(struct control *control, VN_TAKES int fd, uid_t uid, enum role role,
		struct vn_error *err);
