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

static bool
specs_equal(json_t *a, json_t *b)
{
	json_t *x = json_copy(a), *y = json_copy(b);
	bool is_equal;

	json_object_del(x, "shape");
	json_object_del(y, "shape");
	is_equal = json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return is_equal;
}

bool
members_equal(json_t *a, json_t *b)
{
	const char *lan;
	json_t *spec;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach(a, lan, spec)
		if (!json_object_get(b, lan) || !specs_equal(spec, json_object_get(b, lan)))
			return false;
	return true;
}

bool
member_differs(const struct member *member, json_t *members)
{
	json_t *wanted = json_object_get(members, member->lan->name);
	json_t *now = member_export(member);
	bool is_same = wanted && specs_equal(wanted, now);

	json_decref(now);
	return !is_same;
}

void
members_adopt(struct vnode *vnode, json_t *members)
{
	const char *name;
	json_t *spec;

	vn_list_each_safe(struct member, member, &vnode->members, in_vnode)
		if (member_differs(member, members))
			member_remove(member);
	json_object_foreach(members, name, spec) {
		struct lan *lan = table_get_text(&vnode->topology->lans_by_name, name);
		vn_autoarena arena = { 0 };
		struct doc_member decoded = { 0 };
		struct vn_error err;
		bool has = false;

		vn_list_each(struct member, member, &vnode->members, in_vnode)
			has |= member->lan == lan;
		if (lan && !has && schema_decode(doc_member_fields, spec, &arena, &decoded, &err) == 0)
			member_new(lan, vnode, &decoded);
	}
}
