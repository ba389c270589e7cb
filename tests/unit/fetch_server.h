#pragma once
/*
 * A small server on the loopback interface, in this process. What it does is said by the path that is asked
 * for; all answers with contents are of the same bytes. Shared by check_fetch*.c.
 */

#define BODY_SIZE 300000
#define CUT	  100000		/* where it breaks off, when it does */

extern char body[BODY_SIZE];
extern unsigned port;

/* What was asked for since server_forget(). */
struct asked {
	unsigned requests, ranges;
	char condition[64];		/* If-Range of the last one */
	unsigned long long first;	/* of its range */
};

/* Written by the connections' threads: to be read once the fetch has ended, or before it has begun. */
extern struct asked asked;

/* How a lying or changed server answers a request for the rest. */
#define LIARS 9
extern const struct liar {
	const char *path, *status, *fields;
} liars[LIARS];

/* Listens until the process ends. */
void server_start(void);
void server_forget(void);

/* A socket with a port of its own that nobody listens on yet; to be closed. */
int bind_loopback(unsigned *ret_port);
