/*
 * Topologies: files in, plans and lists out. The file is parsed here only so far that a syntax
 * error has its line and column; what it means is the daemon's business, whose errors point into
 * the file.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/document_file.h"
#include "client/options.h"
#include "client/output.h"

static void
print_plan(json_t *plan)
{
	static const struct column columns[] = {
		{ "ACTION", "action", 0 }, { "KIND", "kind", 0 },     { "NAME", "name", 0 },
		{ "HOW", "how", 0 },	   { "FIELDS", "fields", 0 }, { 0 },
	};
	json_t *warning;
	size_t i;

	output_table(columns, output_rows(plan, "actions"), "differences");
	json_array_foreach(json_object_get(plan, "warnings"), i, warning)
		printf("warning: %s\n", json_string_value(warning));
}

static json_t *
document_params(const struct arguments *args, const struct topology_file *file, bool prune)
{
	json_t *params = topology_file_params(file);

	if (prune)
		json_object_set_new(params, "prune", json_true());
	if (args->allow_recreate)
		json_object_set_new(params, "allow_recreate", json_true());
	return params;
}

static int
get_plan(struct client *client, const struct arguments *args, const struct topology_file *file, bool prune,
	 json_t **ret)
{
	return client_get_with(client, file->path, "topology.plan", document_params(args, file, prune),
			       file->fds, file->n_fds, ret);
}

int
verb_topology_plan(struct client *client, const struct arguments *args)
{
	struct topology_file file;
	json_t *plan = NULL;
	int status = topology_file_open(client, args->operands[0], &file);

	if (status == STATUS_DONE)
		status = get_plan(client, args, &file, args->prune, &plan);
	if (status == STATUS_DONE && client->json)
		output_json(plan);
	else if (status == STATUS_DONE)
		print_plan(plan);
	topology_file_close(&file);
	json_decref(plan);
	return status;
}

/* Asks whether what the file no longer names (the plan would keep it) is to go. */
static int
ask_prune(struct client *client, const struct arguments *args, const struct topology_file *file, bool *ret)
{
	json_t *plan = NULL, *action;
	json_t *kept = json_array();
	vn_autofree char *names = NULL;
	size_t i;
	int status = get_plan(client, args, file, false, &plan);

	json_array_foreach(output_rows(plan, "actions"), i, action)
		if (strcmp(output_text(action, "action"), "keep") == 0)
			json_array_append(kept, json_object_get(action, "name"));
	names = output_cell(kept, CELL_TEXT);
	*ret = json_array_size(kept) > 0 &&
	       client_confirms(client, "%s no longer names %s; destroy?", file->path, names);
	json_decref(kept);
	json_decref(plan);
	return status;
}

int
verb_topology_apply(struct client *client, const struct arguments *args)
{
	const char *path = args->operands[0];
	struct topology_file file;
	bool prune = args->prune;
	int status = topology_file_open(client, path, &file);

	if (status == STATUS_DONE && !prune && !args->yes && client->terminal &&
	    isatty(STDIN_FILENO) && strcmp(path, "-") != 0)
		status = ask_prune(client, args, &file, &prune);
	if (status == STATUS_DONE)
		status = change_one_with(client, args, document_name(path),
					 document_params(args, &file, prune), file.fds, file.n_fds);
	topology_file_close(&file);
	return status;
}

int
verb_topology_list(struct client *client, const struct arguments *args)
{
	static const struct column columns[] = {
		{ "TOPOLOGY", "name", 0 },	     { "VNODES", "n_vnodes", CELL_NUMBER },
		{ "RUNNING", "running", CELL_NUMBER }, { "LANS", "n_lans", CELL_NUMBER },
		{ "JOB", "job", CELL_NUMBER },	     { 0 },
	};
	json_t *result = NULL;
	int status = client_get(client, NULL, args->verb->method, NULL, &result);

	if (status == STATUS_DONE && client->json)
		output_json(result);
	else if (status == STATUS_DONE)
		output_table(columns, output_rows(result, "topologies"), "topologies");
	json_decref(result);
	return status;
}

static void
print_topology(json_t *topology)
{
	static const struct column record[] = {
		{ "name", "name", 0 },	     { "vnodes", "n_vnodes", 0 }, { "running", "running", 0 },
		{ "lans", "n_lans", 0 },     { "job", "job", 0 },	  { 0 },
	};
	static const struct column vnodes[] = {
		{ "VNODE", "name", 0 },	    { "VMID", "vmid", CELL_NUMBER },
		{ "WANTED", "wanted", 0 },  { "OBSERVED", "observed", 0 }, { 0 },
	};
	static const struct column lans[] = {
		{ "LAN", "name", 0 }, { "UP", "up", 0 }, { "MEMBERS", "members", CELL_MEMBERS }, { 0 },
	};

	output_record(record, topology);
	output_inner_table(vnodes, json_object_get(topology, "vnodes"));
	output_inner_table(lans, json_object_get(topology, "lans"));
}

int
verb_topology_show(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0];
	json_t *topology = NULL;
	int status = client_get(client, name, args->verb->method,
				json_pack("{s:s}", "topology", name), &topology);

	if (status == STATUS_DONE && client->json)
		output_json(topology);
	else if (status == STATUS_DONE)
		print_topology(topology);
	json_decref(topology);
	return status;
}

int
verb_topology_export(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0];
	json_t *document = NULL;
	int status = client_get(client, name, args->verb->method,
				json_pack("{s:s}", "topology", name), &document);

	/* Also without a terminal it is a file for people. */
	if (status == STATUS_DONE && client->json)
		output_json(document);
	else if (status == STATUS_DONE) {
		json_dumpf(document, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(document);
	return status;
}

int
verb_topology_delete(struct client *client, const struct arguments *args)
{
	return change_one(client, args, args->operands[0],
			  json_pack("{s:s}", "topology", args->operands[0]));
}
