/*
 * The image verbs. A local file is opened here and its descriptor passed: the daemon opens no path
 * that a client names. The digest is the caller's to know; computing it from the file that is being
 * added would only prove that the file equals itself.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/options.h"
#include "client/output.h"

static bool
is_url(const char *text)
{
	return strstr(text, "://") != NULL;	/* the daemon says which ones it fetches */
}

/* The path of a file: URL of this machine; anything else is as it is. */
static const char *
local_path(const char *from)
{
	if (strncmp(from, "file:", 5) != 0)
		return from;
	from += 5;
	if (strncmp(from, "//localhost/", 12) == 0)
		return from + 11;
	return strncmp(from, "///", 3) == 0 ? from + 2 : from;
}

int
verb_image_add(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0], *from = local_path(args->operands[1]);
	struct change *change;
	vn_autoclose int fd = -1;
	int status;

	if (!args->sha256 == !args->insecure_no_digest)
		return client_usage(client,
				    "say --sha256 DIGEST (see sha256sum(1) of the publisher), "
				    "or --insecure-no-digest to take the image unchecked");
	if (!is_url(from)) {
		fd = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0) {
			fprintf(stderr, "%s: %s: %s\n", client->program, from, strerror(errno));
			return STATUS_FAILED;
		}
	}
	change = vn_alloc(sizeof(*change));
	change->subject = name;
	change->method = args->verb->method;
	change->params = json_pack("{s:s, s:s*, s:s*, s:s*}", "image", name, "sha256", args->sha256,
				   "format", args->format, "base", args->base);
	if (args->insecure_no_digest)
		json_object_set_new(change->params, "insecure_no_digest", json_true());
	if (fd < 0) {
		json_object_set_new(change->params, "url", json_string(from));
	} else {
		json_object_set_new(change->params, "fd", json_integer(0));
		change->fds = &fd;
		change->n_fds = 1;
	}
	status = change_all(client, args, change, 1);
	changes_free(change, 1);
	return status;
}

int
verb_image_list(struct client *client, const struct arguments *args)
{
	static const struct column columns[] = {
		{ "IMAGE", "name", 0 },		   { "STATE", "state", 0 },
		{ "FORMAT", "format", 0 },	   { "BASE", "base", 0 },
		{ "SIZE", "bytes", CELL_BYTES }, { "VNODES", "vnodes", CELL_NUMBER },
		{ "JOB", "job", CELL_NUMBER },	 { "SHA256", "sha256", 0 },
		{ 0 },
	};
	json_t *result = NULL;
	int status = client_get(client, NULL, args->verb->method, NULL, &result);

	if (status == STATUS_DONE && client->json)
		output_json(result);
	else if (status == STATUS_DONE)
		output_table(columns, output_rows(result, "images"), "images");
	json_decref(result);
	return status;
}

int
verb_image_show(struct client *client, const struct arguments *args)
{
	static const struct column record[] = {
		{ "name", "name", 0 },	    { "state", "state", 0 },	     { "sha256", "sha256", 0 },
		{ "source", "source", 0 },  { "format", "format", 0 },	     { "layers", "layers", 0 },
		{ "size", "bytes", CELL_BYTES },		     { "archive", "archive_bytes", CELL_BYTES },
		{ "disk", "virtual_bytes", CELL_BYTES },
		{ "added", "added", CELL_TIME },		     { "used", "used", CELL_TIME },
		{ "vnodes", "vnodes", 0 },  { "users", "users", 0 },  { "job", "job", 0 },	     { "error", "error", CELL_ERROR },
		{ 0 },
	};
	const char *name = args->operands[0];
	json_t *image = NULL;
	int status = client_get(client, name, args->verb->method, json_pack("{s:s}", "image", name),
				&image);

	if (status == STATUS_DONE && client->json)
		output_json(image);
	else if (status == STATUS_DONE)
		output_record(record, image);
	json_decref(image);
	return status;
}

int
verb_image_remove(struct client *client, const struct arguments *args)
{
	size_t count = (size_t)args->n_operands;
	struct change *changes = vn_alloc_array(count, sizeof(*changes));
	int status;

	for (size_t i = 0; i < count; i++) {
		changes[i].subject = args->operands[i];
		changes[i].method = args->verb->method;
		changes[i].params = json_pack("{s:s}", "image", args->operands[i]);
	}
	status = change_all(client, args, changes, count);
	changes_free(changes, count);
	return status;
}

int
verb_image_capture(struct client *client, const struct arguments *args)
{
	json_t *params = json_pack("{s:s, s:s}", "vnode", args->operands[0], "name", args->operands[1]);

	if (args->delta)
		json_object_set_new(params, "delta", json_true());
	return change_one(client, args, args->operands[1], params);
}

/* What went, or would go, and what that frees. */
static void
print_pruned(json_t *result)
{
	vn_autofree char *bytes = output_cell(json_object_get(result, "bytes"), CELL_BYTES);
	const char *what = json_is_true(json_object_get(result, "dry_run")) ? "would remove" : "removed";
	json_t *removed = json_object_get(result, "removed"), *name;
	size_t i;

	json_array_foreach(removed, i, name)
		printf("%s %s\n", what, json_string_value(name));
	printf("%s %zu images, %s\n", what, json_array_size(removed), bytes);
}

int
verb_image_prune(struct client *client, const struct arguments *args)
{
	struct change *change = vn_alloc(sizeof(*change));
	vn_autofree char *older = args->older_ms < 0 ? NULL : vn_format("%lldms",
									 (long long)args->older_ms);
	int status;

	change->subject = "images";
	change->method = args->verb->method;
	change->params = json_pack("{s:s*, s:s*}", "older_than", older, "keep_bytes", args->keep);
	if (args->dry_run)
		json_object_set_new(change->params, "dry_run", json_true());
	status = change_all(client, args, change, 1);
	if (change->ended && !client->json)
		print_pruned(json_object_get(change->ended, "result"));
	changes_free(change, 1);
	return status;
}
