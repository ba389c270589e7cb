/* A vnode's console: recent output first, then live, until ^]. */

#include <stdio.h>

#include "client/interrupt.h"
#include "client/options.h"
#include "client/terminal.h"

int
verb_vnode_console(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0];
	struct answer answer = { 0 };
	struct terminal terminal = { 0 };
	enum relay_end end;
	int status =
		client_ask(client, args->verb->method, json_pack("{s:s}", "vnode", name), &answer);

	if (status == STATUS_DONE && !answer.result)
		status = client_refused(client, name, &answer.error);
	if (status == STATUS_DONE && answer.fds.count == 0) {
		vn_fail(&answer.error, VN_E_INTERNAL, "vnoded sent no descriptor");
		status = client_refused(client, name, &answer.error);
	}
	if (status == STATUS_DONE) {
		struct relay relay = { .fd = answer.fds.fd[0], .escape = TERMINAL_ESCAPE };

		if (client->terminal)
			fprintf(stderr, "console of %s; ^] ends\n", name);
		terminal_raw(&terminal);
		end = relay_run(&relay);
		terminal_restore(&terminal);
		if (client->terminal)
			fprintf(stderr, "\n%s\n", end == RELAY_CLOSED ? "the console was closed"
								       : "left the console");
		if (end == RELAY_LOST)
			status = STATUS_SIGNAL + interrupt_signal();
	}
	answer_fini(&answer);
	return status;
}
