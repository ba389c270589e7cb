/*
 * The rows of what an apply makes. They stand from the start, in the same commit as the job; here they
 * are made, and taken back where no child job ever began to build what they stand for.
 */
#include "daemon/apply.h"

#include "daemon/shaping.h"

static int
make_vnodes(struct daemon *daemon, struct topology *topology, json_t *plan, json_t *params,
	    struct vn_error *err)
{
	json_t *created = json_object_get(params, "new_vnodes"), *boot = json_object_get(params, "boot");
	const char *name;
	json_t *spec;

	json_object_foreach(json_object_get(json_object_get(plan, "create"), "vnodes"), name, spec) {
		vn_autoarena arena = { 0 };
		struct doc_vnode decoded = { 0 };
		struct vnode *vnode;

		if (schema_decode(doc_vnode_fields, spec, &arena, &decoded, err) < 0 ||
		    vnode_new(daemon, topology, name, &decoded, &vnode, err) < 0)
			return -1;
		json_array_append_new(created, json_integer(vnode->vmid));
		json_array_append_new(boot, json_integer(vnode->vmid));
	}
	return 0;
}

static int
make_lans(struct daemon *daemon, struct topology *topology, json_t *plan, json_t *params,
	  struct vn_error *err)
{
	json_t *created = json_object_get(params, "new_lans");
	const char *name, *vnode_name;
	json_t *object, *spec;

	json_object_foreach(json_object_get(json_object_get(plan, "create"), "lans"), name, object) {
		struct lan *lan = table_get_text(&topology->lans_by_name, name);

		if (!lan) {
			if (lan_new(daemon, topology, name, (unsigned)json_integer_value(
					json_object_get(object, "mtu")), &lan, err) < 0)
				return -1;
			lan_set_ways(lan, json_object_get(object, "ways"));
			shaping_adopt(lan, json_object_get(object, "shaping"));
			json_array_append_new(created, json_integer(lan->id));
		}
		json_object_foreach(json_object_get(object, "members"), vnode_name, spec) {
			struct vnode *vnode = table_get_text(&topology->vnodes_by_name, vnode_name);
			vn_autoarena arena = { 0 };
			struct doc_member decoded = { 0 };

			if (schema_decode(doc_member_fields, spec, &arena, &decoded, err) < 0)
				return -1;
			if (vnode)
				member_new(lan, vnode, &decoded);
		}
	}
	return 0;
}

int
apply_prepare(struct daemon *daemon, json_t *plan, json_t **ret_params, struct vn_error *err)
{
	static const char *const copied[] = { "topology", "actions", "change", "recreate", "drop", "boot",
		"remove", "remove_lans", "lans", "fields", "fields_before", "schedules" };
	const char *name = json_string_value(json_object_get(plan, "topology"));
	struct topology *topology = topology_need(daemon, name);
	json_t *params = json_pack("{s[] s[] s[]}", "new_vnodes", "new_lans", "boot");

	for (size_t i = 0; i < VN_COUNT(copied); i++)
		if (json_object_get(plan, copied[i]))
			json_object_set(params, copied[i], json_object_get(plan, copied[i]));
	json_object_set_new(params, "boot", json_copy(json_object_get(params, "boot")));
	if (make_vnodes(daemon, topology, plan, params, err) < 0 ||
	    make_lans(daemon, topology, plan, params, err) < 0) {
		apply_abandon(daemon, params);
		json_decref(params);
		return -1;
	}
	*ret_params = params;
	return 0;
}

void
apply_abandon(struct daemon *daemon, json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "topology"));
	struct topology *topology = topology_find(daemon, name);
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(params, "new_vnodes"), i, item) {
		struct vnode *vnode = vnode_by_vmid(daemon, json_integer_value(item));

		if (vnode)
			vnode_remove(vnode);
	}
	json_array_foreach(json_object_get(params, "new_lans"), i, item) {
		struct lan *lan = lan_by_id(daemon, json_integer_value(item));

		if (lan)
			lan_remove(lan);
	}
	if (topology)
		topology_drop_if_empty(topology);
}

void
apply_drop_rows(struct job *job)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(job->params, "new_vnodes"), i, item) {
		struct vnode *vnode = vnode_by_vmid(job->daemon, json_integer_value(item));

		if (!vnode || vnode->observed != VNODE_ABSENT)
			continue;
		job_unlock(job, &vnode->lock);
		vnode_remove(vnode);
	}
	json_array_foreach(json_object_get(job->params, "new_lans"), i, item) {
		struct lan *lan = lan_by_id(job->daemon, json_integer_value(item));

		if (!lan || json_object_get(job->data, "undo_failed"))
			continue;
		job_unlock(job, &lan->lock);
		lan_remove(lan);
	}
}
