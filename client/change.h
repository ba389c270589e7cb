#pragma once
/*
 * Calls that change things: sent without waiting, then their jobs are followed. Each carries a
 * request_id, so that it may be sent again when the connection breaks between: the daemon does it
 * once. A daemon that restarts meanwhile is waited for.
 */

#include "client/client.h"
#include "client/progress.h"

struct arguments;

enum change_phase {
	CHANGE_NEW,			/* to be sent, or to be sent again */
	CHANGE_SENT,			/* its answer will name the job */
	CHANGE_ACCEPTED,		/* the job is known and not yet waited for */
	CHANGE_WAITING,			/* job.wait was sent */
	CHANGE_ENDED,
};

struct change {
	/* set by the caller */
	const char *subject;		/* borrowed: what messages begin with */
	const char *method;		/* NULL: only follow `job` */
	json_t *params;			/* owned; NULL with method NULL */
	const int *fds;			/* borrowed */
	unsigned n_fds;
	int64_t job;			/* 0 = not known yet */
	bool may_be_cancelled;		/* "cancelled" is what was asked for */
	int64_t wait_ms;		/* with method NULL: limit of the wait, 0 = none */

	/* changed by changes_run */
	enum change_phase phase;
	int64_t id;			/* of the call that is out */
	char request_id[40];
	json_t *ended;			/* owned: the job when it has ended */
	struct vn_error error;		/* code 0: it went well */
};

struct change_options {
	const char *verb;		/* "boot", for the progress line */
	int64_t timeout_ms;		/* sent with each call; -1: none */
	bool no_wait;			/* be done when the jobs are known */
};

/*
 * Runs them all, a bounded number at a time, and prints failures (a line each) and with -o json the
 * wire objects. Returns the worst exit status. ^C detaches: says how to follow and to cancel.
 */
int changes_run(struct client *client, const struct change_options *options,
		struct change *changes, size_t count);

/* The same with the options of the command line. */
int change_all(struct client *client, const struct arguments *args, struct change *changes,
	       size_t count);
/* The same with one call of the verb's method; params is taken. */
int change_one(struct client *client, const struct arguments *args, const char *subject,
	       VN_TAKES json_t *params);
/* The same with descriptors, which are borrowed. */
int change_one_with(struct client *client, const struct arguments *args, const char *subject,
		    VN_TAKES json_t *params, const int *fds, unsigned n_fds);
/* Frees an array of changes with what they own. */
void changes_free(struct change *changes, size_t count);
