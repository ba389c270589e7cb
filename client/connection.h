#pragma once
/*
 * A connection to the daemon: calls out, lines in. Calls may be pipelined; answers come in any
 * order and carry the id of their call.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/frame.h"

#define CONNECTION_SOCKET "/run/vnoded/vnoded.sock"

struct connection;

/* Errors: VN_E_NOT_FOUND, VN_E_DENIED, VN_E_BACKEND: no daemon there; the text names the socket. */
int connection_open(const char *path, struct connection **ret, struct vn_error *err);
void connection_close(struct connection *connection);	/* NULL is fine */
int connection_fd(const struct connection *connection);

/* One line from the daemon, or that there is none. */
struct arrival {
	json_t *value;			/* owned */
	struct frame_fds fds;		/* owned */
};
void arrival_fini(struct arrival *arrival);

/* The id that the next call will have. */
int64_t connection_next_id(const struct connection *connection);

/* Sends a call; `params` is taken and may be NULL, descriptors are borrowed. Errors: VN_E_BACKEND
 * the connection is gone; VN_E_REQUEST the call is too long for a line, and was not sent. */
int connection_send(struct connection *connection, const char *method, VN_TAKES json_t *params,
		    const int *fds, unsigned n_fds, int64_t *ret_id, struct vn_error *err);

/*
 * Waits up to timeout_ms (-1: for ever) for the next line. Returns 1 and *ret, 0 when the time is
 * over or a caught signal came (interrupt_signal tells), -1 with VN_E_BACKEND when the connection
 * is lost.
 */
int connection_receive(struct connection *connection, int timeout_ms, struct arrival *ret,
		       struct vn_error *err);

/* Like connection_receive without waiting for bytes: 0 when no whole line has arrived. */
int connection_next(struct connection *connection, struct arrival *ret, struct vn_error *err);

/* The id of an answer, -1 for a notification. */
int64_t arrival_id(const struct arrival *arrival);
