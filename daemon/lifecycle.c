/*
 * The verbs of a vnode as step tables, and what surrounds them: which state a verb passes through,
 * what its end leaves, what a guest's end leads to. A verb with another in it (reboot, reload, destroy)
 * has the other's rows.
 */
#include "daemon/lifecycle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/lan_verbs.h"
#include "daemon/log.h"
#include "daemon/sources.h"
#include "daemon/steps.h"

/* name, place, lane, run, undo, flags, is_needed */
#define BOOT_STEPS \
	{ "begin_boot",                 ON_LOOP,   0,            step_begin_boot,      NULL }, \
	{ "pre_config",                 ON_WORKER, LANE_DISK,    step_pre_config,      undo_pre_config, 0, needs_pre_config }, \
	{ "pre_config_control_network", ON_WORKER, LANE_NET,     step_control_network, NULL, 0, needs_control_network }, \
	{ "pre_config_exp_network",     ON_WORKER, LANE_NET,     step_exp_network,     NULL, 0, needs_exp_network }, \
	{ "network_done",               ON_LOOP,   0,            step_network_done,    NULL }, \
	{ "forward_ports",              ON_WORKER, LANE_NET,     step_forward_ports,   undo_forward_ports, 0, needs_forwards }, \
	{ "boot",                       ON_WORKER, LANE_COMPUTE, step_boot,            undo_boot, 0, needs_boot }, \
	{ "post_config",                ON_LOOP,   0,            step_post_config,     undo_post_config }
#define HALT_STEPS(flags) \
	{ "begin_halt",                 ON_LOOP,   0,            step_begin_halt,      NULL }, \
	{ "halt",                       ON_WORKER, LANE_HALT,    step_halt,            NULL, flags, needs_halt }, \
	{ "unforward_ports",            ON_WORKER, LANE_NET,     step_unforward,       NULL, 0, needs_unforward }, \
	{ "unmount",                    ON_WORKER, LANE_DISK,    step_unmount,         NULL, 0, needs_halt }

/* One journal entry for all that is made: whichever of it stands is made again, or found, or removed. */
static const struct step create_steps[] = {
	{ "image",                      ON_LOOP,   0,            step_image,           NULL },
	{ "resolve",                    ON_LOOP,   0,            step_resolve,         undo_resolve },
	{ "config_resources",           ON_LOOP,   0,            step_resources,       NULL },
	{ "create",                     ON_WORKER, LANE_DISK,    step_create,          undo_create, STEP_JOINED },
	{ "create_disks",               ON_WORKER, LANE_DISK,    step_extras,          NULL, STEP_JOINED, needs_extras },
	{ "pre_config",                 ON_WORKER, LANE_DISK,    step_pre_config,      undo_pre_config, STEP_JOINED, needs_pre_config },
	{ "pre_config_control_network", ON_WORKER, LANE_NET,     step_control_network, undo_network, STEP_JOINED, needs_control_network },
	{ "pre_config_exp_network",     ON_WORKER, LANE_NET,     step_exp_network,     NULL, STEP_JOINED, needs_exp_network },
	{ "config_devices",             ON_WORKER, LANE_DISK,    step_devices,         undo_devices },
	{ "network_done",               ON_LOOP,   0,            step_network_done,    NULL },
	{ 0 }
};

static const struct step boot_steps[] = { BOOT_STEPS, { 0 } };
static const struct step halt_steps[] = { HALT_STEPS(STEP_COMMIT), { 0 } };
static const struct step reboot_steps[] = { HALT_STEPS(0), BOOT_STEPS, { 0 } };

static const struct step reload_steps[] = {
	HALT_STEPS(0),
	{ "respec",                     ON_LOOP,   0,            step_respec,          undo_respec },
	{ "image",                      ON_LOOP,   0,            step_image,           NULL },
	{ "resolve",                    ON_LOOP,   0,            step_resolve,         NULL },
	{ "reload",                     ON_WORKER, LANE_DISK,    step_reload,          NULL, STEP_COMMIT },
	BOOT_STEPS,
	{ 0 }
};

static const struct step destroy_steps[] = {
	HALT_STEPS(STEP_COMMIT),
	{ "destroy",                    ON_WORKER, LANE_DISK,    step_destroy,         NULL },
	{ 0 }
};

static const struct step mount_steps[] = {
	{ "mount",                      ON_WORKER, LANE_DISK,    step_mount,           undo_mount },
	{ 0 }
};

static const struct step unmount_steps[] = {
	{ "unmount",                    ON_WORKER, LANE_DISK,    step_unmount,         NULL },
	{ 0 }
};

