#pragma once
/* The command line: one table of options, parsed into one record. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/verbs.h"

struct arguments {
	const struct verb *verb;
	char **operands;
	int n_operands;
	json_t *fields;			/* create: fields of the vnode; never NULL */
	json_t *env;			/* array of "NAME=value", or NULL */
	const char *topology, *member, *sha256, *user, *cwd;
	const char *format, *base, *keep;	/* of images */
	const char *wanted_fields, *types;	/* words separated by commas */
	const char *probe, *between;		/* a LAN; two of its members, separated by a comma */
	int64_t timeout_ms, since, limit, seconds, older_ms;	/* -1: not given */
	bool all, allow_recreate, allow_restart, clear, delta, dry_run, follow, force, from;
	bool insecure_no_digest;
	bool interactive, no_stdin, no_wait, prune, repair, tables, tty, yes;
	bool help;
};

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_TEXTS, OPTION_SECONDS, OPTION_COUNT };

struct option_row {
	const char *name;
	char letter;			/* 0: none */
	enum option_kind kind;
	size_t offset;			/* in struct arguments */
	const char *value;		/* what it takes, for people; NULL: a flag */
	enum operand operand;		/* kind of that value */
	const char *help;
};

extern const struct option_row option_rows[];	/* ends with an empty row */

/*
 * Reads what follows the verb's words. Options may stand anywhere before "--".
 * Errors: VN_E_INVALID, a sentence for a usage error.
 */
int arguments_parse(struct arguments *args, const struct verb *verb, char **words, int n_words,
		    struct vn_error *err);
void arguments_fini(struct arguments *args);
