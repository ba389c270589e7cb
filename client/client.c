/*
 * The connection and the ways to fail that all verbs share. A daemon that restarts is no failure
 * for whoever only reads: the call is sent again. What changes things is sent again in change.c,
 * under its request_id.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "client/interrupt.h"
#include "proto/message.h"
#include "proto/methods.h"

#define RETRY_MS 100			/* between two attempts to connect */

void
client_init(struct client *client, const char *program)
{
	*client = (struct client){
		.program = program,
		.socket = CONNECTION_SOCKET,
		.terminal = isatty(STDERR_FILENO),
		.patience_ms = 15000,
	};
}

void
client_fini(struct client *client)
{
	client_disconnect(client);
}

void
client_disconnect(struct client *client)
{
	connection_close(client->connection);
	client->connection = NULL;
}

int
client_connect(struct client *client, struct vn_error *err)
{
	if (client->connection)
		return 0;
	return connection_open(client->socket, &client->connection, err);
}

int64_t
client_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void
client_pause(void)
{
	interrupt_poll(NULL, 0, RETRY_MS);
}

int
client_reconnect(struct client *client, struct vn_error *err)
{
	int64_t deadline = client_now_ms() + client->patience_ms;

	client_disconnect(client);
	while (client_connect(client, err) < 0) {
		if (client_now_ms() >= deadline || err->code == VN_E_DENIED)
			return -1;
		client_pause();
		if (interrupt_signal())
			return -1;
	}
	return 0;
}

void
answer_fini(struct answer *answer)
{
	json_decref(answer->result);
	for (unsigned i = 0; i < answer->fds.count; i++)
		if (answer->fds.fd[i] >= 0)
			close(answer->fds.fd[i]);
	*answer = (struct answer){ 0 };
}

void
answer_take(struct arrival *arrival, struct answer *ret)
{
	struct answer answer = { .fds = arrival->fds };
	json_t *result = NULL;

	arrival->fds.count = 0;
	if (message_answer(arrival->value, &result, &answer.job, &answer.error) == 0)
		answer.result = json_incref(result);
	arrival_fini(arrival);
	*ret = answer;
}

/* One attempt; -1 means that the connection is gone. */
static int
ask_once(struct client *client, const char *method, json_t *params, const int *fds, unsigned n_fds,
	 struct answer *ret, struct vn_error *err)
{
	int64_t id;

	if (client_connect(client, err) < 0)
		return -1;
	if (connection_send(client->connection, method, json_incref(params), fds, n_fds, &id,
			    err) < 0)
		return -1;
	for (;;) {
		struct arrival arrival;
		int got = connection_receive(client->connection, -1, &arrival, err);

		if (got < 0)
			return -1;
		if (got == 0)
			return vn_fail(err, VN_E_CANCELLED, "interrupted");
		if (arrival_id(&arrival) == id) {
			answer_take(&arrival, ret);
			return 0;
		}
		arrival_fini(&arrival);
	}
}

int
client_ask_with(struct client *client, const char *method, VN_TAKES json_t *params, const int *fds,
		unsigned n_fds, struct answer *ret)
{
	struct vn_error err = { 0 };
	const struct method *known = method_find(method);
	bool is_harmless = known && known->role == ROLE_VIEWER;
	bool was_connected = client->connection;
	int got = ask_once(client, method, params, fds, n_fds, ret, &err);

	if (got < 0 && err.code != VN_E_REQUEST && (was_connected || client->connection) &&
	    is_harmless && !interrupt_signal() && client_reconnect(client, &err) == 0)
		got = ask_once(client, method, params, fds, n_fds, ret, &err);
	json_decref(params);
	if (got == 0)
		return STATUS_DONE;
	if (err.code == VN_E_REQUEST)
		return client_refused(client, NULL, &err);
	return client_lost(client, &err);
}

int
client_ask(struct client *client, const char *method, VN_TAKES json_t *params, struct answer *ret)
{
	return client_ask_with(client, method, params, NULL, 0, ret);
}

int
client_get_with(struct client *client, const char *subject, const char *method,
		VN_TAKES json_t *params, const int *fds, unsigned n_fds, json_t **ret)
{
	struct answer answer = { 0 };
	int status = client_ask_with(client, method, params, fds, n_fds, &answer);

	if (status == STATUS_DONE && !answer.result)
		status = client_refused(client, subject, &answer.error);
	if (status == STATUS_DONE)
		*ret = vn_take_ptr(&answer.result);
	answer_fini(&answer);
	return status;
}

int
client_get(struct client *client, const char *subject, const char *method,
	   VN_TAKES json_t *params, json_t **ret)
{
	return client_get_with(client, subject, method, params, NULL, 0, ret);
}

int
client_refused(const struct client *client, const char *subject, const struct vn_error *error)
{
	vn_autofree char *line = NULL;
	vn_autofree char *quoted = vn_format("%s'", subject ? subject : "");
	const char *path = error->path, *at = strstr(error->text, quoted);

	/* What the daemon's sentence names already, as 'x' or 'pair/x', is not named twice. */
	if (at > error->text && (at[-1] == '\'' || at[-1] == '/'))
		subject = NULL;
	/* The file is the document, so that its own pointers are what a reader can follow. */
	if (strncmp(path, "/document", 9) == 0)
		path += 9;
	if (error->code != VN_E_INVALID && error->code != VN_E_UNSUPPORTED && path == error->path)
		path = "";
	line = vn_format("%s: %s%s%s%s%s", client->program, subject ? subject : "",
			 subject ? ": " : "", path, *path ? ": " : "", error->text);
	/* It may hold what a guest or a library said. */
	for (char *byte = line; *byte; byte++)
		if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
			*byte = '?';
	fprintf(stderr, "%s\n", line);
	return error->code == VN_E_TIMEOUT ? STATUS_TIMEOUT : STATUS_FAILED;
}

int
client_lost(struct client *client, const struct vn_error *error)
{
	if (interrupt_signal())
		return STATUS_SIGNAL + interrupt_signal();
	fprintf(stderr, "%s: %s\n", client->program, error->text);
	return STATUS_NO_DAEMON;
}

int
client_usage(const struct client *client, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", client->program);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	return STATUS_USAGE;
}

bool
client_confirms(const struct client *client, const char *format, ...)
{
	char line[16] = "";
	va_list args;

	if (!client->terminal || !isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "%s: ", client->program);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " [y/N] ");
	return fgets(line, sizeof(line), stdin) && (*line == 'y' || *line == 'Y');
}
