/*
 * Compares a document with what is: each vnode in plan_vnode.c, each LAN in plan_lan.c, and here what the
 * document no longer names. Everything that can be refused is refused before anything is touched; a vnode
 * that is only missing from the file becomes an action `keep` without --prune, so that nobody loses a disk
 * by a typing error.
 */
#include "daemon/plan_inner.h"

#include <string.h>

#include "daemon/lifecycle.h"

json_t *
plan_list(struct planning *p, const char *key)
{
	json_t *list = json_object_get(p->plan, key);

	if (!list) {
		list = json_array();
		json_object_set_new(p->plan, key, list);
	}
	return list;
}

void
plan_add_action(struct planning *p, const char *action, const char *kind, const char *name,
		const char *how, json_t *fields)
{
	json_t *object = json_pack("{ss ss ss}", "action", action, "kind", kind, "name", name);

	if (how)
		json_object_set_new(object, "how", json_string(how));
	if (fields)
		json_object_set(object, "fields", fields);
	json_array_append_new(plan_list(p, "actions"), object);
}

json_t *
plan_member_spec(const struct doc_member *member)
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
		plan_add_action(p, action, "vnode", vnode->name, NULL, NULL);
		if (p->options->prune)
			json_array_append_new(plan_list(p, "remove"), json_integer(vnode->vmid));
	}
	vn_list_each(struct lan, lan, &p->topology->lans, in_topology) {
		if (has_key(&p->document.lans, sizeof(struct doc_lan), lan->name))
			continue;
		plan_add_action(p, action, "lan", lan->name, NULL, NULL);
		if (p->options->prune)
			json_array_append_new(plan_list(p, "remove_lans"), json_integer(lan->id));
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
		plan_add_action(p, "change", "topology", name, "live", NULL);
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
