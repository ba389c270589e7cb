/* Reads a topology file. Duplicate keys are refused here already: only here is their line known. */

#include <errno.h>
#include <fcntl.h>
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

/* Beside the topology file, wherever this program runs; beside stdin is where it runs. */
static char *
source_path(const char *topology, const char *name)
{
	const char *slash = strrchr(topology, '/');

	if (name[0] == '/' || !slash)
		return vn_strdup(name);
	return vn_format("%.*s/%s", (int)(slash - topology), topology, name);
}

static int
add_source(const struct client *client, struct topology_file *file, const char *name)
{
	vn_autofree char *path = source_path(file->path, name);
	json_t *known;
	size_t i;
	int fd;

	json_array_foreach(file->sources, i, known)
		if (strcmp(json_string_value(known), name) == 0)
			return STATUS_DONE;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return STATUS_DONE;	/* the daemon may have it, or find it below import_dir */
	if (fd < 0) {
		fprintf(stderr, "%s: %s: %s\n", client->program, path, strerror(errno));
		return STATUS_FAILED;
	}
	if (file->n_fds == PROTOCOL_FDS_MAX) {
		close(fd);
		fprintf(stderr, "%s: %s: more than %d files as \"source\": put the others below the "
			"daemon's import_dir\n", client->program, document_name(file->path),
			PROTOCOL_FDS_MAX);
		return STATUS_FAILED;
	}
	json_array_append_new(file->sources, json_string(name));
	file->fds[file->n_fds++] = fd;
	return STATUS_DONE;
}

int
topology_file_open(const struct client *client, const char *path, struct topology_file *ret)
{
	const char *name;
	json_t *vnode, *file;
	size_t i;
	int status;

	*ret = (struct topology_file){ .path = path, .sources = json_array() };
	status = document_read(client, path, &ret->document);
	json_object_foreach(json_object_get(ret->document, "vnodes"), name, vnode)
		json_array_foreach(json_object_get(vnode, "files"), i, file) {
			const char *source = json_string_value(json_object_get(file, "source"));

			if (status == STATUS_DONE && source && source[0])
				status = add_source(client, ret, source);
		}
	return status;
}

void
topology_file_close(struct topology_file *file)
{
	while (file->n_fds > 0)
		close(file->fds[--file->n_fds]);
	json_decref(file->document);
	json_decref(file->sources);
}

json_t *
topology_file_params(const struct topology_file *file)
{
	json_t *params = json_pack("{s:O}", "document", file->document);

	if (file->n_fds)
		json_object_set(params, "sources", file->sources);
	return params;
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
