/* Server-side waiting for a state, so that no client has to poll. */
#include "daemon/vnode_wait.h"

#include <string.h>

struct vnode_wait {
	struct daemon *daemon;
	uint64_t ticket;
	bool states[VNODE_STATE_COUNT];
	struct watch *timer;
	struct vn_list link;
};

static void
end(struct vnode_wait *wait)
{
	vn_list_remove(&wait->link);
	loop_remove(wait->timer);
	free(wait);
}

static void
on_gone(void *arg)
{
	end(arg);
}

static void
on_timeout(void *arg)
{
	struct vnode_wait *wait = arg;
	struct vn_error err = { 0 };

	vn_fail(&err, VN_E_TIMEOUT, "the vnode did not reach that state in time");
	call_answer_error(wait->daemon, wait->ticket, &err, 0);
	end(wait);
}

void
vnode_wait_begin(struct vnode *vnode, struct call *call, const struct vnode_wait_params *params)
{
	struct vnode_wait *wait = vn_alloc(sizeof(*wait));

	wait->daemon = vnode->daemon;
	for (size_t i = 0; i < params->observed.count; i++)
		for (unsigned s = 0; s < VNODE_STATE_COUNT; s++)
			if (strcmp(((const char **)params->observed.items)[i],
				   vnode_state_words[s]) == 0)
				wait->states[s] = true;
	vn_list_init(&wait->link);
	vn_list_append(&vnode->waits, &wait->link);
	if (params->timeout_ms)
		wait->timer = loop_add_timer(vnode->daemon->loop, (uint64_t)params->timeout_ms,
					     on_timeout, wait);
	wait->ticket = call_defer(call, on_gone, wait);
	vnode_waits_check(vnode);
}

void
vnode_waits_check(struct vnode *vnode)
{
	vn_list_each_safe(struct vnode_wait, wait, &vnode->waits, link) {
		if (!wait->states[vnode->observed])
			continue;
		call_answer(wait->daemon, wait->ticket, vnode_object(vnode));
		end(wait);
	}
}

void
vnode_waits_drop(struct vnode *vnode)
{
	vn_list_each_safe(struct vnode_wait, wait, &vnode->waits, link) {
		struct vn_error err = { 0 };

		if (wait->states[VNODE_ABSENT]) {
			call_answer(wait->daemon, wait->ticket, vnode_object(vnode));
		} else {
			vn_fail(&err, VN_E_NOT_FOUND, "vnode '%s' was destroyed",
				vnode_title(vnode));
			call_answer_error(wait->daemon, wait->ticket, &err, 0);
		}
		end(wait);
	}
}
