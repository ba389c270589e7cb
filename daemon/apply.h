#pragma once
/* topology.apply and topology.delete: parents with a child per object. Thread: loop. */

#include "daemon/plan.h"

extern const struct verb verb_topology_apply, verb_topology_delete;

/* Makes the objects that a plan creates (rows only; jobs build them) and returns the apply job's params.
 * Errors: as vnode_new and lan_new; nothing is left then. */
int apply_prepare(struct daemon *daemon, json_t *plan, json_t **ret_params, struct vn_error *err);
/* Takes back what apply_prepare made; for a job that could not begin. */
void apply_abandon(struct daemon *daemon, json_t *params);
/* Takes back the rows of a job that ended before a child could: cancelled before its first step. */
void apply_drop_rows(struct job *job);
