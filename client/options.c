/*
 * Reading a command line by table. `create` takes every field of a vnode as an option as well:
 * those come from the schema of the topology document (fields.c), not from the table here.
 */

#include <errno.h>
#include <string.h>

#include "client/fields.h"
#include "client/options.h"

#define AT(member) offsetof(struct arguments, member)

/* name, letter, kind, member, value, kind of value, help */
const struct option_row option_rows[] = {
	{ "all", 'a', OPTION_FLAG, AT(all), NULL, 0, "all of them" },
	{ "allow-recreate", 0, OPTION_FLAG, AT(allow_recreate), NULL, 0,
	  "permit changes that give a vnode a fresh disk" },
	{ "allow-restart", 0, OPTION_FLAG, AT(allow_restart), NULL, 0,
	  "permit changes that restart the vnode" },
	{ "base", 0, OPTION_TEXT, AT(base), "IMAGE", OPERAND_IMAGE, "the image that it is a layer on" },
	{ "between", 0, OPTION_TEXT, AT(between), "VNODE,VNODE", OPERAND_TEXT,
	  "only both ways between these two members" },
	{ "clear", 0, OPTION_FLAG, AT(clear), NULL, 0, "end what is pending" },
	{ "cwd", 'w', OPTION_TEXT, AT(cwd), "DIR", OPERAND_TEXT, "directory to run the command in" },
	{ "delta", 0, OPTION_FLAG, AT(delta), NULL, 0, "only what differs from the vnode's image" },
	{ "dry-run", 0, OPTION_FLAG, AT(dry_run), NULL, 0, "remove nothing, only tell what would go" },
	{ "env", 'e', OPTION_TEXTS, AT(env), "NAME=VALUE", OPERAND_TEXT,
	  "set a variable; may be given again" },
	{ "fields", 0, OPTION_TEXT, AT(wanted_fields), "A,B,...", OPERAND_TEXT,
	  "more fields of each vnode" },
	{ "follow", 'f', OPTION_FLAG, AT(follow), NULL, 0, "go on with what comes" },
	{ "force", 0, OPTION_FLAG, AT(force), NULL, 0, "kill at once instead of asking first" },
	{ "format", 0, OPTION_TEXT, AT(format), "FORMAT", OPERAND_TEXT,
	  "tar, raw or qcow2; found out unless given" },
	{ "from", 0, OPTION_FLAG, AT(from), NULL, 0, "the shape of what the member is sent" },
	{ "insecure-no-digest", 0, OPTION_FLAG, AT(insecure_no_digest), NULL, 0,
	  "take the image without checking it" },
	{ "interactive", 'i', OPTION_FLAG, AT(interactive), NULL, 0,
	  "like --tty if standard input and output are terminals" },
	{ "keep", 0, OPTION_TEXT, AT(keep), "SIZE", OPERAND_TEXT,
	  "stop when all images take no more than this, such as 10GiB" },
	{ "limit", 'n', OPTION_COUNT, AT(limit), "COUNT", OPERAND_TEXT, "no more than so many" },
	{ "member", 0, OPTION_TEXT, AT(member), "VNODE", OPERAND_VNODE, "only this member" },
	{ "no-stdin", 'N', OPTION_FLAG, AT(no_stdin), NULL, 0,
	  "give the command an empty standard input" },
	{ "no-wait", 0, OPTION_FLAG, AT(no_wait), NULL, 0, "print the job instead of following it" },
	{ "older-than", 0, OPTION_SECONDS, AT(older_ms), "SECONDS", OPERAND_TEXT,
	  "only what was not used for so long" },
	{ "probe", 0, OPTION_TEXT, AT(probe), "LAN", OPERAND_LAN,
	  "measure this LAN with frames of vnoded's own" },
	{ "prune", 0, OPTION_FLAG, AT(prune), NULL, 0, "destroy what the file no longer names" },
	{ "seconds", 0, OPTION_COUNT, AT(seconds), "COUNT", OPERAND_TEXT,
	  "for each of delay, loss and rate; 3 unless given" },
	{ "repair", 0, OPTION_FLAG, AT(repair), NULL, 0, "mend what is not as it is wanted" },
	{ "sha256", 0, OPTION_TEXT, AT(sha256), "DIGEST", OPERAND_TEXT,
	  "what the file must hash to; required" },
	{ "since", 0, OPTION_COUNT, AT(since), "SEQ", OPERAND_TEXT, "only events after this number" },
	{ "tables", 0, OPTION_FLAG, AT(tables), NULL, 0, "print all tables as JSON" },
	{ "timeout", 0, OPTION_SECONDS, AT(timeout_ms), "SECONDS", OPERAND_TEXT,
	  "give up, with exit status 4, after so long" },
	{ "topology", 0, OPTION_TEXT, AT(topology), "TOPOLOGY", OPERAND_TOPOLOGY,
	  "only, or in, this topology" },
	{ "tty", 't', OPTION_FLAG, AT(tty), NULL, 0, "run the command on a terminal of its own" },
	{ "types", 0, OPTION_TEXT, AT(types), "A,B,...", OPERAND_TEXT, "only events of these types" },
	{ "user", 'u', OPTION_TEXT, AT(user), "USER", OPERAND_TEXT, "run the command as this user" },
	{ "yes", 'y', OPTION_FLAG, AT(yes), NULL, 0, "do not ask" },
	{ 0 }
};

