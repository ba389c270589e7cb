/*
 * topology.apply. All objects of the plan exist as rows from the start, in the same commit as the job,
 * so that after a crash nothing has to be guessed; the steps build them by child jobs. Each step asks
 * the objects themselves what is still to be done, so it may be repeated. Up to `commit` everything is
 * undone on failure; after it removals only go forward.
 */
#include "daemon/apply.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/lan_verbs.h"
#include "daemon/lifecycle.h"
#include "daemon/log.h"
#include "daemon/schedule.h"
#include "daemon/shaping.h"

static void *
load(struct job *job, struct vn_error *err)
{
	const char *name = json_string_value(json_object_get(job->params, "topology"));
	struct topology *topology = name ? topology_find(job->daemon, name) : NULL;
	vn_autofree char *what = vn_format("topology '%s'", name ? name : "?");

	if (!topology) {
		vn_fail_at(err, "/topology", VN_E_NOT_FOUND, "no %s", what);
		return NULL;
	}
	if (job_lock(job, &topology->lock, what, err) < 0)
		return NULL;
	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology) {
		vn_autofree char *v = vn_format("vnode '%s'", vnode_title(vnode));

		if (job_lock(job, &vnode->lock, v, err) < 0)
			return NULL;
	}
	vn_list_each(struct lan, lan, &topology->lans, in_topology) {
		vn_autofree char *l = vn_format("LAN '%s/%s'", topology->name, lan->name);

		if (job_lock(job, &lan->lock, l, err) < 0)
			return NULL;
	}
	if (!json_array_size(job->about))
		json_array_append_new(job->about, json_string(topology->name));
	return job->params;
}

/* Begins a child for an object unless one is at it already (after a restart). */
static int
spawn(struct job *job, const struct verb *verb, struct job_lock *lock, VN_TAKES json_t *params,
      struct vn_error *err)
{
	if (job_lock_holder(job, lock) == LOCK_OF_CHILD) {
		json_decref(params);
		return 0;
	}
	return job_begin(job->daemon, verb, job, job->uid, params, NULL, err);
}

typedef int item_fn(struct job *job, json_t *item, struct vn_error *err);

struct items {
	json_t *list;
	item_fn *fn;
};

/* A job_item_fn. */
static int
one_item(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	const struct items *items = arg;

	return items->fn(job, json_array_get(items->list, item), err);
}

static enum verdict
each_item(struct job *job, const char *list, item_fn *fn, struct vn_error *err)
{
	struct items items = { .list = json_object_get(job->params, list), .fn = fn };

	return job_each(job, json_array_size(items.list), one_item, &items, err);
}

static struct vnode *
item_vnode(struct job *job, json_t *item)
{
	return vnode_by_vmid(job->daemon, json_is_integer(item) ? json_integer_value(item)
			     : json_integer_value(json_object_get(item, "vmid")));
}

static struct lan *
item_lan(struct job *job, json_t *item)
{
	return lan_by_id(job->daemon, json_is_integer(item) ? json_integer_value(item)
			 : json_integer_value(json_object_get(item, "id")));
}

/* ---- forward ---- */

static void
set_fields(struct job *job, const char *key)
{
	const char *name = json_string_value(json_object_get(job->params, "topology"));
	struct topology *topology = topology_find(job->daemon, name);
	json_t *fields = json_object_get(job->params, key);
	vn_autoarena arena = { 0 };
	struct document document = { 0 };
	struct vn_error err;

	if (topology && fields && document_decode(fields, &arena, &document, &err) == 0)
		topology_set_fields(topology, &document);
}

static enum verdict
step_fields(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	(void)err;
	set_fields(job, "fields");
	return STEP_DONE;
}

static enum verdict
undo_fields(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	(void)err;
	set_fields(job, "fields_before");
	return STEP_DONE;
}

static int
create_lan(struct job *job, json_t *item, struct vn_error *err)
{
	struct lan *lan = item_lan(job, item);

	return lan ? spawn(job, &verb_lan_create, &lan->lock, lan_job_params(lan), err) : 0;
}

static enum verdict
step_lans(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "new_lans", create_lan, err);
}

static int
set_lan(struct job *job, json_t *item, const char *mtu, const char *shaping, const char *ways,
	struct vn_error *err)
{
	struct lan *lan = item_lan(job, item);
	json_t *params;

	if (!lan)
		return 0;
	params = lan_job_params(lan);
	json_object_set(params, "mtu", json_object_get(item, mtu));
	json_object_set(params, "shaping", json_object_get(item, shaping));
	json_object_set(params, "ways", json_object_get(item, ways));
	return spawn(job, &verb_lan_set, &lan->lock, params, err);
}

