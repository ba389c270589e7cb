/*
 * LANs made, removed, and cut off. lan.create and lan.destroy are inner verbs: LANs come and go with
 * topologies. lan.set is in lan_set.c.
 */
#include "daemon/lan_verbs.h"

#include <string.h>

#include "daemon/task.h"

struct lan_task {
	struct net *net;
	int64_t id;
	char uuid[VN_UUID_TEXT];
	unsigned mtu;
	bool up;
	int64_t member;			/* VMID; 0: all */
	struct port_list {		/* ports whose namespaces stand now */
		int64_t *vmids;
		unsigned *indexes;
		size_t count;
	} ports, changed;		/* changed: those that had the other carrier before */
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

	free(task->ports.vmids);
	free(task->ports.indexes);
	free(task->changed.vmids);
	free(task->changed.indexes);
	free(task);
}

bool
lan_member_stands(const struct member *member)
{
	const struct vnode *vnode = member->vnode;

	return vnode->runtime.network &&
	       strcmp(vnode->runtime.boot_id, vnode->daemon->boot_id) == 0;
}

static void
add_port(struct port_list *list, const struct member *member)
{
	list->vmids = vn_realloc_array(list->vmids, list->count + 1, sizeof(*list->vmids));
	list->indexes = vn_realloc_array(list->indexes, list->count + 1, sizeof(*list->indexes));
	list->vmids[list->count] = member->vnode->vmid;
	list->indexes[list->count++] = member->index;
}

/* How the wishes stood before the job touched any; kept, since a restart finds the new ones. */
static void
note_before(struct job *job, const struct lan *lan)
{
	json_t *members;

	if (json_object_get(job->data, "lan_up"))
		return;
	members = json_object();
	vn_list_each(struct member, member, &lan->members, in_lan)
		json_object_set_new(members, member->vnode->uuid, json_boolean(member->up));
	job_note(job, "lan_up", json_boolean(lan->up));
	job_note(job, "members_up", members);
}

static bool
was_up(const struct job *job, const struct member *member)
{
	return json_is_true(json_object_get(json_object_get(job->data, "members_up"),
					    member->vnode->uuid));
}

/* A port has its carrier when its own wish and its LAN's say so. */
static void
collect_ports(const struct job *job, struct lan_task *task, const struct lan *lan)
{
	bool lan_was_up = json_is_true(json_object_get(job->data, "lan_up"));
	bool lan_up = task->member ? lan_was_up : task->up;

	vn_list_each(struct member, member, &lan->members, in_lan) {
		bool is_meant = !task->member || member->vnode->vmid == task->member;
		bool before = was_up(job, member);
		bool up = lan_up && (task->member || task->up ? task->up : before);

		if (!is_meant || up != task->up || !lan_member_stands(member))
			continue;
		add_port(&task->ports, member);
		if ((before && lan_was_up) != up)
			add_port(&task->changed, member);
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
	task->id = lan->id;
	memcpy(task->uuid, lan->uuid, sizeof(task->uuid));
	task->mtu = lan->mtu;
	note_before(job, lan);
	task->up = strcmp(job->verb->method, "lan.down") != 0;
	task->member = json_integer_value(json_object_get(job->params, "member"));
	collect_ports(job, task, lan);
	return task;
}

static enum verdict
step_bridge(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;
	struct lan_spec spec = { .id = task->id, .uuid = task->uuid, .mtu = task->mtu };

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
	struct lan_task *task = ctx;

	(void)err;
	if (!task->member)
		lan_set_up(job_lan(job), json_is_true(json_object_get(job->data, "lan_up")));
	vn_list_each(struct member, member, &job_lan(job)->members, in_lan)
		if (member->up != was_up(job, member))
			member_set_up(member, was_up(job, member));
	return STEP_DONE;
}

static enum verdict
set_carrier(struct net *net, const struct port_list *list, bool up, struct vn_error *err)
{
	if (!list->count)
		return STEP_DONE;
	return net->ops->ports_carrier(net, list->vmids, list->indexes, list->count, up, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_carrier(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return set_carrier(task->net, &task->ports, task->up, err);
}

static enum verdict
undo_carrier(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_task *task = ctx;

	(void)job;
	return set_carrier(task->net, &task->changed, !task->up, err);
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
const struct verb verb_lan_up = { "lan.up", 1, carrier_steps, load, free_task, lan_ended_change };
const struct verb verb_lan_down = { "lan.down", 1, carrier_steps, load, free_task, lan_ended_change };
