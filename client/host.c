/* The host as a whole. */

#include <stdio.h>

#include "client/change.h"
#include "client/options.h"
#include "client/output.h"

int
verb_host_info(struct client *client, const struct arguments *args)
{
	static const struct column record[] = {
		{ "version", "version", 0 },   { "protocol", "protocol", 0 },
		{ "features", "features", 0 }, { "name", "instance_name", 0 },
		{ "instance", "instance", 0 }, { "epoch", "epoch", 0 },
		{ "hostname", "hostname", 0 }, { "kernel", "kernel", 0 },
		{ "boot id", "boot_id", 0 },   { "ready", "ready", 0 },
		{ "vnodes", "vnodes", 0 },     { "running", "running", 0 },
		{ "jobs", "jobs", 0 },	       { 0 },
	};
	json_t *host = NULL, *sentence;
	size_t i;
	int status = client_get(client, NULL, args->verb->method, NULL, &host);

	if (status == STATUS_DONE && client->json)
		output_json(host);
	else if (status == STATUS_DONE) {
		output_record(record, host);
		json_array_foreach(json_object_get(host, "missing"), i, sentence)
			printf("missing: %s\n", json_string_value(sentence));
	}
	json_decref(host);
	return status;
}

int
verb_host_change(struct client *client, const struct arguments *args)
{
	if (client->terminal && isatty(STDIN_FILENO) && !args->yes &&
	    !client_confirms(client, "halt every vnode and undo the host's set-up?"))
		return STATUS_FAILED;
	return change_one(client, args, "host", json_object());
}
