/*
 * Help, made from the tables: verbs, options, and the fields of a vnode. `help --tables` prints all
 * tables as JSON, for the test that keeps the man pages true.
 */

#include <stdio.h>
#include <string.h>

#include "client/fields.h"
#include "client/help.h"
#include "client/options.h"
#include "client/output.h"
#include "proto/methods.h"
#include "proto/objects.h"

void
help_all(FILE *to)
{
	fputs("usage: vnodectl [--socket PATH] [-o table|json] VERB ...\n\n", to);
	for (const struct verb *verb = verbs; verb->name; verb++) {
		vn_autofree char *usage = vn_format("%s %s", verb->name, verb->args);

		if (*verb_help(verb))
			fprintf(to, "  %-26s %s\n", usage, verb_help(verb));
	}
	fputs("\nvnodectl help VERB shows a verb's options. Manual: vnodectl(1).\n", to);
}

static void
print_option(void *arg, const char *name, const char *value, const char *help)
{
	vn_autofree char *usage = vn_format("--%s%s%s", name, *value ? " " : "", value);

	fprintf(arg, "      %-32s %s\n", usage, help);
}

void
help_verb(FILE *to, const struct verb *verb)
{
	fprintf(to, "usage: vnodectl %s%s%s%s\n  %s\n", verb->name,
		*verb->options ? " [OPTION...]" : "", *verb->args ? " " : "", verb->args,
		verb_help(verb));
	if (*verb->options)
		fputs("\n", to);
	for (const struct option_row *row = option_rows; row->name; row++) {
		vn_autofree char *usage = vn_format("--%s%s%s", row->name, row->value ? " " : "",
						    row->value ? row->value : "");

		if (!verb_has_option(verb, row->name))
			continue;
		if (row->letter)
			fprintf(to, "  -%c, %-32s %s\n", row->letter, usage, row->help);
		else
			fprintf(to, "      %-32s %s\n", usage, row->help);
	}
	if (verb_has_option(verb, "FIELDS"))
		field_each(print_option, to);
}

static json_t *
words_table(const char *const *words)
{
	json_t *array = json_array();

	for (; *words; words++)
		json_array_append_new(array, json_string(*words));
	return array;
}

static json_t *
verbs_table(void)
{
	json_t *array = json_array();

	for (const struct verb *verb = verbs; verb->name; verb++) {
		json_t *options = json_array();

		for (const struct option_row *row = option_rows; row->name; row++)
			if (verb_has_option(verb, row->name))
				json_array_append_new(options, json_string(row->name));
		json_array_append_new(array,
				      json_pack("{s:s, s:s, s:o, s:s?, s:s}", "verb", verb->name,
						"args", verb->args, "options", options, "method",
						verb->method, "help", verb_help(verb)));
	}
	return array;
}

/* A method's own parameters; what stands in an inner struct of the same object is one of them. */
static void
add_params(json_t *array, const struct field *fields)
{
	for (; fields->kind != FIELD_END; fields++)
		if (fields->kind == FIELD_INLINE)
			add_params(array, fields->fields);
		else
			json_array_append_new(array, json_string(fields->name));
}

static json_t *
methods_table(void)
{
	json_t *array = json_array();

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		json_t *params = json_array();

		add_params(params, methods[i].fields);
		json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:o}", "method",
						       methods[i].name, "role",
						       role_words[methods[i].role], "result",
						       methods[i].result, "params", params));
	}
	return array;
}

static json_t *
objects_table(void)
{
	json_t *array = json_array();

	for (const struct object_field *field = object_fields; field->object; field++)
		json_array_append_new(array, json_pack("{s:s, s:s?, s:s}", "object", field->object,
						       "field", field->name, "type", field->type));
	return array;
}

static json_t *
errors_table(void)
{
	json_t *array = json_array();

	for (int code = VN_E_PARSE; code <= VN_E_INTERNAL; code++)
		json_array_append_new(array, json_pack("{s:s, s:i}", "code", vn_code_word(code),
						       "number", vn_code_number(code)));
	return array;
}

static json_t *
options_table(void)
{
	json_t *array = json_array();

	for (const struct option_row *row = option_rows; row->name; row++)
		json_array_append_new(array, json_string(row->name));
	return array;
}

int
verb_help_show(struct client *client, const struct arguments *args)
{
	const struct verb *verb;
	int n_words;

	if (args->tables) {
		json_t *tables = json_pack(
			"{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "verbs", verbs_table(), "options",
			options_table(), "methods", methods_table(), "objects", objects_table(),
			"errors", errors_table(), "events", words_table(object_event_types),
			"states", words_table(vnode_state_words));

		output_json(tables);
		json_decref(tables);
		return STATUS_DONE;
	}
	if (args->n_operands == 0) {
		help_all(stdout);
		return STATUS_DONE;
	}
	verb = verb_find(args->operands, args->n_operands, &n_words);
	if (!verb)
		return client_usage(client, "no verb '%s' (see: vnodectl help)", args->operands[0]);
	help_verb(stdout, verb);
	return STATUS_DONE;
}
