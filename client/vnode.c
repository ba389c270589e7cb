/*
 * The vnode verbs but exec and console. boot, halt, reboot, reload, destroy, mount and unmount are
 * one function: the row of the verb says which method.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/fields.h"
#include "client/options.h"
#include "client/output.h"

#define PAGE 1000			/* vnodes of one answer */

/* The words of "a,b,c" as an array; NULL for NULL. */
static json_t *
words(const char *text)
{
	json_t *array = json_array();

	while (text && *text) {
		size_t length = strcspn(text, ",");

		if (length > 0)
			json_array_append_new(array, json_stringn(text, length));
		text += length + (text[length] == ',');
	}
	return array;
}

/* All pages of vnode.list as one answer. Returns an exit status. */
static int
list_all(struct client *client, const char *topology, const char *fields, json_t **ret)
{
	json_t *all = NULL, *page, *rows;
	int64_t after = 0;
	int status;

	do {
		json_t *params = json_pack("{s:i, s:I, s:s*}", "limit", PAGE, "after",
					   (json_int_t)after, "topology", topology);

		if (fields)
			json_object_set_new(params, "fields", words(fields));
		status = client_get(client, topology, "vnode.list", params, &page);
		if (status != STATUS_DONE) {
			json_decref(all);
			return status;
		}
		rows = output_rows(page, "vnodes");
		after = json_integer_value(json_object_get(
			json_array_get(rows, json_array_size(rows) - 1), "vmid"));
		if (all)
			json_array_extend(output_rows(all, "vnodes"), rows);
		else
			all = json_incref(page);
		status = json_array_size(rows) >= PAGE;
		json_decref(page);
	} while (status);
	*ret = all;
	return STATUS_DONE;
}

int
verb_vnode_list(struct client *client, const struct arguments *args)
{
	static const struct column columns[] = {
		{ "TOPOLOGY", "topology", 0 },	   { "NAME", "name", 0 },
		{ "VMID", "vmid", CELL_NUMBER },   { "BACKEND", "backend", 0 },
		{ "WANTED", "wanted", 0 },	   { "OBSERVED", "observed", 0 },
		{ "JOB", "job", CELL_NUMBER },	   { 0 },
	};
	struct column more[16] = { 0 };
	json_t *asked = words(args->wanted_fields), *result = NULL;
	size_t n = VN_COUNT(columns) - 1;
	int status = list_all(client, args->topology, args->wanted_fields, &result);

	memcpy(more, columns, sizeof(columns));
	for (size_t i = 0; i < json_array_size(asked) && n < VN_COUNT(more) - 1; i++) {
		const char *key = json_string_value(json_array_get(asked, i));

		more[n++] = (struct column){ key, key,
					     strcmp(key, "exit") == 0 ? CELL_EXIT : CELL_TEXT };
	}
	if (status == STATUS_DONE && client->json)
		output_json(result);
	else if (status == STATUS_DONE)
		output_table(more, output_rows(result, "vnodes"), "vnodes");
	json_decref(asked);
	json_decref(result);
	return status;
}

static void
print_vnode(json_t *vnode)
{
	static const struct column record[] = {
		{ "name", "name", 0 },		   { "topology", "topology", 0 },
		{ "vmid", "vmid", 0 },		   { "uuid", "uuid", 0 },
		{ "backend", "backend", 0 },	   { "image", "image", 0 },
		{ "wanted", "wanted", 0 },	   { "observed", "observed", 0 },
		{ "since", "since", CELL_TIME },   { "ready", "ready", 0 },
		{ "job", "job", 0 },
		{ "error", "error", CELL_ERROR },  { "memory", "memory_bytes", CELL_BYTES },
		{ "vcpus", "vcpus", CELL_LIMIT },  { "pids", "pids", CELL_LIMIT },
		{ "restart", "restart", 0 },	   { "privileged", "privileged", 0 },
		{ "disk", "disk/type", 0 },	   { "disk size", "disk/size_bytes", CELL_BYTES },
		{ "last exit", "exit", CELL_EXIT }, { "exited at", "exit/at", CELL_TIME }, { 0 },
	};
	static const struct column interfaces[] = {
		{ "INTERFACE", "name", 0 }, { "LAN", "lan", 0 },       { "MAC", "mac", 0 },
		{ "DEVICE", "device", 0 },  { "ADDRESSES", "addresses", 0 }, { 0 },
	};
	static const struct column forwards[] = {
		{ "HOST", "host", CELL_NUMBER }, { "GUEST", "guest", CELL_NUMBER },
		{ "PROTOCOL", "protocol", 0 },	 { "ADDRESS", "address", 0 }, { 0 },
	};

	output_record(record, vnode);
	output_inner_table(interfaces, json_object_get(vnode, "interfaces"));
	output_inner_table(forwards, json_object_get(vnode, "forwards"));
}

