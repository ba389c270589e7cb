/*
 * Compares a document with what is. Everything that can be refused is refused here, before anything is
 * touched; what is only named (a vnode that the file no longer has) becomes an action `keep` without
 * --prune, so that nobody loses a disk by a typing error.
 */
#include "daemon/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/lifecycle.h"
#include "daemon/members.h"
#include "daemon/schedule.h"
#include "daemon/ways.h"

struct planning {
	struct daemon *daemon;
	const struct plan_options *options;
	struct document document;
	struct vn_arena arena;
	struct topology *topology;	/* NULL: new */
	json_t *plan;
	json_t *claims;			/* of daemon/ways.h; NULL: not needed yet */
	unsigned controlled;		/* vnodes in the control network, with those to come */
};

static json_t *
list_of(struct planning *p, const char *key)
{
	json_t *list = json_object_get(p->plan, key);

	if (!list) {
		list = json_array();
		json_object_set_new(p->plan, key, list);
	}
	return list;
}

static void
add_action(struct planning *p, const char *action, const char *kind, const char *name,
	   const char *how, json_t *fields)
{
	json_t *object = json_pack("{ss ss ss}", "action", action, "kind", kind, "name", name);

	if (how)
		json_object_set_new(object, "how", json_string(how));
	if (fields)
		json_object_set(object, "fields", fields);
	json_array_append_new(list_of(p, "actions"), object);
}

static json_t *
member_spec(const struct doc_member *member)
{
	json_t *spec = schema_encode(doc_member_fields, member);
	json_t *list = json_object_get(spec, "address");

	/* One form for one address, whichever way it was written: member_export's. */
	if (json_is_array(list) && json_array_size(list) == 1) {
		json_t *only = json_incref(json_array_get(list, 0));

		json_object_set_new(spec, "address", only);
	}
	return spec;
}

/* {lan: member} of one vnode, as the document has it. */
static json_t *
members_of(struct planning *p, const char *vnode)
{
	const struct doc_lan *lans = p->document.lans.items;
	json_t *members = json_object();

	for (size_t i = 0; i < p->document.lans.count; i++) {
		const struct doc_member *list = lans[i].members.items;

		for (size_t m = 0; m < lans[i].members.count; m++)
			if (strcmp(list[m].key, vnode) == 0)
				json_object_set_new(members, lans[i].key, member_spec(&list[m]));
	}
	return members;
}

static int
refuse_class(struct planning *p, const char *name, json_t *fields, struct vn_error *err)
{
	char path[160];
	size_t i;
	json_t *field;

	json_array_foreach(fields, i, field) {
		const char *key = json_string_value(field);
		bool is_disk = strcmp(key, "image") == 0 || strncmp(key, "disk", 4) == 0;

		if (change_class_of(key) != CHANGE_RECREATE ||
		    (is_disk && p->options->allow_recreate))
			continue;
		snprintf(path, sizeof(path), "/vnodes/%s/%s", name, key);
		return vn_fail_at(err, path, VN_E_INVALID, is_disk
			? "what the disk holds would be gone: allow it with allow_recreate"
			: "cannot be changed: destroy the vnode and create it anew");
	}
	return 0;
}

/* A mounted one can neither be booted nor get a fresh disk. */
static int
refuse_mounted(const struct vnode *vnode, enum change_class class, struct vn_error *err)
{
	if (vnode->observed != VNODE_MOUNTED ||
	    (class != CHANGE_RECREATE && vnode->wanted != VNODE_RUNNING))
		return 0;
	vnode_may(vnode, class == CHANGE_RECREATE ? VERB_RELOAD : VERB_BOOT, err);
	snprintf(err->path, sizeof(err->path), "/vnodes/%s", vnode->name);
	return -1;
}

/* A field of `spec` as `before` has it. */
static void
keep_field(json_t *spec, json_t *before, const char *key)
{
	if (json_object_get(before, key))
		json_object_set(spec, key, json_object_get(before, key));
	else
		json_object_del(spec, key);
}