static int
change_lan(struct job *job, json_t *item, struct vn_error *err)
{
	return set_lan(job, item, "mtu", "shaping", "ways", err);
}

static enum verdict
step_change_lans(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "lans", change_lan, err);
}

static int
create_vnode(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);

	if (!vnode || (vnode->observed != VNODE_ABSENT && vnode->observed != VNODE_CREATING))
		return 0;
	return spawn(job, &verb_vnode_create, &vnode->lock, vnode_job_params(vnode), err);
}

static enum verdict
step_create_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "new_vnodes", create_vnode, err);
}

static int
change_vnode(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);

	if (!vnode)
		return 0;
	return spawn(job, &verb_vnode_set, &vnode->lock,
		     change_params(vnode, json_object_get(item, "spec"),
				   json_object_get(item, "members")), err);
}

static enum verdict
step_change_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "change", change_vnode, err);
}

static int
boot_vnode(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);

	if (!vnode || vnode->observed == VNODE_RUNNING)
		return 0;
	vnode_set_wanted(vnode, VNODE_RUNNING);
	return spawn(job, &verb_vnode_boot, &vnode->lock, vnode_job_params(vnode), err);
}

static enum verdict
step_boot_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "boot", boot_vnode, err);
}

static enum verdict
step_begun(struct job *job, void *ctx, struct vn_error *err)
{
	(void)job;
	(void)ctx;
	(void)err;
	return STEP_DONE;
}

static enum verdict
step_commit(struct job *job, void *ctx, struct vn_error *err)
{
	(void)job;
	(void)ctx;
	(void)err;
	return STEP_DONE;
}

static int
recreate_vnode(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);
	json_t *spec = json_object_get(item, "spec"), *params;

	if (!vnode || json_equal(vnode->spec_json, spec))
		return 0;		/* done before a restart */
	params = vnode_job_params(vnode);
	json_object_set(params, "spec", spec);
	return spawn(job, &verb_vnode_reload, &vnode->lock, params, err);
}

static enum verdict
step_recreate(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "recreate", recreate_vnode, err);
}

/* The set drops what the spec no longer names. */
static int
drop_extras(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);
	json_t *spec = json_object_get(item, "spec");

	if (!vnode || (json_equal(vnode->spec_json, spec) && !vnode->runtime.surplus))
		return 0;		/* done before a restart */
	return spawn(job, &verb_vnode_set, &vnode->lock, change_params(vnode, spec, NULL), err);
}

static enum verdict
step_drop(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "drop", drop_extras, err);
}

static int
destroy_vnode(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);

	if (!vnode)
		return 0;
	if (vnode->observed == VNODE_ABSENT) {	/* never begun: nothing but its row */
		job_unlock(job, &vnode->lock);
		vnode_remove(vnode);
		return 0;
	}
	vnode_set_wanted(vnode, VNODE_ABSENT);
	return spawn(job, &verb_vnode_destroy, &vnode->lock, vnode_job_params(vnode), err);
}

static enum verdict
step_remove_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "remove", destroy_vnode, err);
}

static int
destroy_lan(struct job *job, json_t *item, struct vn_error *err)
{
	struct lan *lan = item_lan(job, item);

	return lan ? spawn(job, &verb_lan_destroy, &lan->lock, lan_job_params(lan), err) : 0;
}

static enum verdict
step_remove_lans(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "remove_lans", destroy_lan, err);
}

/* Last of all: what counts from the end of the apply begins to count. */
static enum verdict
step_schedules(struct job *job, void *ctx, struct vn_error *err)
{
	const char *name = json_string_value(json_object_get(job->params, "topology"));
	struct topology *topology = topology_find(job->daemon, name);
	json_t *item;
	size_t i;

	(void)ctx;
	(void)err;
	json_array_foreach(json_object_get(job->params, "schedules"), i, item) {
		struct lan *lan = topology ? table_get_text(&topology->lans_by_name, json_string_value(
						json_object_get(item, "lan"))) : NULL;

		if (lan)
			schedule_replace(lan, json_object_get(item, "schedule"));
	}
	return STEP_DONE;
}

/* ---- backward ---- */

static enum verdict
undo_lans(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "new_lans", destroy_lan, err);
}

static int
change_lan_back(struct job *job, json_t *item, struct vn_error *err)
{
	return set_lan(job, item, "mtu_before", "shaping_before", "ways_before", err);
}

static enum verdict
undo_change_lans(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "lans", change_lan_back, err);
}

/* Created vnodes go at once, without asking: nobody has been told of them. */
static int
take_back_vnode(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);
	json_t *params;

	if (!vnode || vnode->observed == VNODE_ABSENT)
		return vnode ? destroy_vnode(job, item, err) : 0;
	params = vnode_job_params(vnode);
	json_object_set_new(params, "force", json_true());
	return spawn(job, &verb_vnode_destroy, &vnode->lock, params, err);
}

