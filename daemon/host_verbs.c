/*
 * libvnode's host phase as a job of its own (an inner verb, at each start), its inverse, and the verbs
 * over all vnodes. host.boot and host.halt are tolerant parents: one bad vnode never blocks the rest.
 */
#include "daemon/host_verbs.h"

#include <inttypes.h>
#include <string.h>

#include "backends/modules.h"
#include "daemon/lifecycle.h"
#include "daemon/log.h"
#include "daemon/monitor.h"
#include "daemon/ways.h"

struct host_task {
	struct net *net;
	struct disk *disk;
	struct compute *computes[DAEMON_COMPUTES];
	struct lan_spec *lans;
	size_t n_lans;
	struct forward_spec *forwards;
	size_t n_forwards;
	int64_t *vmids;			/* of all vnodes, as the step found them that goes through them */
	size_t n_vmids;
	bool is_limited;		/* the time that each guest gets to end by itself */
	int64_t limit_ms;
	struct vn_arena arena;
	json_t *missing;		/* of the host; of a set-up, LANs that are cut off */
};

static void
free_task(void *ctx)
{
	struct host_task *task = ctx;

	json_decref(task->missing);
	vn_arena_fini(&task->arena);
	free(task);
}

static void
copy_lans(struct host_task *task, const struct model *model)
{
	size_t count = 0;

	vn_list_each(struct lan, lan, &model->lans, link)
		count++;
	task->lans = vn_arena_alloc(&task->arena, (count + 1) * sizeof(*task->lans));
	vn_list_each(struct lan, lan, &model->lans, link)
		task->lans[task->n_lans++] = lan_spec_now(lan, &task->arena);
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct host_task *task = vn_alloc(sizeof(*task));

	(void)err;
	task->net = job->daemon->net;
	task->disk = job->daemon->disk;
	task->missing = json_array();
	memcpy(task->computes, job->daemon->computes, sizeof(task->computes));
	copy_lans(task, job->daemon->model);
	return task;
}

/* ---- set-up ---- */

