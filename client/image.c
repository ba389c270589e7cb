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

int
verb_image_add(struct client *client, const struct arguments *args)
{
	const char *name = args->operands[0], *from = args->operands[1];
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
	change->params = json_pack("{s:s, s:s*}", "name", name, "sha256", args->sha256);
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
		{ "source", "source", 0 },  { "size", "bytes", CELL_BYTES }, { "added", "added", CELL_TIME },
		{ "vnodes", "vnodes", 0 },  { "job", "job", 0 },	     { "error", "error", CELL_ERROR },
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
