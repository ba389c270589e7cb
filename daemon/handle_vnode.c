/* Methods on vnodes: look up, ask the table, begin the job. */
#include "daemon/change.h"
#include "daemon/guest_files.h"
#include "daemon/lifecycle.h"
#include "daemon/vnode_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A vnode that the verb may be applied to; *ret_done: there is nothing to do. */
static int
find_for(struct call *call, const char *reference, enum vnode_verb verb, struct vnode **ret,
	 bool *ret_done, struct vn_error *err)
{
	struct daemon *daemon = call_daemon(call);
	enum verb_action action;

	*ret_done = false;
	if (vnode_find(daemon, reference, ret, err) < 0)
		return -1;
	if ((*ret)->lock.holder && verb != VERB_EXEC && verb != VERB_CONSOLE)
		return 0;		/* job_lock says busy, and by what */
	action = vnode_may(*ret, verb, err);
	if (action == VERB_REFUSE)
		return -1;
	*ret_done = action == VERB_NOTHING;
	return 0;
}

static int
answer_verb(struct call *call, const struct change_params *change, const char *reference,
	    enum vnode_verb verb, const struct verb *what, enum vnode_state wanted, json_t *extra,
	    struct vn_error *err)
{
	struct vnode *vnode;
	enum vnode_state before;
	json_t *params;
	bool done;
	int64_t vmid;
	int status;

	if (find_for(call, reference, verb, &vnode, &done, err) < 0) {
		json_decref(extra);
		return -1;
	}
	vmid = vnode->vmid;
	before = vnode->wanted;
	if (done) {
		json_decref(extra);
		if (wanted != VNODE_PAUSED)
			vnode_set_wanted(vnode, wanted);
		return job_answer_nothing(call, change, call_method(call)->name, vnode_object(vnode),
					  err);
	}
	params = vnode_job_params(vnode);
	if (extra)
		json_object_update(params, extra);
	json_decref(extra);
	if (wanted != VNODE_PAUSED)
		vnode->wanted = wanted;		/* so that the job's first event tells it; recorded if there is a job */
	status = job_answer(call, change, what, params, err);
	vnode = vnode_by_vmid(call_daemon(call), vmid);
	if (status < 0 && vnode)
		vnode->wanted = before;
	else if (vnode && vnode->wanted != before)
		vnode_record(vnode);
	if (status == 0 && vnode && wanted == VNODE_RUNNING)
		vnode->restarts = 0;	/* booted by hand: it has all its tries again */
	return status;
}

#define UNCHANGED VNODE_PAUSED		/* what is wanted stays */

int
handle_vnode_boot(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_change_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_BOOT, &verb_vnode_boot, VNODE_RUNNING,
			   NULL, err);
}

int
handle_vnode_halt(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_halt_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_HALT, &verb_vnode_halt, VNODE_STOPPED,
			   json_pack("{sb}", "force", p->force), err);
}

int
handle_vnode_reboot(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_change_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_REBOOT, &verb_vnode_reboot,
			   VNODE_RUNNING, NULL, err);
}

int
handle_vnode_reload(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_change_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_RELOAD, &verb_vnode_reload, UNCHANGED,
			   NULL, err);
}

int
handle_vnode_destroy(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_halt_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_DESTROY, &verb_vnode_destroy,
			   VNODE_ABSENT, json_pack("{sb}", "force", p->force), err);
}

int
handle_vnode_mount(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_change_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_MOUNT, &verb_vnode_mount, UNCHANGED, NULL,
			   err);
}

int
handle_vnode_unmount(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_change_params *p = params;

	return answer_verb(call, &p->change, p->vnode, VERB_UNMOUNT, &verb_vnode_unmount, UNCHANGED,
			   NULL, err);
}

int
handle_vnode_create(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_create_params *p = params;
	struct daemon *daemon = call_daemon(call);
	struct topology *topology;
	struct vnode *vnode;
	uint64_t extras = 0;
	int64_t vmid;

	if (lifecycle_check_spec(daemon, &p->spec, NULL, call_role(call), &extras, err) < 0 ||
	    lifecycle_check_routes(daemon, &p->spec, NULL, 0, err) < 0)
		return -1;
	topology = topology_need(daemon, p->topology ? p->topology : "default");
	if (topology->lock.holder) {
		call_error_job(call, topology->lock.holder);
		return vn_fail_at(err, "/topology", VN_E_BUSY, "topology '%s' is held by job %" PRId64,
				  topology->name, topology->lock.holder);
	}
	if (vnode_new(daemon, topology, p->name, &p->spec, &vnode, err) < 0) {
		topology_drop_if_empty(topology);
		if (err->code == VN_E_EXISTS)
			strcpy(err->path, "/name");
		return -1;
	}
	vmid = vnode->vmid;
	if (job_answer(call, &p->change, &verb_vnode_create, vnode_job_params(vnode), err) == 0 &&
	    vnode->lock.holder)
		return 0;
	/* Refused: the new object has no job. */
	vnode = vnode_by_vmid(daemon, vmid);
	if (vnode && !vnode->lock.holder && vnode->observed == VNODE_ABSENT) {
		vnode_remove(vnode);
		topology_drop_if_empty(topology);
	}
	return err->code == VN_OK ? 0 : -1;
}

