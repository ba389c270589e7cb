/*
 * Steps in the hands of workers, and their deadlines. What surprises: the context of a worker step belongs
 * to the worker until it is back. When the step's deadline passes first, the context is given up with the
 * worker and the job goes on (backwards) with a new one.
 */
#include "daemon/job_inner.h"

#include <assert.h>
#include <inttypes.h>

#include "daemon/log.h"
#include "daemon/recovery.h"

#define DEADLINE_TICKS 4		/* how often a deadline is looked at: it cannot see the queue */

/* One run of one worker step; outlives its job when it is abandoned. */
struct step_work {
	struct work work;
	struct daemon *daemon;
	const struct verb *verb;
	int64_t job;			/* 0 once abandoned */
	int64_t lost_job;		/* that gave up on it */
	step_fn *fn;
	void *ctx;			/* owned until the work is back */
	struct vn_error err;
	enum verdict verdict;
	bool started;			/* atomic: a thread is inside */
	unsigned ticks;
	struct vn_list link;
};

static void fence(struct daemon *daemon, int64_t id);

static void
on_step_run(struct work *base)
{
	struct step_work *work = vn_container_of(base, struct step_work, work);

	__atomic_store_n(&work->started, true, __ATOMIC_RELEASE);
	work->verdict = work->fn(NULL, work->ctx, &work->err);
	assert(work->verdict == STEP_DONE || work->verdict == STEP_FAILED);
}

static void
free_work(struct step_work *work)
{
	if (work->ctx && work->verb->free)
		work->verb->free(work->ctx);
	vn_list_remove(&work->link);
	free(work);
}

static void
on_lost_job_end(void *arg, struct job *job)
{
	(void)arg;
	if (job)
		fence(job->daemon, job->parent);
}

/* What came late is looked for when nobody who may still undo it holds the object: after the outermost. */
static void
fence(struct daemon *daemon, int64_t id)
{
	struct job *job = job_find(daemon, id);

	if (job)
		job_watch(job, on_lost_job_end, NULL);
	else
		recovery_sweep(daemon);
}

static void
on_step_lost(struct work *base)
{
	struct step_work *work = vn_container_of(base, struct step_work, work);

	vn_log_warning("job", "a call given up on came back: %s",
		       work->verdict == STEP_DONE ? "it succeeded late" : work->err.text);
	fence(work->daemon, work->lost_job);
	free_work(work);
}

static void
on_step_done(struct work *base)
{
	struct step_work *work = vn_container_of(base, struct step_work, work);
	struct job *job = job_find(work->daemon, work->job);
	enum verdict verdict;
	struct vn_error err;

	assert(job && job->work == work);
	loop_remove(vn_take_ptr(&job->deadline));
	job->work = NULL;
	job->ctx = vn_take_ptr(&work->ctx);
	verdict = work->verdict;
	err = work->err;
	free_work(work);
	job_step_ended(job, verdict, &err);
}

static void
give_up(struct job *job, const struct step *step)
{
	struct vn_error err = { 0 }, again = { 0 };
	struct step_work *work = vn_take_ptr(&job->work);

	vn_fail(&err, VN_E_TIMEOUT, "'%s' did not end in time; whether it took effect is unknown",
		step->name);
	if (job->abort_flag)	/* in the context that goes with the work: it is to do no more */
		__atomic_store_n(job->abort_flag, true, __ATOMIC_RELAXED);
	job->abort_flag = NULL;
	work->lost_job = work->job;
	work->job = 0;
	pool_abandon(&work->work);	/* work->ctx goes with it */
	job->ctx = job->verb->load(job, &again);
	if (!job->ctx)
		vn_log_error("job", "%" PRId64 ": cannot be undone: %s", job->id, again.text);
	job_step_ended(job, STEP_FAILED, &err);
}

static uint64_t
tick_ms(const struct job *job)
{
	uint64_t deadline_ms = job->daemon->config.step_timeout_ns / 1000000 + job->patience_ms;

	return deadline_ms / DEADLINE_TICKS + 1;
}

static void
on_deadline(void *arg)
{
	struct job *job = arg;

	loop_remove(vn_take_ptr(&job->deadline));
	if (__atomic_load_n(&job->work->started, __ATOMIC_ACQUIRE) &&
	    ++job->work->ticks >= DEADLINE_TICKS) {
		give_up(job, job_current(job));
		return;
	}
	job->deadline = loop_add_timer(job->daemon->loop, tick_ms(job), on_deadline, job);
}

/* The journal entry is on disk: now the effect may happen. */
static void
on_journalled(void *arg)
{
	struct step_work *work = arg;
	struct job *job = job_find(work->daemon, work->job);

	assert(job && job->work == work);
	if (!(job_current(job)->flags & STEP_LONG))
		job->deadline = loop_add_timer(job->daemon->loop, tick_ms(job), on_deadline, job);
	pool_submit(job->daemon->pool, &work->work);
}

/* What the journal entry about to be written allows: the current step, and those that it is joined to. */
static void
join_steps(struct job *job)
{
	job->journalled = job->at + 1;
	while (job->verb->steps[job->journalled - 1].flags & STEP_JOINED)
		job->journalled++;
	if (job->journalled > job->at + 1)
		job_note(job, "journalled", json_integer((json_int_t)job->journalled));
}

void
job_step_submit(struct job *job, const struct step *step, step_fn *fn)
{
	struct step_work *work = vn_alloc(sizeof(*work));

	work->work = (struct work){ .lane = step->lane, .run = on_step_run,
				    .done = on_step_done, .lost = on_step_lost };
	work->daemon = job->daemon;
	work->verb = job->verb;
	work->job = job->id;
	work->fn = fn;
	work->ctx = vn_take_ptr(&job->ctx);
	vn_list_init(&work->link);
	vn_list_append(&job->daemon->jobs->works, &work->link);
	job->work = work;
	if (job->state == JOB_RUNNING && job->at < job->journalled) {
		on_journalled(work);
		return;
	}
	if (job->state == JOB_RUNNING)
		join_steps(job);
	job_record_update(job);
	store_after(job->daemon->store, on_journalled, work);
}

void
jobs_abort(const struct jobs *jobs)
{
	vn_list_each(const struct job, job, &jobs->list, link)
		if (job->work && job->abort_flag && job_current(job)->flags & STEP_LONG)
			__atomic_store_n(job->abort_flag, true, __ATOMIC_RELAXED);
}

size_t
jobs_lost(const struct jobs *jobs)
{
	size_t count = 0;

	vn_list_each(const struct step_work, work, &jobs->works, link)
		count += !work->job;
	return count;
}

void
job_steps_free(struct jobs *jobs)
{
	vn_list_each_safe(struct step_work, work, &jobs->works, link)
		free_work(work);
}
