#pragma once
/*
 * Every verb once, each from a state of its own: what the fault matrix and the crash tests walk.
 */

#include "tests/unit/lab.h"

enum scenario_kind {
	WHOLE,			/* a failure leaves everything as it was */
	WORLD_WHOLE,		/* a failure leaves the world as it was; the vnode may be failed */
	FORWARD,		/* a failure leaves what a retry goes on from */
};

struct scenario {
	const char *name;
	void (*prepare)(struct lab *lab);	/* NULL: nothing */
	const char *method, *params;		/* JSON; "wait" is added */
	enum scenario_kind kind;
};

extern const struct scenario scenarios[];	/* the end has no name */

/* A lab in which the scenario is prepared. */
struct lab *scenario_new(const struct scenario *scenario);
/* Sends the scenario's request (wait: answered at its end); returns the request's id. */
int scenario_send(const struct scenario *scenario, struct lab *lab, bool wait);
/* Sends it and runs until all is quiet; the answer's word. */
const char *scenario_run(const struct scenario *scenario, struct lab *lab);

/*
 * How many points further the next one lies that a matrix tries: 1, or what LAB_STRIDE says. Under sanitizers,
 * which look for other errors than the matrix does, tools/check tries a part of them.
 */
unsigned scenario_stride(void);
