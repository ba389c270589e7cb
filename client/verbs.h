#pragma once
/*
 * The verbs of vnodectl. One row a verb; --help, usage errors and shell completion are made from
 * the rows, and the words that describe a method come from proto/methods.h.
 */

#include <stdbool.h>
#include <stddef.h>

#include "client/client.h"

struct arguments;

/* What an operand or an option's value names; completion offers those that exist. */
enum operand {
	OPERAND_NONE, OPERAND_TEXT, OPERAND_FILE, OPERAND_VNODE, OPERAND_LAN, OPERAND_TOPOLOGY,
	OPERAND_IMAGE, OPERAND_JOB, OPERAND_VERB, OPERAND_METHOD, OPERAND_SHELL, OPERAND_FIELD,
};
extern const char *const operand_words[];

#define MANY 100000			/* operands: as many as there are */

struct verb {
	const char *name;		/* one word, or a noun and a verb */
	const char *args;		/* operands, for people */
	int least, most;		/* operands */
	enum operand operands[2];	/* of the first, and of the others */
	const char *options;		/* names from the option table, separated by blanks */
	const char *method;		/* what it calls; NULL: several, or none */
	int (*run)(struct client *client, const struct arguments *args);
	const char *help;		/* NULL: the method's summary */
};

extern const struct verb verbs[];	/* ends with an empty row */

/* Finds a verb of one or two words; *ret_words says how many. NULL: none. */
const struct verb *verb_find(char *const *words, int n_words, int *ret_words);
/* Whether it begins verbs of two words. */
bool verb_is_noun(const char *word);
const char *verb_help(const struct verb *verb);
bool verb_has_option(const struct verb *verb, const char *name);

/* Runs vnodectl; returns its exit status. */
int verbs_main(struct client *client, int argc, char **argv);

#define VERBS(X)                                                                                   \
	X(topology_apply) X(verify)                                                                        \
	X(topology_plan) X(topology_list) X(topology_show) X(topology_export) X(topology_delete)   \
		X(vnode_list) X(vnode_show) X(vnode_create) X(vnode_change) X(vnode_set)           \
			X(vnode_wait) X(vnode_exec) X(vnode_console) X(lan_list) X(lan_show)       \
				X(lan_set) X(lan_schedule) X(lan_carrier) X(image_add) X(image_list) X(image_show) \
					X(image_remove) X(image_capture) X(image_prune) X(job_list) X(job_show) X(job_wait)        \
						X(job_cancel) X(event_list) X(host_info)           \
							X(host_change) X(raw_call) X(help_show)    \
								X(completion_print)                \
									X(completion_names)
/* Each lives in the file of its noun. */
#define X(id) int verb_##id(struct client *client, const struct arguments *args);
VERBS(X)
#undef X