/* The spec with the fields of `set` put in (null: back to the default), checked like any other. */
static int
merge_spec(struct call *call, const struct vnode *vnode, json_t *set, json_t **ret,
	   struct vn_error *err)
{
	json_t *merged = json_deep_copy(vnode->spec_json), *value;
	vn_autoarena arena = { 0 };
	struct doc_vnode spec = { 0 };
	uint64_t extras = 0;
	const char *key;
	int status;

	json_object_foreach(set, key, value)
		json_object_set(merged, key, value);
	status = schema_decode(doc_vnode_fields, merged, &arena, &spec, err);
	if (status == 0)
		status = lifecycle_check_spec(call_daemon(call), &spec, vnode, call_role(call), &extras, err);
	if (status == 0)
		status = lifecycle_check_own_routes(vnode, &spec, err);
	json_decref(merged);
	if (status < 0)
		vn_error_prefix_path(err, "/set");
	else
		*ret = schema_encode(doc_vnode_fields, &spec);
	return status;
}

static int
may_change(const struct vnode *vnode, json_t *spec, bool restart, struct vn_error *err)
{
	json_t *fields = json_array();
	enum change_class class = change_compare(vnode, vnode->spec_json, spec, fields);
	const char *first = json_string_value(json_array_get(fields, 0));
	char path[160] = "";
	int status = 0;
	size_t i;
	json_t *field;

	json_array_foreach(fields, i, field)
		if (change_class_of(json_string_value(field)) == class)
			first = json_string_value(field);
	if (first)
		snprintf(path, sizeof(path), "/set/%s", first);
	if (class == CHANGE_RECREATE)
		status = vn_fail_at(err, path, VN_E_INVALID, "cannot be changed in place: destroy the "
				    "vnode and create it anew, or apply a document with "
				    "allow_recreate");
	else if (class == CHANGE_RESTART && vnode->observed == VNODE_RUNNING && !restart)
		status = vn_fail_at(err, path, VN_E_STATE, "needs a restart of the running vnode: allow "
				    "it with \"restart\": true (vnodectl: --allow-restart), or halt it first");
	json_decref(fields);
	return status;
}

int
handle_vnode_set(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_set_params *p = params;
	struct vnode *vnode;
	json_t *spec;
	bool done;
	int status;

	if (!json_is_object(p->set))
		return vn_fail_at(err, "/set", VN_E_INVALID, "expected an object of fields to change");
	if (find_for(call, p->vnode, VERB_SET, &vnode, &done, err) < 0 ||
	    merge_spec(call, vnode, p->set, &spec, err) < 0)
		return -1;
	if (may_change(vnode, spec, p->restart, err) < 0) {
		json_decref(spec);
		return -1;
	}
	if (json_equal(spec, vnode->spec_json))
		status = job_answer_nothing(call, &p->change, "vnode.set", vnode_object(vnode), err);
	else
		status = job_answer(call, &p->change, &verb_vnode_set,
				    change_params(vnode, spec, NULL), err);
	json_decref(spec);
	return status;
}

int
handle_vnode_get(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_params *p = params;
	struct vnode *vnode;

	json_t *object;

	if (vnode_find(call_daemon(call), p->vnode, &vnode, err) < 0)
		return -1;
	object = vnode_object(vnode);
	json_object_set_new(object, "host_keys", guest_files_host_keys(vnode));
	call_reply(call, object);
	return 0;
}

static void
print_row(struct vnode *vnode, const struct field_array *fields, FILE *out)
{
	json_t *row;

	if (!fields->count) {
		vnode_row_print(vnode, out);
		return;
	}
	row = vnode_row(vnode, fields);
	json_dumpf(row, out, JSON_COMPACT);
	json_decref(row);
}

int
handle_vnode_list(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_list_params *p = params;
	struct daemon *daemon = call_daemon(call);
	int64_t limit = p->limit ? p->limit : 1000, count = 0;
	char *text = NULL;
	size_t size;
	FILE *out;

	if (p->topology && !topology_find(daemon, p->topology))
		return vn_fail_at(err, "/topology", VN_E_NOT_FOUND, "no topology '%s'", p->topology);
	out = open_memstream(&text, &size);
	if (!out)
		abort();
	fputs("{\"vnodes\":[", out);
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link) {
		if (vnode->vmid <= p->after ||
		    (p->topology && strcmp(vnode->topology->name, p->topology) != 0))
			continue;
		if (count++ == limit)
			break;
		if (count > 1)
			fputc(',', out);
		print_row(vnode, &p->fields, out);
	}
	fprintf(out, "],\"more\":%s}", count > limit ? "true" : "false");
	fclose(out);
	call_reply_text(call, text);
	return 0;
}

int
handle_vnode_wait(struct call *call, const void *params, struct vn_error *err)
{
	const struct vnode_wait_params *p = params;
	struct vnode *vnode;

	if (vnode_find(call_daemon(call), p->vnode, &vnode, err) < 0)
		return -1;
	for (size_t i = 0; i < p->observed.count; i++) {
		const char *word = ((const char **)p->observed.items)[i];
		bool known = false;

		for (unsigned s = 0; s < VNODE_STATE_COUNT; s++)
			known |= strcmp(word, vnode_state_words[s]) == 0;
		if (!known)
			return vn_fail_at(err, "/observed", VN_E_INVALID, "no state '%s'", word);
	}
	vnode_wait_begin(vnode, call, p);
	return 0;
}
