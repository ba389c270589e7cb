/*
 * The vnode object: identity, what is wanted, what is observed, and the row that keeps it. Its network
 * interfaces are members (lan.c); what makes and unmakes it are jobs (lifecycle.c).
 */
#include "daemon/hosts.h"
#include "daemon/model_inner.h"
#include "daemon/vnode_disk.h"
#include "daemon/vnode_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"

#define IDMAP_FIRST 0x20000000u		/* above what distributions give to people and services */
#define IDMAP_RANGES 30000u
#define IDMAP_SIZE 65536u

struct vnode *
vnode_make(struct topology *topology, int64_t vmid, const char *name, const char *uuid)
{
	struct model *model = topology->daemon->model;
	struct vnode *vnode = vn_alloc(sizeof(*vnode));

	vnode->daemon = topology->daemon;
	vnode->vmid = vmid;
	vnode->name = vn_strdup(name);
	vnode->topology = topology;
	vnode->wanted = VNODE_STOPPED;
	vnode->disk_type = -1;
	snprintf(vnode->uuid, sizeof(vnode->uuid), "%s", uuid);
	snprintf(vnode->domain, sizeof(vnode->domain), "vnoded-%.8s-%" PRId64,
		 vnode->daemon->instance, vmid);
	vn_list_init(&vnode->members);
	vn_list_init(&vnode->waits);
	vn_list_init(&vnode->in_topology);
	vn_list_init(&vnode->link);
	vn_list_append(&topology->vnodes, &vnode->in_topology);
	vn_list_append(&model->vnodes, &vnode->link);
	table_set(&model->vnodes_by_vmid, vmid, vnode);
	table_set_text(&model->vnodes_by_uuid, vnode->uuid, vnode);
	table_set_text(&topology->vnodes_by_name, vnode->name, vnode);
	hosts_touch(topology);
	if (vmid > model->last_vmid)
		model->last_vmid = vmid;
	return vnode;
}

void
vnode_free(struct vnode *vnode)
{
	struct model *model = vnode->daemon->model;

	vnode_extras_count(model, &vnode->spec, &(struct doc_vnode){ 0 });
	job_forget_lock(vnode->daemon, &vnode->lock);
	vnode_waits_drop(vnode);
	hosts_touch(vnode->topology);
	loop_remove(vnode->restart_timer);
	vn_list_each_safe(struct member, member, &vnode->members, in_vnode)
		member_free(member);
	table_remove(&model->vnodes_by_vmid, vnode->vmid);
	table_remove_text(&model->vnodes_by_uuid, vnode->uuid);
	table_remove_text(&vnode->topology->vnodes_by_name, vnode->name);
	vn_list_remove(&vnode->in_topology);
	vn_list_remove(&vnode->link);
	json_decref(vnode->spec_json);
	json_decref(vnode->host_keys);
	vn_arena_fini(&vnode->spec_arena);
	free(vnode->row_text);
	free(vnode->name);
	free(vnode);
}

/* Takes the spec over by way of its canonical form, so that what is kept is what a restart would read. */
void
vnode_adopt_spec(struct vnode *vnode, const struct doc_vnode *spec)
{
	json_t *canonical = schema_encode(doc_vnode_fields, spec);
	struct vn_arena arena = { 0 };
	struct doc_vnode decoded = { 0 };
	struct vn_error err;

	if (schema_decode(doc_vnode_fields, canonical, &arena, &decoded, &err) < 0)
		abort();		/* what we have written ourselves */
	decoded.key = vnode->name;
	vnode_extras_count(vnode->daemon->model, &vnode->spec, &decoded);
	json_decref(vnode->spec_json);
	vn_arena_fini(&vnode->spec_arena);
	vnode->spec_json = canonical;
	vnode->spec_arena = arena;
	vnode->spec = decoded;
}

static json_t *
guest_id_pack(const struct vnode_runtime *runtime)
{
	const struct guest_id *id = &runtime->id;

	return json_pack("{sI sI sI sI sI ss sb sb ss si}", "controller", (json_int_t)id->controller,
			 "init", (json_int_t)id->init, "init_start", (json_int_t)id->init_start,
			 "guest", (json_int_t)id->guest, "guest_start", (json_int_t)id->guest_start,
			 "boot_id", runtime->boot_id, "network", runtime->network,
			 "surplus", runtime->surplus,
			 "injected", runtime->injected, "mounts", (int)runtime->mounts);
}

