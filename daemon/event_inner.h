#pragma once
/* What event_log.c, subscription.c and handle_event.c share; no one else includes it. */

#include "daemon/daemon.h"
#include "proto/base/list.h"

#define EVENT_PIECE 256			/* rows read at a time for one subscriber */

struct event_filter {
	int64_t types;			/* a bit (1 << enum event_type) each */
	char *topology;			/* NULL: whatever it is about */
};

struct event_log {
	struct daemon *daemon;
	int64_t last;			/* number given out */
	int64_t committed;
	int64_t first;			/* oldest one kept; last + 1 when none is */
	struct vn_list pending;		/* of struct pending: waits for the disk */
	struct vn_list subscriptions;
	int64_t last_subscription;
	char *line;			/* scratch: room for a prefix, then one event */
	size_t line_size, line_end;
};

void event_filter_init(struct event_filter *filter, const struct field_array *types,
		       const char *topology);
void event_filter_fini(struct event_filter *filter);
bool event_filter_takes(const struct event_filter *filter, enum event_type type,
			const char *topology);

/* Calls fn for kept events with after < seq <= committed that the filter takes, at most `limit`. */
int event_log_read(struct event_log *log, int64_t after, const struct event_filter *filter,
		   int64_t limit, void (*fn)(void *arg, int64_t seq, const char *object),
		   void *arg, struct vn_error *err);
/* Calls fn(log, arg) once all that was appended is on disk, before anything later is sent; log
 * NULL: the log closes instead. */
void event_log_after(struct event_log *log, void (*fn)(struct event_log *log, void *arg),
		     void *arg);

/* subscription.c */
/* An event was committed: to those who keep up. */
void subscriptions_send(struct event_log *log, int64_t seq, enum event_type type,
			const char *topology, const char *object);
void subscriptions_free(struct event_log *log);
int subscription_begin(struct call *call, const struct event_subscribe_params *params,
		       struct vn_error *err);
/* Errors: VN_E_NOT_FOUND no such subscription on this connection. */
int subscription_end(struct event_log *log, const struct session *session, int64_t id,
		     struct vn_error *err);
