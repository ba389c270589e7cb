/* vnodectl's own words on the command line: the options before the verb, then the verb. */

#include <stdio.h>
#include <string.h>

#include "client/help.h"
#include "client/options.h"

static void
refuse_global(struct client *client, const char *word, const char *value)
{
	if (strcmp(word, "-o") == 0 || strcmp(word, "--output") == 0)
		client_usage(client, "%s takes table or json%s%s%s", word, value ? ", not '" : "",
			     value ? value : "", value ? "'" : "");
	else if (strcmp(word, "--socket") == 0 || strcmp(word, "-s") == 0)
		client_usage(client, "%s needs the path of vnoded's socket", word);
	else
		client_usage(client, "what is '%s'? (see: vnodectl help)", word);
}

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
			refuse_global(client, word, value);
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

/* A noun alone, or with a verb that it has not, is told which ones it has. */
static int
refuse_verb(struct client *client, const char *noun, const char *word)
{
	char list[160] = "";
	size_t length = strlen(noun), used = 0;

	if (!verb_is_noun(noun))
		return client_usage(client, "no verb '%s' (see: vnodectl help)", noun);
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (strncmp(verb->name, noun, length) == 0 && verb->name[length] == ' ')
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", verb->name + length + 1);
	return client_usage(client, "%s%s%s%s: say one of %s", noun, word ? " has no verb '" : "",
			    word ? word : "", word ? "'" : "", list);
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
		return refuse_verb(client, argv[at], at + 1 < argc ? argv[at + 1] : NULL);
	return run_verb(client, verb, argv + at + n_words, argc - at - n_words);
}
