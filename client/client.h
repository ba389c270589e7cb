#pragma once
/*
 * What every verb works with: the connection, made when first needed and made again when it breaks,
 * and the ways to end. A verb prints its own failures and returns an exit status.
 */

#include "client/connection.h"

enum client_status {			/* exit statuses, vnodectl(1) */
	STATUS_DONE = 0,
	STATUS_FAILED = 1,		/* refused, or its job failed */
	STATUS_USAGE = 2,
	STATUS_NO_DAEMON = 3,
	STATUS_TIMEOUT = 4,
	STATUS_EXEC = 125,		/* exec: vnodectl's own failure */
	STATUS_SIGNAL = 128,		/* plus the signal that ended it */
};

struct client {
	const char *program;		/* begins each message on stderr */
	const char *socket;
	bool json;			/* print wire objects instead of tables */
	bool terminal;			/* stderr is one */
	int patience_ms;		/* how long a lost daemon is tried again */
	struct connection *connection;	/* NULL: not connected */
};

void client_init(struct client *client, const char *program);
void client_fini(struct client *client);

/* Connects unless connected. Errors: VN_E_BACKEND and others, all meaning "no daemon". */
int client_connect(struct client *client, struct vn_error *err);
/* Connects, trying again for patience_ms; a caught signal ends it too. */
int client_reconnect(struct client *client, struct vn_error *err);
void client_disconnect(struct client *client);
/* Milliseconds of a clock that only goes forward. */
int64_t client_now_ms(void);
/* Sleeps a moment before something is tried again; a caught signal ends it. */
void client_pause(void);

/* An answer of the daemon: a result, or an error of its own. */
struct answer {
	json_t *result;			/* owned; NULL: refused */
	struct vn_error error;		/* why it was refused */
	int64_t job;			/* the error's data.job, or 0 */
	struct frame_fds fds;		/* owned */
};
void answer_fini(struct answer *answer);
/* Moves an arrival, which must be an answer, into *ret. */
void answer_take(struct arrival *arrival, struct answer *ret);

/*
 * Calls and waits for the answer; what a viewer may call is sent again if the connection breaks.
 * params is taken. Returns 0 and *ret (which may be a refusal), or an exit status
 * after printing why.
 */
int client_ask(struct client *client, const char *method, VN_TAKES json_t *params,
	       struct answer *ret);
/* The same with descriptors, which are borrowed. */
int client_ask_with(struct client *client, const char *method, VN_TAKES json_t *params, const int *fds,
		    unsigned n_fds, struct answer *ret);
/* The same where a refusal is printed, too (with `subject` before it, which may be NULL). */
int client_get_with(struct client *client, const char *subject, const char *method,
		    VN_TAKES json_t *params, const int *fds, unsigned n_fds, json_t **ret);
int client_get(struct client *client, const char *subject, const char *method,
	       VN_TAKES json_t *params, json_t **ret);

/* Prints "program: subject: path: text" and returns the exit status that goes with the error. */
int client_refused(const struct client *client, const char *subject, const struct vn_error *error);
int client_lost(struct client *client, const struct vn_error *error);	/* STATUS_NO_DAEMON */
int client_usage(const struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));				/* STATUS_USAGE */

/* Asks on the terminal; false where there is none, or for anything but yes. */
bool client_confirms(const struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
