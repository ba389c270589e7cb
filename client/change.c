/*
 * Follows changes to their end. Every change walks NEW → SENT → ACCEPTED → WAITING → ENDED; a lost
 * connection puts it one step back (SENT → NEW, WAITING → ACCEPTED), which is all there is to
 * surviving a restart of the daemon. At most WINDOW calls are out at a time, since the daemon
 * bounds what one client may leave unanswered.
 *
 * On a terminal events are the clock of the progress line: each one makes us look at the job again,
 * with one look out at a time. What an event holds does not matter here.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/interrupt.h"
#include "client/options.h"
#include "client/output.h"
#include "proto/base/ident.h"

#define WINDOW 32			/* calls out at a time */

struct run {
	struct client *client;
	const struct change_options *options;
	struct change *changes;
	size_t count, ended;
	size_t out;			/* calls that wait for an answer */
	size_t first;			/* changes before this one have ended */
	int64_t recovery_ends_ms;	/* of a daemon: when to stop trying; 0 = none */
	bool must_pause;
	bool is_subscribed;
	int64_t look_id;		/* of the job.get for the progress line; 0 = none is out */
	struct progress progress;
	int status;
};

static void
fail(struct run *run, int status)
{
	if (status > run->status)
		run->status = status;
}

static void
end(struct run *run, struct change *change)
{
	change->phase = CHANGE_ENDED;
	run->ended++;
	if (!change->error.code)
		return;
	progress_clear(&run->progress);
	fail(run, client_refused(run->client, change->subject, &change->error));
}

/* Sends what the change needs next; -1 when the connection is gone. */
static int
push(struct run *run, struct change *change, struct vn_error *err)
{
	struct connection *connection = run->client->connection;
	json_t *params;

	if (change->phase == CHANGE_ACCEPTED) {
		params = json_pack("{s:I}", "job", (json_int_t)change->job);
		if (!change->method && change->wait_ms > 0)
			json_object_set_new(params, "timeout_ms", json_integer(change->wait_ms));
		change->phase = CHANGE_WAITING;
		run->out++;
		return connection_send(connection, "job.wait", params, NULL, 0, &change->id, err);
	}
	change->phase = CHANGE_SENT;
	run->out++;
	return connection_send(connection, change->method, json_incref(change->params), change->fds,
			       change->n_fds, &change->id, err);
}

/* Sends as much as the window takes; -1 when the connection is gone. */
static int
fill_window(struct run *run, struct vn_error *err)
{
	while (run->first < run->count && run->changes[run->first].phase == CHANGE_ENDED)
		run->first++;
	for (size_t i = run->first; i < run->count && run->out < WINDOW; i++) {
		struct change *change = &run->changes[i];

		if (change->phase != CHANGE_NEW && change->phase != CHANGE_ACCEPTED)
			continue;
		if (push(run, change, err) == 0)
			continue;
		if (err->code != VN_E_REQUEST)
			return -1;
		run->out--;		/* too long for a line: it never left */
		change->error = *err;
		end(run, change);
	}
	return 0;
}

/* The error that a job ended with, as client_refused prints it. */
static void
read_job_error(struct change *change, json_t *job)
{
	const char *state = output_text(job, "state"), *word = NULL, *text = NULL, *path = NULL;
	json_t *error = json_object_get(job, "error");
	enum vn_code code = strcmp(state, "cancelled") == 0 ? VN_E_CANCELLED
			    : strcmp(state, "failed") == 0  ? VN_E_BACKEND
							    : VN_E_TIMEOUT;

	if (strcmp(state, "done") == 0 ||
	    (strcmp(state, "cancelled") == 0 && change->may_be_cancelled))
		return;
	json_unpack(error, "{s?:s, s?:s, s?:s}", "code", &word, "text", &text, "path", &path);
	vn_fail_at(&change->error, path ? path : "", word ? vn_code_from_word(word) : code,
		   "%s", text ? text : "");
	if (!text)
		vn_fail(&change->error, code, "job %" PRId64 " is %s", change->job, state);
}

/*
 * Whether the daemon has just started and takes no changes yet (busy, and no job is in the way):
 * then the call is sent again, for as long as a lost daemon would be waited for.
 */
static bool
is_recovering(struct run *run, const struct answer *answer)
{
	int64_t now = client_now_ms();

	if (answer->error.code != VN_E_BUSY || answer->job)
		return false;
	if (!run->recovery_ends_ms)
		run->recovery_ends_ms = now + run->client->patience_ms;
	run->must_pause = now < run->recovery_ends_ms;
	return run->must_pause;
}

static void
on_accepted(struct run *run, struct change *change, struct answer *answer)
{
	if (!answer->result && is_recovering(run, answer)) {
		change->phase = CHANGE_NEW;
		return;
	}
	if (!answer->result) {
		change->error = answer->error;
		end(run, change);
		return;
	}
	change->job = json_integer_value(json_object_get(answer->result, "job"));
	change->phase = CHANGE_ACCEPTED;
	if (!run->options->no_wait)
		return;
	if (run->client->json)
		output_json(answer->result);
	else
		printf("%" PRId64 "\n", change->job);
	end(run, change);
}

