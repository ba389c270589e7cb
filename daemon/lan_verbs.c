/*
 * LANs made, removed, changed, and cut off. lan.create and lan.destroy are inner verbs: LANs come and
 * go with topologies.
 */
#include "daemon/lan_verbs.h"

#include <string.h>

#include "daemon/task.h"

struct lan_task {
	struct net *net;
	int64_t id;
	char uuid[VN_UUID_TEXT];
	unsigned mtu, mtu_before;
	bool up, up_before;
	int64_t member;			/* VMID; 0: all */
	int64_t *vmids;			/* ports whose namespaces stand now */
	unsigned *indexes;
	struct task *members;		/* the same vnodes, for changing their ports */
	size_t n_ports;
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

	for (size_t i = 0; i < task->n_ports; i++)
		task_fini(&task->members[i]);
	free(task->members);
	free(task->vmids);
	free(task->indexes);
	free(task);
}

static void
collect_ports(struct lan_task *task, const struct lan *lan)
{
	struct vn_error ignored;
	size_t count = 0;

	vn_list_each(struct member, member, &lan->members, in_lan)
		count++;
	task->vmids = vn_alloc_array(count, sizeof(*task->vmids));
	task->indexes = vn_alloc_array(count, sizeof(*task->indexes));
	task->members = vn_alloc_array(count, sizeof(*task->members));
	vn_list_each(struct member, member, &lan->members, in_lan) {
		if (!member->vnode->runtime.network ||
		    strcmp(member->vnode->runtime.boot_id, lan->daemon->boot_id) != 0 ||
		    (task->member && member->vnode->vmid != task->member) ||
		    task_init(&task->members[task->n_ports], member->vnode, &ignored) < 0)
			continue;
		task->vmids[task->n_ports] = member->vnode->vmid;
		task->indexes[task->n_ports++] = member->index;
	}
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct lan *lan = job_lan(job);
	vn_autofree char *what = NULL;
	struct lan_task *task;

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
	task = vn_alloc(sizeof(*task));
	task->net = job->daemon->net;
	task->id = lan->id;
	memcpy(task->uuid, lan->uuid, sizeof(task->uuid));
	if (!json_object_get(job->data, "mtu_before"))
		job_note(job, "mtu_before", json_integer(lan->mtu));
	task->mtu_before = (unsigned)json_integer_value(json_object_get(job->data, "mtu_before"));
	task->mtu = json_object_get(job->params, "mtu")
		    ? (unsigned)json_integer_value(json_object_get(job->params, "mtu")) : lan->mtu;
	task->up = strcmp(job->verb->method, "lan.down") != 0;
	task->member = json_integer_value(json_object_get(job->params, "member"));
	collect_ports(task, lan);
	return task;
}

static enum verdict
step_bridge(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;
	struct lan_spec spec = { task->id, task->uuid, task->mtu };

	(void)job;
	return task->net->ops->lan_up(task->net, &spec, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_no_bridge(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return task->net->ops->lan_down(task->net, task->id, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* The bridge and both ends of each member's port get the MTU. */
static enum verdict
change_mtu(struct lan_task *task, unsigned mtu, struct vn_error *err)
{
	struct lan_spec spec = { task->id, task->uuid, mtu };

	if (task->net->ops->lan_up(task->net, &spec, err) < 0)
		return STEP_FAILED;
	for (size_t i = 0; i < task->n_ports; i++)
		for (size_t p = 0; p < task->members[i].n_ports; p++) {
			struct port_spec port = task->members[i].ports[p];

			port.mtu = mtu;
			if (port.lan == task->id &&
			    task->net->ops->ports_up(task->net, &task->members[i].guest.ns, &port, 1,
						     err) < 0)
				return STEP_FAILED;
		}
	return STEP_DONE;
}

static enum verdict
step_mtu(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;
	struct vn_error ignored;

	(void)job;
	if (change_mtu(task, task->mtu, err) == STEP_DONE)
		return STEP_DONE;
	change_mtu(task, task->mtu_before, &ignored);
	return STEP_FAILED;
}

static enum verdict
undo_mtu(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return change_mtu(task, task->mtu_before, err);
}

/* The model first: a crash between leaves a wish that the start makes true. */
static enum verdict
set_wish(struct job *job, struct lan_task *task, bool up)
{
	struct lan *lan = job_lan(job);
	bool found = false;

	if (!task->member) {
		lan_set_up(lan, up);
		return STEP_DONE;
	}
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (member->vnode->vmid == task->member) {
			member_set_up(member, up);
			found = true;
		}
	return found ? STEP_DONE : STEP_FAILED;
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
	struct lan_task *task = ctx;

	(void)err;
	set_wish(job, task, !task->up);
	return STEP_DONE;
}

static enum verdict
step_carrier(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	if (!task->n_ports)
		return STEP_DONE;
	return task->net->ops->ports_carrier(task->net, task->vmids, task->indexes, task->n_ports,
					     task->up, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_set_mtu(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)err;
	lan_set_mtu(job_lan(job), task->mtu);
	return STEP_DONE;
}

static const struct step create_steps[] = {
	{ "create_bridge",  ON_WORKER, LANE_NET, step_bridge,    step_no_bridge },
	{ 0 }
};

static const struct step destroy_steps[] = {
	{ "destroy_bridge", ON_WORKER, LANE_NET, step_no_bridge, NULL },
	{ 0 }
};

static const struct step set_steps[] = {
	{ "mtu",            ON_WORKER, LANE_NET, step_mtu,       undo_mtu },
	{ "adopt",          ON_LOOP,   0,        step_set_mtu,   NULL },
	{ 0 }
};

static const struct step carrier_steps[] = {
	{ "wish",           ON_LOOP,   0,        step_wish,      undo_wish },
	{ "carrier",        ON_WORKER, LANE_NET, step_carrier,   NULL },
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

static void
ended_change(struct job *job, void *ctx)
{
	struct lan *lan = job_lan(job);

	(void)ctx;
	if (!lan || job->err.code != VN_OK)
		return;
	lan_announce(lan, strcmp(job->verb->method, "lan.set") == 0 ? "changed"
			  : strcmp(job->verb->method, "lan.up") == 0 ? "up" : "down");
	job->result = lan_object(lan);
}

const struct verb verb_lan_create =
	{ "lan.create", 1, create_steps, load, free_task, ended_create };
const struct verb verb_lan_destroy =
	{ "lan.destroy", 1, destroy_steps, load, free_task, ended_destroy };
const struct verb verb_lan_set = { "lan.set", 1, set_steps, load, free_task, ended_change };
const struct verb verb_lan_up = { "lan.up", 1, carrier_steps, load, free_task, ended_change };
const struct verb verb_lan_down = { "lan.down", 1, carrier_steps, load, free_task, ended_change };
