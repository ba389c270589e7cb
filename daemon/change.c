/*
 * vnode.set; what it does with forwards and disks is in change_forward.c and change_disk.c. A change is
 * live where the running guest can take it, else the guest is halted, changed and booted again. The old
 * spec and members are noted in the journal before anything is touched, so that undoing works after a
 * crash as well.
 */
#include "daemon/change_inner.h"

#include <string.h>

#include "daemon/lifecycle.h"
#include "daemon/members.h"

json_t *
change_params(const struct vnode *vnode, json_t *spec, json_t *members)
{
	json_t *params = vnode_job_params(vnode);

	json_object_set(params, "spec", spec);
	if (members)
		json_object_set(params, "members", members);
	return params;
}

static void
decode_spec(json_t *spec, struct vn_arena *arena, struct doc_vnode *ret)
{
	struct vn_error err;

	if (schema_decode(doc_vnode_fields, spec, arena, ret, &err) < 0)
		abort();		/* canonical: checked when the call came in */
}

/* Indexes of interfaces that are not what `members` says. */
static unsigned *
choose_others(struct change *change, const struct vnode *vnode, json_t *members, size_t *ret_count)
{
	size_t count = 0;
	unsigned *indexes;

	vn_list_each(struct member, member, &vnode->members, in_vnode)
		count++;
	indexes = vn_arena_alloc(&change->arena, (count + 1) * sizeof(*indexes));
	*ret_count = 0;
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (change->members && member_is_another(member, members))
			indexes[(*ret_count)++] = member->index;
	return indexes;
}

/* Seen from wherever the job is: before `adopt` none have come. */
static void
choose_fresh(struct change *change, const struct job *job, const struct vnode *vnode)
{
	change->fresh = choose_others(change, vnode, json_object_get(job->data, "members_before"),
				      &change->n_fresh);
}

/* What the job must know of the state before, kept in its journal. */
static void
note_before(struct job *job, const struct vnode *vnode)
{
	if (json_object_get(job->data, "before"))
		return;
	job_note(job, "before", json_incref(vnode->spec_json));
	job_note(job, "members_before", members_export(vnode));
	job_note(job, "surplus_before", json_boolean(vnode->runtime.surplus));
	job_note(job, "was_running", json_boolean(vnode->observed == VNODE_RUNNING));
}

static void
free_change(void *ctx)
{
	struct change *change = ctx;

	vn_arena_fini(&change->arena);
	task_free(ctx);
}

static bool
differs(const struct job *job, const char *field)
{
	json_t *a = json_object_get(json_object_get(job->data, "before"), field);
	json_t *b = json_object_get(json_object_get(job->params, "spec"), field);

	return a != b && !(a && b && json_equal(a, b));
}

static void *
load_set(struct job *job, struct vn_error *err)
{
	struct vnode *vnode = job_vnode(job);
	vn_autofree char *what = vnode ? vn_format("vnode '%s'", vnode_title(vnode)) : NULL;
	struct change *change;

	if (!vnode) {
		vn_fail(err, VN_E_NOT_FOUND, "the vnode is gone");
		return NULL;
	}
	if (job_lock(job, &vnode->lock, what, err) < 0)
		return NULL;
	change = vn_alloc(sizeof(*change));
	if (task_init(&change->task, vnode, err) < 0) {
		free_change(change);
		return NULL;
	}
	if (!json_array_size(job->about))
		json_array_append_new(job->about, json_string(vnode_title(vnode)));
	job->patience_ms = change->task.grace_ms;
	note_before(job, vnode);
	decode_spec(json_object_get(job->data, "before"), &change->arena, &change->before);
	decode_spec(json_object_get(job->params, "spec"), &change->arena, &change->after);
	change->members = json_object_get(job->params, "members");
	change->was_running = json_is_true(json_object_get(job->data, "was_running"));
	change_load_forwards(change, job, vnode);
	change_load_disks(change, vnode);
	change->cut = choose_others(change, vnode, change->members, &change->n_cut);
	choose_fresh(change, job, vnode);
	change->restart = change_compare(vnode, json_object_get(job->data, "before"),
					 json_object_get(job->params, "spec"), NULL) >=
			  CHANGE_RESTART ||
			  (change->members &&
			   members_compare(change->members, json_object_get(job->data,
							    "members_before")) == CHANGE_RESTART);
	change->reroutes = change->members || differs(job, "routes") || differs(job, "default_route");
	job->abort_flag = &change->task.stop;
	change->network_stood = change->task.network_stands;
	change->task.halt = change->task.boot = change->restart && change->was_running;
	return change;
}

