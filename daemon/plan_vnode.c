/*
 * What a plan does with one vnode of the document: create it, change it, boot it, or nothing.
 *
 * The surprising one is a fresh disk: it is planned as two changes, since what the disk held is gone for
 * good. All that can be undone comes before the commit point, image and disk after it.
 */
#include "daemon/plan_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/lifecycle.h"
#include "daemon/members.h"
#include "daemon/vnode_disk.h"

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
				json_object_set_new(members, lans[i].key, plan_member_spec(&list[m]));
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
		json_array_append_new(plan_list(p, "recreate"), json_pack("{sO sO}", "vmid",
			json_object_get(item, "vmid"), "spec", whole));
	if (!json_equal(whole, json_object_get(item, "spec")))
		json_array_append_new(plan_list(p, "drop"), json_pack("{sO sO}", "vmid",
			json_object_get(item, "vmid"), "spec", json_object_get(item, "spec")));
	json_decref(whole);
	keep_field(spec, before, "image");
	keep_field(spec, before, "disk");
	json_object_set_new(change, "spec", spec);
	if (!json_equal(spec, before) || json_object_get(item, "members"))
		json_array_append(plan_list(p, "change"), change);
	json_decref(change);
}

/* An apply before this one could not remove what the spec no longer names. */
static void
plan_drop(struct planning *p, const char *name, json_t *item)
{
	json_t *fields = json_pack("[s]", "disks");

	plan_add_action(p, "change", "vnode", name, change_class_words[CHANGE_LIVE], fields);
	json_decref(fields);
	json_array_append_new(plan_list(p, "drop"), json_pack("{sO sO}", "vmid",
		json_object_get(item, "vmid"), "spec", json_object_get(item, "spec")));
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
		plan_add_action(p, "change", "vnode", doc->key, change_class_words[class], fields);
		if (class == CHANGE_RECREATE)
			plan_recreate(p, item, fields);
		else
			json_array_append(plan_list(p, "change"), item);
	}
	/* A fresh disk boots by itself. */
	if (status == 0 && !needs_fresh_disk(fields) && vnode->wanted == VNODE_RUNNING &&
	    vnode->observed != VNODE_RUNNING) {
		plan_add_action(p, "boot", "vnode", doc->key, NULL, NULL);
		json_array_append_new(plan_list(p, "boot"), json_integer(vnode->vmid));
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

int
plan_vnode(struct planning *p, const struct doc_vnode *doc, struct vn_error *err)
{
	struct vnode *vnode = p->topology ? table_get_text(&p->topology->vnodes_by_name, doc->key)
					  : NULL;
	json_t *create = json_object_get(p->plan, "create");
	char path[160];

	if (lifecycle_check_spec(p->daemon, doc, vnode, p->options->role, &p->extra_bytes, err) < 0 ||
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
	plan_add_action(p, "create", "vnode", doc->key, NULL, NULL);
	json_object_set_new(json_object_get(create, "vnodes"), doc->key,
			    schema_encode(doc_vnode_fields, doc));
	return 0;
}
