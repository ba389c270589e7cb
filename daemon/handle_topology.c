/* Methods on topologies. */
#include "daemon/apply.h"
#include "daemon/sources.h"

#include <inttypes.h>
#include <stdlib.h>

static int
plan_document(struct call *call, const void *params, json_t *document, struct vn_error *err)
{
	const struct topology_plan_params *p = params;
	struct plan_options options = { p->prune, p->allow_recreate, call_role(call) };
	json_t *plan;

	if (plan_make(call_daemon(call), document, &options, &plan, err) < 0)
		return -1;
	call_reply(call, json_pack("{sO sO sb}", "topology", json_object_get(plan, "topology"),
				   "actions", json_object_get(plan, "actions"), "empty",
				   plan_is_empty(plan)));
	json_decref(plan);
	return 0;
}

int
handle_topology_plan(struct call *call, const void *params, struct vn_error *err)
{
	const struct topology_plan_params *p = params;

	return sources_collect(call, p->document, &p->sources, plan_document, p, err);
}

static int
apply(struct call *call, const struct topology_apply_params *p, json_t *plan, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	struct topology *topology;
	json_t *params, *kept;
	int status;

	if (apply_prepare(daemon, plan, &params, err) < 0)
		return -1;
	topology = topology_find(daemon, json_string_value(json_object_get(plan, "topology")));
	kept = json_incref(params);
	status = job_answer(call, &p->change, &verb_topology_apply, params, err);
	/* Refused: the rows have no job. */
	if (status < 0 || !job_find(daemon, topology->lock.holder) ||
	    job_find(daemon, topology->lock.holder)->params != kept)
		apply_abandon(daemon, kept);
	json_decref(kept);
	return status;
}

static int
apply_document(struct call *call, const void *params, json_t *document, struct vn_error *err)
{
	const struct topology_apply_params *p = params;
	struct daemon *daemon = call_daemon(call);
	struct plan_options options = { p->prune, p->allow_recreate, call_role(call) };
	const char *name = json_string_value(json_object_get(document, "topology"));
	struct topology *topology = name ? topology_find(daemon, name) : NULL;
	json_t *plan;
	int status;

	if (topology && topology->lock.holder) {
		call_error_job(call, topology->lock.holder);
		return vn_fail(err, VN_E_BUSY, "topology '%s' is held by job %" PRId64 "; wait for it "
			       "with job.wait or end it with job.cancel", name, topology->lock.holder);
	}
	if (plan_make(daemon, document, &options, &plan, err) < 0)
		return -1;
	if (plan_is_empty(plan))
		status = job_answer_nothing(call, &p->change, "topology.apply",
					    json_pack("{sO sO}", "topology",
						      json_object_get(plan, "topology"), "actions",
						      json_object_get(plan, "actions")), err);
	else
		status = apply(call, p, plan, err);
	json_decref(plan);
	return status;
}

int
handle_topology_apply(struct call *call, const void *params, struct vn_error *err)
{
	const struct topology_apply_params *p = params;

	return sources_collect(call, p->document, &p->sources, apply_document, p, err);
}

static int
find(struct call *call, const char *name, struct topology **ret, struct vn_error *err)
{
	*ret = topology_find(call_daemon(call), name);
	return *ret ? 0 : vn_fail_at(err, "/topology", VN_E_NOT_FOUND, "no topology '%s'", name);
}

int
handle_topology_list(struct call *call, const void *params, struct vn_error *err)
{
	json_t *list = json_array();

	(void)params;
	(void)err;
	vn_list_each(struct topology, topology, &call_daemon(call)->model->topologies, link)
		json_array_append_new(list, topology_object(topology, false));
	call_reply(call, json_pack("{so}", "topologies", list));
	return 0;
}

int
handle_topology_get(struct call *call, const void *params, struct vn_error *err)
{
	const struct topology_params *p = params;
	struct topology *topology;

	if (find(call, p->topology, &topology, err) < 0)
		return -1;
	call_reply(call, topology_object(topology, true));
	return 0;
}

/* A hash can be guessed at, and a file that only its owner may read may be a key. */
static void
hide_secrets(json_t *document)
{
	const char *name;
	json_t *vnode, *file;
	size_t i;

	json_object_del(document, "password");
	json_object_foreach(json_object_get(document, "vnodes"), name, vnode) {
		/* They are the vnode's own: the model's must stay whole. */
		json_t *copy = json_deep_copy(vnode);

		json_object_del(copy, "password");
		json_array_foreach(json_object_get(copy, "files"), i, file) {
			const char *mode = json_string_value(json_object_get(file, "mode"));

			if (mode && !(strtoul(mode, NULL, 8) & 04))
				json_object_del(file, "content");
		}
		json_object_set_new(json_object_get(document, "vnodes"), name, copy);
	}
}

int
handle_topology_export(struct call *call, const void *params, struct vn_error *err)
{
	const struct topology_params *p = params;
	struct topology *topology;
	json_t *document;

	if (find(call, p->topology, &topology, err) < 0)
		return -1;
	document = topology_export(topology);
	if (call_role(call) < ROLE_OPERATOR)
		hide_secrets(document);
	call_reply(call, document);
	return 0;
}

int
handle_topology_delete(struct call *call, const void *params, struct vn_error *err)
{
	const struct topology_change_params *p = params;
	struct topology *topology;
	json_t *vnodes, *lans;

	if (find(call, p->topology, &topology, err) < 0)
		return -1;
	vnodes = json_array();
	lans = json_array();
	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology)
		json_array_append_new(vnodes, json_integer(vnode->vmid));
	vn_list_each(struct lan, lan, &topology->lans, in_topology)
		json_array_append_new(lans, json_integer(lan->id));
	return job_answer(call, &p->change, &verb_topology_delete,
			  json_pack("{ss so so}", "topology", p->topology, "remove", vnodes,
				    "remove_lans", lans), err);
}
