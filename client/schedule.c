/*
 * Schedules of LANs: a file that holds the list (or the list as a document has it), and what has become of
 * one as a table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/change.h"
#include "client/document_file.h"
#include "client/options.h"
#include "client/output.h"
#include "client/schedule.h"
#include "proto/base/mem.h"

/* " rate=1Mbit loss=-" */
static void
print_fields(FILE *out, json_t *shape)
{
	const char *key;
	json_t *value;

	if (json_is_null(shape) || !json_object_size(shape))
		fputs(" none", out);
	json_object_foreach(shape, key, value) {
		vn_autofree char *text = output_cell(value, CELL_TEXT);

		fprintf(out, " %s=%s", key, text);
	}
}

static void
print_up(FILE *out, json_t *up)
{
	if (json_is_boolean(up))
		fputs(json_is_true(up) ? " up" : " down", out);
}

static char *
print_change(json_t *entry)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const char *name, *way;
	json_t *member, *shape;

	if (!out)
		abort();
	print_up(out, json_object_get(entry, "up"));
	if (json_object_get(entry, "shape"))
		print_fields(out, json_object_get(entry, "shape"));
	json_object_foreach(json_object_get(entry, "members"), name, member) {
		fprintf(out, "; %s", name);
		print_up(out, json_object_get(member, "up"));
		json_object_foreach(json_object_get(member, "shape"), way, shape) {
			fprintf(out, " %s", way);
			print_fields(out, shape);
		}
	}
	fclose(out);
	return text;
}

void
schedule_print(json_t *schedule)
{
	static const struct column columns[] = {
		{ "ENTRY", "entry", CELL_NUMBER }, { "AT", "at", CELL_TIME },
		{ "STATE", "state", 0 }, { "LATE MS", "late_ms", CELL_NUMBER },
		{ "CHANGE", "change", 0 }, { "ERROR", "error", 0 },
		{ 0 },
	};
	json_t *rows = json_array(), *entry;
	size_t i;

	json_array_foreach(schedule, i, entry) {
		vn_autofree char *change = print_change(entry);
		json_t *row = json_copy(entry);

		json_object_set_new(row, "change", json_string(change + strspn(change, " ;")));
		json_array_append_new(rows, row);
	}
	output_inner_table(columns, rows);
	json_decref(rows);
}

int
verb_lan_schedule(struct client *client, const struct arguments *args)
{
	json_t *list = json_array();
	int status;

	if (args->clear == (args->n_operands > 1)) {
		json_decref(list);
		return client_usage(client, "give either a file with the schedule, or --clear");
	}
	if (!args->clear) {
		json_decref(list);
		status = document_read(client, args->operands[1], &list);
		if (status != STATUS_DONE)
			return status;
	}
	if (json_object_get(list, "schedule")) {
		json_t *inner = json_incref(json_object_get(list, "schedule"));

		json_decref(list);
		list = inner;
	}
	return change_one(client, args, args->operands[0], json_pack("{s:s, s:o}", "lan",
			  args->operands[0], "schedule", list));
}
