/*
 * Every verb in every state: one table, which the handlers ask, the test walks and docs/states.md
 * shows. Where a job holds the vnode the answer is `busy` before this table is asked.
 */
#include "daemon/lifecycle.h"

#include <stdio.h>
#include <string.h>

const char *const vnode_verb_words[] = {
	"boot", "halt", "reboot", "reload", "destroy", "set", "mount", "unmount", "capture", "exec", "console",
	NULL
};

#define RUN VERB_RUN
#define NOP VERB_NOTHING
#define NO  VERB_REFUSE
#define HLD VERB_HELD

/* one row a verb; columns: absent creating stopped mounted booting running paused stopping destroying failed */
static const enum verb_action actions[VNODE_VERB_COUNT][VNODE_STATE_COUNT] = {
	[VERB_BOOT]    = { NO, HLD, RUN, NO,  HLD, NOP, NO,  HLD, HLD, RUN },
	[VERB_HALT]    = { NO, HLD, NOP, RUN, HLD, RUN, RUN, HLD, HLD, RUN },
	[VERB_REBOOT]  = { NO, HLD, RUN, NO,  HLD, RUN, RUN, HLD, HLD, RUN },
	[VERB_RELOAD]  = { NO, HLD, RUN, NO,  HLD, RUN, RUN, HLD, HLD, RUN },
	[VERB_DESTROY] = { NO, HLD, RUN, RUN, HLD, RUN, RUN, HLD, HLD, RUN },
	[VERB_SET]     = { NO, HLD, RUN, RUN, HLD, RUN, NO,  HLD, HLD, RUN },
	[VERB_MOUNT]   = { NO, HLD, RUN, RUN, HLD, NO,  NO,  HLD, HLD, NO  },
	[VERB_UNMOUNT] = { NO, HLD, NOP, RUN, HLD, NO,  NO,  HLD, HLD, NO  },
	[VERB_CAPTURE] = { NO, HLD, RUN, NO,  HLD, NO,  NO,  HLD, HLD, NO  },
	[VERB_EXEC]    = { NO, NO,  NO,  NO,  NO,  RUN, NO,  NO,  NO,  NO  },
	[VERB_CONSOLE] = { NO, NO,  NO,  NO,  NO,  RUN, NO,  NO,  NO,  NO  },
};

/* What to do first, by state; for the refusal's sentence. */
static const char *const cures[VNODE_STATE_COUNT] = {
	[VNODE_ABSENT]     = "create it first",
	[VNODE_CREATING]   = "wait until it is created",
	[VNODE_STOPPED]    = "boot it first",
	[VNODE_MOUNTED]    = "unmount it first",
	[VNODE_BOOTING]    = "wait until it runs",
	[VNODE_RUNNING]    = "halt it first",
	[VNODE_PAUSED]     = "halt it first",
	[VNODE_STOPPING]   = "wait until it is stopped",
	[VNODE_DESTROYING] = "create a new one",
	[VNODE_FAILED]     = "halt it to clean it up, or destroy it",
};

enum verb_action
verb_action(enum vnode_verb verb, enum vnode_state state)
{
	return actions[verb][state];
}

enum verb_action
vnode_may(const struct vnode *vnode, enum vnode_verb verb, struct vn_error *err)
{
	enum verb_action action = verb_action(verb, vnode->observed);

	if (action == VERB_REFUSE)
		vn_fail(err, VN_E_STATE, "cannot %s vnode '%s' while it is %s: %s",
			vnode_verb_words[verb], vnode_title(vnode),
			vnode_state_words[vnode->observed], cures[vnode->observed]);
	return action;
}

char *
verb_state_document(void)
{
	static const char *const words[] = { "runs", "done already", "`state`", "`busy`" };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fputs("# Every verb in every state\n\nMade from the table in `daemon/verb_state.c` by "
	      "`vnoded --print states`; a test compares them.\n\n"
	      "*runs*: a job does it. *done already*: answered at once, nothing changes. `state`: "
	      "refused with that error and what to do first. `busy`: a job is at work on the vnode; "
	      "the answer names it.\n\n| verb |", out);
	for (int state = 0; state < VNODE_STATE_COUNT; state++)
		fprintf(out, " %s |", vnode_state_words[state]);
	fputs("\n|---|", out);
	for (int state = 0; state < VNODE_STATE_COUNT; state++)
		fputs("---|", out);
	for (int verb = 0; verb < VNODE_VERB_COUNT; verb++) {
		fprintf(out, "\n| %s |", vnode_verb_words[verb]);
		for (int state = 0; state < VNODE_STATE_COUNT; state++)
			fprintf(out, " %s |", words[actions[verb][state]]);
	}
	fputs("\n", out);
	fclose(out);
	return text;
}