static enum verdict
step_state(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	(void)err;
	if (change->task.halt)
		vnode_set_state(job_vnode(job), VNODE_STOPPING);
	return step_begin_halt(job, ctx, err);
}

/* What ran before the change runs again: undo_halt has seen to it. */
static enum verdict
undo_state(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct vnode *vnode = job_vnode(job);

	if (!change->task.halt || json_object_get(job->data, "undo_failed"))
		return STEP_DONE;
	if (memcmp(&vnode->runtime.id, &change->task.id, sizeof(change->task.id)) != 0)
		lifecycle_settle_halt(vnode);
	vnode->halting = false;
	step_network_done(job, ctx, err);
	return step_post_config(job, ctx, err);
}

/* Boots the guest again as it was, unless it has never ended. */
static enum verdict
undo_halt(struct job *job, void *ctx, struct vn_error *err)
{
	struct task *task = ctx;
	struct guest_status status;

	if (!task->halt)
		return STEP_DONE;
	if (task->compute->ops->probe(task->compute, task->guest.domain, task->guest.uuid, &status,
				      err) < 0)
		return STEP_FAILED;
	if (status.state == GUEST_RUNNING) {
		task->id = status.id;
		return STEP_DONE;
	}
	if (task->compute->ops->stop(task->compute, task->guest.domain, task->guest.uuid, NULL, 0,
				     err) < 0 || !step_goes_on(task, err) ||
	    step_pre_config(job, ctx, err) == STEP_FAILED ||
	    step_control_network(job, ctx, err) == STEP_FAILED ||
	    step_exp_network(job, ctx, err) == STEP_FAILED ||
	    step_forward_ports(job, ctx, err) == STEP_FAILED)	/* a restart may have dropped them */
		return STEP_FAILED;
	return step_boot(job, ctx, err);
}

static enum verdict
step_begun(struct job *job, void *ctx, struct vn_error *err)
{
	(void)job;
	(void)ctx;
	(void)err;
	return STEP_DONE;
}

