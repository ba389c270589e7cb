/* The runner of step tables. A job is advanced from the loop only, one step at a time. */
#include "daemon/job_inner.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"

static void advance(struct job *job);

struct answer {				/* of a wait, or a wish to advance, on its way through the loop */
	struct daemon *daemon;
	uint64_t ticket;		/* answer of a wait */
	int64_t job;			/* advance */
	struct vn_error err;
	struct vn_list link;
};

static struct answer *
answer_new(struct daemon *daemon, watch_fn *fn)
{
	struct answer *answer = vn_alloc(sizeof(*answer));

	answer->daemon = daemon;
	vn_list_init(&answer->link);
	vn_list_append(&daemon->jobs->answers, &answer->link);
	loop_defer(daemon->loop, fn, answer);
	return answer;
}

static void
answer_free(struct answer *answer)
{
	vn_list_remove(&answer->link);
	free(answer);
}

static void
on_advance(void *arg)
{
	struct answer *answer = arg;
	struct job *job = job_find(answer->daemon, answer->job);

	answer_free(answer);
	if (job && !job->finished && !job->work && !job->ticket)
		advance(job);
}

/* Advances the job from the loop, never on the caller's stack. */
static void
schedule(struct job *job)
{
	answer_new(job->daemon, on_advance)->job = job->id;
}

const struct step *
job_current(const struct job *job)
{
	return &job->verb->steps[job->state == JOB_UNDOING ? job->at - 1 : job->at];
}

static struct job_timing *
current_timing(struct job *job)
{
	return &job->timing[job_current(job) - job->verb->steps];
}

/* From here on backwards. Why is part of the journal: a restart has to end with the same words. */
static void
begin_unwind(struct job *job, const struct vn_error *why)
{
	if (job->abort_flag)
		__atomic_store_n(job->abort_flag, false, __ATOMIC_RELAXED);
	if (job->at < job->journalled_before)	/* how far the earlier life came is not known */
		job->at = job->journalled_before;
	job->err = job->cancelled && job->why.code != VN_OK ? job->why : *why;
	job_note(job, "error", error_object(&job->err));
	job->state = JOB_UNDOING;
	job_announce(job);
}

/* Moves to the step to run or undo next; false when there is none. */
static bool
pick_step(struct job *job)
{
	static const struct vn_error cancelled = { .code = VN_E_CANCELLED, .text = "cancelled" };

	if (job->state == JOB_QUEUED) {
		job->state = JOB_RUNNING;
		job_announce(job);
	}
	if (job->state == JOB_RUNNING && job->cancelled && !job->committed && !job->is_halfway)
		begin_unwind(job, &cancelled);
	if (job->state == JOB_RUNNING)
		return job->at < job->n_steps;
	for (; job->at > 0; job->at--)
		if (job->verb->steps[job->at - 1].undo)
			return true;
	return false;
}

/* From here on only forward: a cancelling that came too late is forgotten. */
static void
commit(struct job *job)
{
	job->committed = true;
	job->cancelled = false;
	if (job->abort_flag)
		__atomic_store_n(job->abort_flag, false, __ATOMIC_RELAXED);
}

/* Takes the verdict of the current step into account; the caller advances. */
static void
settle(struct job *job, enum verdict verdict, const struct vn_error *err)
{
	const struct step *step = job_current(job);
	struct job_timing *timing = current_timing(job);

	job->item = 0;
	timing->ms = (int64_t)(loop_now_ms(job->daemon->loop) - job->began_ms);
	timing->state = verdict == STEP_FAILED ||
			(job->state == JOB_UNDOING && job->failed_at == job->at) ? TIMING_FAILED
			: job->state == JOB_UNDOING ? TIMING_UNDONE : TIMING_DONE;
	if (verdict == STEP_FAILED) {
		assert(err && err->code != VN_OK);
		vn_log(job->state == JOB_UNDOING ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "job",
		       "%" PRId64 " %s: %s '%s' failed: %s", job->id, job->verb->method,
		       job->state == JOB_UNDOING ? "undoing" : "step", step->name, err->text);
	}
	if (job->state == JOB_UNDOING) {
		if (verdict == STEP_FAILED)
			json_object_set_new(job->data, "undo_failed", json_string(err->text));
		job->at--;
	} else if (verdict == STEP_FAILED && job->committed) {
		job->err = *err;		/* nothing is undone: the end is here */
		job->at = job->n_steps;
	} else if (verdict == STEP_FAILED) {
		/* A worker's step may have had its effect all the same: it is undone too. */
		if (step->place == ON_WORKER)
			job->failed_at = ++job->at;
		begin_unwind(job, err);
	} else {
		if (step->flags & STEP_COMMIT)
			commit(job);
		job->at++;
	}
}

static bool
is_undone_cleanly(const struct job *job)
{
	return !json_object_get(job->data, "undo_failed");
}

static void
on_recorded(void *arg)
{
	struct job *job = arg;

	job_tell_waiters(job, job);
	job_free(job);
}