static enum verdict
step_root_pre_config(struct job *job, void *ctx, struct vn_error *err)
{
	static const char *const modules[] = { "overlay", "bridge", "veth", "nf_tables", "nft_nat",
		"nft_masq", "nft_chain_nat", NULL };
	struct host_task *task = ctx;

	(void)job;
	modules_load(modules);
	return task->disk->ops->host_up(task->disk, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* Says that a LAN is there without a way out of it, for the loop to tell. */
static void
note_cut(struct host_task *task, const struct lan_spec *lan, const struct vn_error *why)
{
	json_array_append_new(task->missing, json_pack("{sI ss}", "lan", (json_int_t)lan->id, "text",
						       why->text));
}

/*
 * What is missing outside, a device or an address, must not keep all vnodes of the host down: such a LAN
 * is there without its uplink, without its tunnels, or without both.
 */
static int
bring_up(struct host_task *task, const struct lan_spec *lan, struct vn_error *err)
{
	struct lan_spec less = *lan;
	struct vn_error why;

	if (task->net->ops->lan_up(task->net, lan, err) == 0)
		return 0;
	if (!lan->uplink.device && !lan->n_tunnels)
		return -1;
	why = *err;
	less.uplink.device = NULL;
	if (lan->uplink.device && task->net->ops->lan_up(task->net, &less, err) == 0) {
		note_cut(task, lan, &why);
		return 0;
	}
	less.uplink = lan->uplink;
	less.n_tunnels = 0;
	if (task->net->ops->lan_up(task->net, &less, err) < 0) {
		less.uplink.device = NULL;
		if (task->net->ops->lan_up(task->net, &less, err) < 0)
			return -1;
	}
	note_cut(task, lan, &why);
	return 0;
}

static enum verdict
step_root_pre_config_network(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;

	(void)job;
	if (task->net->ops->host_up(task->net, err) < 0)
		return STEP_FAILED;
	for (size_t i = 0; i < task->n_lans; i++)
		if (bring_up(task, &task->lans[i], err) < 0)
			return STEP_FAILED;
	return STEP_DONE;
}

static enum verdict
step_root_post_config(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;
	json_t *cut;
	size_t i;

	(void)err;
	json_array_foreach(task->missing, i, cut) {
		struct lan *lan = lan_by_id(job->daemon,
					    json_integer_value(json_object_get(cut, "lan")));

		if (lan)
			event_warn(job->daemon, "LAN '%s/%s' is cut off: %s", lan->topology->name,
				   lan->name, json_string_value(json_object_get(cut, "text")));
	}
	job->daemon->torn_down = false;
	return STEP_DONE;
}

static const struct step setup_steps[] = {
	{ "root_pre_config",         ON_WORKER, LANE_DISK, step_root_pre_config,         NULL },
	{ "root_pre_config_network", ON_WORKER, LANE_NET,  step_root_pre_config_network, NULL },
	{ "root_post_config",        ON_LOOP,   0,         step_root_post_config,        NULL },
	{ 0 }
};

/* ---- what is missing ---- */

static void
collect(json_t *missing, char **sentences)
{
	for (char **at = sentences; at && *at; at++)
		json_array_append_new(missing, json_string(*at));
	backend_free_strings(sentences);
}

static enum verdict
step_probe(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;
	char **sentences = NULL;

	(void)job;
	if (task->net->ops->missing(task->net, &sentences, err) == 0)
		collect(task->missing, vn_take_ptr(&sentences));
	if (task->disk->ops->missing(task->disk, &sentences, err) == 0)
		collect(task->missing, vn_take_ptr(&sentences));
	for (size_t i = 0; i < DAEMON_COMPUTES && task->computes[i]; i++)
		if (task->computes[i]->ops->missing(task->computes[i], &sentences, err) == 0)
			collect(task->missing, vn_take_ptr(&sentences));
	return STEP_DONE;
}

static enum verdict
step_tell(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;
	const struct config *config = &job->daemon->config;
	struct disk *disk = job->daemon->disk;
	struct vn_error why;
	json_t *sentence;
	size_t i;

	(void)err;
	/* Of the other types host.info says which there are, and a plan why one is not. */
	for (int type = 0; type < DISK_TYPES; type++)
		if ((type == disk_type_find(config->disk) || (type == DISK_LVM_THIN && config->lvm_group)) &&
		    disk->ops->type_check(disk, type, &why) < 0)
			json_array_append_new(task->missing, json_string(why.text));
	json_decref(job->daemon->missing);
	job->daemon->missing = json_incref(task->missing);
	json_array_foreach(task->missing, i, sentence)
		vn_log_warning("host", "missing: %s", json_string_value(sentence));
	return STEP_DONE;
}

static const struct step probe_steps[] = {
	{ "probe", ON_WORKER, LANE_NET, step_probe, NULL },
	{ "tell",  ON_LOOP,   0,        step_tell,  NULL },
	{ 0 }
};

json_t *
host_missing(const struct daemon *daemon)
{
	return daemon->missing ? json_incref(daemon->missing) : json_array();
}

/* ---- all vnodes ---- */

static void
count_refused(struct job *job, const struct vnode *vnode, const struct vn_error *err)
{
	job->children_failed++;
	job->child_err = *err;
	json_array_append_new(job->failures, json_pack("{ss ss s[s]}", "code",
		vn_code_word(err->code), "text", err->text, "about", vnode_title(vnode)));
}

static void
begin_child(struct job *job, struct vnode *vnode, const struct verb *verb, json_t *params)
{
	struct vn_error err = { 0 };

	if (job_begin(job->daemon, verb, job, job->uid, params, NULL, &err) < 0)
		count_refused(job, vnode, &err);
}

/* Someone works in its file system: it cannot be booted, and that is said. */
static void
count_mounted(struct job *job, struct vnode *vnode)
{
	struct vn_error err;

	vnode_may(vnode, VERB_BOOT, &err);
	count_refused(job, vnode, &err);
}

/* Whether a child of this job is at work on it, or a job of others. */
static bool
is_held(const struct job *job, const struct vnode *vnode, bool by_child)
{
	const struct job *holder = job_find(job->daemon, vnode->lock.holder);

	return holder && holder != job && (holder->parent == job->id) == by_child;
}

/* In a step's first turn: vnodes may come and go between two turns. */
static void
list_vnodes(struct host_task *task, const struct model *model)
{
	size_t count = 0;

	vn_list_each(struct vnode, vnode, &model->vnodes, link)
		count++;
	task->n_vmids = 0;
	task->vmids = vn_arena_alloc(&task->arena, (count + 1) * sizeof(*task->vmids));
	vn_list_each(struct vnode, vnode, &model->vnodes, link)
		task->vmids[task->n_vmids++] = vnode->vmid;
}

/* A job_item_fn. */
static int
boot_vnode(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	const struct host_task *task = arg;
	struct vnode *vnode = vnode_by_vmid(job->daemon, task->vmids[item]);

	(void)err;
	if (!vnode || vnode->wanted != VNODE_RUNNING || is_held(job, vnode, true))
		return 0;
	if (verb_action(VERB_BOOT, vnode->observed) == VERB_RUN)
		begin_child(job, vnode, &verb_vnode_boot, vnode_job_params(vnode));
	else if (vnode->observed == VNODE_MOUNTED)
		count_mounted(job, vnode);
	return 0;
}

static enum verdict
step_boot_all(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;

	if (job->item == 0)
		list_vnodes(task, job->daemon->model);
	return job_each(job, task->n_vmids, boot_vnode, task, err);
}

/*
 * The time each guest gets to end by itself so that all are down within the budget: the halting lane
 * takes so many at a time, and half of the budget is kept for the killing.
 */
static int64_t
grace_within(struct job *job, int64_t budget_ms)
{
	int64_t n = 0, rounds;

	vn_list_each(struct vnode, vnode, &job->daemon->model->vnodes, link)
		n += vnode->observed == VNODE_RUNNING;
	rounds = (n + pool_width(job->daemon->pool, LANE_HALT) - 1) /
		 pool_width(job->daemon->pool, LANE_HALT);
	return rounds ? budget_ms / 2 / rounds : budget_ms / 2;
}

/* A job_item_fn. What somebody else is at work on comes after that. */
static int
halt_vnode(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	const struct host_task *task = arg;
	struct vnode *vnode = vnode_by_vmid(job->daemon, task->vmids[item]);
	uint64_t grace_ns;
	json_t *params;

	(void)err;
	if (!vnode || is_held(job, vnode, true) || is_held(job, vnode, false) ||
	    verb_action(VERB_HALT, vnode->observed) != VERB_RUN)
		return 0;
	grace_ns = vnode->spec.grace_ns ? vnode->spec.grace_ns : job->daemon->config.grace_ns;
	params = vnode_job_params(vnode);
	if (task->is_limited && task->limit_ms < (int64_t)(grace_ns / 1000000))
		json_object_set_new(params, "grace_ms", json_integer(task->limit_ms));
	begin_child(job, vnode, &verb_vnode_halt, params);
	return 0;
}

static enum verdict
step_halt_all(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;
	int64_t budget_ms = json_integer_value(json_object_get(job->params, "budget_ms"));

	if (job->item == 0) {
		list_vnodes(task, job->daemon->model);
		task->is_limited = budget_ms > 0;
		task->limit_ms = grace_within(job, budget_ms);
	}
	return job_each(job, task->n_vmids, halt_vnode, task, err);
}

struct others {				/* jobs of others that are waited for */
	struct daemon *daemon;
	uint64_t ticket;
	unsigned left;
};

static void
on_other_end(void *arg, struct job *ended)
{
	struct others *others = arg;

	if (--others->left > 0)
		return;
	if (ended)
		job_resume(others->daemon, others->ticket, NULL);
	free(others);
}

/* What somebody boots, changes or halts just now is halted after that. */
static enum verdict
step_await_others(struct job *job, void *ctx, struct vn_error *err)
{
	struct others *others = vn_alloc(sizeof(*others));

	(void)ctx;
	(void)err;
	others->daemon = job->daemon;
	others->ticket = job_ticket(job);
	vn_list_each(struct vnode, vnode, &job->daemon->model->vnodes, link) {
		if (!is_held(job, vnode, false))
			continue;
		job_watch(job_find(job->daemon, vnode->lock.holder), on_other_end, others);
		others->left++;
	}
	if (others->left)
		return STEP_WAIT;
	free(others);
	return STEP_DONE;
}

static enum verdict
step_root_down(struct job *job, void *ctx, struct vn_error *err)
{
	struct host_task *task = ctx;

	(void)job;
	if (task->disk->ops->host_down(task->disk, err) < 0)
		return STEP_FAILED;
	return task->net->ops->host_down(task->net, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* Whatever listens in the fabric would keep it. */
static enum verdict
step_unwatch(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	(void)err;
	monitor_unwatch(job->daemon->monitor);
	return STEP_DONE;
}

static enum verdict
step_forget_networks(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	(void)err;
	vn_list_each(struct vnode, vnode, &job->daemon->model->vnodes, link) {
		vnode->runtime.network = false;
		vnode_record(vnode);
	}
	job->daemon->torn_down = true;
	job->daemon->refusal = "the host was torn down by host.teardown; restart vnoded to set it up "
			       "again";
	return STEP_DONE;
}

/* Nobody may be at work on what is about to go: a guest that is booting would be left without its network. */
static bool
lock_vnodes(struct job *job, struct vn_error *err)
{
	vn_list_each(struct vnode, vnode, &job->daemon->model->vnodes, link) {
		vn_autofree char *what = vn_format("vnode '%s'", vnode_title(vnode));

		if (job_lock(job, &vnode->lock, what, err) < 0)
			return false;
	}
	return true;
}

static void *
load_teardown(struct job *job, struct vn_error *err)
{
	return lock_vnodes(job, err) ? load(job, err) : NULL;
}

static const struct step boot_steps[] = {
	{ "boot", ON_LOOP, 0, step_boot_all, NULL, STEP_TOLERANT },
	{ 0 }
};

static const struct step halt_steps[] = {
	{ "halt",         ON_LOOP, 0, step_halt_all,     NULL, STEP_TOLERANT },
	{ "await_others", ON_LOOP, 0, step_await_others, NULL },
	{ "halt_others",  ON_LOOP, 0, step_halt_all,     NULL, STEP_TOLERANT },
	{ 0 }
};

static const struct step teardown_steps[] = {
	{ "halt",      ON_LOOP,   0,         step_halt_all,        NULL },
	{ "unwatch",   ON_LOOP,   0,         step_unwatch,         NULL },
	{ "root_down", ON_WORKER, LANE_NET,  step_root_down,       NULL },
	{ "forget",    ON_LOOP,   0,         step_forget_networks, NULL },
	{ 0 }
};

static void
ended_all(struct job *job, void *ctx)
{
	unsigned failed = job->children_failed;

	(void)ctx;
	if (job->err.code == VN_OK && failed)
		vn_fail(&job->err, job->child_err.code, "%u of %u vnodes failed; the first: %s",
			failed, job->children_done > failed ? job->children_done : failed,
			job->child_err.text);
	job->result = json_pack("{sI sI}", "done", (json_int_t)(job->children_done > failed
				? job->children_done - failed : 0), "failed", (json_int_t)failed);
}

/* The fabric that could not be taken down is listened to again. */
static void
ended_teardown(struct job *job, void *ctx)
{
	(void)ctx;
	if (job->err.code != VN_OK && job->daemon->ready)
		monitor_watch(job->daemon->monitor);
}

const struct verb verb_host_setup =
	{ "host.setup", 1, setup_steps, load, free_task, NULL, .of_a_life = true };
const struct verb verb_host_probe =
	{ "host.probe", 1, probe_steps, load, free_task, NULL, .of_a_life = true };
const struct verb verb_host_boot = { "host.boot", 1, boot_steps, load, free_task, ended_all };
const struct verb verb_host_halt = { "host.halt", 1, halt_steps, load, free_task, ended_all };
const struct verb verb_host_teardown =
	{ "host.teardown", 2, teardown_steps, load_teardown, free_task, ended_teardown };
