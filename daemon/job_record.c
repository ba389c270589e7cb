/*
 * Jobs as rows and as objects on the wire. A job's row is its journal: which step it is in, in which
 * direction, and what the steps noted. When a job ends the row gets the wire object, and nothing but
 * that is read of ended jobs.
 */
#include "daemon/job_inner.h"

#include <inttypes.h>
#include <string.h>

const char *const job_state_words[] = {
	"queued", "running", "undoing", "done", "failed", "cancelled", NULL
};

static const char *const timing_words[] = { "pending", "running", "done", "failed", "undone" };

json_t *
error_object(const struct vn_error *error)
{
	json_t *object;

	if (error->code == VN_OK)
		return json_null();
	object = json_pack("{ss ss}", "code", vn_code_word(error->code), "text", error->text);
	if (error->path[0])
		json_object_set_new(object, "path", json_string(error->path));
	return object;
}

static json_t *
time_object(int64_t us)
{
	char text[EVENT_TIME_TEXT];

	if (!us)
		return json_null();
	event_time_print(us, text);
	return json_string(text);
}

static const char *
step_name(const struct job *job)
{
	if (job->state == JOB_UNDOING && job->at > 0)
		return job->verb->steps[job->at - 1].name;
	return job->at < job->n_steps ? job->verb->steps[job->at].name : NULL;
}

static json_t *
steps_object(const struct job *job)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < job->n_steps; i++)
		json_array_append_new(steps, json_pack("{ss ss sI}",
			"name", job->verb->steps[i].name,
			"state", timing_words[job->timing[i].state],
			"ms", (json_int_t)job->timing[i].ms));
	return steps;
}

json_t *
job_object(const struct job *job, bool full)
{
	size_t done = job->finished && job->state == JOB_DONE ? job->n_steps : job->at;
	bool counts_children = job->children + job->children_done > 0;
	json_t *object = json_pack("{sI so? ss ss ss? sI sI sO sI so so so}",
		"job", (json_int_t)job->id,
		"parent", job->parent ? json_integer(job->parent) : NULL,
		"method", job->verb->method, "state", job_state_words[job->state],
		"step", job->finished ? NULL : step_name(job),
		"done", (json_int_t)(counts_children ? job->children_done : done),
		"total", (json_int_t)(counts_children ? job->children + job->children_done
						      : job->n_steps),
		"vnodes", job->about, "uid", (json_int_t)job->uid,
		"created", time_object(job->created_us), "ended", time_object(job->ended_us),
		"error", error_object(&job->err));

	if (job->bytes_done && !job->finished)
		json_object_set_new(object, "bytes", json_pack("{sI sI}", "done",
			(json_int_t)job->bytes_done, "total", (json_int_t)job->bytes_total));
	if (job->part_total && !job->finished)
		json_object_set_new(object, "progress", json_pack("{sI sI}", "done",
			(json_int_t)job->part_done, "total", (json_int_t)job->part_total));
	if (!full)
		return object;
	json_object_set_new(object, "result", job->result ? json_incref(job->result)
				: job->state == JOB_DONE ? json_object() : json_null());
	if (json_array_size(job->failures))
		json_object_set(object, "failures", job->failures);
	json_object_set_new(object, "steps", steps_object(job));
	return object;
}

static void
on_object(void *arg, struct store_row *row)
{
	json_t **ret = arg;
	const char *text = store_text(row, 0);

	if (text)
		*ret = json_loads(text, 0, NULL);
}

json_t *
job_object_by_id(struct daemon *daemon, int64_t id)
{
	struct job *job = job_find(daemon, id);
	struct vn_error err;
	json_t *object = NULL;

	if (job)
		return job_object(job, true);
	store_read(daemon->store, on_object, &object, &err,
		   "SELECT object FROM jobs WHERE id = ?", "i", id);
	return object;
}

