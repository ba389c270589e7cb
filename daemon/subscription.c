/*
 * Those who listen. A subscription that begins in the past is a source of its session: it reads
 * kept events piece by piece as its client takes them, and becomes live when it has seen all that
 * is committed. Both happen on the loop thread, and `sent` says how far it is, so nothing is lost
 * or sent twice at the seam. If trimming overtakes it, a gap event says what is missing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/event_inner.h"
#include "daemon/log.h"
#include "daemon/model.h"
#include "daemon/session_inner.h"

#define PREFIX_ROOM 128
#define PER_SESSION 32			/* subscriptions of one connection */

struct subscription {
	struct event_log *log;
	struct session *session;
	int64_t id;
	uint64_t closer;
	struct event_filter filter;
	int64_t sent;			/* number of the last event sent, or passed over */
	bool live;			/* gets events as they are committed */
	struct source source;
	struct vn_list link;
};

static void
subscription_free(struct subscription *subscription)
{
	vn_list_remove(&subscription->link);
	vn_list_remove(&subscription->source.link);
	event_filter_fini(&subscription->filter);
	free(subscription);
}

void
subscriptions_free(struct event_log *log)
{
	vn_list_each_safe(struct subscription, subscription, &log->subscriptions, link) {
		session_forget_close(subscription->session, subscription->closer);
		subscription_free(subscription);
	}
}

static struct subscription *
find(struct event_log *log, int64_t id)
{
	vn_list_each(struct subscription, subscription, &log->subscriptions, link)
		if (subscription->id == id)
			return subscription;
	return NULL;
}

