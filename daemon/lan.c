/*
 * LANs and their members. A member's index, interface name and MAC are chosen when it is made and
 * stored, so that a guest finds the same interfaces for as long as the member exists.
 */
#include "daemon/hosts.h"
#include "daemon/model_inner.h"
#include "daemon/schedule.h"
#include "daemon/ways.h"

#include <stdio.h>
#include <string.h>

#include "backends/digest.h"

struct lan *
lan_make(struct topology *topology, int64_t id, const char *name, const char *uuid)
{
	struct model *model = topology->daemon->model;
	struct lan *lan = vn_alloc(sizeof(*lan));

	lan->daemon = topology->daemon;
	lan->id = id;
	lan->name = vn_strdup(name);
	lan->topology = topology;
	lan->up = true;
	snprintf(lan->uuid, sizeof(lan->uuid), "%s", uuid);
	vn_list_init(&lan->members);
	vn_list_init(&lan->in_topology);
	vn_list_init(&lan->link);
	vn_list_append(&topology->lans, &lan->in_topology);
	vn_list_append(&model->lans, &lan->link);
	table_set(&model->lans_by_id, id, lan);
	table_set_text(&topology->lans_by_name, lan->name, lan);
	if (id > model->last_lan)
		model->last_lan = id;
	return lan;
}

static void
record(struct lan *lan)
{
	json_t *spec = json_pack("{sb}", "link", lan->is_link);
	vn_autofree char *text = NULL;

	if (lan->shape.given)
		json_object_set_new(spec, "shape", schema_encode(doc_shape_fields, &lan->shape));
	if (json_is_object(lan->ways))
		json_object_set(spec, "ways", lan->ways);
	text = json_dumps(spec, JSON_COMPACT);
	json_decref(spec);
	store_put(lan->daemon->store, "INSERT OR REPLACE INTO lans(id, uuid, topology, name, mtu, up, "
		  "spec) VALUES(?,?,?,?,?,?,?)", "isisiis", lan->id, lan->uuid, lan->topology->id,
		  lan->name, (int64_t)lan->mtu, (int64_t)lan->up, text);
}

int
lan_new(struct daemon *daemon, struct topology *topology, const char *name, unsigned mtu,
	struct lan **ret, struct vn_error *err)
{
	char uuid[VN_UUID_TEXT];

	if (table_get_text(&topology->lans_by_name, name))
		return vn_fail(err, VN_E_EXISTS, "LAN '%s/%s' exists already", topology->name,
			       name);
	vn_uuid_new(uuid);
	*ret = lan_make(topology, daemon->model->last_lan + 1, name, uuid);
	(*ret)->mtu = mtu;
	record(*ret);
	return 0;
}

void
member_free(struct member *member)
{
	hosts_touch(member->vnode->topology);
	vn_list_remove(&member->in_lan);
	vn_list_remove(&member->in_vnode);
	json_decref(member->spec);
	free(member->ifname);
	free(member->addresses);
	free(member);
}

void
lan_free(struct lan *lan)
{
	job_forget_lock(lan->daemon, &lan->lock);
	job_forget_lock(lan->daemon, &lan->probing);
	vn_list_each_safe(struct member, member, &lan->members, in_lan)
		member_free(member);
	table_remove(&lan->daemon->model->lans_by_id, lan->id);
	table_remove_text(&lan->topology->lans_by_name, lan->name);
	vn_list_remove(&lan->in_topology);
	vn_list_remove(&lan->link);
	schedule_free(lan->schedule);
	json_decref(lan->ways);
	free(lan->name);
	free(lan);
}

void
lan_remove(struct lan *lan)
{
	vn_list_each_safe(struct member, member, &lan->members, in_lan)
		member_remove(member);
	schedule_remove_rows(lan);
	store_put(lan->daemon->store, "DELETE FROM lans WHERE id = ?", "i", lan->id);
	lan_free(lan);
}

int
lan_find(const struct daemon *daemon, const char *reference, struct lan **ret,
	 struct vn_error *err)
{
	char scope[VN_NAME_MAX + 1];
	const char *topology, *name = reference_split(reference, scope, &topology);
	char candidates[256] = "";
	struct lan *found = NULL;
	unsigned count = 0;

	vn_list_each(struct lan, lan, &daemon->model->lans, link) {
		size_t used = strlen(candidates);

		if (strcmp(lan->name, name) != 0 ||
		    (topology && strcmp(lan->topology->name, topology) != 0))
			continue;
		found = lan;
		snprintf(candidates + used, sizeof(candidates) - used, "%s%s/%s",
			 count++ ? ", " : "", lan->topology->name, lan->name);
	}
	if (count > 1)
		return vn_fail_at(err, "/lan", VN_E_INVALID, "'%s' is ambiguous: %s", reference,
				  candidates);
	if (!found)
		return vn_fail_at(err, "/lan", VN_E_NOT_FOUND, "no LAN '%s'", reference);
	*ret = found;
	return 0;
}

