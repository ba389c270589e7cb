/*
 * Completion scripts, made from the verb and option tables. The scripts know verbs and options;
 * names of things are asked from the daemon through the hidden verb completion-names, which stays
 * silent when there is no daemon.
 */

#include <stdio.h>
#include <string.h>

#include "client/fields.h"
#include "client/options.h"
#include "client/output.h"
#include "proto/methods.h"

/* ---- names ---- */

/* kind, method, member of the answer, member of each row */
static const struct {
	enum operand kind;
	const char *method, *rows, *name;
} sources[] = {
	{ OPERAND_VNODE, "vnode.list", "vnodes", "name" },
	{ OPERAND_LAN, "lan.list", "lans", "name" },
	{ OPERAND_TOPOLOGY, "topology.list", "topologies", "name" },
	{ OPERAND_IMAGE, "image.list", "images", "name" },
	{ OPERAND_JOB, "job.list", "jobs", "job" },
};

static void
print_field(void *arg, const char *name, const char *value, const char *help)
{
	(void)arg;
	(void)value;
	(void)help;
	printf("%s=\n", strncmp(name, "no-", 3) == 0 ? name + 3 : name);
}

static void
print_static(const char *kind)
{
	if (strcmp(kind, operand_words[OPERAND_METHOD]) == 0)
		for (size_t i = 0; i < METHOD_COUNT; i++)
			puts(methods[i].name);
	else if (strcmp(kind, operand_words[OPERAND_SHELL]) == 0)
		puts("bash\nzsh\nfish");
	else if (strcmp(kind, operand_words[OPERAND_FIELD]) == 0)
		field_each(print_field, NULL);
	else if (strcmp(kind, operand_words[OPERAND_VERB]) == 0)
		for (const struct verb *verb = verbs; verb->name; verb++)
			printf("%.*s\n", (int)strcspn(verb->name, " "), verb->name);
}

int
verb_completion_names(struct client *client, const struct arguments *args)
{
	const char *kind = args->operands[0];

	print_static(kind);
	for (size_t i = 0; i < VN_COUNT(sources); i++) {
		struct answer answer = { 0 };
		struct vn_error err = { 0 };
		json_t *row;
		size_t at;

		if (strcmp(kind, operand_words[sources[i].kind]) != 0)
			continue;
		if (client_connect(client, &err) < 0)
			return STATUS_NO_DAEMON;
		if (client_ask(client, sources[i].method, NULL, &answer) != STATUS_DONE)
			return STATUS_NO_DAEMON;
		json_array_foreach(output_rows(answer.result, sources[i].rows), at, row) {
			vn_autofree char *name =
				output_cell(json_object_get(row, sources[i].name), 0);

			puts(name);
		}
		answer_fini(&answer);
	}
	return STATUS_DONE;
}

/* ---- scripts ---- */

static void
add_field_option(void *arg, const char *name, const char *value, const char *help)
{
	(void)arg;
	(void)value;
	(void)help;
	printf("--%s ", name);
}

/* A case with the options and the operand kinds of each verb, as bash and zsh both read it. */
static void
print_cases(void)
{
	puts("\tcase $verb in");
	for (const struct verb *verb = verbs; verb->name; verb++) {
		printf("\t'%s') first=%s rest=%s opts='", verb->name,
		       operand_words[verb->operands[0]], operand_words[verb->operands[1]]);
		for (const struct option_row *row = option_rows; row->name; row++)
			if (verb_has_option(verb, row->name))
				printf("--%s ", row->name);
		if (verb_has_option(verb, "FIELDS"))
			field_each(add_field_option, NULL);
		puts("--help' ;;");
	}
	puts("\tesac");
}

/* The verbs of one word, and nouns, or the second words after a noun. */
static void
print_words(const char *noun)
{
	const char *before = "";

	for (const struct verb *verb = verbs; verb->name; verb++) {
		size_t first = strcspn(verb->name, " ");
		bool is_same = strlen(before) >= first && strncmp(before, verb->name, first) == 0;

		if (!*verb_help(verb))
			continue;
		if (!noun && !is_same)
			printf("%.*s ", (int)first, verb->name);
		if (noun && strncmp(verb->name, noun, strlen(noun)) == 0 &&
		    verb->name[strlen(noun)] == ' ')
			printf("%s ", verb->name + first + 1);
		before = verb->name[first] ? verb->name : "";
	}
}

static void
print_value_cases(void)
{
	puts("\tcase $prev in");
	puts("\t--socket) kind=file ;;");
	for (const struct option_row *row = option_rows; row->name; row++)
		if (row->value)
			printf("\t--%s) kind=%s ;;\n", row->name, operand_words[row->operand]);
	puts("\tesac");
}

