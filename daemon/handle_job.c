/* Methods on jobs. */
#include "daemon/job.h"

#include <inttypes.h>

static int
not_found(int64_t id, struct vn_error *err)
{
	return vn_fail_at(err, "/job", VN_E_NOT_FOUND, "no job %" PRId64 " (ended jobs are kept for a "
			  "while only: job_keep in vnoded.conf)", id);
}

int
handle_job_get(struct call *call, const void *params, struct vn_error *err)
{
	const struct job_params *p = params;
	json_t *object = job_object_by_id(call_daemon(call), p->job);

	if (!object)
		return not_found(p->job, err);
	call_reply(call, object);
	return 0;
}

struct listing {
	json_t *jobs;
	int64_t limit;
};

static void
on_row(void *arg, struct store_row *row)
{
	struct listing *listing = arg;
	json_t *object = json_loads(store_text(row, 0), 0, NULL);

	json_object_del(object, "steps");
	json_array_append_new(listing->jobs, object);
}

/* Newest first: those that go on, then ended ones from the database. */
int
handle_job_list(struct call *call, const void *params, struct vn_error *err)
{
	const struct job_list_params *p = params;
	struct daemon *daemon = call_daemon(call);
	struct listing listing = { json_array(), p->limit ? p->limit : 100 };
	struct vn_list *list = jobs_list(daemon->jobs);

	for (struct vn_list *at = list->prev; at != list; at = at->prev) {
		struct job *job = vn_container_of(at, struct job, link);

		if ((p->before && job->id >= p->before) || job->finished ||
		    (int64_t)json_array_size(listing.jobs) >= listing.limit)
			continue;
		json_array_append_new(listing.jobs, job_object(job, false));
	}
	if (p->all && store_read(daemon->store, on_row, &listing, err,
				 "SELECT object FROM jobs WHERE ended IS NOT NULL AND object IS NOT "
				 "NULL AND id < ? ORDER BY id DESC LIMIT ?", "ii",
				 p->before ? p->before : INT64_MAX,
				 listing.limit - (int64_t)json_array_size(listing.jobs)) < 0) {
		json_decref(listing.jobs);
		return -1;
	}
	call_reply(call, json_pack("{so}", "jobs", listing.jobs));
	return 0;
}

struct job_waiting {
	struct daemon *daemon;
	uint64_t ticket, watch;
	int64_t job;
	struct watch *timer;
};

static void
end_wait(struct job_waiting *waiting)
{
	loop_remove(waiting->timer);
	free(waiting);
}

static void
on_end(void *arg, struct job *job)
{
	struct job_waiting *waiting = arg;

	if (job)
		call_answer(waiting->daemon, waiting->ticket, job_object(job, true));
	end_wait(waiting);
}

static void
on_gone(void *arg)
{
	struct job_waiting *waiting = arg;
	struct job *job = job_find(waiting->daemon, waiting->job);

	if (job)
		job_unwatch(job, waiting->watch);
	end_wait(waiting);
}

static void
on_timeout(void *arg)
{
	struct job_waiting *waiting = arg;
	struct job *job = job_find(waiting->daemon, waiting->job);
	struct vn_error err = { 0 };

	if (job)
		job_unwatch(job, waiting->watch);
	vn_fail(&err, VN_E_TIMEOUT, "job %" PRId64 " has not ended in that time; it goes on",
		waiting->job);
	call_answer_error(waiting->daemon, waiting->ticket, &err, waiting->job);
	end_wait(waiting);
}

int
handle_job_wait(struct call *call, const void *params, struct vn_error *err)
{
	const struct job_wait_params *p = params;
	struct daemon *daemon = call_daemon(call);
	struct job *job = job_find(daemon, p->job);
	struct job_waiting *waiting;

	if (!job)
		return handle_job_get(call, &(struct job_params){ p->job }, err);
	waiting = vn_alloc(sizeof(*waiting));
	waiting->daemon = daemon;
	waiting->job = p->job;
	waiting->ticket = call_defer(call, on_gone, waiting);
	waiting->watch = job_watch(job, on_end, waiting);
	if (p->timeout_ms)
		waiting->timer = loop_add_timer(daemon->loop, (uint64_t)p->timeout_ms, on_timeout,
						waiting);
	return 0;
}

int
handle_job_cancel(struct call *call, const void *params, struct vn_error *err)
{
	const struct job_params *p = params;
	struct daemon *daemon = call_daemon(call);
	struct job *job = job_find(daemon, p->job);
	json_t *ended;

	if (!job) {
		ended = job_object_by_id(daemon, p->job);
		if (!ended)
			return not_found(p->job, err);
		json_decref(ended);
		return vn_fail_at(err, "/job", VN_E_STATE, "job %" PRId64 " has ended already",
				  p->job);
	}
	if (job_cancel(job, NULL, err) < 0)
		return -1;
	call_reply(call, job_object(job, true));
	return 0;
}
