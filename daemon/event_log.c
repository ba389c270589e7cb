/*
 * Numbering, keeping and reading events. An appended event waits in `pending` until its commit, so
 * that what a subscriber has seen survives any crash and a number never means two things. An event
 * is printed in one way, whether it is new or read again.
 */
#include "daemon/event_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "proto/objects.h"

#define TRIM_STEP 256			/* rows over event_keep before some are deleted */
#define TRIM_MAX  1000			/* rows deleted at a time */

struct pending {
	struct vn_list link;
	int64_t seq;
	enum event_type type;
	char *topology, *object;	/* object NULL: `fn` is called instead */
	void (*fn)(struct event_log *log, void *arg);
	void *arg;
};

int64_t
event_time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
event_time_print(int64_t time_us, char text[static EVENT_TIME_TEXT])
{
	time_t seconds = (time_t)(time_us / 1000000);
	int us = (int)(time_us % 1000000);
	struct tm utc;
	char date[24];

	if (us < 0) {			/* before 1970 */
		us += 1000000;
		seconds--;
	}
	gmtime_r(&seconds, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, EVENT_TIME_TEXT, "%s.%06dZ", date, us);
}

int64_t
event_last(const struct event_log *log)
{
	return log->last;
}

/* ---- opening and closing -------------------------------------------------------------------- */

static void
on_bounds(void *arg, struct store_row *row)
{
	struct event_log *log = arg;

	if (!store_text(row, 0))
		return;			/* no events: SQL NULL */
	log->first = store_int(row, 0);
	log->last = store_int(row, 1);
}

int
event_log_open(struct daemon *daemon, struct event_log **ret, struct vn_error *err)
{
	struct event_log *log = vn_alloc(sizeof(*log));

	log->daemon = daemon;
	log->first = 1;
	vn_list_init(&log->pending);
	vn_list_init(&log->subscriptions);
	if (store_read(daemon->store, on_bounds, log, err,
		       "SELECT min(seq), max(seq) FROM events", "") < 0) {
		free(log);
		return -1;
	}
	log->committed = log->last;
	*ret = log;
	return 0;
}

static void
pending_free(struct pending *pending)
{
	vn_list_remove(&pending->link);
	free(pending->topology);
	free(pending->object);
	free(pending);
}

void
event_log_close(struct event_log *log)
{
	if (!log)
		return;
	subscriptions_free(log);
	vn_list_each_safe(struct pending, pending, &log->pending, link) {
		if (pending->fn)
			pending->fn(NULL, pending->arg);
		pending_free(pending);
	}
	free(log->line);
	free(log);
}

/* ---- appending ------------------------------------------------------------------------------ */

static void
on_committed(void *arg)
{
	struct event_log *log = arg;
	struct pending *first = vn_container_of(log->pending.next, struct pending, link);

	if (first->object) {
		log->committed = first->seq;
		subscriptions_send(log, first->seq, first->type, first->topology,
				   first->object);
	} else {
		first->fn(log, first->arg);
	}
	pending_free(first);
}

static void
add_pending(struct event_log *log, struct pending *pending)
{
	vn_list_init(&pending->link);
	vn_list_append(&log->pending, &pending->link);
	store_after(log->daemon->store, on_committed, log);
}

void
event_log_after(struct event_log *log, void (*fn)(struct event_log *log, void *arg), void *arg)
{
	struct pending *pending = vn_alloc(sizeof(*pending));

	pending->fn = fn;
	pending->arg = arg;
	add_pending(log, pending);
}

/* Deletes a bounded number of events beyond those to be kept; never the last one, which says where
 * the numbers go on. */
static void
trim(struct event_log *log)
{
	int64_t keep = log->daemon->config.event_keep > 0 ? log->daemon->config.event_keep : 1;
	int64_t excess = log->last - log->first + 1 - keep;

	if (excess < TRIM_STEP)
		return;
	log->first += excess < TRIM_MAX ? excess : TRIM_MAX;
	store_put(log->daemon->store, "DELETE FROM events WHERE seq < ?", "i", log->first);
}

struct fields {				/* as in the database */
	int64_t seq, time_us, type, vmid, job;
	const char *topology, *vnode, *lan, *data;
};

/* Names need no escapes: they passed vn_name_check. */
static void
print_name(FILE *to, const char *key, const char *name)
{
	if (name)
		fprintf(to, ",\"%s\":\"%s\"", key, name);
}