struct reader {				/* where in the words we are */
	char **words;
	int n_words, at;
};

/* The value of an option: what follows its "=", or the next word. */
static const char *
take_value(struct reader *reader, const char *inlined)
{
	if (inlined)
		return inlined;
	return reader->at < reader->n_words ? reader->words[reader->at++] : NULL;
}

static int
store_number(const struct option_row *row, const char *text, int64_t *ret, struct vn_error *err)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (row->kind == OPTION_SECONDS && !errno && *text && !*end && value > 0 && value < 1e9) {
		*ret = (int64_t)(value * 1000 + 0.5);
		return 0;
	}
	errno = 0;
	*ret = strtoll(text, &end, 10);
	if (row->kind == OPTION_COUNT && !errno && *text && !*end && *ret >= 0)
		return 0;
	return vn_fail(err, VN_E_INVALID, "--%s takes a number%s, not '%s'", row->name,
		       row->kind == OPTION_SECONDS ? " of seconds" : "", text);
}

static int
store(struct arguments *args, const struct option_row *row, const char *value,
      struct vn_error *err)
{
	void *at = (char *)args + row->offset;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)at = value;
		return 0;
	case OPTION_TEXTS:
		if (!*(json_t **)at)
			*(json_t **)at = json_array();
		if (json_array_append_new(*(json_t **)at, json_string(value)) < 0)
			return vn_fail(err, VN_E_INVALID, "--%s: not UTF-8", row->name);
		return 0;
	case OPTION_SECONDS:
	case OPTION_COUNT:
		return store_number(row, value, at, err);
	}
	return 0;
}

/* The row of "name" (length characters) or, with length 1 and no match, nothing. */
static const struct option_row *
find_long(const struct verb *verb, const char *name, size_t length)
{
	for (const struct option_row *row = option_rows; row->name; row++)
		if (strlen(row->name) == length && strncmp(row->name, name, length) == 0 &&
		    verb_has_option(verb, row->name))
			return row;
	return NULL;
}