int
verb_vnode_show(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0];
	json_t *vnode = NULL;
	int status =
		client_get(client, name, "vnode.get", json_pack("{s:s}", "vnode", name), &vnode);

	if (status == STATUS_DONE && client->json)
		output_json(vnode);
	else if (status == STATUS_DONE)
		print_vnode(vnode);
	json_decref(vnode);
	return status;
}

int
verb_vnode_wait(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0];
	json_t *params = json_pack("{s:s, s:[]}", "vnode", name, "observed");
	json_t *vnode = NULL;
	int status;

	for (int i = 1; i < args->n_operands; i++)
		json_array_append_new(json_object_get(params, "observed"),
				      json_string(args->operands[i]));
	if (args->timeout_ms >= 0)
		json_object_set_new(params, "timeout_ms", json_integer(args->timeout_ms));
	status = client_get(client, name, "vnode.wait", params, &vnode);
	if (status == STATUS_DONE && client->json)
		output_json(vnode);
	json_decref(vnode);
	return status;
}

/* The names that --all means, as references; NULL after a failure. Returns an exit status. */
static int
all_names(struct client *client, const char *topology, json_t **ret)
{
	json_t *result, *vnode;
	size_t i;
	int status = list_all(client, topology, NULL, &result);

	if (status != STATUS_DONE)
		return status;
	*ret = json_array();
	json_array_foreach(output_rows(result, "vnodes"), i, vnode)
		json_array_append_new(*ret, json_sprintf("%s/%s", output_text(vnode, "topology"),
							 output_text(vnode, "name")));
	json_decref(result);
	return STATUS_DONE;
}

static json_t *
given_names(const struct arguments *args)
{
	json_t *names = json_array();

	for (int i = 0; i < args->n_operands; i++)
		if (args->topology && !strchr(args->operands[i], '/'))
			json_array_append_new(names, json_sprintf("%s/%s", args->topology,
								  args->operands[i]));
		else
			json_array_append_new(names, json_string(args->operands[i]));
	return names;
}

/* mount tells where the file system is now. */
static void
print_paths(const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *path = output_text(json_object_get(changes[i].ended, "result"), "path");

		if (*path)
			puts(path);
	}
}

int
verb_vnode_change(struct client *client, const struct arguments *args)
{
	json_t *names = NULL;
	struct change *changes;
	size_t count;
	int status = STATUS_DONE;

	if (args->all)
		status = all_names(client, args->topology, &names);
	else
		names = given_names(args);
	count = json_array_size(names);
	changes = vn_alloc_array(count + 1, sizeof(*changes));
	for (size_t i = 0; i < count; i++) {
		changes[i].subject = json_string_value(json_array_get(names, i));
		changes[i].method = args->verb->method;
		changes[i].params = json_pack("{s:s}", "vnode", changes[i].subject);
		if (args->force)
			json_object_set_new(changes[i].params, "force", json_true());
	}
	if (status == STATUS_DONE)
		status = change_all(client, args, changes, count);
	if (!client->json && !args->no_wait)
		print_paths(changes, count);
	changes_free(changes, count);
	json_decref(names);
	return status;
}

int
verb_vnode_create(struct client *client, const struct arguments *args)
{
	json_t *params = json_copy(args->fields);

	json_object_set_new(params, "name", json_string(args->operands[0]));
	if (args->topology)
		json_object_set_new(params, "topology", json_string(args->topology));
	return change_one(client, args, args->operands[0], params);
}

int
verb_vnode_set(struct client *client, const struct arguments *args)
{
	struct vn_error err = { 0 };
	json_t *set = json_object();

	for (int i = 1; i < args->n_operands; i++)
		if (field_assign(set, args->operands[i], &err) < 0) {
			json_decref(set);
			return client_usage(client, "%s", err.text);
		}
	return change_one(client, args, args->operands[0],
			  json_pack("{s:s, s:o, s:b}", "vnode", args->operands[0], "set", set,
				    "restart", args->allow_restart));
}