static char *
print_event(const struct fields *fields)
{
	char time[EVENT_TIME_TEXT];
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);

	if (!to)
		abort();		/* no memory */
	event_time_print(fields->time_us, time);
	fprintf(to, "{\"seq\":%" PRId64 ",\"time\":\"%s\",\"type\":\"%s\"", fields->seq, time,
		object_event_types[fields->type]);
	print_name(to, "topology", fields->topology);
	print_name(to, "vnode", fields->vnode);
	if (fields->vmid)
		fprintf(to, ",\"vmid\":%" PRId64, fields->vmid);
	print_name(to, "lan", fields->lan);
	if (fields->job)
		fprintf(to, ",\"job\":%" PRId64, fields->job);
	fprintf(to, ",\"data\":%s}", fields->data ? fields->data : "{}");
	if (fclose(to) != 0)
		abort();
	return text;
}

static void
put_event(struct store *store, const struct fields *fields)
{
	store_put(store, "INSERT INTO events(seq, time, type, topology, vnode, vmid, lan, job, "
		  "data) VALUES(?,?,?,?,?,?,?,?,?)", "iiissisis", fields->seq, fields->time_us,
		  fields->type, fields->topology, fields->vnode, fields->vmid, fields->lan,
		  fields->job, fields->data);
}

void
event_append(struct daemon *daemon, enum event_type type, const struct event_about *about,
	     VN_TAKES json_t *data)
{
	static const struct event_about nothing;
	const struct event_about *what = about ? about : &nothing;
	struct event_log *log = daemon->events;
	struct pending *pending = vn_alloc(sizeof(*pending));
	vn_autofree char *text = data ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	struct fields fields = {
		++log->last, event_time_now(), type, what->vmid, what->job, what->topology,
		what->vnode, what->lan, text,
	};

	json_decref(data);
	pending->seq = fields.seq;
	pending->type = type;
	pending->topology = vn_strdup(what->topology);
	pending->object = print_event(&fields);
	put_event(daemon->store, &fields);
	trim(log);
	add_pending(log, pending);
}

/* Text may come from outside, and its end may have been cut within a letter. */
static json_t *
text_json(char *text)
{
	json_t *value = json_string(text);

	if (value)
		return value;
	for (char *c = text; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(text);
}

void
event_warn(struct daemon *daemon, const char *format, ...)
{
	char text[600];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	vn_log_warning("host", "%s", text);
	event_append(daemon, EVENT_HOST_WARNING, NULL, json_pack("{so}", "text", text_json(text)));
}

/* ---- reading -------------------------------------------------------------------------------- */

void
event_filter_init(struct event_filter *filter, const struct field_array *types,
		  const char *topology)
{
	const char *const *words = types->items;

	*filter = (struct event_filter){ .topology = vn_strdup(topology) };
	for (size_t i = 0; i < types->count; i++)
		for (int type = EVENT_VNODE_STATE; type <= EVENT_GAP; type++)
			if (strcmp(words[i], object_event_types[type]) == 0)
				filter->types |= 1 << type;
	if (!types->count)
		filter->types = (1 << (EVENT_GAP + 1)) - 1;
}

void
event_filter_fini(struct event_filter *filter)
{
	free(vn_take_ptr(&filter->topology));
}

bool
event_filter_takes(const struct event_filter *filter, enum event_type type, const char *topology)
{
	if (filter->topology && (!topology || strcmp(topology, filter->topology) != 0))
		return false;
	return filter->types & (1 << type);
}

struct reader {
	void (*fn)(void *arg, int64_t seq, const char *object);
	void *arg;
};

static void
on_event_row(void *arg, struct store_row *row)
{
	struct reader *reader = arg;
	struct fields fields = {
		.seq = store_int(row, 0), .time_us = store_int(row, 1), .type = store_int(row, 2),
		.topology = store_text(row, 3), .vnode = store_text(row, 4),
		.vmid = store_int(row, 5), .lan = store_text(row, 6), .job = store_int(row, 7),
		.data = store_text(row, 8),
	};
	vn_autofree char *object = NULL;

	object = print_event(&fields);
	reader->fn(reader->arg, fields.seq, object);
}

int
event_log_read(struct event_log *log, int64_t after, const struct event_filter *filter,
	       int64_t limit, void (*fn)(void *arg, int64_t seq, const char *object), void *arg,
	       struct vn_error *err)
{
	struct reader reader = { fn, arg };

	/* compared here and not by event_filter_takes, so that `limit` counts what is wanted */
	return store_read(log->daemon->store, on_event_row, &reader, err,
			  "SELECT seq, time, type, topology, vnode, vmid, lan, job, data "
			  "FROM events WHERE seq > ?1 AND seq <= ?2 AND (?3 >> type) & 1 AND "
			  "(?4 IS NULL OR topology = ?4) ORDER BY seq LIMIT ?5", "iiisi",
			  after < log->first - 1 ? log->first - 1 : after, log->committed,
			  filter->types, filter->topology, limit);
}
