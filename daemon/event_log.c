/*
 * Numbering, keeping and reading events. An appended event waits in `pending` until its commit, so that
 * what a subscriber has seen survives any crash and a number never means two things. The rows hold the
 * object's text as it is sent.
 */
#include "daemon/event_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"

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

/* ---- opening and closing --------------------------------------------------------------------- */

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

/* ---- appending ------------------------------------------------------------------------------- */

static void
on_committed(void *arg)
{
	struct event_log *log = arg;
	struct pending *first = vn_container_of(log->pending.next, struct pending, link);

	if (first->object) {
		log->committed = first->seq;
		subscriptions_send(log, first->seq, event_type_words[first->type],
				   first->topology, first->object);
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

/* Deletes a bounded number of events beyond those to be kept; never the last one, which says where the
 * numbers go on. */
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

static void
set_text(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_string(value));
}

static char *
print_event(int64_t seq, enum event_type type, const struct event_about *about, json_t *data)
{
	static const struct event_about nothing;
	json_t *object = json_object();
	char time[EVENT_TIME_TEXT];
	char *text;

	event_time_print(event_time_now(), time);
	about = about ? about : &nothing;
	json_object_set_new(object, "seq", json_integer(seq));
	set_text(object, "time", time);
	set_text(object, "type", event_type_words[type]);
	set_text(object, "topology", about->topology);
	set_text(object, "vnode", about->vnode);
	if (about->vmid)
		json_object_set_new(object, "vmid", json_integer(about->vmid));
	set_text(object, "lan", about->lan);
	if (about->job)
		json_object_set_new(object, "job", json_integer(about->job));
	json_object_set_new(object, "data", data ? data : json_object());
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

void
event_append(struct daemon *daemon, enum event_type type, const struct event_about *about,
	     VN_TAKES json_t *data)
{
	struct event_log *log = daemon->events;
	struct pending *pending = vn_alloc(sizeof(*pending));

	pending->seq = ++log->last;
	pending->type = type;
	pending->topology = vn_strdup(about ? about->topology : NULL);
	pending->object = print_event(pending->seq, type, about, data);
	store_put(daemon->store, "INSERT INTO events(seq, type, topology, object) VALUES(?,?,?,?)",
		  "isss", pending->seq, event_type_words[type], pending->topology,
		  pending->object);
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

/* ---- reading --------------------------------------------------------------------------------- */

void
event_filter_init(struct event_filter *filter, const struct field_array *types,
		  const char *topology)
{
	const char *const *words = types->items;
	size_t length = 2;

	*filter = (struct event_filter){ .topology = vn_strdup(topology) };
	if (!types->count)
		return;
	for (size_t i = 0; i < types->count; i++)
		length += strlen(words[i]) + 1;
	filter->types = vn_alloc(length);
	strcpy(filter->types, ",");
	for (size_t i = 0; i < types->count; i++) {
		strcat(filter->types, words[i]);
		strcat(filter->types, ",");
	}
}

void
event_filter_fini(struct event_filter *filter)
{
	free(vn_take_ptr(&filter->types));
	free(vn_take_ptr(&filter->topology));
}

bool
event_filter_takes(const struct event_filter *filter, const char *type, const char *topology)
{
	char word[40];

	if (filter->topology && (!topology || strcmp(topology, filter->topology) != 0))
		return false;
	snprintf(word, sizeof(word), ",%s,", type);
	return !filter->types || strstr(filter->types, word);
}

struct reader {
	void (*fn)(void *arg, int64_t seq, const char *object);
	void *arg;
};

static void
on_event_row(void *arg, struct store_row *row)
{
	struct reader *reader = arg;

	reader->fn(reader->arg, store_int(row, 0), store_text(row, 1));
}

int
event_log_read(struct event_log *log, int64_t after, const struct event_filter *filter,
	       int64_t limit, void (*fn)(void *arg, int64_t seq, const char *object), void *arg,
	       struct vn_error *err)
{
	struct reader reader = { fn, arg };

	/* The columns are compared here and not by event_filter_takes, so that `limit` counts what is
	 * wanted; both say the same. */
	return store_read(log->daemon->store, on_event_row, &reader, err,
			  "SELECT seq, object FROM events WHERE seq > ?1 AND seq <= ?2 AND "
			  "(?3 IS NULL OR instr(?3, ',' || type || ',') > 0) AND "
			  "(?4 IS NULL OR topology = ?4) ORDER BY seq LIMIT ?5", "iissi",
			  after < log->first - 1 ? log->first - 1 : after, log->committed,
			  filter->types, filter->topology, limit);
}
