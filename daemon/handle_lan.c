/* Methods on LANs. */
#include "daemon/lan_verbs.h"

#include <stdio.h>
#include <string.h>

#include "daemon/schedule.h"
#include "daemon/ways.h"

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
	json_t *object;
	struct lan *lan;

	if (lan_find(call_daemon(call), p->lan, &lan, err) < 0)
		return -1;
	object = lan_object(lan);
	json_object_set_new(object, "schedule", schedule_object(lan));
	call_reply(call, object);
	return 0;
}

/* ---- lan.set ---- */

int
handle_lan_set(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_set_params *p = params;
	struct daemon *daemon = call_daemon(call);
	json_t *job, *before, *shaping;
	struct lan *lan;
	int status;

	if (lan_find(daemon, p->lan, &lan, err) < 0)
		return -1;
	before = shaping_export(lan, NULL);
	shaping = json_deep_copy(before);
	status = p->mtu ? ways_check_mtu(lan, (unsigned)p->mtu, err) : 0;
	/* the raw params tell null from absent */
	if (status == 0)
		status = shaping_change(daemon, lan->name, shaping, call_params(call), NULL, err);
	if (status == 0 && (!p->mtu || (unsigned)p->mtu == lan->mtu) && json_equal(before, shaping)) {
		status = job_answer_nothing(call, &p->change, "lan.set", lan_object(lan), err);
	} else if (status == 0) {
		job = lan_job_params(lan);
		if (p->mtu)
			json_object_set_new(job, "mtu", json_integer(p->mtu));
		json_object_set(job, "shaping", shaping);
		status = job_answer(call, &p->change, &verb_lan_set, job, err);
	}
	json_decref(shaping);
	json_decref(before);
	return status;
}

/* ---- lan.up, lan.down ---- */

static const struct member *
member_named(const struct lan *lan, const char *vnode)
{
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (strcmp(member->vnode->name, vnode) == 0)
			return member;
	return NULL;
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
		const struct member *member = member_named(lan, p->member);

		if (!member)
			return vn_fail_at(err, "/member", VN_E_NOT_FOUND, "vnode '%s' is no member of "
					  "LAN '%s'", p->member, lan->name);
		vmid = member->vnode->vmid;
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

/* ---- lan.schedule ---- */

static int
check_schedule(const struct lan *lan, json_t *list, struct vn_error *err)
{
	json_t *shaping = shaping_export(lan, NULL);
	int status = doc_schedule_check(list, json_object_get(shaping, "members"), lan->is_link, err);

	if (status == 0)
		status = schedule_check(lan->daemon, lan, lan->name, shaping, list, err);
	if (status < 0)
		vn_error_prefix_path(err, "/schedule");
	json_decref(shaping);
	return status;
}

int
handle_lan_schedule(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_schedule_params *p = params;
	struct lan *lan;
	json_t *job;

	if (lan_find(call_daemon(call), p->lan, &lan, err) < 0 || check_schedule(lan, p->schedule, err) < 0)
		return -1;
	job = lan_job_params(lan);
	json_object_set(job, "schedule", p->schedule);
	return job_answer(call, &p->change, &verb_lan_schedule, job, err);
}