static enum verdict
step_cut(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct net *net = change->task.net;

	(void)job;
	if (!change->n_cut || !change->task.network_stands)
		return STEP_DONE;
	return net->ops->ports_down(net, &change->task.guest.ns, change->cut, change->n_cut, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

/* The task speaks of the old spec; from here on it is to speak of the new one. */
static int
renew_task(struct change *change, struct vnode *vnode, struct vn_error *err)
{
	struct task old = change->task;
	struct task task = { .halt = old.halt, .boot = old.boot };

	if (task_init(&task, vnode, err) < 0)
		return -1;
	task.network_stands &= !change->n_cut && !change->members;
	change->task = task;
	task_fini(&old);
	return 0;
}

static enum verdict
adopt(struct job *job, struct change *change, const struct doc_vnode *spec, json_t *members,
      struct vn_error *err)
{
	struct vnode *vnode = job_vnode(job);

	vnode_set_spec(vnode, spec);
	if (change->members)
		members_adopt(vnode, members);
	choose_fresh(change, job, vnode);
	return renew_task(change, vnode, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	/* With the spec in one commit: if dropping fails, the next apply knows. */
	job_vnode(job)->runtime.surplus |= change->drops;
	return adopt(job, change, &change->after, change->members, err);
}

static enum verdict
undo_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	job_vnode(job)->runtime.surplus = json_is_true(json_object_get(job->data, "surplus_before"));
	return adopt(job, change, &change->before, json_object_get(job->data, "members_before"), err);
}

/* Where the network stands its interfaces follow at once; else the next boot makes them. */
static enum verdict
step_ports(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct task *task = &change->task;

	(void)job;
	if (!change->members || !task->n_ports || !change->network_stood)
		return STEP_DONE;
	return task->net->ops->ports_up(task->net, &task->guest.ns, task->ports, task->n_ports,
					err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* Those that have come go; the undo of cut_ports makes the old ones again and gives all their addresses. */
static enum verdict
undo_ports(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct task *task = &change->task;

	(void)job;
	if (!change->n_fresh || !change->network_stood)
		return STEP_DONE;
	return task->net->ops->ports_down(task->net, &task->guest.ns, change->fresh, change->n_fresh,
					  err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* After the ports: routes go with the interfaces that they lead through. */
static enum verdict
step_reroute(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct task *task = &change->task;
	const struct ns_ref *ns = &task->guest.ns;

	(void)job;
	if (!change->reroutes || !change->network_stood)
		return STEP_DONE;
	if (task->control && task->net->ops->ports_up(task->net, ns, task->control, 1, err) < 0)
		return STEP_FAILED;
	return task->net->ops->routes_set(task->net, ns, task->routes, task->n_routes, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_limits(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	if (!change->was_running || change->task.halt ||
	    (change->before.memory_bytes == change->after.memory_bytes &&
	     change->before.pids == change->after.pids))
		return STEP_DONE;
	return step_set_limits(job, ctx, err);
}

/* Undoing goes upwards: above `adopt` the task speaks of the vnode as it was. */
static const struct step set_steps[] = {
	{ "reserve",         ON_LOOP,   0,            change_step_reserve,    change_undo_reserve },
	{ "limits_begun",    ON_WORKER, LANE_COMPUTE, step_begun,             step_limits },
	{ "routes_begun",    ON_WORKER, LANE_NET,     step_begun,             step_reroute },
	{ "begin_halt",      ON_LOOP,   0,            step_state,             undo_state },
	{ "halt",            ON_WORKER, LANE_HALT,    step_halt,              undo_halt, 0, needs_halt },
	{ "unforward_ports", ON_WORKER, LANE_NET,     step_unforward,         step_forward_ports, 0, needs_unforward },
	{ "unmount",         ON_WORKER, LANE_DISK,    step_unmount,           NULL, 0, needs_halt },
	{ "cut_ports",       ON_WORKER, LANE_NET,     step_cut,               step_ports },
	{ "make_disks",      ON_WORKER, LANE_DISK,    change_step_make_disks, change_undo_make_disks },
	{ "adopt",           ON_LOOP,   0,            step_adopt,             undo_adopt },
	{ "config_resources", ON_LOOP,  0,            step_resources,         NULL },
	{ "grow_disk",       ON_WORKER, LANE_DISK,    change_step_grow,       NULL },
	{ "ports",           ON_WORKER, LANE_NET,     step_ports,             undo_ports },
	{ "routes",          ON_WORKER, LANE_NET,     step_reroute,           NULL },
	{ "limits",          ON_WORKER, LANE_COMPUTE, step_limits,            NULL },
	{ "forwards",        ON_WORKER, LANE_NET,     change_step_forwards,   change_undo_forwards },
	{ "begin_boot",      ON_LOOP,   0,            step_begin_boot,        NULL },
	{ "pre_config",      ON_WORKER, LANE_DISK,    step_pre_config,        undo_pre_config, 0, needs_pre_config },
	{ "pre_config_control_network", ON_WORKER, LANE_NET, step_control_network,   NULL, 0, needs_control_network },
	{ "pre_config_exp_network", ON_WORKER, LANE_NET, step_exp_network,       NULL, 0, needs_exp_network },
	{ "network_done",    ON_LOOP,   0,            step_network_done,      NULL },
	{ "forward_ports",   ON_WORKER, LANE_NET,     step_forward_ports,     undo_forward_ports, 0, needs_forwards },
	{ "boot",            ON_WORKER, LANE_COMPUTE, step_boot,              undo_boot, 0, needs_boot },
	{ "post_config",     ON_LOOP,   0,            step_post_config,       undo_post_config },
	{ "commit",          ON_LOOP,   0,            step_begun,             NULL, STEP_COMMIT },
	{ "drop_disks",      ON_WORKER, LANE_DISK,    change_step_drop_disks, NULL },
	{ 0 }
};

static void
ended_set(struct job *job, void *ctx)
{
	struct change *change = ctx;
	struct vnode *vnode = job_vnode(job);
	bool done = job->err.code == VN_OK || job->committed;

	if (!vnode || !change)
		return;
	change_settle_forwards(change, vnode, done ? &change->before : &change->after, job->resumed);
	if (job->err.code == VN_OK && vnode->runtime.surplus) {
		vnode->runtime.surplus = false;
		vnode_record(vnode);
	}
	if (done) {
		job->result = vnode_object(vnode);
	} else if (json_object_get(job->data, "undo_failed")) {
		vnode->halting = false;
		vnode_set_error(vnode, &job->err);
		vnode_set_state(vnode, VNODE_FAILED);
	}
}

const struct verb verb_vnode_set =
	{ "vnode.set", 2, set_steps, load_set, free_change, ended_set };
