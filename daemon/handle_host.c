/* Methods on the host. */
#include "daemon/host_verbs.h"
#include "daemon/host_vnodes.h"

#include <sys/utsname.h>

/* What not every vnoded can do, and each type of disks that this host can have. */
static json_t *
features(struct daemon *daemon)
{
	json_t *list = json_pack("[sss]", "verify", "guest-files", "capture");
	struct vn_error ignored;

	for (int i = 0; i < DISK_TYPES; i++)
		if (daemon->disk->ops->type_check(daemon->disk, i, &ignored) == 0)
			json_array_append_new(list, json_sprintf("disk:%s", disk_type_words[i]));
	return list;
}

int
handle_host_info(struct call *call, const void *params, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	json_int_t vnodes = 0, running = 0;
	struct utsname host;

	(void)params;
	(void)err;
	uname(&host);
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		vnodes++;
		running += vnode->observed == VNODE_RUNNING;
	}
	call_reply(call, json_pack("{ss si so ss ss ss ss so sb sI sI sI ss ss}",
		"version", DAEMON_VERSION, "protocol", PROTOCOL_VERSION, "features", features(daemon),
		"instance", daemon->instance, "instance_name", daemon->config.instance_name,
		"epoch", daemon->epoch, "boot_id", daemon->boot_id, "missing", host_missing(daemon),
		"ready", daemon->ready, "vnodes", vnodes, "running", running,
		"jobs", (json_int_t)jobs_active(daemon->jobs), "hostname", host.nodename, "kernel",
		host.release));
	return 0;
}

static int
answer(struct call *call, const struct host_change_params *p, const struct verb *verb,
       struct vn_error *err)
{
	return job_answer(call, &p->change, verb,
			  json_pack("{sI}", "budget_ms", (json_int_t)p->budget_ms), err);
}

int
handle_host_boot(struct call *call, const void *params, struct vn_error *err)
{
	return answer(call, params, &verb_host_boot, err);
}

int
handle_host_halt(struct call *call, const void *params, struct vn_error *err)
{
	return answer(call, params, &verb_host_halt, err);
}

int
handle_host_teardown(struct call *call, const void *params, struct vn_error *err)
{
	return answer(call, params, &verb_host_teardown, err);
}
