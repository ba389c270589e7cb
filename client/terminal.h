#pragma once
/* The user's terminal while it is lent to a guest. */

#include <stdbool.h>
#include <termios.h>

#include "client/connection.h"

struct terminal {
	bool is_raw;
	struct termios before;
};

/* Puts stdin into raw mode if it is a terminal; terminal_restore puts it back. */
void terminal_raw(struct terminal *terminal);
void terminal_restore(struct terminal *terminal);

#define TERMINAL_NO_ESCAPE -1
#define TERMINAL_ESCAPE	   0x1d		/* ^] */

enum relay_end {
	RELAY_CLOSED,			/* the other side ended */
	RELAY_ESCAPED,
	RELAY_LINE,			/* a line came over the connection */
	RELAY_LOST,			/* the connection broke, or a signal came */
};

struct relay {
	int fd;				/* the guest's terminal or console; made non-blocking */
	bool is_tty;			/* it has a window size, and ^D for the end of input */
	int escape;			/* byte from stdin that ends, or TERMINAL_NO_ESCAPE */
	struct connection *connection;	/* NULL: not watched */
	char pending[4096];		/* read from stdin, not yet written */
	size_t n_pending;
	bool stdin_ended;
};

/* Copies both ways until something ends it. */
enum relay_end relay_run(struct relay *relay);
/* Copies to stdout what is left in fd. */
void relay_drain(struct relay *relay);
