/*
 * From a call to a job to an answer. A request_id makes a call safe to send again: within a day the
 * same id by the same user with the same parameters meets the job that the first one made. The answer
 * leaves when the job (or its end) is on disk, so what a client was told is never lost.
 */
#include "daemon/job_inner.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"

#define REQUEST_LIFE_US (24ll * 3600 * 1000000)

struct known_request {
	char *key;			/* "<uid>/<request_id>" */
	char digest[DIGEST_TEXT];
	int64_t job, at_us;
	struct vn_list link;
};

struct pending_answer {
	struct daemon *daemon;
	uint64_t ticket;
	int64_t job;
	uint64_t watch;
};

static void
remember(struct jobs *jobs, const char *key, const char *digest, int64_t job, int64_t at_us)
{
	struct known_request *known = vn_alloc(sizeof(*known));

	known->key = vn_strdup(key);
	snprintf(known->digest, sizeof(known->digest), "%s", digest);
	known->job = job;
	known->at_us = at_us;
	vn_list_init(&known->link);
	vn_list_append(&jobs->request_list, &known->link);
	table_set_text(&jobs->requests, known->key, known);
}

static void
forget(struct jobs *jobs, struct known_request *known)
{
	table_remove_text(&jobs->requests, known->key);
	vn_list_remove(&known->link);
	free(known->key);
	free(known);
}

static void
on_request_row(void *arg, struct store_row *row)
{
	vn_autofree char *key = vn_format("%" PRId64 "/%s", store_int(row, 0), store_text(row, 1));

	remember(arg, key, store_text(row, 2), store_int(row, 3), store_int(row, 4));
}

int
requests_load(struct jobs *jobs, struct vn_error *err)
{
	return store_read(jobs->daemon->store, on_request_row, jobs, err,
			  "SELECT uid, request_id, digest, job, at FROM requests WHERE at > ? "
			  "ORDER BY at", "i", event_time_now() - REQUEST_LIFE_US);
}

void
requests_free(struct jobs *jobs)
{
	vn_list_each_safe(struct known_request, known, &jobs->request_list, link)
		forget(jobs, known);
	table_fini(&jobs->requests);
}

/* The parameters that make two calls the same: all but how the caller wants to wait. */
static void
digest_call(const char *method, json_t *params, char digest[static DIGEST_TEXT])
{
	struct digest *sha = digest_new();
	json_t *copy = json_copy(params);
	vn_autofree char *text = NULL;

	json_object_del(copy, "wait");
	json_object_del(copy, "timeout_ms");
	json_object_del(copy, "request_id");
	text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(copy);
	digest_update(sha, method, strlen(method) + 1);
	digest_update(sha, text, strlen(text));
	digest_print(sha, digest);
	digest_free(sha);
}

static void
send_end(struct daemon *daemon, uint64_t ticket, int64_t id, json_t *object)
{
	json_t *error = json_object_get(object, "error");
	json_t *result = json_object_get(object, "result");
	struct vn_error err = { 0 };

	if (json_is_object(error)) {
		vn_fail_at(&err, json_string_value(json_object_get(error, "path"))
			   ? json_string_value(json_object_get(error, "path")) : "",
			   vn_code_from_word(json_string_value(json_object_get(error, "code"))),
			   "%s", json_string_value(json_object_get(error, "text")));
		call_answer_error(daemon, ticket, &err, id);
		return;
	}
	call_answer(daemon, ticket, json_pack("{sI sO}", "job", (json_int_t)id, "result", result));
}

static void
on_job_end(void *arg, struct job *job)
{
	struct pending_answer *pending = arg;

	if (job) {
		json_t *object = job_object(job, true);

		send_end(pending->daemon, pending->ticket, job->id, object);
		json_decref(object);
	}
	free(pending);
}

static void
on_client_gone(void *arg)
{
	struct pending_answer *pending = arg;
	struct job *job = job_find(pending->daemon, pending->job);

	if (job)
		job_unwatch(job, pending->watch);
	free(pending);
}

static void
on_job_recorded(void *arg)
{
	struct pending_answer *pending = arg;

	call_answer(pending->daemon, pending->ticket,
		    json_pack("{sI}", "job", (json_int_t)pending->job));
	free(pending);
}

/* Answers when the job is on disk, or when it has ended. */
static void
answer_later(struct call *call, const struct change_params *change, struct job *job)
{
	struct pending_answer *pending = vn_alloc(sizeof(*pending));

	pending->daemon = job->daemon;
	pending->job = job->id;
	if (change->wait) {
		pending->watch = job_watch(job, on_job_end, pending);
		pending->ticket = call_defer(call, on_client_gone, pending);
	} else {
		pending->ticket = call_defer(call, NULL, NULL);
		store_after(job->daemon->store, on_job_recorded, pending);
	}
}

