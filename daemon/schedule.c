/*
 * Schedules as objects and rows. A LAN's rows are made and removed together; of an entry only its state
 * changes afterwards. The index in the list as it was given is the entry's name; the order in memory is
 * that of time.
 */
#include "daemon/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/lan_verbs.h"

const char *const entry_state_words[] = { "pending", "done", "missed", "failed", NULL };

static int
compare(const void *a, const void *b)
{
	const struct schedule_entry *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static struct schedule *
need(struct lan *lan)
{
	if (!lan->schedule) {
		lan->schedule = vn_alloc(sizeof(*lan->schedule));
		lan->schedule->lan = lan;
	}
	return lan->schedule;
}

static void
add(struct schedule *schedule, const struct schedule_entry *entry)
{
	schedule->entries = vn_realloc_array(schedule->entries, schedule->count + 1,
					     sizeof(*schedule->entries));
	schedule->entries[schedule->count++] = *entry;
}

static void
sort(struct schedule *schedule)
{
	if (schedule->count)
		qsort(schedule->entries, schedule->count, sizeof(*schedule->entries), compare);
}

void
schedule_free(struct schedule *schedule)
{
	if (!schedule)
		return;
	loop_remove(schedule->alarm);
	for (size_t i = 0; i < schedule->count; i++) {
		json_decref(schedule->entries[i].given);
		free(schedule->entries[i].error);
	}
	free(schedule->entries);
	free(schedule);
}

/* ---- rows ---- */

void
schedule_record(const struct lan *lan, const struct schedule_entry *entry)
{
	vn_autofree char *given = json_dumps(entry->given, JSON_COMPACT);

	store_put(lan->daemon->store, "INSERT OR REPLACE INTO schedule(lan, idx, at, entry, state, job, "
		  "fired, late, error) VALUES(?,?,?,?,?,?,?,?,?)", "iiisiiiis", lan->id,
		  (int64_t)entry->index, entry->at_us, given, (int64_t)entry->state, entry->job,
		  entry->fired_us, entry->late_ns, entry->error);
}

void
schedule_remove_rows(struct lan *lan)
{
	if (lan->schedule)
		store_put(lan->daemon->store, "DELETE FROM schedule WHERE lan = ?", "i", lan->id);
}

static void
on_row(void *arg, struct store_row *row)
{
	struct lan *lan = lan_by_id(arg, store_int(row, 0));
	struct schedule_entry entry = {
		.index = (size_t)store_int(row, 1), .at_us = store_int(row, 2),
		.state = (enum entry_state)store_int(row, 4), .job = store_int(row, 5),
		.fired_us = store_int(row, 6), .late_ns = store_int(row, 7),
	};

	if (!lan)
		return;
	entry.given = json_loads(store_text(row, 3), 0, NULL);
	if (store_text(row, 8))
		entry.error = vn_strdup(store_text(row, 8));
	add(need(lan), &entry);
}

int
schedules_load(struct daemon *daemon, struct vn_error *err)
{
	if (store_read(daemon->store, on_row, daemon, err, "SELECT lan, idx, at, entry, state, job, fired, "
		       "late, error FROM schedule ORDER BY lan, idx", "") < 0)
		return -1;
	vn_list_each(struct lan, lan, &daemon->model->lans, link)
		if (lan->schedule)
			sort(lan->schedule);
	return 0;
}

/* ---- in and out of force ---- */

/* One with a date that has had its turn and is the same as before; NULL: none. */
static const struct schedule_entry *
find_former(const struct schedule *former, json_t *given)
{
	for (size_t i = 0; former && json_object_get(given, "at") && i < former->count; i++)
		if (former->entries[i].state != ENTRY_PENDING &&
		    json_equal(former->entries[i].given, given))
			return &former->entries[i];
	return NULL;
}

void
schedule_replace(struct lan *lan, json_t *list)
{
	struct schedule *former = vn_take_ptr(&lan->schedule);
	int64_t now_us = loop_wall_us(lan->daemon->loop);
	json_t *given;
	size_t i;

	if (former)
		store_put(lan->daemon->store, "DELETE FROM schedule WHERE lan = ?", "i", lan->id);
	json_array_foreach(list, i, given) {
		const struct schedule_entry *same = find_former(former, given);
		struct schedule_entry entry = { .at_us = doc_entry_due(given, now_us) };

		if (same)
			entry = *same;
		if (same && same->error)
			entry.error = vn_strdup(same->error);
		entry.index = i;
		entry.given = json_incref(given);
		add(need(lan), &entry);
		schedule_record(lan, &entry);
	}
	schedule_free(former);
	if (!lan->schedule)
		return;
	sort(lan->schedule);
	schedule_run(lan);
}

static const struct schedule_entry *
entry_at(const struct schedule *schedule, size_t index)
{
	for (size_t i = 0; i < schedule->count; i++)
		if (schedule->entries[i].index == index)
			return &schedule->entries[i];
	abort();
}

json_t *
schedule_export(const struct lan *lan)
{
	json_t *list;

	if (!lan->schedule)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < lan->schedule->count; i++)
		json_array_append(list, entry_at(lan->schedule, i)->given);
	return list;
}

static json_t *
time_object(int64_t us)
{
	char text[EVENT_TIME_TEXT];

	event_time_print(us, text);
	return json_string(text);
}

json_t *
schedule_object(const struct lan *lan)
{
	json_t *list = json_array();

	for (size_t i = 0; lan->schedule && i < lan->schedule->count; i++) {
		const struct schedule_entry *entry = &lan->schedule->entries[i];
		json_t *object = json_pack("{sI so ss}", "entry", (json_int_t)entry->index, "at",
					   time_object(entry->at_us), "state",
					   entry_state_words[entry->state]), *value;
		const char *key;

		json_object_foreach(entry->given, key, value)
			if (strcmp(key, "at") != 0)
				json_object_set(object, key, value);
		if (entry->fired_us) {
			json_object_set_new(object, "fired", time_object(entry->fired_us));
			json_object_set_new(object, "late_ms", json_real((double)entry->late_ns / 1e6));
		}
		if (entry->error)
			json_object_set_new(object, "error", json_string(entry->error));
		json_array_append_new(list, object);
	}
	return list;
}

/* ---- lan.schedule ---- */

static void *
load(struct job *job, struct vn_error *err)
{
	return lan_job_lock(job, err);
}

static enum verdict
step_arm(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	(void)err;
	schedule_replace(job_lan(job), json_object_get(job->params, "schedule"));
	return STEP_DONE;
}

static void
ended(struct job *job, void *ctx)
{
	struct lan *lan = job_lan(job);

	(void)ctx;
	if (!lan || job->err.code != VN_OK)
		return;
	lan_announce(lan, "scheduled");
	job->result = lan_object(lan);
	json_object_set_new(job->result, "schedule", schedule_object(lan));
}

static const struct step schedule_steps[] = {
	{ "arm", ON_LOOP, 0, step_arm, NULL },
	{ 0 }
};

const struct verb verb_lan_schedule = { "lan.schedule", 1, schedule_steps, load, NULL, ended };
