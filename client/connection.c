/*
 * The socket to the daemon. Writing may block: the daemon always reads, and what the client keeps
 * unanswered is bounded. Reading waits in interrupt_poll, so that ^C is noticed there and only
 * there. A line that is no JSON-RPC ends the connection: whoever sent it is no vnoded.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/connection.h"
#include "client/interrupt.h"
#include "proto/message.h"

struct connection {
	int fd;
	int64_t next_id;
	struct frame *frame;
};

int
connection_open(const char *path, struct connection **ret, struct vn_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	vn_autoclose int fd = -1;
	struct connection *connection;

	if (strlen(path) >= sizeof(address.sun_path))
		return vn_fail(err, VN_E_NOT_FOUND,
			       "the socket's path '%s' is longer than %zu bytes", path,
			       sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return vn_fail_errno(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return vn_fail_errno(err, errno,
				     "no vnoded answers at %s (is vnoded.service running?)", path);
	connection = vn_alloc(sizeof(*connection));
	connection->fd = vn_take_fd(&fd);
	connection->next_id = 1;
	connection->frame = frame_new(PROTOCOL_ANSWER_MAX);
	*ret = connection;
	return 0;
}

void
connection_close(struct connection *connection)
{
	if (!connection)
		return;
	frame_free(connection->frame);
	close(connection->fd);
	free(connection);
}

int
connection_fd(const struct connection *connection)
{
	return connection->fd;
}

int64_t
connection_next_id(const struct connection *connection)
{
	return connection->next_id;
}

void
arrival_fini(struct arrival *arrival)
{
	json_decref(arrival->value);
	for (unsigned i = 0; i < arrival->fds.count; i++)
		if (arrival->fds.fd[i] >= 0)
			close(arrival->fds.fd[i]);
	*arrival = (struct arrival){ 0 };
}

int64_t
arrival_id(const struct arrival *arrival)
{
	json_t *id = json_object_get(arrival->value, "id");

	return json_is_integer(id) ? json_integer_value(id) : -1;
}

static int
write_line(struct connection *connection, const char *line, size_t length, const int *fds,
	   unsigned n_fds, struct vn_error *err)
{
	while (length > 0) {
		long written = frame_write(connection->fd, line, length, fds, n_fds);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return vn_fail(err, VN_E_BACKEND, "the connection to vnoded broke: %s",
				       strerror(errno));
		line += written;
		length -= (size_t)written;
		n_fds = 0;
	}
	return 0;
}

int
connection_send(struct connection *connection, const char *method, VN_TAKES json_t *params,
		const int *fds, unsigned n_fds, int64_t *ret_id, struct vn_error *err)
{
	int64_t id = connection->next_id++;
	json_t *call = message_call(id, method, params);
	size_t length;
	vn_autofree char *line = message_print(call, &length);

	json_decref(call);
	if (length > PROTOCOL_LINE_MAX)
		return vn_fail(err, VN_E_REQUEST,
			       "the request is %zu bytes long, vnoded takes at most %u", length,
			       PROTOCOL_LINE_MAX);
	*ret_id = id;
	return write_line(connection, line, length, fds, n_fds, err);
}

int
connection_next(struct connection *connection, struct arrival *ret, struct vn_error *err)
{
	struct arrival arrival = { 0 };
	struct vn_error bad = { 0 };
	size_t length;
	char *line;
	int got = frame_next(connection->frame, &line, &length, &arrival.fds, err);

	if (got <= 0)
		return got;
	if (message_parse(line, length, &arrival.value, &bad) < 0 ||
	    !json_is_object(arrival.value)) {
		arrival_fini(&arrival);
		return vn_fail(err, VN_E_BACKEND, "what answers at the socket is no vnoded: %s",
			       bad.code ? bad.text : "it sent no object");
	}
	*ret = arrival;
	return 1;
}

int
connection_receive(struct connection *connection, int timeout_ms, struct arrival *ret,
		   struct vn_error *err)
{
	for (;;) {
		struct pollfd wait = { .fd = connection->fd, .events = POLLIN };
		int got = connection_next(connection, ret, err);

		if (got != 0)
			return got;
		got = interrupt_poll(&wait, 1, timeout_ms);
		if (got == 0 || (got < 0 && errno == EINTR))
			return 0;
		got = frame_read(connection->frame, connection->fd, err);
		if (got == 0)
			return vn_fail(err, VN_E_BACKEND, "vnoded closed the connection");
		if (got < 0)
			return -1;
	}
}
