/*
 * The event log, a line an event. Following survives a restart of the daemon: it subscribes again
 * after the last number seen, and the daemon sends what was missed.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/interrupt.h"
#include "client/options.h"
#include "client/output.h"
#include "proto/message.h"

#define PAGE 1000			/* events of one answer */

/* "state=running cause=exited" */
static void
print_data(json_t *data)
{
	const char *key;
	json_t *value;

	json_object_foreach(data, key, value) {
		vn_autofree char *cell =
			output_cell(value, strcmp(key, "exit") == 0 ? CELL_EXIT : CELL_TEXT);

		if (!json_is_null(value))
			printf(" %s=%s", key, cell);
	}
}

static void
print_event(const struct client *client, json_t *event)
{
	const char *topology = output_text(event, "topology"), *vnode = output_text(event, "vnode");
	const char *lan = output_text(event, "lan");
	json_int_t job = json_integer_value(json_object_get(event, "job"));

	if (client->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
	} else {
		printf("%" JSON_INTEGER_FORMAT " %s %s",
		       json_integer_value(json_object_get(event, "seq")),
		       output_text(event, "time"), output_text(event, "type"));
		if (*vnode || *topology)
			printf(" %s%s%s", topology, *topology && *vnode ? "/" : "", vnode);
		if (*lan)
			printf(" lan=%s", lan);
		if (job > 0)
			printf(" job=%" JSON_INTEGER_FORMAT, job);
		print_data(json_object_get(event, "data"));
	}
	putchar('\n');
	fflush(stdout);
}

static json_t *
filter_params(const struct arguments *args, int64_t since)
{
	json_t *params =
		json_pack("{s:I, s:s*}", "since", (json_int_t)since, "topology", args->topology);
	const char *at = args->types;
	json_t *types = json_array();

	while (at && *at) {
		size_t length = strcspn(at, ",");

		json_array_append_new(types, json_stringn(at, length));
		at += length + (at[length] == ',');
	}
	if (json_array_size(types) > 0)
		json_object_set(params, "types", types);
	json_decref(types);
	return params;
}

static int
list(struct client *client, const struct arguments *args)
{
	int64_t since = args->since > 0 ? args->since : 0;
	size_t count, i;

	do {
		json_t *params = filter_params(args, since), *result = NULL, *rows, *event;
		int status;

		json_object_set_new(params, "limit", json_integer(PAGE));
		status = client_get(client, NULL, "event.list", params, &result);
		if (status != STATUS_DONE)
			return status;
		rows = output_rows(result, "events");
		count = json_array_size(rows);
		json_array_foreach(rows, i, event) {
			print_event(client, event);
			since = json_integer_value(json_object_get(event, "seq"));
		}
		json_decref(result);
	} while (count >= PAGE);
	return STATUS_DONE;
}

struct follower {
	struct client *client;
	const struct arguments *args;
	int64_t since;			/* the last number seen; -1: none yet */
	char epoch[80];			/* of the database that numbers them; "" before the first */
};

/* Subscribes. Returns an exit status. */
static int
subscribe(struct follower *follower)
{
	struct answer answer = { 0 };
	const char *epoch;
	int status = client_ask(follower->client, "event.subscribe",
				filter_params(follower->args, follower->since), &answer);

	if (status == STATUS_DONE && !answer.result)
		status = client_refused(follower->client, NULL, &answer.error);
	epoch = output_text(answer.result, "epoch");
	if (status == STATUS_DONE && *follower->epoch && strcmp(epoch, follower->epoch) != 0) {
		fprintf(stderr, "%s: the database was made anew, numbers begin again\n",
			follower->client->program);
		follower->since = -1;
	}
	snprintf(follower->epoch, sizeof(follower->epoch), "%s", epoch);
	if (status == STATUS_DONE && follower->since < 0)
		follower->since = json_integer_value(json_object_get(answer.result, "seq"));
	answer_fini(&answer);
	return status;
}

/* Prints what comes until the connection is lost. */
static void
print_all(struct follower *follower, struct vn_error *err)
{
	struct arrival arrival;

	while (connection_receive(follower->client->connection, -1, &arrival, err) >= 0) {
		json_t *event = json_object_get(json_object_get(arrival.value, "params"), "event");

		if (event) {
			print_event(follower->client, event);
			follower->since = json_integer_value(json_object_get(event, "seq"));
		}
		arrival_fini(&arrival);
	}
}

int
verb_event_list(struct client *client, const struct arguments *args)
{
	struct follower follower = { .client = client, .args = args, .since = args->since };
	struct vn_error err = { 0 };
	int status;

	if (!args->follow)
		return list(client, args);
	do {
		status = subscribe(&follower);
		if (status != STATUS_DONE)
			return status;
		print_all(&follower, &err);
	} while (client_reconnect(client, &err) == 0);
	return client_lost(client, &err);
}