/* The end: states are settled, the row says so, whoever waits is told once that is on disk. */
static void
finish(struct job *job)
{
	struct daemon *daemon = job->daemon;

	job->finished = true;
	if (job->state != JOB_UNDOING)
		job->state = job->err.code == VN_OK ? JOB_DONE : JOB_FAILED;
	else
		job->state = job->err.code == VN_E_CANCELLED ? JOB_CANCELLED : JOB_FAILED;
	if (!is_undone_cleanly(job))
		vn_error_prefix(&job->err, "not everything could be undone (%s)",
				json_string_value(json_object_get(job->data, "undo_failed")));
	job->ended_us = event_time_now();
	loop_remove(vn_take_ptr(&job->deadline));
	loop_remove(vn_take_ptr(&job->timeout));
	if (job->verb->ended)
		job->verb->ended(job, job->ctx);
	if (job->state == JOB_DONE && job->err.code != VN_OK)
		job->state = JOB_FAILED;	/* of tolerated children */
	job_release_locks(job);
	job_record_update(job);
	job_announce(job);
	vn_log(job->err.code == VN_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "job",
	       "%" PRId64 " %s: %s%s%s in %" PRId64 " ms", job->id, job->verb->method,
	       job_state_words[job->state], job->err.code ? ": " : "",
	       job->err.code ? job->err.text : "", (job->ended_us - job->created_us) / 1000);
	job_tell_parent(job);
	store_after(daemon->store, on_recorded, job);
}

void
job_step_ended(struct job *job, enum verdict verdict, const struct vn_error *err)
{
	settle(job, verdict, err);
	if (job->ctx)
		advance(job);
	else
		finish(job);
}

static void
drop_ticket(struct job *job)
{
	table_remove(&job->daemon->jobs->tickets, (int64_t)job->ticket);
	job->ticket = 0;
}

/* Whether the step is not over yet: its children or an answer have to come, or the loop's next turn. */
static bool
has_to_wait(struct job *job, enum verdict verdict)
{
	if (verdict != STEP_WAIT && verdict != STEP_AGAIN)
		return false;
	job->is_halfway = verdict == STEP_AGAIN;
	job_record_update(job);
	if (job->is_halfway) {
		drop_ticket(job);
		schedule(job);
	} else if (!job->parent) {
		job_announce(job);
	}
	return true;
}

/* Runs steps until one has to wait, then returns to the loop. */
static void
advance(struct job *job)
{
	while (pick_step(job)) {
		const struct step *step = job_current(job);
		step_fn *fn = job->state == JOB_UNDOING ? step->undo : step->run;
		struct vn_error err = { 0 };
		enum verdict verdict;

		if (!job->is_halfway)
			job->began_ms = loop_now_ms(job->daemon->loop);
		job->is_halfway = false;
		if (job->state == JOB_RUNNING && step->is_needed && !step->is_needed(job->ctx)) {
			settle(job, STEP_DONE, NULL);
			continue;
		}
		current_timing(job)->state = TIMING_RUNNING;
		if (step->place == ON_WORKER) {
			job_step_submit(job, step, fn);
			if (!job->parent)
				job_announce(job);
			return;
		}
		job->ticket = ++job->daemon->jobs->last_ticket;
		table_set(&job->daemon->jobs->tickets, (int64_t)job->ticket, job);
		verdict = fn(job, job->ctx, &err);
		if (verdict == STEP_DONE)
			verdict = job_blame_children(job, step, &err);
		if (has_to_wait(job, verdict))
			return;
		drop_ticket(job);
		settle(job, verdict, &err);
	}
	finish(job);
}

static void
on_answer(void *arg)
{
	struct answer *answer = arg;
	struct job *job = table_remove(&answer->daemon->jobs->tickets, (int64_t)answer->ticket);

	if (job) {
		enum verdict verdict = answer->err.code != VN_OK ? STEP_FAILED
			: job_blame_children(job, job_current(job), &answer->err);

		job->ticket = 0;
		settle(job, verdict, &answer->err);
		advance(job);
	}
	answer_free(answer);
}

void
job_resume(struct daemon *daemon, uint64_t ticket, const struct vn_error *err)
{
	struct answer *answer;

	if (!table_get(&daemon->jobs->tickets, (int64_t)ticket))
		return;
	answer = answer_new(daemon, on_answer);
	answer->ticket = ticket;
	if (err)
		answer->err = *err;
}

uint64_t
job_ticket(const struct job *job)
{
	return job->ticket;
}

static void
on_timeout(void *arg)
{
	struct job *job = arg;
	struct vn_error why = { 0 }, ignored;

	loop_remove(vn_take_ptr(&job->timeout));
	vn_fail(&why, VN_E_TIMEOUT, "not done within the time the caller gave (timeout_ms)");
	job_cancel(job, &why, &ignored);
}