/* Answers for a job that may have ended long ago. */
static int
answer_known(struct call *call, const struct change_params *change, int64_t id,
	     struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	struct job *job = job_find(daemon, id);
	json_t *object;

	if (job) {
		answer_later(call, change, job);
		return 0;
	}
	if (!change->wait) {
		call_reply(call, json_pack("{sI}", "job", (json_int_t)id));
		return 0;
	}
	object = job_object_by_id(daemon, id);
	if (!object)
		return vn_fail(err, VN_E_NOT_FOUND, "job %" PRId64 " of that request_id is no "
			       "longer kept", id);
	send_end(daemon, call_defer(call, NULL, NULL), id, object);
	json_decref(object);
	return 0;
}

/* 1: the call was made before and is answered; 0: it is new; -1: refused. */
static int
answer_repeated(struct call *call, const struct change_params *change, const char *key,
		const char *digest, struct vn_error *err)
{
	struct jobs *jobs = call_daemon(call)->jobs;
	struct known_request *known = table_get_text(&jobs->requests, key);

	if (!known)
		return 0;
	if (known->at_us <= event_time_now() - REQUEST_LIFE_US) {
		forget(jobs, known);
		return 0;
	}
	if (strcmp(known->digest, digest) != 0)
		return vn_fail_at(err, "/request_id", VN_E_INVALID, "request_id '%s' was used "
				  "with other parameters (job %" PRId64 "); use a new one",
				  change->request_id, known->job);
	return answer_known(call, change, known->job, err) < 0 ? -1 : 1;
}

static void
record_request(struct call *call, const struct change_params *change, const char *key,
	       const char *digest, int64_t job)
{
	struct daemon *daemon = call_daemon(call);
	int64_t now = event_time_now();

	vn_list_each_safe(struct known_request, known, &daemon->jobs->request_list, link) {
		if (known->at_us > now - REQUEST_LIFE_US)
			break;
		forget(daemon->jobs, known);
	}
	remember(daemon->jobs, key, digest, job, now);
	store_put(daemon->store, "DELETE FROM requests WHERE at <= ?", "i", now - REQUEST_LIFE_US);
	store_put(daemon->store, "INSERT OR REPLACE INTO requests VALUES(?,?,?,?,?)", "issii",
		  (int64_t)call_uid(call), change->request_id, digest, job, now);
}

int
job_answer_repeated(struct call *call, const struct change_params *change, struct vn_error *err)
{
	vn_autofree char *key = NULL;
	char digest[DIGEST_TEXT];

	if (!change->request_id)
		return 0;
	key = vn_format("%d/%s", (int)call_uid(call), change->request_id);
	digest_call(call_method(call)->name, call_params(call), digest);
	return answer_repeated(call, change, key, digest, err);
}

int
job_answer(struct call *call, const struct change_params *change, const struct verb *verb,
	   VN_TAKES json_t *params, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	vn_autofree char *key = NULL;
	char digest[DIGEST_TEXT];
	struct job *job;

	if (change->request_id) {
		key = vn_format("%d/%s", (int)call_uid(call), change->request_id);
		digest_call(call_method(call)->name, call_params(call), digest);
	}
	if (change->timeout_ms)
		json_object_set_new(params, "timeout_ms", json_integer(change->timeout_ms));
	daemon->jobs->blocker = 0;
	if (job_begin(daemon, verb, NULL, call_uid(call), params, &job, err) < 0) {
		if (err->code == VN_E_BUSY)
			call_error_job(call, daemon->jobs->blocker);
		return -1;
	}
	if (key)
		record_request(call, change, key, digest, job->id);
	answer_later(call, change, job);
	return 0;
}

int
job_answer_same(struct call *call, const struct change_params *change, struct job *job,
		struct vn_error *err)
{
	(void)err;
	answer_later(call, change, job);
	return 0;
}

static const struct step no_steps[] = { { 0 } };

static void *
load_nothing(struct job *job, struct vn_error *err)
{
	(void)err;
	job->result = json_incref(job->params);
	return job->params;
}

int
job_answer_nothing(struct call *call, const struct change_params *change, const char *method,
		   VN_TAKES json_t *result, struct vn_error *err)
{
	/* One verb a method, so that the job's row says what was asked. */
	static struct verb nothing[METHOD_COUNT];
	size_t i = (size_t)(method_find(method) - methods);

	assert(i < METHOD_COUNT);
	nothing[i] = (struct verb){ .method = methods[i].name, .version = 1, .steps = no_steps,
				    .load = load_nothing };
	return job_answer(call, change, &nothing[i], result, err);
}