static int
parse_long(struct arguments *args, struct reader *reader, const char *word, struct vn_error *err)
{
	size_t length = strcspn(word, "=");
	const char *inlined = word[length] ? word + length + 1 : NULL;
	const struct option_row *row = find_long(args->verb, word, length);
	const char *value;

	if (strcmp(word, "help") == 0) {
		args->help = true;
		return 0;
	}
	if (!row && verb_has_option(args->verb, "FIELDS") && field_is_flag(word, length) &&
	    !inlined)
		return field_set_flag(args->fields, word, err);
	if (!row && !(verb_has_option(args->verb, "FIELDS") && field_is_known(word, length)))
		return vn_fail(err, VN_E_INVALID,
			       "'%s' has no option --%.*s (see: vnodectl help %s)",
			       args->verb->name, (int)length, word, args->verb->name);
	if (row && row->kind == OPTION_FLAG)
		return inlined ? vn_fail(err, VN_E_INVALID, "--%s takes no value", row->name)
			       : store(args, row, NULL, err);
	value = take_value(reader, inlined);
	if (!value)
		return vn_fail(err, VN_E_INVALID, "--%.*s needs a value", (int)length, word);
	if (row)
		return store(args, row, value, err);
	return field_add(args->fields, word, length, value, err);
}

/* A bundle of letters; the last one may take a value. */
static int
parse_letters(struct arguments *args, struct reader *reader, const char *letters,
	      struct vn_error *err)
{
	for (; *letters; letters++) {
		const struct option_row *row = option_rows;
		const char *value = NULL;

		if (*letters == 'h') {
			args->help = true;
			continue;
		}
		while (row->name &&
		       (row->letter != *letters || !verb_has_option(args->verb, row->name)))
			row++;
		if (!row->name)
			return vn_fail(err, VN_E_INVALID,
				       "'%s' has no option -%c (see: vnodectl help %s)",
				       args->verb->name, *letters, args->verb->name);
		if (row->kind != OPTION_FLAG) {
			value = take_value(reader, letters[1] ? letters + 1 : NULL);
			if (!value)
				return vn_fail(err, VN_E_INVALID, "-%c needs a value", *letters);
		}
		if (store(args, row, value, err) < 0)
			return -1;
		if (value)
			return 0;
	}
	return 0;
}

static int
check_operands(const struct arguments *args, struct vn_error *err)
{
	const struct verb *verb = args->verb;

	if (args->n_operands < verb->least)
		return vn_fail(err, VN_E_INVALID, "too few operands; usage: vnodectl %s %s",
			       verb->name, verb->args);
	if (args->n_operands > verb->most)
		return vn_fail(err, VN_E_INVALID, "'%s' is too much; usage: vnodectl %s%s%s",
			       args->operands[verb->most], verb->name, *verb->args ? " " : "",
			       verb->args);
	if (verb_has_option(verb, "all") && verb->most > 0 && args->all == (args->n_operands > 0))
		return vn_fail(err, VN_E_INVALID,
			       "say which vnodes, or --all; usage: vnodectl %s %s|--all",
			       verb->name, verb->args);
	return 0;
}

int
arguments_parse(struct arguments *args, const struct verb *verb, char **words, int n_words,
		struct vn_error *err)
{
	struct reader reader = { .words = words, .n_words = n_words };
	bool literal = false;

	*args = (struct arguments){ .verb = verb, .timeout_ms = -1, .since = -1, .limit = -1,
				    .seconds = -1, .older_ms = -1 };
	args->operands = vn_alloc_array((size_t)n_words + 1, sizeof(*args->operands));
	args->fields = json_object();
	while (reader.at < n_words) {
		char *word = words[reader.at++];
		int done = 0;

		if (literal || word[0] != '-' || !word[1])
			args->operands[args->n_operands++] = word;
		else if (strcmp(word, "--") == 0)
			literal = true;
		else if (word[1] == '-')
			done = parse_long(args, &reader, word + 2, err);
		else
			done = parse_letters(args, &reader, word + 1, err);
		if (done < 0)
			return -1;
	}
	return args->help ? 0 : check_operands(args, err);
}

void
arguments_fini(struct arguments *args)
{
	free(args->operands);
	json_decref(args->fields);
	json_decref(args->env);
	*args = (struct arguments){ 0 };
}
