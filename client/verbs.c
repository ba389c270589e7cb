/*
 * The verb table and what runs it. Verbs for the same noun share functions: which method is called
 * stands in the row.
 */

#include <string.h>

#include "client/options.h"
#include "client/verbs.h"
#include "proto/methods.h"

const char *const operand_words[] = { "none",     "text",  "file", "vnode", "lan",
				      "topology", "image", "job",  "verb",  "method",
				      "shell",    "field", NULL };

#define CHANGE "no-wait timeout "
#define V(id)  verb_##id
#define TEXT   OPERAND_TEXT
#define FILE_  OPERAND_FILE
#define VNODE  OPERAND_VNODE
#define LAN    OPERAND_LAN
#define TOPO   OPERAND_TOPOLOGY
#define IMAGE  OPERAND_IMAGE
#define JOB    OPERAND_JOB

/* name, operands, least, most, kinds, options, method, function, help */
const struct verb verbs[] = {
	{ "apply", "FILE", 1, 1, { FILE_ }, CHANGE "prune allow-recreate yes",
	  "topology.apply", V(topology_apply), NULL },
	{ "plan", "FILE", 1, 1, { FILE_ }, "prune allow-recreate",
	  "topology.plan", V(topology_plan), NULL },
	{ "topology list", "", 0, 0, { 0 }, "", "topology.list", V(topology_list), NULL },
	{ "topology show", "TOPOLOGY", 1, 1, { TOPO }, "", "topology.get", V(topology_show), NULL },
	{ "export", "TOPOLOGY", 1, 1, { TOPO }, "", "topology.export", V(topology_export), NULL },
	{ "delete", "TOPOLOGY", 1, 1, { TOPO }, CHANGE, "topology.delete", V(topology_delete), NULL },

	{ "list", "", 0, 0, { 0 }, "topology fields", "vnode.list", V(vnode_list), NULL },
	{ "show", "VNODE", 1, 1, { VNODE }, "", "vnode.get", V(vnode_show), NULL },
	{ "create", "NAME", 1, 1, { TEXT }, CHANGE "topology FIELDS",
	  "vnode.create", V(vnode_create), NULL },
	{ "boot", "VNODE...", 0, MANY, { VNODE, VNODE }, CHANGE "all topology",
	  "vnode.boot", V(vnode_change), NULL },
	{ "halt", "VNODE...", 0, MANY, { VNODE, VNODE }, CHANGE "all topology force",
	  "vnode.halt", V(vnode_change), NULL },
	{ "reboot", "VNODE...", 0, MANY, { VNODE, VNODE }, CHANGE "all topology",
	  "vnode.reboot", V(vnode_change), NULL },
	{ "reload", "VNODE...", 0, MANY, { VNODE, VNODE }, CHANGE "all topology",
	  "vnode.reload", V(vnode_change), NULL },
	{ "destroy", "VNODE...", 0, MANY, { VNODE, VNODE }, CHANGE "all topology force",
	  "vnode.destroy", V(vnode_change), NULL },
	{ "mount", "VNODE...", 1, MANY, { VNODE, VNODE }, CHANGE, "vnode.mount", V(vnode_change), NULL },
	{ "unmount", "VNODE...", 1, MANY, { VNODE, VNODE }, CHANGE,
	  "vnode.unmount", V(vnode_change), "Unmount a halted vnode's file system again" },
	{ "set", "VNODE FIELD=VALUE...", 2, MANY, { VNODE, OPERAND_FIELD }, CHANGE "allow-restart",
	  "vnode.set", V(vnode_set), NULL },
	{ "wait-for", "VNODE STATE...", 2, MANY, { VNODE, TEXT }, "timeout",
	  "vnode.wait", V(vnode_wait), NULL },
	{ "exec", "VNODE -- COMMAND...", 2, MANY, { VNODE, TEXT }, "tty interactive no-stdin user cwd env",
	  "vnode.exec", V(vnode_exec), NULL },
	{ "console", "VNODE", 1, 1, { VNODE }, "", "vnode.console", V(vnode_console), NULL },

	{ "lan list", "", 0, 0, { 0 }, "topology", "lan.list", V(lan_list), NULL },
	{ "lan show", "LAN", 1, 1, { LAN }, "", "lan.get", V(lan_show), NULL },
	{ "lan set", "LAN FIELD=VALUE...", 2, MANY, { LAN, TEXT }, CHANGE "member from", "lan.set", V(lan_set), NULL },
	{ "lan schedule", "LAN [FILE]", 1, 2, { LAN, FILE_ }, CHANGE "clear", "lan.schedule", V(lan_schedule), NULL },
	{ "lan up", "LAN...", 1, MANY, { LAN, LAN }, CHANGE "member", "lan.up", V(lan_carrier), NULL },
	{ "lan down", "LAN...", 1, MANY, { LAN, LAN }, CHANGE "member",
	  "lan.down", V(lan_carrier), NULL },

	{ "image add", "NAME URL|FILE", 2, 2, { TEXT, FILE_ }, CHANGE "sha256 insecure-no-digest format base",
	  "image.add", V(image_add), NULL },
	{ "image list", "", 0, 0, { 0 }, "", "image.list", V(image_list), NULL },
	{ "image show", "IMAGE", 1, 1, { IMAGE }, "", "image.get", V(image_show), NULL },
	{ "image rm", "IMAGE...", 1, MANY, { IMAGE, IMAGE }, CHANGE,
	  "image.remove", V(image_remove), NULL },
	{ "image capture", "VNODE NAME", 2, 2, { VNODE, TEXT }, CHANGE "delta",
	  "image.capture", V(image_capture), NULL },
	{ "image prune", "", 0, 0, { 0 }, CHANGE "older-than keep dry-run",
	  "image.prune", V(image_prune), NULL },

	{ "jobs", "", 0, 0, { 0 }, "all limit", "job.list", V(job_list), NULL },
	{ "job", "JOB", 1, 1, { JOB }, "", "job.get", V(job_show), NULL },
	{ "wait", "JOB...", 1, MANY, { JOB, JOB }, "timeout", "job.wait", V(job_wait), NULL },
	{ "cancel", "JOB...", 1, MANY, { JOB, JOB }, "no-wait", "job.cancel", V(job_cancel), NULL },
	{ "events", "", 0, 0, { 0 }, "follow since types topology", "event.list", V(event_list),
	  "List kept events, or follow what comes" },

	{ "verify", "[TOPOLOGY]", 0, 1, { TOPO }, CHANGE "repair probe between seconds", "host.verify",
	  V(verify), "Compare what is to be there with what is there, or measure a LAN" },
	{ "info", "", 0, 0, { 0 }, "", "host.info", V(host_info), NULL },
	{ "teardown", "", 0, 0, { 0 }, CHANGE "yes", "host.teardown", V(host_change), NULL },
	{ "raw", "METHOD [PARAMS]", 1, 2, { OPERAND_METHOD, TEXT }, "", NULL, V(raw_call),
	  "Call any method with its parameters as JSON ('-': from standard input)" },
	{ "help", "[VERB]", 0, 2, { OPERAND_VERB, OPERAND_VERB }, "tables", NULL, V(help_show),
	  "Show the verbs, or one of them" },
	{ "completion", "bash|zsh|fish", 1, 1, { OPERAND_SHELL }, "", NULL, V(completion_print),
	  "Print a completion script for a shell" },
	{ "completion-names", "KIND", 1, 1, { TEXT }, "", NULL, V(completion_names), "" },
	{ 0 }
};

const struct verb *
verb_find(char *const *words, int n_words, int *ret_words)
{
	for (const struct verb *verb = verbs; n_words > 0 && verb->name; verb++) {
		size_t first = strcspn(verb->name, " ");
		const char *second = verb->name[first] ? verb->name + first + 1 : NULL;

		if (strncmp(words[0], verb->name, first) != 0 || words[0][first])
			continue;
		if (second && (n_words < 2 || strcmp(words[1], second) != 0))
			continue;
		*ret_words = second ? 2 : 1;
		return verb;
	}
	return NULL;
}

bool
verb_is_noun(const char *word)
{
	size_t length = strlen(word);

	for (const struct verb *verb = verbs; verb->name; verb++)
		if (strncmp(verb->name, word, length) == 0 && verb->name[length] == ' ')
			return true;
	return false;
}

const char *
verb_help(const struct verb *verb)
{
	return verb->help ? verb->help : method_find(verb->method)->summary;
}

bool
verb_has_option(const struct verb *verb, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = verb->options; *at;) {
		size_t word = strcspn(at, " ");

		if (word == length && strncmp(at, name, length) == 0)
			return true;
		at += word;
		at += strspn(at, " ");
	}
	return false;
}
