/* Jobs: what goes on, and waiting for or cancelling it. */

#include <errno.h>
#include <stdlib.h>

#include "client/change.h"
#include "client/options.h"
#include "client/output.h"

int
verb_job_list(struct client *client, const struct arguments *args)
{
	static const struct column columns[] = {
		{ "JOB", "job", CELL_NUMBER },	 { "PARENT", "parent", CELL_NUMBER },
		{ "METHOD", "method", 0 },	 { "STATE", "state", 0 },
		{ "DONE", "done", CELL_NUMBER }, { "TOTAL", "total", CELL_NUMBER },
		{ "STEP", "step", 0 },		 { "CREATED", "created", CELL_TIME },
		{ "VNODES", "vnodes", 0 },	 { 0 },
	};
	json_t *params = json_pack("{s:b}", "all", args->all), *result = NULL;
	int status;

	if (args->limit >= 0)
		json_object_set_new(params, "limit", json_integer(args->limit));
	status = client_get(client, NULL, args->verb->method, params, &result);
	if (status == STATUS_DONE && client->json)
		output_json(result);
	else if (status == STATUS_DONE)
		output_table(columns, output_rows(result, "jobs"), "jobs");
	json_decref(result);
	return status;
}

/* Reads a job's number; -1 after printing a usage error. */
static int64_t
job_number(struct client *client, const char *text)
{
	char *end;
	long long job;

	errno = 0;
	job = strtoll(text, &end, 10);
	if (!errno && *text && !*end && job > 0)
		return job;
	client_usage(client, "'%s' is no job's number (see: vnodectl jobs)", text);
	return -1;
}

static void
print_job(json_t *job)
{
	static const struct column record[] = {
		{ "job", "job", 0 },		   { "parent", "parent", 0 },
		{ "method", "method", 0 },	   { "state", "state", 0 },
		{ "step", "step", 0 },		   { "done", "done", 0 },
		{ "total", "total", 0 },	   { "vnodes", "vnodes", 0 },
		{ "uid", "uid", 0 },		   { "created", "created", CELL_TIME },
		{ "ended", "ended", CELL_TIME },   { "error", "error", CELL_ERROR },
		{ "result", "result", 0 },	   { 0 },
	};
	static const struct column steps[] = {
		{ "STEP", "name", 0 }, { "STATE", "state", 0 }, { "MS", "ms", CELL_NUMBER }, { 0 },
	};

	output_record(record, job);
	output_inner_table(steps, json_object_get(job, "steps"));
}

int
verb_job_show(struct client *client, const struct arguments *args)
{
	int64_t number = job_number(client, args->operands[0]);
	json_t *job = NULL;
	int status;

	if (number < 0)
		return STATUS_USAGE;
	status = client_get(client, NULL, args->verb->method,
			    json_pack("{s:I}", "job", (json_int_t)number), &job);
	if (status == STATUS_DONE && client->json)
		output_json(job);
	else if (status == STATUS_DONE)
		print_job(job);
	json_decref(job);
	return status;
}

/* Changes that only follow the jobs of the operands; NULL after a usage error. */
static struct change *
changes_of_jobs(struct client *client, const struct arguments *args)
{
	struct change *changes = vn_alloc_array((size_t)args->n_operands, sizeof(*changes));

	for (int i = 0; i < args->n_operands; i++) {
		changes[i].subject = args->operands[i];
		changes[i].job = job_number(client, args->operands[i]);
		changes[i].wait_ms = args->timeout_ms > 0 ? args->timeout_ms : 0;
		if (changes[i].job < 0) {
			free(changes);
			return NULL;
		}
	}
	return changes;
}

int
verb_job_wait(struct client *client, const struct arguments *args)
{
	struct change *changes = changes_of_jobs(client, args);
	int status;

	if (!changes)
		return STATUS_USAGE;
	status = change_all(client, args, changes, (size_t)args->n_operands);
	changes_free(changes, (size_t)args->n_operands);
	return status;
}

/* Asks for each cancellation; what cannot be cancelled is printed and left out of the wait. */
int
verb_job_cancel(struct client *client, const struct arguments *args)
{
	struct change *changes = changes_of_jobs(client, args);
	size_t count = 0;
	int status = STATUS_DONE;

	if (!changes)
		return STATUS_USAGE;
	for (int i = 0; i < args->n_operands; i++) {
		json_t *job = NULL;
		int one = client_get(client, args->operands[i], args->verb->method,
				     json_pack("{s:I}", "job", (json_int_t)changes[i].job), &job);

		json_decref(job);
		status = one > status ? one : status;
		if (one == STATUS_DONE) {
			changes[count] = changes[i];
			changes[count++].may_be_cancelled = true;
		}
	}
	if (count > 0 && !args->no_wait) {
		int waited = change_all(client, args, changes, count);

		status = waited > status ? waited : status;
	}
	changes_free(changes, count);
	return status;
}