void
job_record_insert(struct job *job)
{
	vn_autofree char *params = json_dumps(job->params, JSON_COMPACT | JSON_ENCODE_ANY);
	vn_autofree char *data = json_dumps(job->data, JSON_COMPACT);
	vn_autofree char *about = json_dumps(job->about, JSON_COMPACT);

	store_put(job->daemon->store, "INSERT INTO jobs(id, parent, method, version, uid, state, "
		  "at, step, params, data, about, created) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
		  "iisiiiissssi", job->id, job->parent, job->verb->method,
		  (int64_t)job->verb->version, job->uid, (int64_t)job->state, (int64_t)job->at,
		  step_name(job), params, data, about, job->created_us);
}

/* Ended jobs beyond job_keep go, a hundred at a time. */
static void
forget_old(struct jobs *jobs)
{
	if (++jobs->ended % 100)
		return;
	store_put(jobs->daemon->store, "DELETE FROM jobs WHERE ended IS NOT NULL AND id <= ?", "i",
		  jobs->last_id - jobs->daemon->config.job_keep);
}

void
job_record_update(struct job *job)
{
	struct store *store = job->daemon->store;
	vn_autofree char *data = json_dumps(job->data, JSON_COMPACT);

	if (!job->finished) {
		store_put(store, "UPDATE jobs SET state = ?, at = ?, step = ?, data = ? WHERE id = ?",
			  "iissi", (int64_t)job->state, (int64_t)job->at, step_name(job), data,
			  job->id);
	} else {
		json_t *object = job_object(job, true);
		vn_autofree char *text = json_dumps(object, JSON_COMPACT);

		json_decref(object);
		store_put(store, "UPDATE jobs SET state = ?, at = ?, step = NULL, params = '', "
			  "data = NULL, object = ?, ended = ? WHERE id = ?", "iisii",
			  (int64_t)job->state, (int64_t)job->at, text, job->ended_us, job->id);
		forget_old(job->daemon->jobs);
	}
}

void
job_announce(struct job *job)
{
	struct event_about about = { .job = job->id };
	json_t *object = job_object(job, false);

	json_object_del(object, "job");
	event_append(job->daemon, EVENT_JOB_STATE, &about, object);
}

static const struct verb *
find_verb(const char *method)
{
	for (const struct verb *const *verb = verbs; *verb; verb++)
		if (strcmp((*verb)->method, method) == 0)
			return *verb;
	return NULL;
}

struct loading {
	struct daemon *daemon;
	bool rebooted;
	int status;
	struct vn_error *err;
};

static json_t *
load_text(const char *text, json_t *otherwise)
{
	json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (!value)
		return otherwise;
	json_decref(otherwise);
	return value;
}

static void
error_read(json_t *object, struct vn_error *ret)
{
	const char *code = json_string_value(json_object_get(object, "code"));
	const char *text = json_string_value(json_object_get(object, "text"));
	const char *path = json_string_value(json_object_get(object, "path"));

	if (code && text)
		vn_fail_at(ret, path ? path : "", vn_code_from_word(code), "%s", text);
}

/* What the journal keeps of a job besides its steps' own notes: why it is undone, what failed below. */
static void
recall(struct job *job)
{
	json_t *failures = json_object_get(job->data, "failures");

	error_read(json_object_get(job->data, "error"), &job->err);
	if (job->state == JOB_UNDOING && job->err.code == VN_OK)
		vn_fail(&job->err, VN_E_INTERNAL, "interrupted");
	job->cancelled = json_is_true(json_object_get(job->data, "cancelled"));
	job->journalled_before = (size_t)json_integer_value(json_object_get(job->data, "journalled"));
	if (!json_is_array(failures))
		return;
	json_decref(job->failures);
	job->failures = json_incref(failures);
	job->children_failed = (unsigned)json_integer_value(json_object_get(job->data,
									     "children_failed"));
	error_read(json_array_get(failures, 0), &job->child_err);
}

