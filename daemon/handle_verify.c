/* host.verify, answered when workers have looked, and host.repair. */
#include "daemon/verify.h"

struct asked {				/* one call of host.verify */
	struct daemon *daemon;
	uint64_t ticket;
};

static void
on_end(void *arg, const struct verification *verification, const struct vn_error *err)
{
	struct asked *asked = arg;

	if (err)
		call_answer_error(asked->daemon, asked->ticket, err, 0);
	else if (verification)
		call_answer(asked->daemon, asked->ticket, verification_object(verification));
	free(asked);
}

int
handle_host_verify(struct call *call, const void *params, struct vn_error *err)
{
	const struct host_verify_params *p = params;
	struct verify_scope scope = { .topology = p->topology };
	struct asked *asked = vn_alloc(sizeof(*asked));

	asked->daemon = call_daemon(call);
	if (verify_begin(asked->daemon, &scope, on_end, asked, err) < 0) {
		free(asked);
		return -1;
	}
	asked->ticket = call_defer(call, NULL, NULL);
	return 0;
}

int
handle_host_repair(struct call *call, const void *params, struct vn_error *err)
{
	const struct host_repair_params *p = params;

	if (p->topology && !topology_find(call_daemon(call), p->topology))
		return vn_fail_at(err, "/topology", VN_E_NOT_FOUND, "no topology '%s'", p->topology);
	return job_answer(call, &p->change, &verb_host_repair, json_pack("{ss*}", "topology", p->topology),
			  err);
}
