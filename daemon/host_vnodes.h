#pragma once
/* Boot and halt of all vnodes. Thread: loop. */

#include "daemon/model.h"

struct vnodes_task {
	struct vn_arena arena;
	int64_t *vmids;			/* of all, as the step found them that goes through them */
	size_t n_vmids;
	bool is_limited;		/* the time that each guest gets to end by itself */
	int64_t limit_ms;
	bool is_cut_short;		/* what others hold now is not waited for, and told */
};

extern const struct verb verb_host_boot, verb_host_halt;

/* Halts all that run; ctx begins with a struct vnodes_task. */
step_fn step_halt_all;