/* The spec with the extra disks of `before` that it no longer has; a new reference. */
static json_t *
keep_extras(json_t *spec, json_t *before)
{
	json_t *whole = json_copy(spec), *extras, *old = json_object_get(before, "disks");

	if (!old)
		return whole;
	extras = json_copy(old);
	if (json_object_get(spec, "disks"))
		json_object_update(extras, json_object_get(spec, "disks"));
	json_object_set_new(whole, "disks", extras);
	return whole;
}

static bool
needs_fresh_disk(json_t *fields)
{
	json_t *field;
	size_t i;

	json_array_foreach(fields, i, field)
		if (strcmp(json_string_value(field), "image") == 0 ||
		    strcmp(json_string_value(field), "disk") == 0)
			return true;
	return false;
}

/* Image and disk change last, past the commit point; all else is changed, and undone, like any other change. */
static void
plan_recreate(struct planning *p, json_t *item, json_t *fields)
{
	json_t *before = json_object_get(item, "spec_before"), *change = json_copy(item);
	json_t *whole = keep_extras(json_object_get(item, "spec"), before), *spec = json_copy(whole);

	if (needs_fresh_disk(fields))
		json_array_append_new(list_of(p, "recreate"), json_pack("{sO sO}", "vmid",
			json_object_get(item, "vmid"), "spec", whole));
	if (!json_equal(whole, json_object_get(item, "spec")))
		json_array_append_new(list_of(p, "drop"), json_pack("{sO sO}", "vmid",
			json_object_get(item, "vmid"), "spec", json_object_get(item, "spec")));
	json_decref(whole);
	keep_field(spec, before, "image");
	keep_field(spec, before, "disk");
	json_object_set_new(change, "spec", spec);
	if (!json_equal(spec, before) || json_object_get(item, "members"))
		json_array_append(list_of(p, "change"), change);
	json_decref(change);
}

/* An apply before this one could not remove what the spec no longer names. */
static void
plan_drop(struct planning *p, const char *name, json_t *item)
{
	json_t *fields = json_pack("[s]", "disks");

	add_action(p, "change", "vnode", name, change_class_words[CHANGE_LIVE], fields);
	json_decref(fields);
	json_array_append_new(list_of(p, "drop"), json_pack("{sO sO}", "vmid", json_object_get(item, "vmid"),
							    "spec", json_object_get(item, "spec")));
}

static int
plan_change(struct planning *p, struct vnode *vnode, const struct doc_vnode *doc,
	    struct vn_error *err)
{
	json_t *spec = schema_encode(doc_vnode_fields, doc);
	json_t *members = members_of(p, doc->key), *before = members_export(vnode);
	json_t *fields = json_array(), *item;
	enum change_class class = change_compare(vnode, vnode->spec_json, spec, fields);
	enum change_class of_members = members_compare(members, before);
	int status = 0;

	if (of_members != CHANGE_NONE)
		json_array_append_new(fields, json_string(of_members == CHANGE_LIVE ? "address"
								: "interfaces"));
	if (class < of_members)
		class = of_members;
	item = json_pack("{sI sO sO sO sO}", "vmid", (json_int_t)vnode->vmid, "spec", spec,
			 "members", members, "spec_before", vnode->spec_json, "members_before",
			 before);
	if (of_members == CHANGE_NONE) {
		json_object_del(item, "members");
		json_object_del(item, "members_before");
	}
	status = refuse_class(p, doc->key, fields, err);
	if (status == 0)
		status = refuse_mounted(vnode, class, err);
	if (status == 0 && class == CHANGE_NONE && vnode->runtime.surplus)
		plan_drop(p, doc->key, item);
	if (status == 0 && class != CHANGE_NONE) {
		add_action(p, "change", "vnode", doc->key, change_class_words[class], fields);
		if (class == CHANGE_RECREATE)
			plan_recreate(p, item, fields);
		else
			json_array_append(list_of(p, "change"), item);
	}
	/* A fresh disk boots by itself. */
	if (status == 0 && !needs_fresh_disk(fields) && vnode->wanted == VNODE_RUNNING &&
	    vnode->observed != VNODE_RUNNING) {
		add_action(p, "boot", "vnode", doc->key, NULL, NULL);
		json_array_append_new(list_of(p, "boot"), json_integer(vnode->vmid));
	}
	json_decref(spec);
	json_decref(members);
	json_decref(before);
	json_decref(fields);
	json_decref(item);
	return status;
}

