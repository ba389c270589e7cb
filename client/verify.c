/* Whether things are as they are wanted: each difference in a line for people. */
#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/options.h"
#include "client/output.h"
#include "client/probe.h"
#include "proto/base/mem.h"
#include "proto/base/units.h"

/* Fields whose name or value people write in another way; share: 0 to 1 as a percentage. */
static const struct {
	const char *field, *name;
	enum { IS_SHARE = -1 } share;
	enum vn_unit unit;
} quantities[] = {
	{ "rate_bps", "rate", 0, VN_UNIT_RATE },
	{ "cutter_rate_bps", "rate of the cutter", 0, VN_UNIT_RATE },
	{ "delay_ns", "delay", 0, VN_UNIT_TIME },
	{ "jitter_ns", "jitter", 0, VN_UNIT_TIME },
	{ "limit_bytes", "limit", 0, VN_UNIT_SIZE },
	{ "loss", "loss", IS_SHARE, 0 },
	{ "loss_correlation", "loss correlation", IS_SHARE, 0 },
	{ "duplicate", "duplicate", IS_SHARE, 0 },
	{ "corrupt", "corrupt", IS_SHARE, 0 },
	{ "reorder", "reorder", IS_SHARE, 0 },
	{ "reorder_correlation", "reorder correlation", IS_SHARE, 0 },
};

/* The quantity of a field; -1: it is none. */
static int
quantity_of(const char *field)
{
	for (size_t i = 0; i < VN_COUNT(quantities); i++)
		if (strcmp(quantities[i].field, field) == 0)
			return (int)i;
	return -1;
}

/* "3 ms": as in documents, but for the blank. */
static void
print_quantity(FILE *out, json_t *value, int quantity)
{
	char text[VN_QUANTITY_TEXT];
	size_t digits;

	if (quantities[quantity].share == IS_SHARE) {
		vn_probability_print(json_number_value(value), text);
		fputs(text, out);
		return;
	}
	vn_quantity_print(quantities[quantity].unit, (uint64_t)json_integer_value(value), text);
	digits = strspn(text, "0123456789.");
	fprintf(out, "%.*s %s", (int)digits, text, text + digits);
}

static void
print_value(FILE *out, json_t *value, const char *field)
{
	int quantity = quantity_of(field);
	vn_autofree char *cell = NULL;

	if (json_is_number(value) && quantity >= 0) {
		print_quantity(out, value, quantity);
		return;
	}
	if (json_is_boolean(value)) {
		fputs(json_is_true(value) ? "yes" : "no", out);
		return;
	}
	cell = output_cell(value, CELL_TEXT);
	fputs(json_is_null(value) ? "none" : cell, out);
}

/* "pair/alice eth1", "pair/link0", "uplink vnc1": whom people look for. */
static void
print_subject(FILE *out, json_t *difference)
{
	const char *vnode = output_text(difference, "vnode"), *lan = output_text(difference, "lan");
	const char *interface = output_text(difference, "interface");

	if (*vnode)
		fprintf(out, "%s%s%s", vnode, *interface ? " " : "", interface);
	else if (*lan)
		fputs(lan, out);
	else
		fprintf(out, "%s %s", output_text(difference, "kind"), output_text(difference, "object"));
}

static void
print_field(FILE *out, json_t *difference, const char *field)
{
	int quantity = quantity_of(field);
	const char *name = quantity < 0 ? field : quantities[quantity].name;

	for (const char *at = name; *at; at++)
		fputc(*at == '_' ? ' ' : *at, out);
	if (strcmp(output_text(difference, "direction"), "sent") == 0)
		fputs(" of what it sends", out);
}

static void
print_difference(FILE *out, json_t *difference)
{
	const char *field = output_text(difference, "field");
	json_t *wanted = json_object_get(difference, "wanted");
	json_t *found = json_object_get(difference, "found");
	json_t *only = json_is_null(found) ? wanted : found;

	print_subject(out, difference);
	if (strcmp(field, "exists") == 0) {
		fprintf(out, ": %s %s is %s\n", output_text(difference, "kind"),
			output_text(difference, "object"),
			json_is_true(wanted) ? "missing" : "there, and nobody wants it");
		return;
	}
	fputs(": ", out);
	print_field(out, difference, field);
	if (json_is_null(wanted) || json_is_null(found)) {
		fputc(' ', out);
		print_value(out, only, field);
		fputs(only == wanted ? " is missing\n" : " is there, and nobody wants it\n", out);
		return;
	}
	fputs(" is ", out);
	print_value(out, found, field);
	fputs(", wanted ", out);
	print_value(out, wanted, field);
	fputc('\n', out);
}

static void
print_differences(json_t *list)
{
	json_t *difference;
	size_t i;

	json_array_foreach(list, i, difference) {
		char *line = NULL;
		size_t size;
		FILE *out = open_memstream(&line, &size);
		json_t *text;
		vn_autofree char *cell = NULL;

		print_difference(out, difference);
		fclose(out);
		line[size - 1] = '\0';
		text = json_string(line);
		cell = output_cell(text, CELL_TEXT);	/* without control characters */
		puts(cell);
		json_decref(text);
		free(line);
	}
}

/* "all is as wanted: 4 ports, 8 qdiscs, …". */
static void
print_clean(json_t *checked)
{
	const char *what, *before = ": ";
	json_t *count;

	fputs("all is as wanted", stdout);
	json_object_foreach(checked, what, count) {
		if (!json_integer_value(count))
			continue;
		printf("%s%lld %s", before, (long long)json_integer_value(count), what);
		before = ", ";
	}
	putchar('\n');
}

static void
print_busy(json_t *busy)
{
	json_t *name;
	size_t i;

	json_array_foreach(busy, i, name)
		printf("%s: not looked at, a job is at work on it\n", json_string_value(name));
}

static int
repair(struct client *client, const struct arguments *args, const char *topology)
{
	struct change *change = vn_alloc(sizeof(*change));
	json_t *result, *left;
	int status;

	change->subject = topology ? topology : "host";
	change->method = "host.repair";
	change->params = json_pack("{s:s*}", "topology", topology);
	status = change_all(client, args, change, 1);
	result = json_object_get(change->ended, "result");
	left = json_object_get(result, "left");
	if (!client->json && change->ended && json_is_object(result)) {
		printf("mended: %lld\n", (long long)json_integer_value(json_object_get(result, "mended")));
		print_differences(left);
		print_busy(json_object_get(result, "busy"));
	}
	if (status == STATUS_DONE && json_array_size(left))
		status = STATUS_FAILED;
	changes_free(change, 1);
	return status;
}

int
verb_verify(struct client *client, const struct arguments *args)
{
	const char *topology = args->n_operands ? args->operands[0] : NULL;
	json_t *result = NULL, *differences;
	int status;

	if (args->probe)
		return probe_lan(client, args);
	if (args->repair)
		return repair(client, args, topology);
	status = client_get(client, topology, args->verb->method, json_pack("{s:s*}", "topology", topology),
			    &result);
	differences = json_object_get(result, "differences");
	if (status == STATUS_DONE && client->json) {
		output_json(result);
	} else if (status == STATUS_DONE) {
		print_differences(differences);
		print_busy(json_object_get(result, "busy"));
		if (!json_array_size(differences))
			print_clean(json_object_get(result, "checked"));
	}
	if (status == STATUS_DONE && json_array_size(differences))
		status = STATUS_FAILED;
	json_decref(result);
	return status;
}