/* Finds the verb among the words, and what is to be completed: sets kind and choices. */
static void
print_shell_core(void)
{
	puts("\tlocal verb='' noun='' choices='' kind='' opts='' n=0 w skip=''\n"
	     "\tlocal first=none rest=none\n"
	     "\tfor w in \"${typed[@]}\"; do\n"
	     "\t\tif [ -n \"$skip\" ]; then skip=''; continue; fi\n"
	     "\t\tcase $w in\n"
	     "\t\t--socket|-s|-o|--output) skip=1; continue ;;\n"
	     "\t\t-*) continue ;;\n"
	     "\t\tesac\n"
	     "\t\tif [ -n \"$noun\" ]; then verb=\"$noun $w\"; noun=''\n"
	     "\t\telif [ -n \"$verb\" ]; then n=$((n + 1))\n"
	     "\t\telse case $w in image|lan|topology) noun=$w ;; *) verb=$w ;; esac; fi\n"
	     "\tdone");
	print_value_cases();
	print_cases();
	fputs("\tif [ -z \"$verb\" ]; then\n\t\tcase $noun in\n", stdout);
	for (size_t i = 0; i < 3; i++) {
		const char *nouns[] = { "image", "lan", "topology" };

		printf("\t\t%s) choices='", nouns[i]);
		print_words(nouns[i]);
		puts("' ;;");
	}
	fputs("\t\t*) choices='--socket --output --help --version ", stdout);
	print_words(NULL);
	puts("' ;;\n\t\tesac\n"
	     "\telif [ -n \"$kind\" ]; then :\n"
	     "\telif [ \"${cur#-}\" != \"$cur\" ]; then choices=$opts\n"
	     "\telif [ $n -eq 0 ]; then kind=$first; else kind=$rest; fi\n"
	     "\tcase $kind in\n"
	     "\t''|none|text|file) ;;\n"
	     "\t*) choices=$(vnodectl completion-names \"$kind\" 2>/dev/null) ;;\n"
	     "\tesac");
}

static void
print_bash(void)
{
	puts("# bash completion for vnodectl; made by: vnodectl completion bash\n"
	     "_vnodectl() {\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	     "\tlocal typed=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")");
	print_shell_core();
	puts("\tif [ \"$kind\" = file ]; then COMPREPLY=($(compgen -f -- \"$cur\"))\n"
	     "\telse COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\")); fi\n"
	     "}\n"
	     "complete -o bashdefault -o default -o filenames -F _vnodectl vnodectl");
}

static void
print_zsh(void)
{
	puts("#compdef vnodectl\n"
	     "# zsh completion for vnodectl; made by: vnodectl completion zsh\n"
	     "_vnodectl() {\n"
	     "\tlocal cur=${words[CURRENT]} prev=${words[CURRENT-1]}\n"
	     "\tlocal -a typed=(\"${(@)words[2,CURRENT-1]}\")");
	print_shell_core();
	puts("\tif [ \"$kind\" = file ]; then _files\n"
	     "\telse compadd -- ${=choices}; fi\n"
	     "}\n"
	     "_vnodectl \"$@\"");
}

static void
print_fish_options(const struct verb *verb, const char *condition)
{
	for (const struct option_row *row = option_rows; row->name; row++) {
		if (!verb_has_option(verb, row->name))
			continue;
		printf("complete -c vnodectl -n '%s' -l %s%s -d \"%s\"\n", condition, row->name,
		       row->value ? " -x" : "", row->help);
	}
}

static void
print_fish(void)
{
	puts("# fish completion for vnodectl; made by: vnodectl completion fish\n"
	     "complete -c vnodectl -f");
	for (const struct verb *verb = verbs; verb->name; verb++) {
		size_t first = strcspn(verb->name, " ");
		const char *second = verb->name[first] ? verb->name + first + 1 : NULL;
		vn_autofree char *seen = vn_format(
			"__fish_seen_subcommand_from %.*s%s%s", (int)first, verb->name,
			second ? "; and __fish_seen_subcommand_from " : "", second ? second : "");

		if (!*verb_help(verb))
			continue;
		printf("complete -c vnodectl -n __fish_use_subcommand -a %.*s -d \"%s\"\n",
		       (int)first, verb->name, second ? "" : verb_help(verb));
		if (second)
			printf("complete -c vnodectl -n '__fish_seen_subcommand_from %.*s' "
			       "-a %s -d \"%s\"\n",
			       (int)first, verb->name, second, verb_help(verb));
		if (verb->operands[0] == OPERAND_FILE)
			printf("complete -c vnodectl -n '%s' -F\n", seen);
		else if (verb->operands[0] > OPERAND_TEXT)
			printf("complete -c vnodectl -n '%s' -a '(vnodectl completion-names %s "
			       "2>/dev/null)'\n", seen, operand_words[verb->operands[0]]);
		print_fish_options(verb, seen);
	}
}

int
verb_completion_print(struct client *client, const struct arguments *args)
{
	const char *shell = args->operands[0];

	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else
		return client_usage(client, "no completion for '%s': bash, zsh or fish", shell);
	return STATUS_DONE;
}