static enum verdict
undo_create_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "new_vnodes", take_back_vnode, err);
}

static int
change_vnode_back(struct job *job, json_t *item, struct vn_error *err)
{
	struct vnode *vnode = item_vnode(job, item);
	json_t *spec = json_object_get(item, "spec_before");

	if (!vnode || (json_equal(vnode->spec_json, spec) && !json_object_get(item, "members")))
		return 0;
	return spawn(job, &verb_vnode_set, &vnode->lock,
		     change_params(vnode, spec, json_object_get(item, "members_before")), err);
}

static enum verdict
undo_change_vnodes(struct job *job, void *ctx, struct vn_error *err)
{
	(void)ctx;
	return each_item(job, "change", change_vnode_back, err);
}

/* Rows called _begun have nothing to do forwards. Their undo is for the step of that name, which may fail
 * halfway with some children done; the first two take back the rows that stand from the start. */
static const struct step apply_steps[] = {
	{ "lans_begun",  ON_LOOP, 0, step_begun,         undo_lans },
	{ "create_begun", ON_LOOP, 0, step_begun,        undo_create_vnodes },
	{ "fields",      ON_LOOP, 0, step_fields,        undo_fields },
	{ "lans",        ON_LOOP, 0, step_lans,          NULL },
	{ "change_lans_begun", ON_LOOP, 0, step_begun,   undo_change_lans },
	{ "change_lans", ON_LOOP, 0, step_change_lans,   NULL },
	{ "create",      ON_LOOP, 0, step_create_vnodes, NULL },
	{ "change_begun", ON_LOOP, 0, step_begun,        undo_change_vnodes },
	{ "change",      ON_LOOP, 0, step_change_vnodes, NULL },
	{ "boot",        ON_LOOP, 0, step_boot_vnodes,   NULL },
	{ "commit",      ON_LOOP, 0, step_commit,        NULL, STEP_COMMIT },
	{ "recreate",    ON_LOOP, 0, step_recreate,      NULL, STEP_TOLERANT },
	{ "drop",        ON_LOOP, 0, step_drop,          NULL, STEP_TOLERANT },
	{ "remove",      ON_LOOP, 0, step_remove_vnodes, NULL, STEP_TOLERANT },
	{ "remove_lans", ON_LOOP, 0, step_remove_lans,   NULL, STEP_TOLERANT },
	{ "schedules",   ON_LOOP, 0, step_schedules,     NULL },
	{ 0 }
};

static const struct step delete_steps[] = {
	{ "commit",      ON_LOOP, 0, step_commit,        NULL, STEP_COMMIT },
	{ "remove",      ON_LOOP, 0, step_remove_vnodes, NULL, STEP_TOLERANT },
	{ "remove_lans", ON_LOOP, 0, step_remove_lans,   NULL, STEP_TOLERANT },
	{ 0 }
};

/* A path into a vnode's fields, as one into the document. */
static void
lead_path(const struct job *child, struct vn_error *err)
{
	const char *title = json_string_value(json_array_get(child->about, 0));
	const char *name = title ? strrchr(title, '/') : NULL;
	vn_autofree char *prefix = name ? vn_format("/document/vnodes%s", name) : NULL;

	if (prefix && err->path[0] && strncmp(child->verb->method, "vnode.", 6) == 0)
		vn_error_prefix_path(err, prefix);
}

static void
ended(struct job *job, void *ctx)
{
	const char *name = json_string_value(json_object_get(job->params, "topology"));
	struct topology *topology = name ? topology_find(job->daemon, name) : NULL;

	(void)ctx;
	if (job->err.code == VN_OK && job->children_failed)
		vn_fail(&job->err, job->child_err.code, "%u of its objects could not be removed or "
			"made anew; the first: %s", job->children_failed, job->child_err.text);
	if (job->err.code == VN_OK)
		job->result = json_pack("{ss sO}", "topology", name, "actions",
					json_object_get(job->params, "actions"));
	if (job->state != JOB_DONE && !job->committed)
		apply_drop_rows(job);
	if (!topology)
		return;
	job_unlock(job, &topology->lock);
	/* An apply of a document without vnodes and LANs leaves its topology, so that it can be seen. */
	if (job->err.code != VN_OK || strcmp(job->verb->method, "topology.delete") == 0)
		topology_drop_if_empty(topology);
}

const struct verb verb_topology_apply = { "topology.apply", 2, apply_steps, load, NULL, ended, .lead_path = lead_path };
const struct verb verb_topology_delete = { "topology.delete", 1, delete_steps, load, NULL, ended };