struct lan *
lan_by_id(const struct daemon *daemon, int64_t id)
{
	return table_get(&daemon->model->lans_by_id, id);
}

static void
read_addresses(struct member *member, const struct doc_member *spec)
{
	struct vn_error err;

	hosts_touch(member->vnode->topology);
	free(member->addresses);
	member->n_addresses = (unsigned)spec->addresses.count;
	member->addresses = vn_alloc_array(member->n_addresses, sizeof(*member->addresses));
	for (unsigned i = 0; i < member->n_addresses; i++)
		if (vn_cidr_parse(((const char **)spec->addresses.items)[i],
				  &member->addresses[i], &err) < 0)
			abort();	/* checked by the schema */
}

static struct member *
make_member(struct lan *lan, struct vnode *vnode, const struct doc_member *spec)
{
	struct member *member = vn_alloc(sizeof(*member));

	member->lan = lan;
	member->vnode = vnode;
	member->up = true;
	member->spec = schema_encode(doc_member_fields, spec);
	member->shape = spec->shape;
	read_addresses(member, spec);
	vn_list_init(&member->in_lan);
	vn_list_init(&member->in_vnode);
	vn_list_append(&lan->members, &member->in_lan);
	vn_list_append(&vnode->members, &member->in_vnode);
	return member;
}

static bool
has_index(const struct vnode *vnode, const struct member *but, unsigned index)
{
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member != but && member->index == index)
			return true;
	return false;
}

static bool
has_ifname(const struct vnode *vnode, const struct member *but, const char *ifname)
{
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		if (member != but && member->ifname && strcmp(member->ifname, ifname) == 0)
			return true;
	return false;
}

static void
choose_identity(struct member *member, const struct doc_member *spec)
{
	struct vn_error err;
	char ifname[16];
	unsigned n = 1;

	for (member->index = 1; has_index(member->vnode, member, member->index);)
		member->index++;
	do
		snprintf(ifname, sizeof(ifname), "eth%u", n++);
	while (has_ifname(member->vnode, member, ifname));
	member->ifname = vn_strdup(spec->interface ? spec->interface : ifname);
	member->mac = digest_mac(member->vnode->uuid, member->index);
	if (spec->mac && vn_mac_parse(spec->mac, &member->mac, &err) < 0)
		abort();		/* checked by the schema */
}

static void
record_member(struct member *member)
{
	vn_autofree char *spec = json_dumps(member->spec, JSON_COMPACT);
	char mac[VN_MAC_TEXT];

	vn_mac_print(&member->mac, mac);
	store_put(member->lan->daemon->store, "INSERT OR REPLACE INTO members(lan, vmid, idx, ifname, "
		  "mac, spec, up) VALUES(?,?,?,?,?,?,?)", "iiisssi", member->lan->id,
		  member->vnode->vmid, (int64_t)member->index, member->ifname, mac, spec,
		  (int64_t)member->up);
}

struct member *
member_new(struct lan *lan, struct vnode *vnode, const struct doc_member *spec)
{
	struct member *member = make_member(lan, vnode, spec);

	choose_identity(member, spec);
	record_member(member);
	return member;
}

void
member_remove(struct member *member)
{
	store_put(member->lan->daemon->store, "DELETE FROM members WHERE lan = ? AND vmid = ?", "ii",
		  member->lan->id, member->vnode->vmid);
	member_free(member);
}

void
member_set_up(struct member *member, bool up)
{
	member->up = up;
	record_member(member);
}

void
lan_set_up(struct lan *lan, bool up)
{
	lan->up = up;
	record(lan);
}

void
lan_set_mtu(struct lan *lan, unsigned mtu)
{
	lan->mtu = mtu;
	record(lan);
}

void
lan_set_shape(struct lan *lan, const struct doc_shape *shape, bool is_link)
{
	lan->shape = *shape;
	lan->is_link = is_link;
	record(lan);
}

void
lan_set_ways(struct lan *lan, json_t *ways)
{
	json_incref(ways);
	json_decref(lan->ways);
	lan->ways = ways;
	record(lan);
}

void
member_set_shape(struct member *member, json_t *shape)
{
	vn_autoarena arena = { 0 };
	struct doc_port_shape decoded = { 0 };
	struct vn_error err;

	if (schema_decode(doc_port_shape_fields, shape, &arena, &decoded, &err) < 0)
		abort();		/* checked when it came in */
	member->shape = decoded;
	if (decoded.to.given || decoded.from.given)
		json_object_set_new(member->spec, "shape",
				    schema_encode(doc_port_shape_fields, &decoded));
	else
		json_object_del(member->spec, "shape");
	record_member(member);
}

