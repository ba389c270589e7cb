/* Methods on LANs. */
#include "daemon/lan_verbs.h"

#include <stdio.h>
#include <string.h>

#include "daemon/shaping.h"

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

/* ---- lan.set ---- */

struct wish {			/* for the shapes of one LAN */
	struct daemon *daemon;
	struct lan *lan;
	struct doc_shape shape;		/* of the LAN, as it is to be */
	json_t *shaping;		/* as shaping_export; what changes replaces what was */
};

/* Merges a change into what was; on failure the path begins with `path`. */
static int
merge(struct wish *wish, const struct doc_shape *now, json_t *change, const char *path, json_t *object,
      const char *key, struct vn_error *err)
{
	json_t *merged;

	if (json_is_null(change)) {
		json_object_del(object, key);
		return 0;
	}
	if (shaping_merge(wish->daemon, now, change, &merged, err) < 0) {
		vn_error_prefix_path(err, path);
		return -1;
	}
	return json_object_set_new(object, key, merged);
}

static int
merge_member(struct wish *wish, const struct member *member, json_t *change, struct vn_error *err)
{
	const struct doc_port_shape *own = &member->shape;
	json_t *shapes = json_object_get(json_object_get(wish->shaping, "members"),
					 member->vnode->name);
	json_t *to = json_object_get(change, "to"), *from = json_object_get(change, "from");
	char path[VN_NAME_MAX + 32];

	snprintf(path, sizeof(path), "/members/%s/to", member->vnode->name);
	if (to && merge(wish, own->to.given ? &own->to : &wish->shape, to, path, shapes, "to", err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/members/%s/from", member->vnode->name);
	if (from && !json_is_null(from) && wish->lan->is_link)
		return vn_fail_at(err, path, VN_E_INVALID,
				  "a link has two members: use the other member's \"to\"");
	return from ? merge(wish, &own->from, from, path, shapes, "from", err) : 0;
}

static const struct member *
member_named(const struct lan *lan, const char *vnode)
{
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (strcmp(member->vnode->name, vnode) == 0)
			return member;
	return NULL;
}

/* What the shapes are to be; the raw params tell null from absent. */
static int
merge_all(struct wish *wish, json_t *raw, struct vn_error *err)
{
	json_t *shape = json_object_get(raw, "shape"), *change;
	const char *name;

	if (shape && merge(wish, &wish->shape, shape, "/shape", wish->shaping, "shape", err) < 0)
		return -1;
	wish->shape = shaping_read(wish->shaping).shape;
	json_object_foreach(json_object_get(raw, "members"), name, change) {
		const struct member *member = member_named(wish->lan, name);
		char path[VN_NAME_MAX + 16];

		snprintf(path, sizeof(path), "/members/%s", name);
		if (!member)
			return vn_fail_at(err, path, VN_E_NOT_FOUND, "vnode '%s' is no member of LAN "
					  "'%s'", name, wish->lan->name);
		if (merge_member(wish, member, change, err) < 0)
			return -1;
	}
	return 0;
}

int
handle_lan_set(struct call *call, const void *params, struct vn_error *err)
{
	const struct lan_set_params *p = params;
	struct wish wish = { .daemon = call_daemon(call) };
	json_t *job, *before;
	int status;

	if (lan_find(wish.daemon, p->lan, &wish.lan, err) < 0)
		return -1;
	wish.shape = wish.lan->shape;
	before = shaping_export(wish.lan, NULL);
	wish.shaping = json_deep_copy(before);
	status = merge_all(&wish, call_params(call), err);
	if (status == 0 && (!p->mtu || (unsigned)p->mtu == wish.lan->mtu) &&
	    json_equal(before, wish.shaping)) {
		status = job_answer_nothing(call, &p->change, "lan.set", lan_object(wish.lan), err);
	} else if (status == 0) {
		job = lan_job_params(wish.lan);
		if (p->mtu)
			json_object_set_new(job, "mtu", json_integer(p->mtu));
		json_object_set(job, "shaping", wish.shaping);
		status = job_answer(call, &p->change, &verb_lan_set, job, err);
	}
	json_decref(wish.shaping);
	json_decref(before);
	return status;
}

/* ---- lan.up, lan.down ---- */

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