json_t *
vnode_job_params(const struct vnode *vnode)
{
	return json_pack("{sI}", "vmid", (json_int_t)vnode->vmid);
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct vnode *vnode = job_vnode(job);
	struct task *task;
	vn_autofree char *what = NULL;

	if (!vnode) {
		vn_fail(err, VN_E_NOT_FOUND, "the vnode is gone");
		return NULL;
	}
	what = vn_format("vnode '%s'", vnode_title(vnode));
	if (job_lock(job, &vnode->lock, what, err) < 0)
		return NULL;
	task = vn_alloc(sizeof(*task));
	if (task_init(task, vnode, err) < 0) {
		task_free(task);
		return NULL;
	}
	job->abort_flag = &task->stop;
	task->force = json_is_true(json_object_get(job->params, "force"));
	if (json_object_get(job->params, "grace_ms"))
		task->grace_ms = (unsigned)json_integer_value(json_object_get(job->params,
									      "grace_ms"));
	job->patience_ms = task->grace_ms;
	if (!json_array_size(job->about))
		json_array_append_new(job->about, json_string(vnode_title(vnode)));
	return task;
}

static void *
load_in_state(struct job *job, enum vnode_state state, bool halt, bool boot, struct vn_error *err)
{
	struct task *task = load(job, err);

	if (!task)
		return NULL;
	task->halt = halt;
	task->boot = boot;
	if (job->state == JOB_QUEUED)
		vnode_set_state(job_vnode(job), state);
	return task;
}

static void *
load_create(struct job *job, struct vn_error *err)
{
	return load_in_state(job, VNODE_CREATING, false, true, err);
}

static void *
load_boot(struct job *job, struct vn_error *err)
{
	return load_in_state(job, VNODE_BOOTING, false, true, err);
}

static void *
load_halt(struct job *job, struct vn_error *err)
{
	return load_in_state(job, VNODE_STOPPING, true, false, err);
}

static void *
load_reboot(struct job *job, struct vn_error *err)
{
	return load_in_state(job, VNODE_STOPPING, true, true, err);
}

/* Boots what ran or is to run, as noted when the job was made. */
static void *
load_reload(struct job *job, struct vn_error *err)
{
	struct vnode *vnode = job_vnode(job);
	bool boot;

	if (vnode && !json_object_get(job->data, "boot"))
		job_note(job, "boot", json_boolean(vnode->observed == VNODE_RUNNING ||
					   vnode->wanted == VNODE_RUNNING));
	boot = json_is_true(json_object_get(job->data, "boot"));
	if (vnode && job->state == JOB_QUEUED)
		vnode->runtime.injected[0] = '\0';	/* the fresh disk has none of it */
	return load_in_state(job, VNODE_STOPPING, true, boot, err);
}

static void *
load_destroy(struct job *job, struct vn_error *err)
{
	return load_in_state(job, VNODE_DESTROYING, true, false, err);
}

/* The first mounts and the last unmounts: what others have mounted stays as it is. */
static void *
load_mount(struct job *job, struct vn_error *err)
{
	struct task *task = load(job, err);

	if (task)
		task->halt = job_vnode(job)->runtime.mounts <=
			     (job->verb == &verb_vnode_unmount ? 1 : 0);
	return task;
}

/* Where a vnode stands after a verb that failed or was cancelled. */
static void
settle_failure(struct job *job, struct vnode *vnode, enum vnode_state otherwise)
{
	bool is_clean = job->err.code == VN_E_CANCELLED &&
			!json_object_get(job->data, "undo_failed");

	if (lifecycle_is_alive(vnode))
		vnode->halting = false;	/* its end is still to come, and will be its own */
	else
		lifecycle_settle_halt(vnode);
	if (is_clean && lifecycle_is_alive(vnode) && vnode->watched) {
		vnode_set_state(vnode, VNODE_RUNNING);
		return;
	}
	if (is_clean && otherwise != VNODE_FAILED) {
		vnode_set_state(vnode, otherwise);
		return;
	}
	vnode_set_error(vnode, &job->err);
	vnode_set_state(vnode, VNODE_FAILED);
}

/* Its rows and its reservations go; with the last vnode and LAN an unheld topology goes too. */
static void
forget(struct job *job, struct vnode *vnode, struct task *task)
{
	struct topology *topology = vnode->topology;
	struct vn_error ignored = { 0 };
	bool has_files;

	if (task)
		undo_resolve(job, task, &ignored);
	vnode_set_state(vnode, VNODE_ABSENT);
	job_unlock(job, &vnode->lock);
	has_files = vnode->spec.files.count;
	vnode_remove(vnode);
	topology_drop_if_empty(topology);
	if (has_files)
		sources_sweep(job->daemon);
}