static unsigned
count_of(struct event_log *log, const struct session *session)
{
	unsigned count = 0;

	vn_list_each(struct subscription, subscription, &log->subscriptions, link)
		count += subscription->session == session;
	return count;
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Puts the event into the log's scratch, with room before it for what differs by subscription. */
static void
line_set(struct event_log *log, const char *object)
{
	size_t length = strlen(object);

	if (log->line_size < PREFIX_ROOM + length + 8) {
		log->line_size = PREFIX_ROOM + 2 * length + 8;
		log->line = vn_realloc_array(log->line, log->line_size, 1);
	}
	memcpy(log->line + PREFIX_ROOM, object, length);
	memcpy(log->line + PREFIX_ROOM + length, "}}\n", 3);
	log->line_end = PREFIX_ROOM + length + 3;
}

static void
line_send(struct event_log *log, const struct subscription *subscription)
{
	char prefix[PREFIX_ROOM];
	size_t length = (size_t)snprintf(prefix, sizeof(prefix), "{\"jsonrpc\":\"2.0\","
					 "\"method\":\"event\",\"params\":{\"subscription\":%"
					 PRId64 ",\"event\":", subscription->id);
	char *start = log->line + PREFIX_ROOM - length;

	memcpy(start, prefix, length);
	session_notify(subscription->session, start, log->line_end - (size_t)(start - log->line));
}

void
subscriptions_send(struct event_log *log, int64_t seq, enum event_type type,
		   const char *topology, const char *object)
{
	bool is_set = false;

	vn_list_each(struct subscription, subscription, &log->subscriptions, link) {
		if (!subscription->live)
			continue;
		subscription->sent = seq;
		if (!event_filter_takes(&subscription->filter, type, topology))
			continue;
		if (!is_set)
			line_set(log, object);
		is_set = true;
		line_send(log, subscription);
	}
}

/* ---- the past ------------------------------------------------------------------------------- */

/* Says that the events after `sent` up to `to` are not to be had. */
static void
send_gap(struct subscription *subscription, int64_t to)
{
	char time[EVENT_TIME_TEXT];
	vn_autofree char *object = NULL;

	event_time_print(event_time_now(), time);
	object = vn_format("{\"seq\":%" PRId64 ",\"time\":\"%s\",\"type\":\"gap\",\"data\":"
			   "{\"from\":%" PRId64 ",\"to\":%" PRId64 "}}", to, time,
			   subscription->sent + 1, to);
	line_set(subscription->log, object);
	line_send(subscription->log, subscription);
	subscription->sent = to;
}

struct piece {
	struct subscription *subscription;
	int64_t count;
};

static void
on_kept_event(void *arg, int64_t seq, const char *object)
{
	struct piece *piece = arg;

	line_set(piece->subscription->log, object);
	line_send(piece->subscription->log, piece->subscription);
	piece->subscription->sent = seq;
	piece->count++;
}

static bool
send_more(struct source *source)
{
	struct subscription *subscription = vn_container_of(source, struct subscription, source);
	struct event_log *log = subscription->log;
	struct piece piece = { subscription, 0 };
	struct vn_error err = { 0 };

	if (subscription->sent < log->first - 1)
		send_gap(subscription, log->first - 1);
	if (event_log_read(log, subscription->sent, &subscription->filter, EVENT_PIECE,
			   on_kept_event, &piece, &err) < 0) {
		vn_log_error("event", "subscription %" PRId64 ": %s", subscription->id, err.text);
		send_gap(subscription, log->committed);
	} else if (piece.count < EVENT_PIECE) {
		subscription->sent = log->committed;
	}
	subscription->live = subscription->sent >= log->committed;
	return !subscription->live;
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static void
on_session_close(void *arg)
{
	subscription_free(arg);
}

static struct subscription *
subscription_new(struct call *call, const struct event_subscribe_params *params)
{
	struct event_log *log = call_daemon(call)->events;
	struct subscription *subscription = vn_alloc(sizeof(*subscription));

	subscription->log = log;
	subscription->session = call_session(call);
	subscription->id = ++log->last_subscription;
	event_filter_init(&subscription->filter, &params->types, params->topology);
	subscription->sent = params->since >= 0 ? params->since : log->last;
	subscription->source.send_more = send_more;
	vn_list_init(&subscription->source.link);
	vn_list_init(&subscription->link);
	vn_list_append(&log->subscriptions, &subscription->link);
	subscription->closer = session_on_close(subscription->session, on_session_close,
						subscription);
	return subscription;
}

/* The answer was queued; events may follow. */
static void
start_sending(struct subscription *subscription)
{
	if (subscription->sent < subscription->log->committed)
		session_add_source(subscription->session, &subscription->source);
	else
		subscription->live = true;
}

struct beginning {			/* waits until the numbers it was told are on disk */
	struct daemon *daemon;
	uint64_t ticket;
	int64_t subscription;
	json_t *answer;
};

static void
on_beginning_committed(struct event_log *log, void *arg)
{
	struct beginning *beginning = arg;
	struct subscription *subscription = log ? find(log, beginning->subscription) : NULL;

	if (log)
		call_answer(beginning->daemon, beginning->ticket, beginning->answer);
	else
		json_decref(beginning->answer);
	if (subscription)
		start_sending(subscription);
	free(beginning);
}

/* The snapshot is what the objects are now, so it is valid at the last number given out. */
int
subscription_begin(struct call *call, const struct event_subscribe_params *params,
		   struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	struct event_log *log = daemon->events;
	struct subscription *subscription;
	struct beginning *beginning;
	json_t *answer;

	if (params->since > log->last)
		return vn_fail_at(err, "/since", VN_E_INVALID, "the last event is %" PRId64
				  "; %" PRId64 " is of another database (compare epoch)",
				  log->last, params->since);
	if (count_of(log, call_session(call)) >= PER_SESSION)
		return vn_fail(err, VN_E_LIMIT, "this connection has %d subscriptions already; end "
			       "one of them first", PER_SESSION);
	subscription = subscription_new(call, params);
	answer = json_pack("{sI ss sI}", "subscription", (json_int_t)subscription->id, "epoch",
			   daemon->epoch, "seq", (json_int_t)log->last);
	if (params->snapshot)
		json_object_set_new(answer, "snapshot", model_snapshot(daemon));
	if (log->committed == log->last) {
		call_reply(call, answer);
		start_sending(subscription);
		return 0;
	}
	beginning = vn_alloc(sizeof(*beginning));
	*beginning = (struct beginning){ daemon, call_defer(call, NULL, NULL), subscription->id,
					 answer };
	event_log_after(log, on_beginning_committed, beginning);
	return 0;
}

int
subscription_end(struct event_log *log, const struct session *session, int64_t id,
		 struct vn_error *err)
{
	struct subscription *subscription = find(log, id);

	if (!subscription || subscription->session != session)
		return vn_fail_at(err, "/subscription", VN_E_NOT_FOUND, "this connection has no "
				  "subscription %" PRId64, id);
	session_forget_close(subscription->session, subscription->closer);
	subscription_free(subscription);
	return 0;
}
