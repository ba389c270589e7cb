/* Any method, with its parameters as JSON: what no verb covers, and what only scripts need. */

#include <stdio.h>
#include <string.h>

#include "client/document_file.h"
#include "client/options.h"
#include "client/output.h"

int
verb_raw_call(struct client *client, const struct arguments *args)
{
	const char *method = args->operands[0], *text = args->operands[1];
	json_t *params = NULL, *result = NULL;
	json_error_t bad;
	int status = STATUS_DONE;

	if (text && strcmp(text, "-") == 0)
		status = document_read(client, text, &params);
	else if (text && !(params = json_loads(text, JSON_REJECT_DUPLICATES, &bad)))
		status = client_usage(client, "PARAMS:%d:%d: %s", bad.line, bad.column, bad.text);
	if (status == STATUS_DONE)
		status = client_get(client, method, method, params, &result);
	if (status == STATUS_DONE)
		output_json(result);
	json_decref(result);
	return status;
}