/*
 * Prints what failed of a job's parts: the job itself may have gone on without them. An error of
 * the job that only repeats one of them is not printed again.
 */
static void
print_failures(struct run *run, struct change *change, json_t *job)
{
	json_t *failure;
	size_t i;

	json_array_foreach(json_object_get(job, "failures"), i, failure) {
		vn_autofree char *about = output_cell(json_object_get(failure, "about"), CELL_TEXT);
		struct vn_error error = { .code = vn_code_from_word(output_text(failure, "code")) };

		snprintf(error.text, sizeof(error.text), "%s: %s", about,
			 output_text(failure, "text"));
		if (strstr(change->error.text, output_text(failure, "text")))
			change->error.code = VN_OK;
		progress_clear(&run->progress);
		fail(run, client_refused(run->client, change->subject, &error));
	}
}

static void
on_waited(struct run *run, struct change *change, struct answer *answer)
{
	if (answer->result) {
		change->ended = json_incref(answer->result);
		read_job_error(change, answer->result);
		print_failures(run, change, answer->result);
		if (run->client->json)
			output_json(answer->result);
	} else {
		change->error = answer->error;
	}
	end(run, change);
}

/* A download counts in bytes; a server may not say of how many. So does a capture. */
static void
show_bytes(struct run *run, const struct change *change, json_t *job)
{
	const char *what = strcmp(output_text(job, "step"), "pack") == 0 ? "packed" : "fetched";
	json_t *bytes = json_object_get(job, "bytes");
	json_t *done = json_object_get(bytes, "done"), *total = json_object_get(bytes, "total");
	vn_autofree char *done_text = output_cell(done, CELL_BYTES);
	vn_autofree char *total_text = output_cell(total, CELL_BYTES);
	int64_t of = json_integer_value(total);

	if (of > 0)
		progress_show(&run->progress, "%s %s: %s %s of %s (%d %%)", run->options->verb,
			      change->subject, what, done_text, total_text,
			      (int)(json_integer_value(done) * 100 / of));
	else
		progress_show(&run->progress, "%s %s: %s %s", run->options->verb, change->subject,
			      what, done_text);
}

static void
show_progress(struct run *run, json_t *job)
{
	const struct change *change = &run->changes[run->first];
	int64_t total = json_integer_value(json_object_get(job, "total"));
	json_t *part = json_object_get(job, "progress");

	if (run->count > 1)
		progress_show(&run->progress, "%s: %zu of %zu", run->options->verb, run->ended,
			      run->count);
	else if (json_object_get(job, "bytes"))
		show_bytes(run, change, job);
	else if (part)
		progress_show(&run->progress, "%s %s: %s, %.0f %%", run->options->verb, change->subject,
			      output_text(job, "step"), 100 * json_number_value(json_object_get(part, "done")) /
			      json_number_value(json_object_get(part, "total")));
	else if (total > 0)
		progress_show(&run->progress, "%s %s: %" PRId64 " of %" PRId64 " %s",
			      run->options->verb, change->subject,
			      (int64_t)json_integer_value(json_object_get(job, "done")), total,
			      output_text(job, "step"));
	else
		progress_show(&run->progress, "%s %s: %s", run->options->verb, change->subject,
			      output_text(job, "state"));
}

/* Asks how far the only job is, or says how many have ended. */
static int
look(struct run *run, struct vn_error *err)
{
	const struct change *change = &run->changes[run->first];

	if (!run->progress.on || run->look_id || run->first == run->count || !change->job)
		return 0;
	if (run->count > 1) {
		show_progress(run, NULL);
		return 0;
	}
	return connection_send(run->client->connection, "job.get",
			       json_pack("{s:I}", "job", (json_int_t)change->job), NULL, 0,
			       &run->look_id, err);
}

static int
subscribe(struct run *run, struct vn_error *err)
{
	int64_t id;

	if (!run->progress.on || run->is_subscribed)
		return 0;
	run->is_subscribed = true;
	return connection_send(run->client->connection, "event.subscribe",
			       json_pack("{s:i, s:[s, s, s]}", "since", -1, "types", "job.state",
					 "vnode.state", "image.state"),
			       NULL, 0, &id, err);
}

static void
on_answer(struct run *run, struct arrival *arrival)
{
	int64_t id = arrival_id(arrival);
	struct answer answer;

	answer_take(arrival, &answer);
	if (id == run->look_id) {
		run->look_id = 0;
		if (answer.result && run->first < run->count)
			show_progress(run, answer.result);
	}
	for (size_t i = run->first; i < run->count; i++) {
		struct change *change = &run->changes[i];

		if (change->id != id)
			continue;
		run->out--;
		if (change->phase == CHANGE_SENT)
			on_accepted(run, change, &answer);
		else if (change->phase == CHANGE_WAITING)
			on_waited(run, change, &answer);
		break;
	}
	answer_fini(&answer);
}

