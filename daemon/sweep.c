/*
 * host.recover: one inventory of each backend is compared with the rows (sweep_compare.c). What no row
 * owns is removed, what a row wants and the kernel has lost is mended. Running it twice changes nothing.
 */
#include "daemon/recovery.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/sweep_inner.h"

static void
free_recover(void *ctx)
{
	struct recover_task *task = ctx;

	for (size_t i = 0; i < task->n_mend; i++)
		task_fini(&task->mend[i]);
	for (size_t i = 0; i < DAEMON_COMPUTES; i++) {
		free(task->guests[i]);
		free(task->guest_gone[i]);
	}
	free(task->mend);
	free(task->net_found);
	free(task->disk_found);
	free(task->net_gone);
	free(task->disk_gone);
	free(task->trim);
	free(task->forwards);
	free(task->control);
	vn_arena_fini(&task->arena);
	free(task);
}

static void *
load(struct job *job, struct vn_error *err)
{
	struct recover_task *task = vn_alloc(sizeof(*task));

	(void)err;
	task->net = job->daemon->net;
	task->disk = job->daemon->disk;
	task->run_dir = job->daemon->env.run_dir;
	task->starting = !job->daemon->ready;
	memcpy(task->computes, job->daemon->computes, sizeof(task->computes));
	return task;
}

static enum verdict
step_inventory(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)job;
	if (task->net->ops->inventory(task->net, &task->net_found, &task->n_net, err) < 0 ||
	    task->disk->ops->inventory(task->disk, &task->disk_found, &task->n_disk, err) < 0)
		return STEP_FAILED;
	return STEP_DONE;
}

/* A hypervisor that is away is asked again when it is back. */
static enum verdict
step_list(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)job;
	(void)err;
	for (size_t i = 0; i < DAEMON_COMPUTES && task->computes[i]; i++)
		task->listed[i] = task->computes[i]->ops->list(task->computes[i], &task->guests[i],
			&task->n_guests[i], &task->list_err) == 0;
	return STEP_DONE;
}

static enum verdict
step_compare(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)err;
	sweep_compare(job, task);
	for (size_t i = 0; i < DAEMON_COMPUTES && task->computes[i]; i++)
		if (!task->listed[i])
			event_warn(job->daemon, "the guests of '%s' cannot be listed: %s",
				   task->computes[i]->ops->name, task->list_err.text);
	return STEP_DONE;
}

static void
remove_net(struct recover_task *task, const struct net_found *gone, struct vn_error *err)
{
	vn_autofree char *netns = vn_format("%s/netns/vnoded-%" PRId64, task->run_dir, gone->id);
	vn_autofree char *userns = vn_format("%s/userns/vnoded-%" PRId64, task->run_dir, gone->id);
	struct ns_ref ns = { .vmid = gone->id, .uuid = gone->uuid, .netns = netns,
			     .userns = userns };
	int status = 0;

	switch (gone->kind) {
	case NET_BRIDGE:
	case NET_TUNNEL:
	case NET_UPLINK:
		status = task->net->ops->lan_down(task->net, gone->id, err);
		break;
	case NET_PORT:
		status = task->net->ops->ports_down(task->net, &ns, &gone->index, 1, err);
		break;
	case NET_NETNS:
	case NET_USERNS:
		status = task->net->ops->namespaces_down(task->net, &ns, err);
		break;
	}
	if (status < 0)
		vn_log_warning("host", "what no one owns cannot be removed: %s", err->text);
	else
		task->removed++;
}

/* An image can go when the layers on it have gone: as long as one goes, another look is worth it. */
static void
remove_images(struct recover_task *task, struct vn_error *err)
{
	size_t left = 0, before;

	for (size_t i = 0; i < task->n_disk_gone; i++)
		left += task->disk_gone[i].kind == DISK_IMAGE;
	do {
		before = left;
		for (size_t i = 0; i < task->n_disk_gone; i++) {
			struct disk_found *gone = &task->disk_gone[i];

			if (gone->kind != DISK_IMAGE
			    || task->disk->ops->image_remove(task->disk, gone->name, err) < 0)
				continue;
			gone->kind = DISK_TRASH;
			task->removed++;
			left--;
		}
	} while (left > 0 && left < before);
	if (left > 0)
		vn_log_warning("host", "%zu images that no one owns cannot be removed: %s", left,
			       err->text);
}