static void
guest_id_unpack(const char *text, struct vnode_runtime *ret)
{
	json_t *object = text ? json_loads(text, 0, NULL) : NULL;
	json_int_t controller = 0, init = 0, init_start = 0, guest = 0, guest_start = 0;
	const char *boot_id = "", *injected = "";
	int network = 0, surplus = 0, mounts = 0;

	json_unpack(object, "{sI sI sI sI sI ss sb s?b ss s?i}", "controller", &controller, "init", &init,
		    "init_start", &init_start, "guest", &guest, "guest_start", &guest_start,
		    "boot_id", &boot_id, "network", &network, "surplus", &surplus, "injected", &injected,
		    "mounts", &mounts);
	ret->id = (struct guest_id){ (pid_t)controller, (pid_t)init, (uint64_t)init_start,
				     (pid_t)guest, (uint64_t)guest_start };
	snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", boot_id);
	snprintf(ret->injected, sizeof(ret->injected), "%s", injected);
	ret->network = network;
	ret->mounts = (unsigned)mounts;
	ret->surplus = surplus;
	json_decref(object);
}

static char *
error_pack(const struct vn_error *error)
{
	json_t *object;
	char *text;

	if (error->code == VN_OK)
		return NULL;
	object = json_pack("{ss ss}", "code", vn_code_word(error->code), "text", error->text);
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

static void
error_unpack(const char *text, struct vn_error *ret)
{
	json_t *object = text ? json_loads(text, 0, NULL) : NULL;
	const char *code, *sentence;

	if (json_unpack(object, "{ss ss}", "code", &code, "text", &sentence) == 0)
		vn_fail(ret, vn_code_from_word(code), "%s", sentence);
	json_decref(object);
}

static char *
exit_pack(const struct vnode_exit *exit)
{
	json_t *object;
	char *text;

	if (!exit->at_us)
		return NULL;
	object = json_pack("[i i i I]", (int)exit->exit.cause, exit->exit.code, exit->exit.signal,
			   (json_int_t)exit->at_us);
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

static void
exit_unpack(const char *text, struct vnode_exit *ret)
{
	json_t *array = text ? json_loads(text, 0, NULL) : NULL;
	int cause, code, signal;
	json_int_t at;

	if (json_unpack(array, "[i i i I]", &cause, &code, &signal, &at) == 0)
		*ret = (struct vnode_exit){ { (enum exit_cause)cause, code, signal }, at };
	json_decref(array);
}

void
vnode_record(struct vnode *vnode)
{
	json_t *packed = guest_id_pack(&vnode->runtime);
	vn_autofree char *row = vn_take_ptr(&vnode->row_text);	/* every change comes by here */
	vn_autofree char *runtime = json_dumps(packed, JSON_COMPACT);
	vn_autofree char *spec = json_dumps(vnode->spec_json, JSON_COMPACT);
	vn_autofree char *error = error_pack(&vnode->error);
	vn_autofree char *exit = exit_pack(&vnode->last_exit);

	(void)row;
	json_decref(packed);
	store_put(vnode->daemon->store, "INSERT OR REPLACE INTO vnodes(vmid, uuid, topology, name, "
		  "spec, wanted, observed, since, idmap_base, control_index, image, runtime, error, "
		  "last_exit, disk) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", "isissiiiiisssss", vnode->vmid,
		  vnode->uuid, vnode->topology->id, vnode->name, spec, (int64_t)vnode->wanted,
		  (int64_t)vnode->observed, vnode->since_us, (int64_t)vnode->idmap_base,
		  vnode->control_index, vnode->image_sha256, runtime, error, exit,
		  vnode->disk_type < 0 ? NULL : disk_type_words[vnode->disk_type]);
}

/* The lowest number from `first` up that no vnode has in the member at `offset`; -1: none below end. */
static int64_t
lowest_free(const struct daemon *daemon, int64_t first, int64_t end,
	    int64_t (*of)(const struct vnode *vnode))
{
	vn_autofree bool *taken = NULL;
	int64_t count = 0;

	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
		count++;
	taken = vn_alloc_array((size_t)count + 1, sizeof(*taken));
	vn_list_each(struct vnode, vnode, &daemon->model->vnodes, link)
		if (of(vnode) >= first && of(vnode) - first <= count)
			taken[of(vnode) - first] = true;
	for (int64_t i = 0; i <= count && first + i < end; i++)
		if (!taken[i])
			return first + i;
	return -1;
}

static int64_t
control_of(const struct vnode *vnode)
{
	return vnode->control_index;
}

static int64_t
idmap_of(const struct vnode *vnode)
{
	return vnode->idmap_base ? (int64_t)(vnode->idmap_base - IDMAP_FIRST) / IDMAP_SIZE : -1;
}

int
vnode_new(struct daemon *daemon, struct topology *topology, const char *name,
	  const struct doc_vnode *spec, struct vnode **ret, struct vn_error *err)
{
	int64_t hosts = (1ll << (32 - daemon->env.control4.prefix)) - 1; /* last one is the broadcast */
	int64_t most = hosts < 2 + CONTROL_VNODES_MAX ? hosts : 2 + CONTROL_VNODES_MAX;
	int64_t control = spec->control ? lowest_free(daemon, 2, most, control_of) : 0;
	int64_t range = lowest_free(daemon, 0, IDMAP_RANGES, idmap_of);
	char uuid[VN_UUID_TEXT];
	struct vnode *vnode;

	if (table_get_text(&topology->vnodes_by_name, name))
		return vn_fail(err, VN_E_EXISTS, "vnode '%s/%s' exists already", topology->name,
			       name);
	if (control < 0 && most < hosts)
		return vn_fail(err, VN_E_LIMIT, "the control network's bridge has ports for %d vnodes",
			       CONTROL_VNODES_MAX);
	if (control < 0)
		return vn_fail(err, VN_E_LIMIT, "no address is left in control_network %s; choose a "
			       "larger one in vnoded.conf", daemon->config.control_network);
	if (range < 0)
		return vn_fail(err, VN_E_LIMIT, "no range of 65,536 user ids is left for another "
			       "vnode");
	vn_uuid_new(uuid);
	vnode = vnode_make(topology, daemon->model->last_vmid + 1, name, uuid);
	vnode->control_index = control;	/* hosts were touched when it was made */
	vnode->idmap_base = IDMAP_FIRST + (uint32_t)range * IDMAP_SIZE;
	vnode->since_us = event_time_now();
	vnode_adopt_spec(vnode, spec);
	vnode_record(vnode);
	*ret = vnode;
	return 0;
}

void
vnode_remove(struct vnode *vnode)
{
	vn_list_each_safe(struct member, member, &vnode->members, in_vnode)
		member_remove(member);
	store_put(vnode->daemon->store, "DELETE FROM vnodes WHERE vmid = ?", "i", vnode->vmid);
	vnode_free(vnode);
}

const char *
reference_split(const char *reference, char topology[static VN_NAME_MAX + 1],
		const char **ret_topology)
{
	const char *slash = strchr(reference, '/');

	*ret_topology = NULL;
	if (!slash)
		return reference;
	snprintf(topology, VN_NAME_MAX + 1, "%.*s", (int)(slash - reference), reference);
	*ret_topology = topology;
	return slash + 1;
}

int
vnode_find(const struct daemon *daemon, const char *reference, struct vnode **ret,
	   struct vn_error *err)
{
	char scope[VN_NAME_MAX + 1], candidates[256] = "";
	const char *topology, *name = reference_split(reference, scope, &topology);
	struct vnode *found = NULL;
	unsigned count = 0;

	vn_list_each(struct topology, t, &daemon->model->topologies, link) {
		struct vnode *vnode;
		size_t used = strlen(candidates);

		if (topology && strcmp(t->name, topology) != 0)
			continue;
		vnode = table_get_text(&t->vnodes_by_name, name);
		if (!vnode)
			continue;
		found = vnode;
		snprintf(candidates + used, sizeof(candidates) - used, "%s%s/%s",
			 count++ ? ", " : "", t->name, name);
	}
	if (count > 1)
		return vn_fail_at(err, "/vnode", VN_E_INVALID, "'%s' is ambiguous: %s", reference,
				  candidates);
	if (!found)
		return vn_fail_at(err, "/vnode", VN_E_NOT_FOUND, "no vnode '%s'", reference);
	*ret = found;
	return 0;
}

struct vnode *
vnode_by_vmid(const struct daemon *daemon, int64_t vmid)
{
	return table_get(&daemon->model->vnodes_by_vmid, vmid);
}

struct vnode *
vnode_by_uuid(const struct daemon *daemon, const char *uuid)
{
	return table_get_text(&daemon->model->vnodes_by_uuid, uuid);
}

static struct event_about
about(const struct vnode *vnode)
{
	return (struct event_about){ .topology = vnode->topology->name, .vnode = vnode->name,
				     .vmid = vnode->vmid, .job = vnode->lock.holder };
}

void
vnode_set_state(struct vnode *vnode, enum vnode_state state)
{
	struct event_about what = about(vnode);
	enum vnode_state was = vnode->observed;
	json_t *data;

	if (was == state)
		return;
	vnode->observed = state;
	if (state != VNODE_MOUNTED)
		vnode->runtime.mounts = 0;
	vnode->since_us = event_time_now();
	vnode_record(vnode);
	data = json_pack("{ss ss ss}", "from", vnode_state_words[was], "to",
			 vnode_state_words[state], "wanted", vnode_state_words[vnode->wanted]);
	if (state == VNODE_FAILED && vnode->error.code)
		json_object_set_new(data, "error", json_string(vnode->error.text));
	event_append(vnode->daemon, EVENT_VNODE_STATE, &what, data);
	vn_log_info("vnode", "%s: %s -> %s", vnode_title(vnode), vnode_state_words[was],
		    vnode_state_words[state]);
	vnode_waits_check(vnode);
}

void
vnode_set_wanted(struct vnode *vnode, enum vnode_state wanted)
{
	if (vnode->wanted == wanted)
		return;
	vnode->wanted = wanted;
	vnode_record(vnode);
}

void
vnode_set_spec(struct vnode *vnode, const struct doc_vnode *spec)
{
	vnode_adopt_spec(vnode, spec);
	vnode_record(vnode);
}

void
vnode_set_error(struct vnode *vnode, const struct vn_error *err)
{
	vnode->error = *err;
}

void
vnode_set_exit(struct vnode *vnode, const struct guest_exit *exit)
{
	struct event_about what = about(vnode);

	vnode->last_exit = (struct vnode_exit){ *exit, event_time_now() };
	memset(&vnode->runtime.id, 0, sizeof(vnode->runtime.id));
	vnode_record(vnode);
	event_append(vnode->daemon, EVENT_VNODE_EXIT, &what, vnode_exit_object(&vnode->last_exit));
}

/* base + n, as an interface address with the network's prefix. */
static struct vn_cidr
nth_address(struct vn_cidr base, int64_t n)
{
	unsigned size = base.family == AF_INET ? 4 : 16;

	for (unsigned i = size; n && i-- > 0; n >>= 8) {
		n += base.byte[i];
		base.byte[i] = (uint8_t)n;
	}
	return base;
}

void
vnode_control_addresses(const struct vnode *vnode, struct vn_cidr *ret4, struct vn_cidr *ret6)
{
	*ret4 = *ret6 = (struct vn_cidr){ 0 };
	if (!vnode->spec.control || !vnode->control_index)
		return;
	*ret4 = nth_address(vnode->daemon->env.control4, vnode->control_index);
	*ret6 = nth_address(vnode->daemon->env.control6, vnode->control_index);
}

void
vnode_control_gateways(const struct vnode *vnode, struct vn_cidr *ret4, struct vn_cidr *ret6)
{
	*ret4 = nth_address(vnode->daemon->env.control4, 1);
	*ret6 = nth_address(vnode->daemon->env.control6, 1);
}

const char *
vnode_title(const struct vnode *vnode)
{
	static _Thread_local char text[2 * VN_NAME_MAX + 2];

	snprintf(text, sizeof(text), "%s/%s", vnode->topology->name, vnode->name);
	return text;
}

static void
on_row(void *arg, struct store_row *row)
{
	struct daemon *daemon = arg;
	json_t *spec = json_loads(store_text(row, 4), 0, NULL);
	vn_autoarena arena = { 0 };
	struct doc_vnode decoded = { 0 };
	struct topology *topology = NULL;
	struct vnode *vnode;
	struct vn_error err;

	vn_list_each(struct topology, t, &daemon->model->topologies, link)
		if (t->id == store_int(row, 2))
			topology = t;
	if (topology && schema_decode(doc_vnode_fields, spec, &arena, &decoded, &err) == 0) {
		vnode = vnode_make(topology, store_int(row, 0), store_text(row, 3),
				   store_text(row, 1));
		vnode_adopt_spec(vnode, &decoded);
		vnode->wanted = (enum vnode_state)store_int(row, 5);
		vnode->observed = (enum vnode_state)store_int(row, 6);
		vnode->since_us = store_int(row, 7);
		vnode->idmap_base = (uint32_t)store_int(row, 8);
		vnode->control_index = store_int(row, 9);
		snprintf(vnode->image_sha256, sizeof(vnode->image_sha256), "%s",
			 store_text(row, 10) ? store_text(row, 10) : "");
		guest_id_unpack(store_text(row, 11), &vnode->runtime);
		error_unpack(store_text(row, 12), &vnode->error);
		exit_unpack(store_text(row, 13), &vnode->last_exit);
		vnode->disk_type = store_text(row, 14) ? disk_type_find(store_text(row, 14)) : -1;
	} else {
		vn_log_error("vnode", "the database's row of vnode %" PRId64 " cannot be read; it is "
			     "left alone", store_int(row, 0));
	}
	json_decref(spec);
}

static void
on_last(void *arg, struct store_row *row)
{
	int64_t *last = arg;

	if (store_int(row, 0) > *last)
		*last = store_int(row, 0);
}

int
vnodes_load(struct daemon *daemon, struct vn_error *err)
{
	if (store_read(daemon->store, on_row, daemon, err, "SELECT vmid, uuid, topology, name, spec, "
		       "wanted, observed, since, idmap_base, control_index, image, runtime, error, "
		       "last_exit, disk FROM vnodes ORDER BY vmid", "") < 0)
		return -1;
	/* VMIDs are never reused, also after the newest vnode was destroyed. */
	return store_read(daemon->store, on_last, &daemon->model->last_vmid, err,
			  "SELECT seq FROM sqlite_sequence WHERE name = 'vnodes'", "");
}
