/*
 * bootvnodes: what the machine's start and stop do with its vnodes, over the same socket as any
 * other client. At the start each file of a folder is applied unless it would change nothing, then
 * the daemon boots all that is wanted running. A file that fails is reported and does not stop the
 * rest.
 */

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/document_file.h"

struct request {
	const char *dir;
	bool halt;
	int64_t budget_ms;
};

static const char usage[] =
	"usage: bootvnodes [--socket PATH] [--dir DIR] [--patience SECONDS]\n"
	"       bootvnodes --halt [--budget SECONDS] [--socket PATH]\n"
	"\n"
	"  --dir DIR           topology files to apply (" TOPOLOGIES_DIR ")\n"
	"  --halt              halt every vnode; what is wanted stays as it is\n"
	"  --budget SECONDS    time for all vnodes together to end (60); then they are killed\n"
	"  --patience SECONDS  how long to wait for vnoded to answer (15)\n"
	"  --socket PATH       the daemon's socket (" CONNECTION_SOCKET ")\n";

/* Runs one change; what is printed about success goes to the journal. */
static int
change(struct client *client, const char *verb, const char *subject, const char *method,
       VN_TAKES json_t *params, const struct topology_file *file)
{
	struct change_options options = { .verb = verb, .timeout_ms = -1 };
	struct change *change = vn_alloc(sizeof(*change));
	int status;

	change->subject = subject;
	change->method = method;
	change->params = params;
	change->fds = file ? file->fds : NULL;
	change->n_fds = file ? file->n_fds : 0;
	status = changes_run(client, &options, change, 1);
	if (status == STATUS_DONE)
		printf("%s: %s: done\n", subject, verb);
	fflush(stdout);
	changes_free(change, 1);
	return status;
}

/* Applies one file unless it would change nothing. */
static int
apply(struct client *client, const char *dir, const char *name)
{
	vn_autofree char *path = vn_format("%s/%s", dir, name);
	struct topology_file file;
	json_t *plan = NULL;
	bool is_same;
	int status = topology_file_open(client, path, &file);

	if (status == STATUS_DONE)
		status = client_get_with(client, path, "topology.plan", topology_file_params(&file),
					 file.fds, file.n_fds, &plan);
	is_same = plan && document_is_applied(plan);
	if (status == STATUS_DONE && is_same)
		printf("%s: nothing to change\n", path);
	else if (status == STATUS_DONE)
		status = change(client, "apply", path, "topology.apply", topology_file_params(&file),
				&file);
	topology_file_close(&file);
	json_decref(plan);
	return status;
}

static int
is_topology(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       strcmp(entry->d_name + length - 5, ".json") == 0;
}

/* Applies all files in the order of their names. A folder that is not there holds none. */
static int
apply_all(struct client *client, const char *dir)
{
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, is_topology, alphasort), worst = STATUS_DONE;

	if (count < 0 && errno != ENOENT) {
		fprintf(stderr, "%s: %s: %s\n", client->program, dir, strerror(errno));
		return STATUS_FAILED;
	}
	for (int i = 0; i < count; i++) {
		int status = worst < STATUS_SIGNAL ? apply(client, dir, entries[i]->d_name) : worst;

		worst = status > worst ? status : worst;
		free(entries[i]);
	}
	free(entries);
	return worst;
}

static int
run(struct client *client, const struct request *request)
{
	struct vn_error err = { 0 };
	int applied, booted;

	if (client_reconnect(client, &err) < 0)
		return client_lost(client, &err);
	if (request->halt)
		return change(client, "halt", "host", "host.halt",
			      json_pack("{s:I}", "budget_ms", (json_int_t)request->budget_ms), NULL);
	applied = apply_all(client, request->dir);
	if (applied >= STATUS_SIGNAL)
		return applied;
	booted = change(client, "boot", "host", "host.boot", json_object(), NULL);
	return applied > booted ? applied : booted;
}

/* Reads a number of seconds into milliseconds; false when it is none. */
static bool
read_seconds(const char *text, int64_t *ret_ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!*text || *end || !(seconds > 0 && seconds < 1e6))
		return false;
	*ret_ms = (int64_t)(seconds * 1000);
	return true;
}

/* Returns -1 to go on, else an exit status. */
static int
read_options(struct client *client, struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' }, { "dir", required_argument, NULL, 'd' },
		{ "halt", no_argument, NULL, 'H' },
		{ "budget", required_argument, NULL, 'b' },
		{ "patience", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },	    { 0 },
	};
	int64_t patience_ms = client->patience_ms;
	bool is_good = true;
	int option;

	while ((option = getopt_long(argc, argv, "s:d:h", options, NULL)) != -1) {
		if (option == 's')
			client->socket = optarg;
		else if (option == 'd')
			request->dir = optarg;
		else if (option == 'H')
			request->halt = true;
		else if (option == 'b')
			is_good &= read_seconds(optarg, &request->budget_ms);
		else if (option == 'p')
			is_good &= read_seconds(optarg, &patience_ms);
		else if (option == 'V' || option == 'h')
			return fputs(option == 'h' ? usage : "bootvnodes " VNODED_VERSION "\n",
				     stdout),
			       STATUS_DONE;
		else
			is_good = false;
	}
	client->patience_ms = (int)patience_ms;
	if (is_good && optind == argc)
		return -1;
	fputs(usage, stderr);
	return STATUS_USAGE;
}

int
main(int argc, char **argv)
{
	struct request request = { .dir = TOPOLOGIES_DIR, .budget_ms = 60000 };
	struct client client;
	int status;

	client_init(&client, "bootvnodes");
	status = read_options(&client, &request, argc, argv);
	if (status < 0)
		status = run(&client, &request);
	client_fini(&client);
	return status;
}
