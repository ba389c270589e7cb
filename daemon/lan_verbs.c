/*
 * LANs made, removed, and cut off. lan.create and lan.destroy are inner verbs: LANs come and go with
 * topologies. lan.set is in lan_set.c.
 */
#include "daemon/lan_verbs.h"

#include <string.h>

#include "daemon/carrier.h"
#include "daemon/schedule.h"
#include "daemon/task.h"
#include "daemon/ways.h"

struct lan_task {
	struct net *net;
	struct vn_arena arena;		/* of the spec */
	struct lan_spec spec;
	bool up;
	int64_t member;			/* VMID; 0: all */
	struct port_list ports;		/* whose namespaces stand now */
	struct port_list changed;	/* those of them that had the other carrier before */
};

struct lan *
job_lan(const struct job *job)
{
	return lan_by_id(job->daemon, json_integer_value(json_object_get(job->params, "lan")));
}

json_t *
lan_job_params(const struct lan *lan)
{
	return json_pack("{sI}", "lan", (json_int_t)lan->id);
}

static void
free_task(void *ctx)
{
	struct lan_task *task = ctx;

	port_list_fini(&task->ports);
	port_list_fini(&task->changed);
	vn_arena_fini(&task->arena);
	free(task);
}

bool
lan_member_stands(const struct member *member)
{
	const struct vnode *vnode = member->vnode;

	return vnode->runtime.network &&
	       strcmp(vnode->runtime.boot_id, vnode->daemon->boot_id) == 0;
}

/* A port has its carrier when its own wish and its LAN's say so. */
static void
collect_ports(const struct job *job, struct lan_task *task, const struct lan *lan)
{
	bool lan_was_up = carrier_lan_was_up(job);
	bool lan_up = task->member ? lan_was_up : task->up;

	vn_list_each(struct member, member, &lan->members, in_lan) {
		bool is_meant = !task->member || member->vnode->vmid == task->member;
		bool before = carrier_was_up(job, member);
		bool up = lan_up && (task->member || task->up ? task->up : before);

		if (!is_meant || up != task->up || !lan_member_stands(member))
			continue;
		port_list_add(&task->ports, member);
		if ((before && lan_was_up) != up)
			port_list_add(&task->changed, member);
	}
}

struct lan *
lan_job_lock(struct job *job, struct vn_error *err)
{
	struct lan *lan = job_lan(job);
	vn_autofree char *what = NULL;

	if (!lan) {
		vn_fail(err, VN_E_NOT_FOUND, "the LAN is gone");
		return NULL;
	}
	what = vn_format("LAN '%s/%s'", lan->topology->name, lan->name);
	if (job_lock(job, &lan->lock, what, err) < 0)
		return NULL;
	if (!json_array_size(job->about))
		json_array_append_new(job->about, json_sprintf("%s/%s", lan->topology->name,
							       lan->name));
	return lan;
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct lan *lan = lan_job_lock(job, err);
	struct lan_task *task;

	if (!lan)
		return NULL;
	task = vn_alloc(sizeof(*task));
	task->net = job->daemon->net;
	task->spec = lan_spec_now(lan, &task->arena);
	carrier_note(job, lan);
	task->up = strcmp(job->verb->method, "lan.down") != 0;
	task->member = json_integer_value(json_object_get(job->params, "member"));
	collect_ports(job, task, lan);
	return task;
}

static enum verdict
step_bridge(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return task->net->ops->lan_up(task->net, &task->spec, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_no_bridge(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return task->net->ops->lan_down(task->net, task->spec.id, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* The model first: a crash between leaves a wish that the start makes true. Up means up: it also takes
 * back what was said of single members. */
static enum verdict
set_wish(struct job *job, struct lan_task *task, bool up)
{
	struct lan *lan = job_lan(job);
	bool found = false;

	if (!task->member)
		lan_set_up(lan, up);
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (task->member ? member->vnode->vmid == task->member : up && !member->up) {
			member_set_up(member, up);
			found = true;
		}
	return found || !task->member ? STEP_DONE : STEP_FAILED;
}

static enum verdict
step_wish(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	if (set_wish(job, task, task->up) == STEP_DONE)
		return STEP_DONE;
	vn_fail_at(err, "/member", VN_E_NOT_FOUND, "the vnode is no member of the LAN");
	return STEP_FAILED;
}

static enum verdict
undo_wish(struct job *job, void *ctx, struct vn_error *err)
{
	(void)err;
	(void)ctx;
	carrier_restore(job, job_lan(job));
	return STEP_DONE;
}

static enum verdict
step_carrier(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return port_list_set(task->net, &task->ports, task->up, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
undo_carrier(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return port_list_set(task->net, &task->changed, !task->up, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static const struct step create_steps[] = {
	{ "create_bridge",  ON_WORKER, LANE_NET, step_bridge,    step_no_bridge },
	{ 0 }
};

static const struct step destroy_steps[] = {
	{ "destroy_bridge", ON_WORKER, LANE_NET, step_no_bridge, NULL },
	{ 0 }
};

static const struct step carrier_steps[] = {
	{ "wish",           ON_LOOP,   0,        step_wish,      undo_wish },
	{ "carrier",        ON_WORKER, LANE_NET, step_carrier,   undo_carrier },
	{ 0 }
};

static void
ended_create(struct job *job, void *ctx)
{
	struct lan *lan = job_lan(job);

	(void)ctx;
	if (!lan)
		return;
	if (job->err.code == VN_OK) {
		lan_announce(lan, "created");
		return;
	}
	job_unlock(job, &lan->lock);
	lan_remove(lan);
}

static void
ended_destroy(struct job *job, void *ctx)
{
	struct lan *lan = job_lan(job);
	struct topology *topology;

	(void)ctx;
	if (!lan || job->err.code != VN_OK)
		return;
	topology = lan->topology;
	lan_announce(lan, "destroyed");
	job_unlock(job, &lan->lock);
	lan_remove(lan);
	topology_drop_if_empty(topology);
}

void
lan_ended_change(struct job *job, void *ctx)
{
	struct lan *lan = job_lan(job);

	(void)ctx;
	if (!lan)
		return;
	schedule_job_ended(lan, job);
	if (job->err.code != VN_OK)
		return;
	lan_announce(lan, strcmp(job->verb->method, "lan.set") == 0 ? "changed"
			  : strcmp(job->verb->method, "lan.up") == 0 ? "up" : "down");
	job->result = lan_object(lan);
}

const struct verb verb_lan_create =
	{ "lan.create", 1, create_steps, load, free_task, ended_create };
const struct verb verb_lan_destroy =
	{ "lan.destroy", 1, destroy_steps, load, free_task, ended_destroy };
const struct verb verb_lan_up = { "lan.up", 1, carrier_steps, load, free_task, lan_ended_change };
const struct verb verb_lan_down = { "lan.down", 1, carrier_steps, load, free_task, lan_ended_change };