static void
remove_disk(struct recover_task *task, const struct disk_found *gone, struct vn_error *err)
{
	struct disk_spec spec = { .vmid = gone->vmid };
	int status = 0;

	if (gone->kind == DISK_MOUNT)
		status = task->disk->ops->unmount(task->disk, &spec, err);
	else
		status = task->disk->ops->destroy(task->disk, &spec, err);
	if (status < 0)
		vn_log_warning("host", "what no one owns cannot be removed: %s", err->text);
	else
		task->removed++;
}

/* Guests first: they hold the mounts and the namespaces. */
static enum verdict
step_sweep(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;
	struct vn_error why = { 0 };

	(void)job;
	(void)err;
	for (size_t c = 0; c < DAEMON_COMPUTES && task->computes[c]; c++)
		for (size_t i = 0; i < task->n_guest_gone[c]; i++)
			if (task->computes[c]->ops->stop(task->computes[c],
					task->guest_gone[c][i].domain, task->guest_gone[c][i].uuid,
					NULL, 0, &why) < 0)
				vn_log_warning("host", "a guest that no one owns cannot be ended: %s",
					       why.text);
			else
				task->removed++;
	for (size_t i = 0; i < task->n_disk_gone; i++)
		if (task->disk_gone[i].kind == DISK_MOUNT)
			remove_disk(task, &task->disk_gone[i], &why);
	for (size_t i = 0; i < task->n_net_gone; i++)
		remove_net(task, &task->net_gone[i], &why);
	for (size_t i = 0; i < task->n_disk_gone; i++)
		if (task->disk_gone[i].kind == DISK_VNODE || task->disk_gone[i].kind == DISK_EXTRA)
			remove_disk(task, &task->disk_gone[i], &why);
	for (size_t i = 0; i < task->n_trim; i++)
		if (task->disk->ops->extras_keep(task->disk, &task->trim[i], &why) < 0)
			vn_log_warning("host", "an extra disk that no one owns cannot be removed: %s", why.text);
		else
			task->removed++;
	remove_images(task, &why);
	if (task->trash && task->disk->ops->empty_trash(task->disk, &why) < 0)
		vn_log_warning("host", "%s", why.text);
	return STEP_DONE;
}

static void
mend(struct recover_task *recover, struct task *task)
{
	struct vn_error err = { 0 };

	if (mend_network(task, &err) < 0)
		vn_log_warning("host", "%s: its network cannot be mended: %s", task->guest.title,
			       err.text);
	else
		recover->mended++;
}

static enum verdict
step_mend(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;
	struct vn_error why = { 0 };

	(void)job;
	/* Later than at a start, rules made since the comparison would be lost. */
	if (task->starting && task->net->ops->control_sync(task->net, task->control, task->n_control,
							   err) < 0)
		return STEP_FAILED;
	for (size_t i = 0; i < task->n_bridges; i++)
		if (task->net->ops->lan_up(task->net, &task->bridges[i], &why) < 0)
			vn_log_warning("host", "a LAN cannot be mended: %s", why.text);
	for (size_t i = 0; i < task->n_mend; i++)
		mend(task, &task->mend[i]);
	if (!task->starting)
		return STEP_DONE;
	return task->net->ops->forwards_sync(task->net, task->forwards, task->n_forwards, err) < 0
	       ? STEP_FAILED : STEP_DONE;
}

static enum verdict
step_report(struct job *job, void *ctx, struct vn_error *err)
{
	struct recover_task *task = ctx;

	(void)err;
	for (size_t i = 0; i < task->n_trim; i++) {
		struct vnode *vnode = vnode_by_vmid(job->daemon, task->trim[i].vmid);

		if (!vnode || !vnode->runtime.surplus || vnode->lock.holder)
			continue;
		vnode->runtime.surplus = false;
		vnode_record(vnode);
	}
	job->result = json_pack("{sI sI}", "removed", (json_int_t)task->removed, "mended",
				(json_int_t)task->mended);
	if (task->removed || task->mended)
		vn_log_info("host", "removed %u objects that no one owned, mended the network of %u "
			    "vnodes", task->removed, task->mended);
	return STEP_DONE;
}

static const struct step recover_steps[] = {
	{ "inventory", ON_WORKER, LANE_NET,     step_inventory, NULL },
	{ "list",      ON_WORKER, LANE_COMPUTE, step_list,      NULL },
	{ "compare",   ON_LOOP,   0,            step_compare,   NULL },
	{ "sweep",     ON_WORKER, LANE_NET,     step_sweep,     NULL },
	{ "mend",      ON_WORKER, LANE_NET,     step_mend,      NULL },
	{ "report",    ON_LOOP,   0,            step_report,    NULL },
	{ 0 }
};

const struct verb verb_host_recover =
	{ "host.recover", 1, recover_steps, load, free_recover, NULL, .of_a_life = true };