void
member_set_addresses(struct member *member, const struct doc_member *spec)
{
	json_t *encoded = schema_encode(doc_member_fields, spec), *address;

	address = json_object_get(encoded, "address");
	if (address)
		json_object_set(member->spec, "address", address);
	else
		json_object_del(member->spec, "address");
	json_decref(encoded);
	read_addresses(member, spec);
	record_member(member);
}

json_t *
member_export(const struct member *member)
{
	json_t *object = json_copy(member->spec);
	json_t *list = json_object_get(object, "address");

	if (json_array_size(list) == 1) {	/* one address is written as such */
		json_t *only = json_incref(json_array_get(list, 0));

		json_object_set_new(object, "address", only);
	}
	return object;
}

json_t *
lan_object(const struct lan *lan)
{
	struct shape shape = shaping_shape(&lan->shape);
	json_t *members = json_array(), *object;

	vn_list_each(struct member, member, &lan->members, in_lan) {
		json_t *addresses = json_array();
		struct shape to, from;
		char mac[VN_MAC_TEXT];

		shaping_effective(lan, member, &to, &from);

		vn_mac_print(&member->mac, mac);
		for (unsigned i = 0; i < member->n_addresses; i++) {
			char text[VN_CIDR_TEXT];

			vn_cidr_print(&member->addresses[i], text);
			json_array_append_new(addresses, json_string(text));
		}
		json_array_append_new(members, json_pack("{ss sI ss ss so sb so so so}",
			"vnode", member->vnode->name, "vmid", (json_int_t)member->vnode->vmid,
			"interface", member->ifname, "mac", mac, "addresses", addresses,
			"up", member->up && lan->up,
			"device", json_sprintf("v%lde%u", (long)member->vnode->vmid, member->index),
			"to", shaping_object(&to), "from", shaping_object(&from)));
	}
	object = json_pack("{ss ss sI ss sI sb so so so}", "name", lan->name,
			 "topology", lan->topology->name, "id", (json_int_t)lan->id, "uuid", lan->uuid,
			 "mtu", (json_int_t)(lan_mtu(lan) ? lan_mtu(lan) : 1500), "up", lan->up,
			 "shape", shaping_object(&shape), "members", members, "job",
			 lan->lock.holder ? json_integer(lan->lock.holder) : json_null());
	ways_show(lan, object);
	return object;
}

void
lan_announce(struct lan *lan, const char *what)
{
	struct event_about about = { .topology = lan->topology->name, .lan = lan->name };

	event_append(lan->daemon, EVENT_LAN_CHANGE, &about, json_pack("{ss sb}", "change", what,
								     "up", lan->up));
}

static void
adopt_spec(struct lan *lan, const char *text)
{
	json_t *spec = text ? json_loads(text, 0, NULL) : NULL;
	struct lan_shaping shaping = shaping_read(spec);

	lan->shape = shaping.shape;
	lan->is_link = shaping.is_link;
	lan->ways = json_incref(json_object_get(spec, "ways"));
	json_decref(spec);
}

static void
on_lan_row(void *arg, struct store_row *row)
{
	struct daemon *daemon = arg;
	struct lan *lan;

	vn_list_each(struct topology, topology, &daemon->model->topologies, link) {
		if (topology->id != store_int(row, 2))
			continue;
		lan = lan_make(topology, store_int(row, 0), store_text(row, 3), store_text(row, 1));
		lan->mtu = (unsigned)store_int(row, 4);
		lan->up = store_int(row, 5);
		adopt_spec(lan, store_text(row, 6));
		return;
	}
}

static void
on_member_row(void *arg, struct store_row *row)
{
	struct daemon *daemon = arg;
	struct lan *lan = lan_by_id(daemon, store_int(row, 0));
	struct vnode *vnode = vnode_by_vmid(daemon, store_int(row, 1));
	json_t *spec = json_loads(store_text(row, 5), 0, NULL);
	vn_autoarena arena = { 0 };
	struct doc_member decoded = { 0 };
	struct member *member;
	struct vn_error err;

	if (lan && vnode && schema_decode(doc_member_fields, spec, &arena, &decoded, &err) == 0) {
		member = make_member(lan, vnode, &decoded);
		member->index = (unsigned)store_int(row, 2);
		member->ifname = vn_strdup(store_text(row, 3));
		member->up = store_int(row, 6);
		if (vn_mac_parse(store_text(row, 4), &member->mac, &err) < 0)
			member->mac = digest_mac(vnode->uuid, member->index);
	}
	json_decref(spec);
}

int
lans_load(struct daemon *daemon, struct vn_error *err)
{
	if (store_read(daemon->store, on_lan_row, daemon, err, "SELECT id, uuid, topology, name, "
		       "mtu, up, spec FROM lans ORDER BY id", "") < 0)
		return -1;
	if (store_read(daemon->store, on_member_row, daemon, err, "SELECT lan, vmid, idx, ifname, "
		       "mac, spec, up FROM members ORDER BY lan, vmid", "") < 0)
		return -1;
	return schedules_load(daemon, err);
}
