/*
 * What the end of a guest leads to: the event at once, then a cleanup job, then a restart where the
 * vnode's policy says so, under a back-off that doubles and a limit within a window.
 */
#include "daemon/lifecycle.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/log.h"

#define DELAY_MAX_MS 30000

static const char *
backend_of(const struct vnode *vnode)
{
	return vnode->spec.backend ? vnode->spec.backend : vnode->daemon->config.default_backend;
}

int
lifecycle_watch(struct vnode *vnode, struct vn_error *err)
{
	const char *backend = backend_of(vnode);
	struct compute *compute = daemon_compute(vnode->daemon, backend);
	vn_autofree char *dir = vn_format("%s/vnodes/%" PRId64, vnode->daemon->env.state_dir,
					  vnode->vmid);

	if (!compute)
		return vn_fail(err, VN_E_UNSUPPORTED, "no backend '%s' here", backend);
	if (compute->ops->watch(compute, vnode->domain, vnode->uuid, dir, &vnode->runtime.id,
				err) < 0)
		return -1;
	vnode->watched = true;
	return 0;
}

bool
lifecycle_is_alive(const struct vnode *vnode)
{
	struct compute *compute = daemon_compute(vnode->daemon, backend_of(vnode));

	return vnode->runtime.id.init && compute &&
	       compute->ops->is_alive(compute, &vnode->runtime.id);
}

void
lifecycle_settle_halt(struct vnode *vnode)
{
	struct compute *compute = daemon_compute(vnode->daemon, backend_of(vnode));
	struct guest_exit exit = { .cause = EXIT_HALTED };

	if (vnode->watched && compute)
		compute->ops->unwatch(compute, vnode->uuid);
	vnode->watched = vnode->halting = false;
	if (vnode->runtime.id.init)
		vnode_set_exit(vnode, &exit);
}

bool
lifecycle_restarts_after(enum restart_policy policy, const struct guest_exit *exit)
{
	switch (exit->cause) {
	case EXIT_REBOOT:
		return true;		/* the guest asked for it itself */
	case EXIT_HALTED:
		return false;
	case EXIT_POWEROFF:
		return policy == RESTART_ALWAYS;
	case EXIT_EXITED:
		return policy == RESTART_ALWAYS || (policy == RESTART_ON_FAILURE && exit->code);
	case EXIT_UNKNOWN:
	case EXIT_SIGNALLED:
	case EXIT_OOM:
	case EXIT_KILLED:
		return policy != RESTART_NEVER;
	}
	return false;
}

static void
begin_cleanup(struct vnode *vnode)
{
	json_t *params = vnode_job_params(vnode);
	struct vn_error err = { 0 };

	json_object_set_new(params, "force", json_true());
	if (job_begin(vnode->daemon, &verb_vnode_cleanup, NULL, 0, params, NULL, &err) < 0)
		vn_log_error("vnode", "%s: cannot be cleaned up: %s", vnode_title(vnode), err.text);
}

static void on_holder_end(void *arg, struct job *job);

/* Cleans up as soon as no job holds the vnode. */
static void
clean_up_when_free(struct vnode *vnode)
{
	struct job *holder = job_find(vnode->daemon, vnode->lock.holder);
	int64_t *vmid;

	if (!holder) {
		begin_cleanup(vnode);
		return;
	}
	vmid = vn_alloc(sizeof(*vmid));
	*vmid = vnode->vmid;
	job_watch(holder, on_holder_end, vmid);
}

/* What held the vnode when its guest ended is over; it may have booted it again meanwhile. */
static void
on_holder_end(void *arg, struct job *job)
{
	int64_t *vmid = arg;
	struct vnode *vnode = job ? vnode_by_vmid(job->daemon, *vmid) : NULL;

	free(vmid);
	if (vnode && !vnode->watched && vnode->observed == VNODE_RUNNING)
		clean_up_when_free(vnode);
}

void
lifecycle_on_exit(struct vnode *vnode, const struct guest_exit *exit)
{
	struct guest_exit seen = *exit;

	vnode->watched = false;
	if (vnode->halting)
		seen.cause = EXIT_HALTED;
	vnode_set_exit(vnode, &seen);
	if (!vnode->halting)
		clean_up_when_free(vnode);
}

static void
give_up(struct vnode *vnode)
{
	struct vn_error err = { 0 };

	vn_fail(&err, VN_E_LIMIT, "restarted %u times within %llu s and ended each time; boot it to "
		"try again", vnode->restarts,
		(unsigned long long)(vnode->daemon->config.restart_window_ns / 1000000000));
	vnode_set_error(vnode, &err);
	vnode_set_state(vnode, VNODE_FAILED);
}

static void
on_restart(void *arg)
{
	struct vnode *vnode = arg;
	struct vn_error err = { 0 };

	loop_remove(vn_take_ptr(&vnode->restart_timer));
	if (vnode->wanted != VNODE_RUNNING || vnode->observed != VNODE_STOPPED)
		return;			/* someone decided otherwise meanwhile */
	if (job_begin(vnode->daemon, &verb_vnode_boot, NULL, 0, vnode_job_params(vnode), NULL,
		      &err) < 0)
		vn_log_warning("vnode", "%s: not restarted: %s", vnode_title(vnode), err.text);
}

void
lifecycle_consider_restart(struct vnode *vnode)
{
	const struct config *config = &vnode->daemon->config;
	uint64_t now = loop_now_ms(vnode->daemon->loop), delay = 0;

	if (vnode->wanted != VNODE_RUNNING || vnode->observed != VNODE_STOPPED ||
	    !vnode->last_exit.at_us || vnode->restart_timer ||
	    !lifecycle_restarts_after((enum restart_policy)vnode->spec.restart,
				      &vnode->last_exit.exit))
		return;
	if (now - vnode->window_began_ms > config->restart_window_ns / 1000000) {
		vnode->window_began_ms = now;
		vnode->restarts = 0;
	}
	if (vnode->restarts >= config->restart_limit) {
		give_up(vnode);
		return;
	}
	if (vnode->restarts || vnode->last_exit.exit.cause != EXIT_REBOOT)
		delay = config->restart_delay_ns / 1000000
			<< (vnode->restarts < 16 ? vnode->restarts : 16);
	vnode->restarts++;
	vnode->restart_timer = loop_add_timer(vnode->daemon->loop,
					      delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS,
					      on_restart, vnode);
}