static void
ended_create(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);

	if (!vnode)
		return;
	if (job->err.code == VN_OK)
		vnode_set_state(vnode, VNODE_STOPPED);
	else if (json_object_get(job->data, "undo_failed"))
		settle_failure(job, vnode, VNODE_FAILED);
	else
		forget(job, vnode, ctx);
	if (job->err.code == VN_OK)
		job->result = json_pack("{sI ss}", "vmid", (json_int_t)vnode->vmid, "uuid",
					vnode->uuid);
}

static void
ended_boot(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);

	(void)ctx;
	if (vnode && job->err.code != VN_OK)
		settle_failure(job, vnode, VNODE_STOPPED);
}

static void
ended_halt(struct job *job, void *ctx)
{
	static const struct vn_error none;
	struct vnode *vnode = job_vnode(job);

	(void)ctx;
	if (!vnode)
		return;
	if (job->err.code != VN_OK) {
		settle_failure(job, vnode, VNODE_FAILED);
		return;
	}
	lifecycle_settle_halt(vnode);
	vnode_set_error(vnode, &none);
	vnode_set_state(vnode, VNODE_STOPPED);
}

static void
ended_reload(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);

	if (vnode && job->err.code == VN_OK && vnode->observed != VNODE_RUNNING)
		ended_halt(job, ctx);
	else
		ended_boot(job, ctx);
}

static json_t *
links_of(const struct vnode *vnode)
{
	json_t *links = json_array();

	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member->lan->is_link)
			json_array_append_new(links, json_integer(member->lan->id));
	return links;
}

static void
ended_destroy(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);
	struct daemon *daemon = job->daemon;
	json_t *links, *link;
	size_t i;

	if (!vnode)
		return;
	if (job->err.code != VN_OK) {
		settle_failure(job, vnode, VNODE_FAILED);
		return;
	}
	links = job->parent ? NULL : links_of(vnode);	/* a parent holds the LANs and has seen to them */
	forget(job, vnode, ctx);
	json_array_foreach(links, i, link) {
		struct lan *lan = lan_by_id(daemon, json_integer_value(link));

		if (lan)
			lan_end_link(lan, job->uid);
	}
	json_decref(links);
}

static void
ended_mount(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);

	(void)ctx;
	if (!vnode || job->err.code != VN_OK)
		return;
	vnode->runtime.mounts++;
	vnode_record(vnode);
	vnode_set_state(vnode, VNODE_MOUNTED);
	job->result = vnode_mount_object(vnode);
}

static void
ended_unmount(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);

	(void)ctx;
	if (!vnode || job->err.code != VN_OK)
		return;
	if (vnode->runtime.mounts > 1) {
		vnode->runtime.mounts--;
		vnode_record(vnode);
	} else {
		vnode_set_state(vnode, VNODE_STOPPED);
	}
	job->result = json_pack("{sI}", "count", (json_int_t)vnode->runtime.mounts);
}

static void
ended_cleanup(struct job *job, void *ctx)
{
	struct vnode *vnode = job_vnode(job);

	ended_halt(job, ctx);
	if (vnode && job->err.code == VN_OK)
		lifecycle_consider_restart(vnode);
}

/* method, version, steps, load, free, ended */
const struct verb verb_vnode_create =
	{ "vnode.create", 3, create_steps, load_create, task_free, ended_create };
const struct verb verb_vnode_boot =
	{ "vnode.boot", 1, boot_steps, load_boot, task_free, ended_boot };
const struct verb verb_vnode_halt =
	{ "vnode.halt", 1, halt_steps, load_halt, task_free, ended_halt };
const struct verb verb_vnode_reboot =
	{ "vnode.reboot", 1, reboot_steps, load_reboot, task_free, ended_boot };
const struct verb verb_vnode_reload =
	{ "vnode.reload", 1, reload_steps, load_reload, task_free, ended_reload };
const struct verb verb_vnode_destroy =
	{ "vnode.destroy", 1, destroy_steps, load_destroy, task_free, ended_destroy };
const struct verb verb_vnode_mount =
	{ "vnode.mount", 1, mount_steps, load_mount, task_free, ended_mount };
const struct verb verb_vnode_unmount =
	{ "vnode.unmount", 1, unmount_steps, load_mount, task_free, ended_unmount };
/* An inner verb: removes what is left of a guest that ended by itself, then asks the restart policy. */
const struct verb verb_vnode_cleanup =
	{ "vnode.cleanup", 1, halt_steps, load_halt, task_free, ended_cleanup };