/* What is left of the time that the caller gave, also over a restart. */
static void
limit_time(struct job *job)
{
	int64_t given_ms = json_integer_value(json_object_get(job->params, "timeout_ms"));
	int64_t gone_ms = (event_time_now() - job->created_us) / 1000;
	int64_t left_ms = gone_ms < 0 ? given_ms : gone_ms < given_ms ? given_ms - gone_ms : 0;

	if (given_ms > 0)
		job->timeout = loop_add_timer(job->daemon->loop, (uint64_t)left_ms, on_timeout, job);
}

struct job *
job_new(struct daemon *daemon, const struct verb *verb, int64_t id)
{
	struct job *job = vn_alloc(sizeof(*job));

	job->daemon = daemon;
	job->verb = verb;
	job->id = id;
	while (verb->steps[job->n_steps].name)
		job->n_steps++;
	job->timing = vn_alloc_array(job->n_steps + 1, sizeof(*job->timing));
	job->data = json_object();
	job->about = json_array();
	job->failures = json_array();
	vn_list_init(&job->link);
	vn_list_append(&daemon->jobs->list, &job->link);
	table_set(&daemon->jobs->by_id, id, job);
	return job;
}

void
job_free(struct job *job)
{
	struct jobs *jobs = job->daemon->jobs;

	job_release_locks(job);
	job_tell_waiters(job, NULL);
	if (job->ticket)
		table_remove(&jobs->tickets, (int64_t)job->ticket);
	loop_remove(job->deadline);
	loop_remove(job->timeout);
	if (job->ctx && job->verb->free)
		job->verb->free(job->ctx);
	table_remove(&jobs->by_id, job->id);
	vn_list_remove(&job->link);
	json_decref(job->params);
	json_decref(job->data);
	json_decref(job->about);
	json_decref(job->failures);
	json_decref(job->result);
	free(job->timing);
	free(job);
}

int
job_begin(struct daemon *daemon, const struct verb *verb, struct job *parent, int64_t uid,
	  VN_TAKES json_t *params, struct job **ret, struct vn_error *err)
{
	struct job *job = job_new(daemon, verb, ++daemon->jobs->last_id);

	job->parent = parent ? parent->id : 0;
	job->uid = uid;
	job->params = params;
	job->created_us = event_time_now();
	job->ctx = verb->load(job, err);
	if (!job->ctx) {
		daemon->jobs->last_id--;	/* nobody has seen the number */
		job_free(job);
		return -1;
	}
	if (parent)
		parent->children++;
	job_record_insert(job);
	limit_time(job);
	if (ret)
		*ret = job;
	if (job->n_steps)
		schedule(job);
	else
		advance(job);	/* begun and ended in one commit: nothing for a restart to resume */
	return 0;
}

int
job_cancel(struct job *job, const struct vn_error *why, struct vn_error *err)
{
	struct vn_error none;

	if (job->finished || job->state == JOB_UNDOING)
		return vn_fail(err, VN_E_STATE, "job %" PRId64 " is %s already", job->id,
			       job->finished ? "ended" : "being undone");
	if (job->committed)
		return vn_fail(err, VN_E_STATE, "job %" PRId64 " is past its commit point and can "
			       "only go on", job->id);
	job->cancelled = true;
	if (job->abort_flag)
		__atomic_store_n(job->abort_flag, true, __ATOMIC_RELAXED);
	if (why)
		job->why = *why;
	job_note(job, "cancelled", json_true());
	job_record_update(job);		/* who was told so must not see it forgotten by a crash */
	if (job->children) {
		vn_list_each(struct job, child, &job->daemon->jobs->list, link)
			if (child->parent == job->id && !child->finished)
				job_cancel(child, why, &none);
	} else if (job->ticket) {
		static const struct vn_error cancelled = { .code = VN_E_CANCELLED,
							   .text = "cancelled" };

		job_resume(job->daemon, job->ticket, why ? why : &cancelled);
	}
	return 0;
}

struct job *
job_find(const struct daemon *daemon, int64_t id)
{
	return daemon->jobs ? table_get(&daemon->jobs->by_id, id) : NULL;
}

void
job_note(struct job *job, const char *key, VN_TAKES json_t *value)
{
	json_object_set_new(job->data, key, value);
}

size_t
jobs_active(const struct jobs *jobs)
{
	return jobs->by_id.used;
}

int64_t
jobs_last(const struct jobs *jobs)
{
	return jobs->last_id;
}

struct vn_list *
jobs_list(struct jobs *jobs)
{
	return &jobs->list;
}

void
jobs_resume(struct daemon *daemon)
{
	vn_list_each(struct job, job, &daemon->jobs->list, link)
		if (job->recovered) {
			job->recovered = false;
			limit_time(job);
			schedule(job);
		}
}

void
jobs_close(struct jobs *jobs)
{
	if (!jobs)
		return;
	vn_list_each_safe(struct job, job, &jobs->list, link)
		job_free(job);
	job_steps_free(jobs);
	vn_list_each_safe(struct answer, answer, &jobs->answers, link) {
		loop_forget(jobs->daemon->loop, answer);
		answer_free(answer);
	}
	table_fini(&jobs->by_id);
	table_fini(&jobs->tickets);
	requests_free(jobs);
	free(jobs);
}
