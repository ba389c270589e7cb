/*
 * Runs a command in a vnode. Without a terminal our own three descriptors go to the command and not
 * a byte passes through here or through the daemon; ^C ends vnodectl, and the daemon sends the
 * command SIGHUP because its client is gone. With a terminal the daemon answers with its master,
 * which is copied here, and tells the command's end in a notification.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/interrupt.h"
#include "client/options.h"
#include "client/terminal.h"

static json_t *
exec_params(const struct arguments *args, bool tty)
{
	json_t *params = json_pack("{s:s, s:[], s:s*, s:s*}", "vnode", args->operands[0], "argv",
				   "cwd", args->cwd, "user", args->user);
	json_t *env = args->env ? json_copy(args->env) : json_array();

	for (int i = 1; i < args->n_operands; i++)
		json_array_append_new(json_object_get(params, "argv"),
				      json_string(args->operands[i]));
	if (tty && getenv("TERM"))
		json_array_insert_new(env, 0, json_sprintf("TERM=%s", getenv("TERM")));
	if (json_array_size(env) > 0)
		json_object_set(params, "env", env);
	json_decref(env);
	if (tty)
		json_object_set_new(params, "tty", json_true());
	return params;
}

/* The exit status that {exit_code, signal} stands for. */
static int
command_status(json_t *end)
{
	json_t *code = json_object_get(end, "exit_code");
	json_int_t number = json_integer_value(json_object_get(end, "signal"));

	if (number > 0)
		return STATUS_SIGNAL + (int)number;
	return json_is_integer(code) ? (int)json_integer_value(code) : STATUS_EXEC;
}

/* Opens /dev/null over what is closed, so that a file cannot be taken for a standard descriptor. */
static void
fill_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Waits for the answer to `id`. Returns 0 and *ret, or STATUS_EXEC after printing why. */
static int
await(struct client *client, int64_t id, struct answer *ret)
{
	struct vn_error err = { 0 };
	struct arrival arrival;

	while (connection_receive(client->connection, -1, &arrival, &err) > 0) {
		if (arrival_id(&arrival) == id) {
			answer_take(&arrival, ret);
			return 0;
		}
		arrival_fini(&arrival);
	}
	client_lost(client, &err);
	return STATUS_EXEC;
}

static int
call(struct client *client, const struct arguments *args, bool tty, struct answer *ret)
{
	int fds[3] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };
	vn_autoclose int null = -1;
	struct vn_error err = { 0 };
	int64_t id;

	fill_standard();
	if (args->no_stdin)
		fds[0] = null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (client_connect(client, &err) < 0 ||
	    connection_send(client->connection, args->verb->method, exec_params(args, tty), fds,
			    tty ? 0 : 3, &id, &err) < 0) {
		client_lost(client, &err);
		return STATUS_EXEC;
	}
	return await(client, id, ret);
}

/* Whether this line tells the command's end; takes it. */
static bool
is_end(struct arrival *arrival, int *ret_status)
{
	const char *method = json_string_value(json_object_get(arrival->value, "method"));
	bool is = method && strcmp(method, "exec") == 0;

	if (is)
		*ret_status = command_status(json_object_get(arrival->value, "params"));
	arrival_fini(arrival);
	return is;
}

/* Reads lines until the command's end is told. */
static int
await_end(struct client *client)
{
	struct vn_error err = { 0 };
	struct arrival arrival;
	int status;

	while (connection_receive(client->connection, -1, &arrival, &err) > 0)
		if (is_end(&arrival, &status))
			return status;
	client_lost(client, &err);
	return STATUS_EXEC;
}

/* Relays until the terminal or the connection says that it is over. Returns the exit status. */
static int
run_terminal(struct client *client, int master)
{
	struct relay relay = { .fd = master, .is_tty = true, .escape = TERMINAL_NO_ESCAPE,
			       .connection = client->connection };
	struct terminal terminal = { 0 };
	enum relay_end end = RELAY_LINE;
	struct vn_error err = { 0 };
	struct arrival arrival;
	int status = -1;

	/* A short command's end may have come with the answer. */
	while (status < 0 && connection_next(client->connection, &arrival, &err) > 0)
		if (!is_end(&arrival, &status))
			status = -1;
	if (status < 0) {
		terminal_raw(&terminal);
		end = relay_run(&relay);
	}
	if (end == RELAY_LINE)
		relay_drain(&relay);
	terminal_restore(&terminal);
	if (end == RELAY_LOST)
		return STATUS_SIGNAL + interrupt_signal();
	return status < 0 ? await_end(client) : status;
}

int
verb_vnode_exec(struct client *client, const struct arguments *args)
{
	bool tty =
		args->tty || (args->interactive && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
	struct answer answer = { 0 };
	int status = call(client, args, tty, &answer);

	if (status == STATUS_DONE && !answer.result) {
		client_refused(client, args->operands[0], &answer.error);
		status = STATUS_EXEC;
	} else if (status == STATUS_DONE && answer.fds.count > 0) {
		status = run_terminal(client, answer.fds.fd[0]);
	} else if (status == STATUS_DONE) {
		status = command_status(answer.result);
	}
	answer_fini(&answer);
	return status;
}
