/*
 * Carrying schedules out. Each entry becomes an ordinary job of the daemon's own; the row that says which is
 * committed together with the job's, and the entry's end with the job's end, so that after a crash an entry
 * is either still to come, or on its way by a job that goes on, or over: it never happens twice.
 *
 * There is no queue: whoever may have changed what is next calls schedule_run, which looks again. Where
 * another job holds the LAN, its end does.
 */
#include "daemon/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/lan_verbs.h"
#include "daemon/log.h"
#include "daemon/shaping.h"

struct waiting {
	struct daemon *daemon;
	int64_t lan;
};

static struct schedule_entry *
next_entry(struct schedule *schedule)
{
	for (size_t i = 0; i < schedule->count; i++)
		if (schedule->entries[i].state == ENTRY_PENDING && !schedule->entries[i].job)
			return &schedule->entries[i];
	return NULL;
}

static void
announce(const struct lan *lan, const struct schedule_entry *entry, const char *state)
{
	struct event_about about = { .topology = lan->topology->name, .lan = lan->name,
				     .job = entry->job };

	event_append(lan->daemon, EVENT_LAN_CHANGE, &about, json_pack("{ss sI sI ss}", "what", "schedule",
		"entry", (json_int_t)entry->index, "late_ns", (json_int_t)entry->late_ns, "state", state));
}

static void
end_entry(const struct lan *lan, struct schedule_entry *entry, enum entry_state state,
	  const struct vn_error *err)
{
	entry->state = state;
	entry->job = 0;
	if (state == ENTRY_FAILED)
		entry->error = vn_strdup(err->text);
	schedule_record(lan, entry);
}

/* What the entry says of carriers, as lan.set's job takes it; NULL: nothing. */
static json_t *
carrier_of(json_t *given)
{
	json_t *members = json_object(), *up = json_object_get(given, "up"), *change;
	json_t *carrier = NULL;
	const char *name;

	json_object_foreach(json_object_get(given, "members"), name, change)
		if (json_is_boolean(json_object_get(change, "up")))
			json_object_set(members, name, json_object_get(change, "up"));
	if (json_is_boolean(up) || json_object_size(members))
		carrier = json_pack("{sO}", "members", members);
	if (json_is_boolean(up))
		json_object_set(carrier, "up", up);
	json_decref(members);
	return carrier;
}

/* The job's verb and parameters; NULL with err where the LAN is no longer what the entry was written for. */
static const struct verb *
make_job(const struct lan *lan, const struct schedule_entry *entry, json_t *params, struct vn_error *err)
{
	json_t *given = entry->given, *shaping, *carrier;

	if (!json_object_get(given, "shape") && !json_object_size(json_object_get(given, "members"))) {
		json_object_set_new(params, "member", json_integer(0));
		return json_is_true(json_object_get(given, "up")) ? &verb_lan_up : &verb_lan_down;
	}
	shaping = shaping_export(lan, NULL);
	json_object_set_new(params, "shaping", shaping);
	carrier = carrier_of(given);
	if (carrier)
		json_object_set_new(params, "carrier", carrier);
	return shaping_change(lan->daemon, lan->name, shaping, given, "shape", err) < 0 ? NULL
	       : &verb_lan_set;
}

static void
fire(struct lan *lan, struct schedule_entry *entry)
{
	struct daemon *daemon = lan->daemon;
	json_t *params = lan_job_params(lan);
	struct vn_error err = { 0 };
	const struct verb *verb;
	struct job *job;

	entry->fired_us = loop_wall_us(daemon->loop);
	entry->late_ns = (entry->fired_us - entry->at_us) * 1000;
	json_object_set_new(params, "entry", json_integer((json_int_t)entry->index));
	verb = make_job(lan, entry, params, &err);
	if (verb && job_begin(daemon, verb, NULL, 0, json_incref(params), &job, &err) == 0) {
		entry->job = job->id;
		schedule_record(lan, entry);
		announce(lan, entry, "fired");
	} else {
		vn_log_warning("lan", "%s/%s: entry %zu of its schedule: %s", lan->topology->name, lan->name,
			       entry->index, err.text);
		end_entry(lan, entry, ENTRY_FAILED, &err);
		announce(lan, entry, "failed");
	}
	json_decref(params);
}

/* The host was torn down: there is nothing that could be changed. */
static void
miss(struct lan *lan, struct schedule_entry *entry)
{
	end_entry(lan, entry, ENTRY_MISSED, NULL);
	announce(lan, entry, "missed");
}

static void
on_unlocked(void *arg, struct job *job)
{
	struct waiting *waiting = arg;
	struct lan *lan = job ? lan_by_id(waiting->daemon, waiting->lan) : NULL;

	if (lan && lan->schedule) {
		lan->schedule->waits = false;
		schedule_run(lan);
	}
	free(waiting);
}

static void
await_lock(struct lan *lan)
{
	struct waiting *waiting = vn_alloc(sizeof(*waiting));

	*waiting = (struct waiting){ lan->daemon, lan->id };
	lan->schedule->waits = true;
	job_watch(job_find(lan->daemon, lan->lock.holder), on_unlocked, waiting);
}

static void
on_alarm(void *arg)
{
	schedule_run(arg);
}

void
schedule_run(struct lan *lan)
{
	struct schedule *schedule = lan->schedule;
	struct daemon *daemon = lan->daemon;
	struct schedule_entry *entry;

	loop_remove(vn_take_ptr(&schedule->alarm));
	while (daemon->ready && !schedule->waits && (entry = next_entry(schedule))) {
		if (entry->at_us > loop_wall_us(daemon->loop)) {
			schedule->alarm = loop_add_alarm(daemon->loop, entry->at_us, on_alarm, lan);
			return;
		}
		if (daemon->refusal)
			miss(lan, entry);
		else if (lan->lock.holder)
			await_lock(lan);
		else
			fire(lan, entry);
	}
}

void
schedule_job_ended(struct lan *lan, const struct job *job)
{
	json_t *index = json_object_get(job->params, "entry");
	struct schedule *schedule = lan->schedule;

	for (size_t i = 0; index && schedule && i < schedule->count; i++) {
		struct schedule_entry *entry = &schedule->entries[i];

		if (entry->job == job->id && entry->index == (size_t)json_integer_value(index))
			end_entry(lan, entry, job->err.code == VN_OK ? ENTRY_DONE : ENTRY_FAILED,
				  &job->err);
	}
}

void
schedules_start(struct daemon *daemon)
{
	vn_list_each(struct lan, lan, &daemon->model->lans, link)
		if (lan->schedule)
			schedule_run(lan);
}
