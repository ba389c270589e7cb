/*
 * What a plan does with one LAN of the document: its mtu, shapes, schedule and the ways out of it.
 *
 * The surprising part is its members: those that are vnodes already are planned with their vnodes, as
 * changes of these; here are only those that are made together with a new vnode.
 */
#include "daemon/plan_inner.h"

#include <stdio.h>
#include <string.h>

#include "daemon/schedule.h"
#include "daemon/ways.h"

/* An address of a LAN inside the control network would not be reachable from either. */
static int
check_overlap(struct planning *p, const struct doc_lan *lan, const struct doc_member *member,
	      struct vn_error *err)
{
	const struct backend_env *env = &p->daemon->env;

	for (size_t i = 0; i < member->addresses.count; i++) {
		const char *text = ((const char **)member->addresses.items)[i];
		struct vn_cidr cidr;
		char path[160];

		if (vn_cidr_parse(text, &cidr, err) < 0)
			return -1;
		if (!vn_cidr_overlap(&cidr, &env->control4) && !vn_cidr_overlap(&cidr, &env->control6))
			continue;
		snprintf(path, sizeof(path), "/lans/%s/members/%s/address", lan->key, member->key);
		return vn_fail_at(err, path, VN_E_INVALID, "%s overlaps the control network; choose "
				  "another network, or another control_network in vnoded.conf", text);
	}
	return 0;
}

static bool
is_new(struct planning *p, const char *vnode)
{
	return json_object_get(json_object_get(json_object_get(p->plan, "create"), "vnodes"), vnode);
}

/* Whether the LAN's tunnels are those of the document, by name. */
static bool
has_same_tunnels(const struct lan *lan, const struct doc_lan *doc)
{
	const struct doc_tunnel *tunnels = doc->ways.tunnels.items;
	json_t *indexes = json_object_get(lan->ways, "indexes");

	for (size_t i = 0; i < doc->ways.tunnels.count; i++)
		if (!json_object_get(indexes, tunnels[i].name))
			return false;
	return json_object_size(indexes) == doc->ways.tunnels.count;
}

/* Whether the LAN has exactly the members and tunnels that the document gives it, and two of them. */
static bool
stays_link(const struct lan *lan, const struct doc_lan *doc)
{
	const struct doc_member *list = doc->members.items;
	size_t n = 0, same = 0;

	vn_list_each(struct member, member, &lan->members, in_lan) {
		n++;
		for (size_t i = 0; i < doc->members.count; i++)
			same += strcmp(member->vnode->name, list[i].key) == 0;
	}
	return lan->is_link && doc_lan_is_link(doc) && n == doc->members.count && same == n &&
	       has_same_tunnels(lan, doc);
}

static bool
has_member(const struct lan *lan, const char *vnode)
{
	vn_list_each(struct member, member, &lan->members, in_lan)
		if (strcmp(member->vnode->name, vnode) == 0)
			return true;
	return false;
}

/* As shaping_export, of those members that the LAN has now, or (NULL) of all. */
static json_t *
shaping_of(const struct doc_lan *doc, const struct lan *lan, bool is_link)
{
	const struct doc_member *list = doc->members.items;
	json_t *members = json_object();

	for (size_t i = 0; i < doc->members.count; i++)
		if (!lan || has_member(lan, list[i].key))
			json_object_set_new(members, list[i].key,
					    schema_encode(doc_port_shape_fields, &list[i].shape));
	return json_pack("{so sb so}", "shape", doc->shape.given
			 ? schema_encode(doc_shape_fields, &doc->shape) : json_null(), "link", is_link,
			 "members", members);
}

/* 1: the LAN gets another schedule than it has; 0: it keeps what it has. */
static int
plan_schedule(struct planning *p, const struct lan *lan, const struct doc_lan *doc, struct vn_error *err)
{
	json_t *wanted = json_array_size(doc->schedule) ? doc->schedule : NULL, *shaping;
	json_t *now = lan ? schedule_export(lan) : NULL;
	bool same = now && wanted ? json_equal(now, wanted) : now == wanted;
	char path[VN_NAME_MAX + 24];
	int status;

	json_decref(now);
	if (same)
		return 0;
	shaping = shaping_of(doc, NULL, doc_lan_is_link(doc));
	status = schedule_check(p->daemon, lan, doc->key, shaping, wanted, err);
	json_decref(shaping);
	snprintf(path, sizeof(path), "/lans/%s/schedule", doc->key);
	if (status < 0) {
		vn_error_prefix_path(err, path);
		return -1;
	}
	json_array_append_new(plan_list(p, "schedules"),
			      json_pack("{ss sO?}", "lan", doc->key, "schedule", wanted));
	return 1;
}

