/* Comparing and replacing the interfaces of a vnode. */
#include "daemon/members.h"

#include <string.h>

json_t *
members_export(const struct vnode *vnode)
{
	json_t *members = json_object();

	vn_list_each(struct member, member, &vnode->members, in_vnode)
		json_object_set_new(members, member->lan->name, member_export(member));
	return members;
}

/* ignored: fields, ended by NULL. */
static bool
specs_equal(json_t *a, json_t *b, const char *const *ignored)
{
	json_t *x = json_copy(a), *y = json_copy(b);
	bool is_equal;

	for (; *ignored; ignored++) {
		json_object_del(x, *ignored);
		json_object_del(y, *ignored);
	}
	is_equal = json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return is_equal;
}

static const char *const of_the_lan[] = { "shape", NULL };
static const char *const live[] = { "shape", "address", NULL };

enum change_class
members_compare(json_t *a, json_t *b)
{
	enum change_class class = CHANGE_NONE;
	const char *lan;
	json_t *spec;

	if (json_object_size(a) != json_object_size(b))
		return CHANGE_RESTART;
	json_object_foreach(a, lan, spec) {
		json_t *other = json_object_get(b, lan);

		if (!other || !specs_equal(spec, other, live))
			return CHANGE_RESTART;
		if (!specs_equal(spec, other, of_the_lan))
			class = CHANGE_LIVE;
	}
	return class;
}

bool
member_is_another(const struct member *member, json_t *members)
{
	json_t *wanted = json_object_get(members, member->lan->name);
	json_t *now = member_export(member);
	bool is_same = wanted && specs_equal(wanted, now, live);

	json_decref(now);
	return !is_same;
}

static struct member *
find_member(const struct vnode *vnode, const struct lan *lan)
{
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member->lan == lan)
			return member;
	return NULL;
}

void
members_adopt(struct vnode *vnode, json_t *members)
{
	const char *name;
	json_t *spec;

	vn_list_each_safe(struct member, member, &vnode->members, in_vnode)
		if (member_is_another(member, members))
			member_remove(member);
	json_object_foreach(members, name, spec) {
		struct lan *lan = table_get_text(&vnode->topology->lans_by_name, name);
		vn_autoarena arena = { 0 };
		struct doc_member decoded = { 0 };
		struct member *member = lan ? find_member(vnode, lan) : NULL;
		struct vn_error err;

		if (!lan || schema_decode(doc_member_fields, spec, &arena, &decoded, &err) < 0)
			continue;
		if (member)
			member_set_addresses(member, &decoded);
		else
			member_new(lan, vnode, &decoded);
	}
}
