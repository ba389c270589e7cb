/* Reads a topology file. Duplicate keys are refused here already: only here is their line known. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/document_file.h"
#include "client/output.h"

const char *
document_name(const char *file)
{
	return strcmp(file, "-") == 0 ? "<stdin>" : file;
}

int
document_read(const struct client *client, const char *file, json_t **ret)
{
	FILE *stream = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	json_error_t bad;
	struct stat status;

	if (stream && fstat(fileno(stream), &status) == 0 && S_ISDIR(status.st_mode)) {
		if (stream != stdin)
			fclose(stream);
		stream = NULL;
		errno = EISDIR;
	}
	if (!stream) {
		fprintf(stderr, "%s: %s: %s\n", client->program, file, strerror(errno));
		return STATUS_FAILED;
	}
	*ret = json_loadf(stream, JSON_REJECT_DUPLICATES, &bad);
	if (stream != stdin)
		fclose(stream);
	if (*ret)
		return STATUS_DONE;
	fprintf(stderr, "%s: %s:%d:%d: %s\n", client->program, document_name(file), bad.line,
		bad.column, bad.text);
	return STATUS_FAILED;
}

bool
document_is_applied(json_t *plan)
{
	json_t *action;
	size_t i;

	json_array_foreach(output_rows(plan, "actions"), i, action) {
		const char *what = output_text(action, "action");

		if (strcmp(what, "keep") != 0 && strcmp(what, "boot") != 0)
			return false;
	}
	return true;
}