/* A ways_fn. */
static void
add_way(void *arg, const char *action, const char *kind, const char *name, json_t *fields)
{
	plan_add_action(arg, action, kind, name, "live", fields);
}

static void
plan_lan_change(struct planning *p, struct lan *lan, const struct doc_lan *doc, json_t *ways,
		bool schedules)
{
	json_t *shaping = shaping_of(doc, lan, stays_link(lan, doc)), *fields = json_array();
	json_t *before = shaping_export(lan, json_object_get(shaping, "members"));

	if (lan->mtu != (unsigned)doc->mtu || lan_mtu(lan) != ways_mtu(ways, (unsigned)doc->mtu))
		json_array_append_new(fields, json_string("mtu"));
	if (!json_equal(shaping, before))
		json_array_append_new(fields, json_string("shape"));
	ways_fields(lan->ways, ways, fields);
	if (json_array_size(fields))
		json_array_append_new(plan_list(p, "lans"), json_pack("{sI sI sI sO sO sO so}", "id",
			(json_int_t)lan->id, "mtu", (json_int_t)doc->mtu, "mtu_before",
			(json_int_t)lan->mtu, "shaping", shaping, "shaping_before", before, "ways", ways,
			"ways_before", lan->ways ? json_incref(lan->ways) : json_null()));
	if (schedules)
		json_array_append_new(fields, json_string("schedule"));
	if (json_array_size(fields))
		plan_add_action(p, "change", "lan", doc->key, "live", fields);
	ways_compare(doc->key, lan->ways, ways, add_way, p);
	json_decref(fields);
	json_decref(shaping);
	json_decref(before);
}

/* Members that are new vnodes are made with them, in new and in old LANs. */
static void
plan_lan_members(struct planning *p, const struct lan *lan, const struct doc_lan *doc, json_t *ways)
{
	const struct doc_member *list = doc->members.items;
	json_t *members = json_object();

	for (size_t i = 0; i < doc->members.count; i++)
		if (is_new(p, list[i].key))
			json_object_set_new(members, list[i].key, plan_member_spec(&list[i]));
	if (!lan || json_object_size(members))
		json_object_set_new(json_object_get(json_object_get(p->plan, "create"), "lans"),
				    doc->key, json_pack("{sI sO sO so}", "mtu", (json_int_t)doc->mtu,
							"members", members, "ways", ways, "shaping",
							shaping_of(doc, NULL, doc_lan_is_link(doc) &&
								   json_object_size(members) ==
									   doc->members.count)));
	json_decref(members);
}

static int
plan_ways(struct planning *p, const struct lan *lan, const struct doc_lan *doc, json_t **ret,
	  struct vn_error *err)
{
	unsigned mtu = 0;

	if (!p->claims)
		p->claims = ways_claims(p->daemon);
	if (ways_check(p->daemon, doc, lan, p->options->role, p->claims, &mtu, err) < 0)
		return -1;
	*ret = ways_make(&doc->ways, lan, mtu);
	return 0;
}

int
plan_lan(struct planning *p, const struct doc_lan *doc, struct vn_error *err)
{
	struct lan *lan = p->topology ? table_get_text(&p->topology->lans_by_name, doc->key) : NULL;
	const struct doc_member *list = doc->members.items;
	json_t *ways = NULL;
	int schedules;

	for (size_t i = 0; i < doc->members.count; i++)
		if (check_overlap(p, doc, &list[i], err) < 0)
			return -1;
	if (shaping_check(p->daemon, doc, err) < 0 || plan_ways(p, lan, doc, &ways, err) < 0)
		return -1;
	schedules = plan_schedule(p, lan, doc, err);
	if (schedules < 0) {
		json_decref(ways);
		return -1;
	}
	if (lan) {
		plan_lan_change(p, lan, doc, ways, schedules);
	} else {
		plan_add_action(p, "create", "lan", doc->key, NULL, NULL);
		ways_compare(doc->key, NULL, ways, add_way, p);
	}
	plan_lan_members(p, lan, doc, ways);
	json_decref(ways);
	return 0;
}