/* The networks that the document gives the vnode. */
static int
check_routes(struct planning *p, const struct doc_vnode *doc, struct vn_error *err)
{
	const struct doc_lan *lans = p->document.lans.items;
	struct vn_cidr *addresses = NULL;
	size_t count = 0;
	int result = 0;

	for (size_t i = 0; doc->routes.count && i < p->document.lans.count; i++) {
		const struct doc_member *list = lans[i].members.items;

		for (size_t m = 0; m < lans[i].members.count; m++)
			for (size_t a = 0; strcmp(list[m].key, doc->key) == 0 &&
			     a < list[m].addresses.count && result == 0; a++) {
				addresses = vn_realloc_array(addresses, count + 1, sizeof(*addresses));
				result = vn_cidr_parse(((const char **)list[m].addresses.items)[a],
						       &addresses[count++], err);
			}
	}
	if (result == 0)
		result = lifecycle_check_routes(p->daemon, doc, addresses, count, err);
	free(addresses);
	return result;
}

static int
plan_vnode(struct planning *p, const struct doc_vnode *doc, struct vn_error *err)
{
	struct vnode *vnode = p->topology ? table_get_text(&p->topology->vnodes_by_name, doc->key)
					  : NULL;
	json_t *create = json_object_get(p->plan, "create");
	char path[160];

	if (lifecycle_check_spec(p->daemon, doc, vnode, p->options->uid, p->options->role, err) < 0 ||
	    check_routes(p, doc, err) < 0) {
		snprintf(path, sizeof(path), "/vnodes/%s", doc->key);
		vn_error_prefix_path(err, path);
		return -1;
	}
	if (vnode)
		return plan_change(p, vnode, doc, err);
	if (doc->control && ++p->controlled > CONTROL_VNODES_MAX) {
		snprintf(path, sizeof(path), "/vnodes/%s/control", doc->key);
		return vn_fail_at(err, path, VN_E_LIMIT, "the control network's bridge has ports for %d "
				  "vnodes: leave the control network out (false) of those that do "
				  "without", CONTROL_VNODES_MAX);
	}
	add_action(p, "create", "vnode", doc->key, NULL, NULL);
	json_object_set_new(json_object_get(create, "vnodes"), doc->key,
			    schema_encode(doc_vnode_fields, doc));
	return 0;
}

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
	json_array_append_new(list_of(p, "schedules"), json_pack("{ss sO?}", "lan", doc->key, "schedule",
								 wanted));
	return 1;
}

/* A ways_fn. */
static void
add_way(void *arg, const char *action, const char *kind, const char *name, json_t *fields)
{
	add_action(arg, action, kind, name, "live", fields);
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
		json_array_append_new(list_of(p, "lans"), json_pack("{sI sI sI sO sO sO so}", "id",
			(json_int_t)lan->id, "mtu", (json_int_t)doc->mtu, "mtu_before",
			(json_int_t)lan->mtu, "shaping", shaping, "shaping_before", before, "ways", ways,
			"ways_before", lan->ways ? json_incref(lan->ways) : json_null()));
	if (schedules)
		json_array_append_new(fields, json_string("schedule"));
	if (json_array_size(fields))
		add_action(p, "change", "lan", doc->key, "live", fields);
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
			json_object_set_new(members, list[i].key, member_spec(&list[i]));
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

static int
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
		add_action(p, "create", "lan", doc->key, NULL, NULL);
		ways_compare(doc->key, NULL, ways, add_way, p);
	}
	plan_lan_members(p, lan, doc, ways);
	json_decref(ways);
	return 0;
}

