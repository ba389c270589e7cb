/* Methods on LANs. */
#include "daemon/lan_verbs.h"

#include <string.h>

int
handle_lan_list(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_list_params *p = params;
	json_t *lans = json_array();

	(void)err;
	vn_list_each(struct lan, lan, &call_daemon(call)->model->lans, link)
		if (!p->topology || strcmp(lan->topology->name, p->topology) == 0)
			json_array_append_new(lans, lan_object(lan));
	call_reply(call, json_pack("{so}", "lans", lans));
	return 0;
}

int
handle_lan_get(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_params *p = params;
	struct lan *lan;

	if (lan_find(call_daemon(call), p->lan, &lan, err) < 0)
		return -1;
	call_reply(call, lan_object(lan));
	return 0;
}

int
handle_lan_set(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_set_params *p = params;
	struct lan *lan;
	json_t *job;

	if (lan_find(call_daemon(call), p->lan, &lan, err) < 0)
		return -1;
	if ((unsigned)p->mtu == lan->mtu)
		return job_answer_nothing(call, &p->change, "lan.set", lan_object(lan), err);
	job = lan_job_params(lan);
	json_object_set_new(job, "mtu", json_integer(p->mtu));
	return job_answer(call, &p->change, &verb_lan_set, job, err);
}

static int
set_carrier(struct call *call, const struct lan_change_params *p, const struct verb *verb,
	    struct vn_error *err)
{
	struct lan *lan;
	json_t *params;
	int64_t vmid = 0;

	if (lan_find(call_daemon(call), p->lan, &lan, err) < 0)
		return -1;
	if (p->member) {
		vn_list_each(struct member, member, &lan->members, in_lan)
			if (strcmp(member->vnode->name, p->member) == 0)
				vmid = member->vnode->vmid;
		if (!vmid)
			return vn_fail_at(err, "/member", VN_E_NOT_FOUND, "vnode '%s' is no member of "
					  "LAN '%s'", p->member, lan->name);
	}
	params = lan_job_params(lan);
	json_object_set_new(params, "member", json_integer(vmid));
	return job_answer(call, &p->change, verb, params, err);
}

int
handle_lan_up(struct call *call, const void *params, struct vn_error *err)
{
	return set_carrier(call, params, &verb_lan_up, err);
}

int
handle_lan_down(struct call *call, const void *params, struct vn_error *err)
{
	return set_carrier(call, params, &verb_lan_down, err);
}