/* After a reboot, which took the effects of what was done before; every step can be repeated. */
static void
begin_again(struct job *job)
{
	while (job->at > 0 && !(job->verb->steps[job->at - 1].flags & STEP_COMMIT))
		job->at--;
}

static void
on_job_row(void *arg, struct store_row *row)
{
	struct loading *loading = arg;
	const char *method = store_text(row, 2);
	const struct verb *verb = find_verb(method);
	struct job *job;

	if (loading->status < 0)
		return;
	if (!verb || verb->version != store_int(row, 3)) {
		loading->status = vn_fail(loading->err, VN_E_UNSUPPORTED,
			"the database holds an unfinished '%s' (version %" PRId64 ") that this "
			"vnoded cannot finish: start the version that began it once, let it end, "
			"then upgrade", method, store_int(row, 3));
		return;
	}
	if (verb->of_a_life) {
		store_put(loading->daemon->store, "DELETE FROM jobs WHERE id = ?", "i",
			  store_int(row, 0));
		return;
	}
	job = job_new(loading->daemon, verb, store_int(row, 0));
	job->parent = store_int(row, 1);
	job->uid = store_int(row, 4);
	job->state = (enum job_state)store_int(row, 5);
	job->at = (size_t)store_int(row, 6);
	job->params = load_text(store_text(row, 8), json_object());
	job->data = load_text(store_text(row, 9), job->data);
	job->about = load_text(store_text(row, 10), job->about);
	job->created_us = store_int(row, 11);
	job->recovered = job->resumed = true;
	for (size_t i = 0; i < job->at && i < job->n_steps; i++) {
		job->timing[i].state = TIMING_DONE;
		job->committed |= verb->steps[i].flags & STEP_COMMIT;
	}
	recall(job);
	if ((loading->rebooted || verb->anew) && job->state == JOB_RUNNING)
		begin_again(job);
}

static void
on_last_id(void *arg, struct store_row *row)
{
	struct jobs *jobs = arg;

	jobs->last_id = store_int(row, 0);
}

int
jobs_open(struct daemon *daemon, struct jobs **ret, struct vn_error *err)
{
	struct jobs *jobs = vn_alloc(sizeof(*jobs));

	jobs->daemon = daemon;
	vn_list_init(&jobs->list);
	vn_list_init(&jobs->works);
	vn_list_init(&jobs->answers);
	vn_list_init(&jobs->request_list);
	*ret = jobs;
	if (store_read(daemon->store, on_last_id, jobs, err, "SELECT max(id) FROM jobs", "") < 0 ||
	    requests_load(jobs, err) < 0) {
		*ret = NULL;
		jobs_close(jobs);
		return -1;
	}
	return 0;
}

/* Contexts are loaded when all jobs are known: a child's lock may be its parent's. */
static void
load_contexts(struct daemon *daemon)
{
	vn_list_each(struct job, job, &daemon->jobs->list, link) {
		struct job *parent = job->parent ? job_find(daemon, job->parent) : NULL;

		if (parent)
			parent->children++;
	}
	vn_list_each(struct job, job, &daemon->jobs->list, link) {
		struct vn_error err = { 0 };

		job->ctx = job->verb->load(job, &err);
		if (job->ctx)
			continue;
		/* Its object is gone or was never written: nothing to go on with or to undo. */
		if (job->err.code == VN_OK)
			job->err = err;
		job->state = JOB_UNDOING;
		job->at = 0;
	}
}

int
jobs_load(struct daemon *daemon, bool rebooted, struct vn_error *err)
{
	struct loading loading = { daemon, rebooted, 0, err };

	if (store_read(daemon->store, on_job_row, &loading, err,
		       "SELECT id, parent, method, version, uid, state, at, step, params, data, "
		       "about, created FROM jobs WHERE ended IS NULL ORDER BY id", "") < 0)
		return -1;
	if (loading.status < 0)
		return -1;
	load_contexts(daemon);
	return 0;
}
