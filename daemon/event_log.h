#pragma once
/*
 * Numbered events: put in the database first, sent to subscribers when committed, so that a number
 * is never used twice. Thread: loop.
 */

#include "daemon/call.h"

enum event_type {
	EVENT_VNODE_STATE, EVENT_VNODE_EXIT, EVENT_LAN_CHANGE, EVENT_JOB_STATE, EVENT_IMAGE_STATE,
	EVENT_HOST_WARNING, EVENT_GAP,
};

struct event_about {			/* what an event is about; NULL and 0 where nothing */
	const char *topology, *vnode, *lan;
	int64_t vmid, job;
};

struct event_log;

int event_log_open(struct daemon *daemon, struct event_log **ret, struct vn_error *err);
void event_log_close(struct event_log *log);

/* Appends an event; data is taken and may be NULL. */
void event_append(struct daemon *daemon, enum event_type type, const struct event_about *about,
		  VN_TAKES json_t *data);
/* Logs a warning and appends it as a host.warning {text}. */
void event_warn(struct daemon *daemon, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The last number given out and the last one committed. */
int64_t event_last(const struct event_log *log);

/* Writes RFC 3339 UTC with microseconds. */
#define EVENT_TIME_TEXT 32
void event_time_print(int64_t time_us, char text[static EVENT_TIME_TEXT]);
int64_t event_time_now(void);		/* microseconds since 1970 */
