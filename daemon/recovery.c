/*
 * Recovery in the order that loses nothing: the host's own objects are verified and repaired first,
 * running guests are adopted by pid and start time (libvirt is not asked: it may be away), then
 * host.recover (sweep.c) compares what is with the rows, and only then do interrupted jobs go on.
 */
#include "daemon/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/host_verbs.h"
#include "daemon/lifecycle.h"
#include "daemon/log.h"
#include "daemon/task.h"

struct recovery {
	struct daemon *daemon;
	void (*on_end)(void *arg, const struct vn_error *err);
	void *arg;
};

static void
on_boot_id(void *arg, struct store_row *row)
{
	snprintf(arg, VN_UUID_TEXT, "%s", store_text(row, 0));
}

bool
recovery_mark_reboot(struct daemon *daemon)
{
	char last[VN_UUID_TEXT] = "";
	struct vn_error err;
	unsigned lost = 0;

	store_read(daemon->store, on_boot_id, last, &err,
		   "SELECT value FROM meta WHERE key = 'boot_id'", "");
	if (strcmp(last, daemon->boot_id) == 0)
		return false;
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		memset(&vnode->runtime.id, 0, sizeof(vnode->runtime.id));
		vnode->runtime.network = false;
		if (vnode->observed == VNODE_RUNNING || vnode->observed == VNODE_PAUSED ||
		    vnode->observed == VNODE_MOUNTED) {
			vnode_set_state(vnode, VNODE_STOPPED);
			lost++;
		}
	}
	store_put(daemon->store, "INSERT OR REPLACE INTO meta(key, value) VALUES('boot_id', ?)", "s",
		  daemon->boot_id);
	if (last[0])
		vn_log_info("host", "the machine was rebooted: %u vnodes are stopped now and wait for "
			    "host.boot", lost);
	return last[0];
}

/* Guests that run are watched again; what ended meanwhile is told by the watch. */
static void
adopt(struct daemon *daemon)
{
	unsigned adopted = 0, ended = 0;

	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		struct compute *compute = daemon_compute(daemon, vnode->spec.backend
			? vnode->spec.backend : daemon->config.default_backend);
		struct vn_error err = { 0 };

		if (vnode->observed != VNODE_RUNNING || !compute)
			continue;
		if (compute->ops->is_alive(compute, &vnode->runtime.id))
			adopted++;
		else
			ended++;
		if (lifecycle_watch(vnode, &err) < 0)
			vn_log_error("vnode", "%s: cannot be watched: %s", vnode_title(vnode), err.text);
	}
	if (adopted || ended)
		vn_log_info("host", "adopted %u running vnodes; %u ended meanwhile", adopted, ended);
}

static void
hold_ports(struct daemon *daemon)
{
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		vn_autoarena arena = { 0 };
		size_t count, held = 0;
		struct forward_spec *forwards = task_forwards(&arena, vnode, &vnode->spec, &count);
		struct vn_error err = { 0 };

		for (size_t i = 0; i < count; i++)
			if (daemon->net->ops->forward_reserve(daemon->net, &forwards[i], &err) == 0)
				held++;
			else
				event_warn(daemon, "%s: %s", vnode_title(vnode), err.text);
		vnode->forwards_held = held == count;
	}
}

static void
fail(struct recovery *recovery, const struct vn_error *err)
{
	recovery->on_end(recovery->arg, err);
	free(recovery);
}

static void
on_recovered(void *arg, struct job *job)
{
	struct recovery *recovery = arg;
	struct daemon *daemon = recovery->daemon;

	if (!job) {
		free(recovery);
		return;
	}
	if (job->err.code != VN_OK)
		event_warn(daemon, "recovery is not complete: %s", job->err.text);
	jobs_resume(daemon);
	recovery->on_end(recovery->arg, NULL);
	if (!daemon->rebooted)
		vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
			if (!vnode->lock.holder)
				lifecycle_consider_restart(vnode);
	job_begin(daemon, &verb_host_probe, NULL, 0, json_object(), NULL, &(struct vn_error){ 0 });
	free(recovery);
}

static void
on_set_up(void *arg, struct job *job)
{
	struct recovery *recovery = arg;
	struct daemon *daemon = recovery->daemon;
	struct vn_error err = { 0 };
	struct job *recover;

	if (!job) {
		free(recovery);
		return;
	}
	if (job->err.code != VN_OK) {
		fail(recovery, &job->err);
		return;
	}
	hold_ports(daemon);
	adopt(daemon);
	if (job_begin(daemon, &verb_host_recover, NULL, 0, json_object(), &recover, &err) < 0)
		fail(recovery, &err);
	else
		job_watch(recover, on_recovered, recovery);
}

int
recovery_begin(struct daemon *daemon, void (*on_end)(void *arg, const struct vn_error *err), void *arg,
	       struct vn_error *err)
{
	struct recovery *recovery = vn_alloc(sizeof(*recovery));
	struct job *setup;

	*recovery = (struct recovery){ daemon, on_end, arg };
	if (job_begin(daemon, &verb_host_setup, NULL, 0, json_object(), &setup, err) < 0) {
		free(recovery);
		return -1;
	}
	job_watch(setup, on_set_up, recovery);
	return 0;
}

void
recovery_sweep(struct daemon *daemon)
{
	struct vn_error err = { 0 };

	if (daemon->ready &&
	    job_begin(daemon, &verb_host_recover, NULL, 0, json_object(), NULL, &err) < 0)
		event_warn(daemon, "what is there cannot be looked at: %s", err.text);
}

void
recovery_on_link(struct daemon *daemon, bool up, const char *text)
{
	event_warn(daemon, "%s", text);
	if (up)
		recovery_sweep(daemon);
}
