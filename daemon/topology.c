/*
 * Topologies: the scopes of names. The object keeps only what belongs to the topology itself (domain,
 * dns); its vnodes and LANs are objects of their own, and the document is put together from them.
 */
#include "daemon/hosts.h"
#include "daemon/model_inner.h"
#include "daemon/schedule.h"
#include "daemon/ways.h"

#include <inttypes.h>
#include <string.h>

struct topology *
topology_find(const struct daemon *daemon, const char *name)
{
	return table_get_text(&daemon->model->topologies_by_name, name);
}

struct topology *
topology_make(struct daemon *daemon, int64_t id, const char *name)
{
	struct model *model = daemon->model;
	struct topology *topology = vn_alloc(sizeof(*topology));

	topology->daemon = daemon;
	topology->id = id;
	topology->name = vn_strdup(name);
	topology->document.topology = topology->name;
	vn_list_init(&topology->vnodes);
	vn_list_init(&topology->lans);
	vn_list_init(&topology->link);
	vn_list_append(&model->topologies, &topology->link);
	table_set_text(&model->topologies_by_name, topology->name, topology);
	if (id > model->last_topology)
		model->last_topology = id;
	return topology;
}

/* Its own fields: a document without vnodes and LANs. */
static json_t *
own_fields(const struct topology *topology)
{
	struct document own = topology->document;

	own.topology = topology->name;
	own.vnodes = own.lans = (struct field_array){ 0 };
	return schema_encode(document_fields, &own);
}

static void
record(struct topology *topology)
{
	json_t *fields = own_fields(topology);
	vn_autofree char *text = json_dumps(fields, JSON_COMPACT);

	json_decref(fields);
	store_put(topology->daemon->store, "INSERT OR REPLACE INTO topologies(id, name, document) "
		  "VALUES(?,?,?)", "iss", topology->id, topology->name, text);
}

struct topology *
topology_need(struct daemon *daemon, const char *name)
{
	struct topology *topology = topology_find(daemon, name);

	if (topology)
		return topology;
	topology = topology_make(daemon, daemon->model->last_topology + 1, name);
	record(topology);
	return topology;
}

void
topology_free(struct topology *topology)
{
	job_forget_lock(topology->daemon, &topology->lock);
	table_remove_text(&topology->daemon->model->topologies_by_name, topology->name);
	vn_list_remove(&topology->link);
	table_fini(&topology->vnodes_by_name);
	table_fini(&topology->lans_by_name);
	hosts_touch(topology);
	vn_arena_fini(&topology->arena);
	free(topology->name);
	free(topology);
}

void
topology_remove(struct topology *topology)
{
	store_put(topology->daemon->store, "DELETE FROM topologies WHERE id = ?", "i",
		  topology->id);
	topology_free(topology);
}

void
topology_drop_if_empty(struct topology *topology)
{
	if (vn_list_is_empty(&topology->vnodes) && vn_list_is_empty(&topology->lans) &&
	    !topology->lock.holder)
		topology_remove(topology);
}

/* Takes the fields from a decoded document; everything is copied into a fresh arena. */
void
topology_adopt_fields(struct topology *topology, const struct document *document)
{
	struct document copy = *document;
	struct vn_arena arena = { 0 };
	struct vn_error err;
	json_t *fields;

	copy.topology = topology->name;
	copy.vnodes = copy.lans = (struct field_array){ 0 };
	fields = schema_encode(document_fields, &copy);
	copy = (struct document){ 0 };
	if (document_decode(fields, &arena, &copy, &err) < 0)
		abort();		/* what we have written ourselves */
	json_decref(fields);
	hosts_touch(topology);
	vn_arena_fini(&topology->arena);
	topology->arena = arena;
	topology->document = copy;
}

void
topology_set_fields(struct topology *topology, const struct document *document)
{
	topology_adopt_fields(topology, document);
	record(topology);
}

json_t *
topology_export(const struct topology *topology)
{
	json_t *document = own_fields(topology);
	json_t *vnodes = json_object(), *lans = json_object();

	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology)
		json_object_set(vnodes, vnode->name, vnode->spec_json);
	vn_list_each(struct lan, lan, &topology->lans, in_topology) {
		json_t *members = json_object(), *object;

		vn_list_each(struct member, member, &lan->members, in_lan)
			json_object_set_new(members, member->vnode->name, member_export(member));
		object = json_pack("{so}", "members", members);
		if (lan->mtu)
			json_object_set_new(object, "mtu", json_integer(lan->mtu));
		if (lan->shape.given)
			json_object_set_new(object, "shape",
					    schema_encode(doc_shape_fields, &lan->shape));
		if (lan->schedule)
			json_object_set_new(object, "schedule", schedule_export(lan));
		ways_export(lan, object);
		json_object_set_new(lans, lan->name, object);
	}
	json_object_set_new(document, "vnodes", vnodes);
	json_object_set_new(document, "lans", lans);
	return document;
}

json_t *
topology_object(const struct topology *topology, bool full)
{
	json_int_t running = 0, n_vnodes = 0, n_lans = 0;
	json_t *vnodes = json_array(), *lans = json_array(), *object;

	vn_list_each(struct vnode, vnode, &topology->vnodes, in_topology) {
		n_vnodes++;
		running += vnode->observed == VNODE_RUNNING;
		if (full)
			json_array_append_new(vnodes, vnode_row(vnode, NULL));
	}
	vn_list_each(struct lan, lan, &topology->lans, in_topology) {
		n_lans++;
		if (full)
			json_array_append_new(lans, lan_object(lan));
	}
	object = json_pack("{ss sI sI sI so}", "name", topology->name, "n_vnodes", n_vnodes,
			   "running", running, "n_lans", n_lans, "job", topology->lock.holder
			   ? json_integer(topology->lock.holder) : json_null());
	if (full) {
		json_object_set(object, "vnodes", vnodes);
		json_object_set(object, "lans", lans);
	}
	json_decref(vnodes);
	json_decref(lans);
	return object;
}