/* One turn: send, wait for a line, take it. -1 when the connection is gone. */
static int
turn(struct run *run, struct vn_error *err)
{
	struct arrival arrival;
	bool is_event;
	int got;

	if (run->must_pause && run->out == 0) {
		client_pause();
		run->must_pause = false;
	}
	if (subscribe(run, err) < 0 || (!run->must_pause && fill_window(run, err) < 0))
		return -1;
	if (run->ended == run->count)
		return 0;
	got = connection_receive(run->client->connection, -1, &arrival, err);
	if (got <= 0)
		return got;
	is_event = arrival_id(&arrival) < 0;
	if (is_event)
		arrival_fini(&arrival);
	else
		on_answer(run, &arrival);
	return is_event || run->count > 1 ? look(run, err) : 0;
}

/* Connects, and puts back what had been sent over the connection that broke. */
static int
reconnect(struct run *run, struct vn_error *err)
{
	for (size_t i = run->first; i < run->count; i++) {
		struct change *change = &run->changes[i];

		if (change->phase == CHANGE_SENT)
			change->phase = CHANGE_NEW;
		else if (change->phase == CHANGE_WAITING)
			change->phase = CHANGE_ACCEPTED;
		change->id = 0;
	}
	run->out = 0;
	run->look_id = 0;
	run->is_subscribed = false;
	progress_show(&run->progress, "%s: waiting for vnoded at %s", run->options->verb,
		      run->client->socket);
	return client_reconnect(run->client, err);
}

static void
detach(struct run *run)
{
	progress_clear(&run->progress);
	for (size_t i = run->first; i < run->count; i++) {
		const struct change *change = &run->changes[i];

		if (change->phase == CHANGE_ENDED)
			continue;
		if (change->job)
			fprintf(stderr,
				"job %" PRId64 " goes on; follow it with: vnodectl wait %" PRId64
				"; cancel it with: vnodectl cancel %" PRId64 "\n",
				change->job, change->job, change->job);
		else if (change->phase == CHANGE_SENT)
			fprintf(stderr, "%s: not answered yet; see: vnodectl jobs\n",
				change->subject);
		else
			fprintf(stderr, "%s: not asked for\n", change->subject);
	}
	fail(run, STATUS_SIGNAL + interrupt_signal());
}

/* Fills in what every change carries. */
static void
prepare(struct run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		struct change *change = &run->changes[i];

		change->phase = change->method ? CHANGE_NEW : CHANGE_ACCEPTED;
		if (!change->method)
			continue;
		vn_uuid_new(change->request_id);
		json_object_set_new(change->params, "request_id", json_string(change->request_id));
		if (run->options->timeout_ms >= 0)
			json_object_set_new(change->params, "timeout_ms",
					    json_integer(run->options->timeout_ms));
	}
}

int
changes_run(struct client *client, const struct change_options *options, struct change *changes,
	    size_t count)
{
	struct run run = { .client = client, .options = options, .changes = changes, .count = count,
			   .progress.on = client->terminal && !options->no_wait };
	struct vn_error err = { 0 };

	interrupt_catch();
	prepare(&run);
	if (client_connect(client, &err) < 0)
		return client_lost(client, &err);
	while (run.ended < count && !interrupt_signal())
		if (turn(&run, &err) < 0 && reconnect(&run, &err) < 0)
			break;
	progress_clear(&run.progress);
	if (run.ended < count && interrupt_signal())
		detach(&run);
	else if (run.ended < count)
		fail(&run, client_lost(client, &err));
	return run.status;
}

void
changes_free(struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_decref(changes[i].params);
		json_decref(changes[i].ended);
	}
	free(changes);
}

int
change_all(struct client *client, const struct arguments *args, struct change *changes,
	   size_t count)
{
	struct change_options options = { .verb = args->verb->name,
					  .timeout_ms = args->timeout_ms,
					  .no_wait = args->no_wait };

	return changes_run(client, &options, changes, count);
}

int
change_one(struct client *client, const struct arguments *args, const char *subject,
	   VN_TAKES json_t *params)
{
	return change_one_with(client, args, subject, params, NULL, 0);
}

int
change_one_with(struct client *client, const struct arguments *args, const char *subject,
		VN_TAKES json_t *params, const int *fds, unsigned n_fds)
{
	struct change *change = vn_alloc(sizeof(*change));
	int status;

	change->fds = fds;
	change->n_fds = n_fds;

	change->subject = subject;
	change->method = args->verb->method;
	change->params = params;
	status = change_all(client, args, change, 1);
	changes_free(change, 1);
	return status;
}
