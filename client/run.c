/* vnodectl's own words on the command line: the options before the verb, then the verb. */

#include <stdio.h>
#include <string.h>

#include "client/help.h"
#include "client/options.h"

/* Reads the options before the verb. Returns how many words they took, or -1 after a usage error;
 * *ret_done: nothing else is to be done. */
static int
read_globals(struct client *client, int argc, char **argv, bool *ret_done)
{
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		const char *word = argv[at], *value = at + 1 < argc ? argv[at + 1] : NULL;

		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			help_all(stdout);
			*ret_done = true;
		} else if (strcmp(word, "--version") == 0) {
			puts("vnodectl " VNODED_VERSION);
			*ret_done = true;
		} else if (strncmp(word, "--socket=", 9) == 0) {
			client->socket = word + 9;
		} else if ((strcmp(word, "--socket") == 0 || strcmp(word, "-s") == 0) && value) {
			client->socket = argv[++at];
		} else if ((strcmp(word, "-o") == 0 || strcmp(word, "--output") == 0) && value &&
			   (strcmp(value, "json") == 0 || strcmp(value, "table") == 0)) {
			client->json = strcmp(argv[++at], "json") == 0;
		} else {
			client_usage(client, "what is '%s'? (see: vnodectl help)", word);
			return -1;
		}
	}
	return at;
}

static int
run_verb(struct client *client, const struct verb *verb, char **words, int n_words)
{
	int usage = verb->run == verb_vnode_exec ? STATUS_EXEC : STATUS_USAGE;
	struct vn_error err = { 0 };
	struct arguments args;
	int status;

	if (arguments_parse(&args, verb, words, n_words, &err) < 0) {
		client_usage(client, "%s", err.text);
		status = usage;
	} else if (args.help) {
		help_verb(stdout, verb);
		status = STATUS_DONE;
	} else {
		status = verb->run(client, &args);
	}
	arguments_fini(&args);
	return status;
}

int
verbs_main(struct client *client, int argc, char **argv)
{
	bool is_done = false;
	int at = read_globals(client, argc, argv, &is_done), n_words = 0;
	const struct verb *verb;

	if (at < 0)
		return STATUS_USAGE;
	if (is_done)
		return STATUS_DONE;
	if (at == argc) {
		help_all(stderr);
		return STATUS_USAGE;
	}
	verb = verb_find(argv + at, argc - at, &n_words);
	if (!verb)
		return client_usage(client, "no verb '%s%s%s' (see: vnodectl help)", argv[at],
				    at + 1 < argc && verb_is_noun(argv[at]) ? " " : "",
				    at + 1 < argc && verb_is_noun(argv[at]) ? argv[at + 1] : "");
	return run_verb(client, verb, argv + at + n_words, argc - at - n_words);
}
