/* libvnode's host phase as a job of its own (an inner verb, at each start), its inverse, and what the host lacks. */
#include "daemon/host_verbs.h"

#include <inttypes.h>
#include <string.h>

#include "backends/modules.h"
#include "daemon/host_vnodes.h"
#include "daemon/log.h"
#include "daemon/monitor.h"
#include "daemon/ways.h"

struct host_task {
	struct vnodes_task all;		/* a teardown halts them */
	struct net *net;
	struct disk *disk;
	struct compute *computes[DAEMON_COMPUTES];
	struct lan_spec *lans;
	size_t n_lans;
	struct forward_spec *forwards;
	size_t n_forwards;
	json_t *missing;		/* of the host; of a set-up, LANs that are cut off */
};

static void
free_task(void *ctx)
{
	struct host_task *task = ctx;

	json_decref(task->missing);
	vn_arena_fini(&task->all.arena);
	free(task);
}

static void
copy_lans(struct host_task *task, const struct model *model)
{
	size_t count = 0;

	vn_list_each(struct lan, lan, &model->lans, link)
		count++;
	task->lans = vn_arena_alloc(&task->all.arena, (count + 1) * sizeof(*task->lans));
	vn_list_each(struct lan, lan, &model->lans, link)
		task->lans[task->n_lans++] = lan_spec_now(lan, &task->all.arena);
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

/* ---- teardown ---- */

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

static const struct step teardown_steps[] = {
	{ "halt",      ON_LOOP,   0,         step_halt_all,        NULL },
	{ "unwatch",   ON_LOOP,   0,         step_unwatch,         NULL },
	{ "root_down", ON_WORKER, LANE_NET,  step_root_down,       NULL },
	{ "forget",    ON_LOOP,   0,         step_forget_networks, NULL },
	{ 0 }
};

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
const struct verb verb_host_teardown =
	{ "host.teardown", 2, teardown_steps, load_teardown, free_task, ended_teardown };
