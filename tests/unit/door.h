#pragma once
/*
 * A daemon that is nothing but its door: loop, store, events and control socket, with handlers of
 * the test's own behind every method but rpc.discover and event.*. What the real handlers do is
 * other suites' matter; here it is that they are called, answered for, and left in peace.
 *
 *   host.info        {"n": how often it was called}
 *   vnode.get        {"vnode": its parameter}
 *   vnode.list       {"text": as many x as `limit` says}
 *   job.wait         answers when door_answer is called
 *   job.get          answers through its ticket before the handler returns
 *   job.cancel       fails through its ticket before the handler returns
 *   lan.get          fails: not_found at /lan, data.job 7
 *   image.add        {"size": of the file behind the descriptor `fd`}
 *   vnode.console    {} and a descriptor of a pipe's reading end that holds "console"
 *   vnode.create …   (whatever changes things) {"job": 1}
 *   all else         {}
 */

#include "daemon/daemon.h"
#include "tests/unit/support.h"

#define DOOR_TICKETS 8192

struct door {
	struct daemon daemon;
	char *folder;
	unsigned n_info;
	uint64_t tickets[DOOR_TICKETS];	/* of job.wait, in the order of the calls */
	unsigned n_tickets, n_gone;
};

/* The one door of the process. */
extern struct door door;

void door_open(void);
/* Closes all and checks that no descriptor is left over. */
void door_close(void);
/* Ends the daemon's half as kill -9 would, and opens it again over the same folder. */
void door_crash(void);
/* Commits, closes and opens again. */
void door_restart(void);
/* Answers the n-th job.wait with {"n": n}. */
void door_answer(unsigned n);
/* Runs the loop until what was put is committed and told. */
void door_settle(void);
unsigned count_fds(void);

struct client {
	int fd;
	char *data;			/* read and not yet looked at */
	size_t start, length, size;	/* [start, length) is not looked at */
	int fds[64];			/* that came along */
	unsigned n_fds;
	bool closed;			/* the daemon has ended the stream */
};

/* A client over a socketpair; closed by client_close. */
struct client *client_new(uid_t uid, enum role role);
void client_close(struct client *client);
/* Sends all of it while the loop runs. */
void client_send(struct client *client, const char *data, size_t length);
void client_say(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The next line as JSON, NULL at the end of the stream; runs the loop until there is one. */
json_t *client_hear(struct client *client);
/* Checks that nothing has come, once all that can run has run. */
void client_hears_nothing(struct client *client);
/* The next line must be an error with this number, word and id (0: null). */
void client_hears_error(struct client *client, int number, const char *word, int id);
/* The next line must be the answer to `id`; returns its result, to be released. */
json_t *client_hears_result(struct client *client, int id);
/* Runs the loop until the daemon has ended the stream; what came before is thrown away. */
void client_hears_end(struct client *client);