static bool
has_key(const struct field_array *array, size_t size, const char *key)
{
	for (size_t i = 0; i < array->count; i++)
		if (strcmp(*(const char **)((char *)array->items + i * size), key) == 0)
			return true;
	return false;
}

static void
plan_removals(struct planning *p)
{
	const char *action = p->options->prune ? "destroy" : "keep";

	if (!p->topology)
		return;
	vn_list_each(struct vnode, vnode, &p->topology->vnodes, in_topology) {
		if (has_key(&p->document.vnodes, sizeof(struct doc_vnode), vnode->name))
			continue;
		add_action(p, action, "vnode", vnode->name, NULL, NULL);
		if (p->options->prune)
			json_array_append_new(list_of(p, "remove"), json_integer(vnode->vmid));
	}
	vn_list_each(struct lan, lan, &p->topology->lans, in_topology) {
		if (has_key(&p->document.lans, sizeof(struct doc_lan), lan->name))
			continue;
		add_action(p, action, "lan", lan->name, NULL, NULL);
		if (p->options->prune)
			json_array_append_new(list_of(p, "remove_lans"), json_integer(lan->id));
	}
}

static json_t *
own_fields(const struct document *document, const char *name)
{
	struct document own = *document;

	own.topology = name;
	own.vnodes = own.lans = (struct field_array){ 0 };
	return schema_encode(document_fields, &own);
}

static void
plan_fields(struct planning *p)
{
	const char *name = p->document.topology;
	struct document none = { 0 };
	json_t *fields = own_fields(&p->document, name);
	json_t *before = own_fields(p->topology ? &p->topology->document : &none, name);

	if (p->topology && json_equal(fields, before)) {
		json_decref(fields);
		json_decref(before);
		return;
	}
	if (p->topology)
		add_action(p, "change", "topology", name, "live", NULL);
	json_object_set_new(p->plan, "fields", fields);
	json_object_set_new(p->plan, "fields_before", before);
}

static int
make(struct planning *p, struct vn_error *err)
{
	const struct doc_vnode *vnodes = p->document.vnodes.items;
	const struct doc_lan *lans = p->document.lans.items;

	p->topology = topology_find(p->daemon, p->document.topology);
	vn_list_each(struct vnode, vnode, &p->daemon->model->vnodes, link)
		p->controlled += vnode->spec.control;
	p->plan = json_pack("{ss s[] s{s{} s{}}}", "topology", p->document.topology, "actions",
			    "create", "vnodes", "lans");
	for (size_t i = 0; i < p->document.vnodes.count; i++)
		if (plan_vnode(p, &vnodes[i], err) < 0)
			return -1;
	for (size_t i = 0; i < p->document.lans.count; i++)
		if (plan_lan(p, &lans[i], err) < 0)
			return -1;
	plan_removals(p);
	plan_fields(p);
	return p->topology ? lifecycle_check_logins(p->topology, json_object_get(p->plan, "fields"),
						    json_object_get(p->plan, "fields_before"),
						    p->options->role, err) : 0;
}

int
plan_make(struct daemon *daemon, json_t *document, const struct plan_options *options, json_t **ret,
	  struct vn_error *err)
{
	struct planning p = { .daemon = daemon, .options = options };
	int status = document_decode(document, &p.arena, &p.document, err);

	if (status == 0)
		status = make(&p, err);
	if (status < 0)
		vn_error_prefix_path(err, "/document");
	else
		*ret = json_incref(p.plan);
	json_decref(p.plan);
	json_decref(p.claims);
	vn_arena_fini(&p.arena);
	return status;
}

bool
plan_is_empty(json_t *plan)
{
	json_t *actions = json_object_get(plan, "actions"), *action;
	size_t i;

	json_array_foreach(actions, i, action)
		if (strcmp(json_string_value(json_object_get(action, "action")), "keep") != 0)
			return false;
	return true;
}
