/*
 * vnode.mend and lan.mend, the inner verbs of host.repair. They make what the model says, which is what the
 * calls of a boot or a change make, and so have nothing to undo. They belong to one life: a start mends itself.
 */
#include "daemon/mend.h"

#include <string.h>

#include "daemon/lan_verbs.h"
#include "daemon/lifecycle.h"
#include "daemon/steps.h"
#include "daemon/verify.h"
#include "daemon/ways.h"

int
mend_network(struct task *task, struct vn_error *err)
{
	struct net *net = task->net;
	const struct ns_ref *ns = &task->guest.ns;

	if ((task->control && net->ops->ports_up(net, ns, task->control, 1, err) < 0) ||
	    (task->n_ports && net->ops->ports_up(net, ns, task->ports, task->n_ports, err) < 0))
		return -1;
	return net->ops->routes_set(net, ns, task->routes, task->n_routes, err);
}

static bool
has_bridge(const struct net_found *found, size_t n_found, const struct lan *lan)
{
	for (size_t i = 0; i < n_found; i++)
		if (found[i].kind == NET_BRIDGE && found[i].id == lan->id)
			return true;
	return false;
}

/* After host.teardown nothing is to be there. */
size_t
mend_lost_bridges(const struct daemon *daemon, const struct net_found *found, size_t n_found,
		  struct vn_arena *arena, struct lan_spec **ret)
{
	size_t count = 1, n = 0;

	vn_list_each(struct lan, lan, &daemon->model->lans, link)
		count++;
	*ret = vn_arena_alloc(arena, count * sizeof(**ret));
	vn_list_each(struct lan, lan, &daemon->model->lans, link)
		if (!lan->lock.holder && !daemon->torn_down && !has_bridge(found, n_found, lan))
			(*ret)[n++] = lan_spec_now(lan, arena);
	return n;
}

/* ---- a vnode --------------------------------------------------------------------------------- */

struct vnode_mend {
	struct task task;
	enum vnode_state observed;
};

static void *
load_vnode(struct job *job, struct vn_error *err)
{
	struct vnode *vnode = vnode_by_vmid(job->daemon,
		json_integer_value(json_object_get(job->params, "vmid")));
	struct vnode_mend *mend;

	if (!vnode) {
		vn_fail(err, VN_E_NOT_FOUND, "the vnode is gone");
		return NULL;
	}
	if (job_lock(job, &vnode->lock, vnode_title(vnode), err) < 0)
		return NULL;
	mend = vn_alloc(sizeof(*mend));
	mend->observed = vnode->observed;
	json_array_append_new(job->about, json_string(vnode_title(vnode)));
	if (task_init(&mend->task, vnode, err) == 0)
		return mend;
	task_free(mend);
	return NULL;
}

/* Namespaces that a guest lives in cannot be made anew under it. */
static enum verdict
step_network(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnode_mend *mend = ctx;
	struct task *task = &mend->task;

	(void)job;
	if (!task->network_stands)
		return STEP_DONE;
	if (mend->observed != VNODE_RUNNING &&
	    task->net->ops->namespaces_up(task->net, &task->guest.ns, err) < 0)
		return STEP_FAILED;
	return mend_network(task, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_forwards(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnode_mend *mend = ctx;
	struct task *task = &mend->task;

	(void)job;
	if (mend->observed != VNODE_RUNNING || !task->n_forwards)
		return STEP_DONE;
	return task->net->ops->forwards_up(task->net, task->forwards, task->n_forwards, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_remount(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnode_mend *mend = ctx;

	return mend->observed == VNODE_MOUNTED ? step_mount(job, &mend->task, err) : STEP_DONE;
}

static const struct step vnode_steps[] = {
	{ "network",  ON_WORKER, LANE_NET,  step_network,  NULL },
	{ "forwards", ON_WORKER, LANE_NET,  step_forwards, NULL },
	{ "mount",    ON_WORKER, LANE_DISK, step_remount,  NULL },
	{ 0 }
};

/* ---- a LAN ----------------------------------------------------------------------------------- */

struct lan_mend {
	struct net *net;
	struct lan_spec spec;
	struct vn_arena arena;
};

static void *
load_lan(struct job *job, struct vn_error *err)
{
	struct lan *lan = lan_job_lock(job, err);
	struct lan_mend *mend;

	if (!lan)
		return NULL;
	mend = vn_alloc(sizeof(*mend));
	mend->net = job->daemon->net;
	mend->spec = lan_spec_now(lan, &mend->arena);
	return mend;
}

static enum verdict
step_bridge(struct job *job, void *ctx, struct vn_error *err)
{
	struct lan_mend *mend = ctx;

	(void)job;
	return mend->net->ops->lan_up(mend->net, &mend->spec, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static void
free_lan(void *ctx)
{
	struct lan_mend *mend = ctx;

	vn_arena_fini(&mend->arena);
	free(mend);
}

static const struct step lan_steps[] = {
	{ "bridge", ON_WORKER, LANE_NET, step_bridge, NULL },
	{ 0 }
};

const struct verb verb_vnode_mend =
	{ "vnode.mend", 1, vnode_steps, load_vnode, task_free, NULL, .of_a_life = true };
const struct verb verb_lan_mend = { "lan.mend", 1, lan_steps, load_lan, free_lan, NULL, .of_a_life = true };
