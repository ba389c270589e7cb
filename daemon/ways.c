/*
 * From what documents say of uplinks and tunnels to what the backend is to make. A tunnel counts as a
 * member: on a link with one vnode, what the vnode sends is shaped where the tunnel leaves, and what the
 * tunnel brings where the vnode's port does. The LAN's own shape is not for tunnels: what they bring has
 * been shaped where it was sent.
 */
#include "daemon/ways.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)WAY_GRE == (int)TUNNEL_GRE && (int)WAY_VXLAN == (int)TUNNEL_VXLAN,
	       "one order of words");

struct doc_ways
ways_read(json_t *ways, struct vn_arena *arena)
{
	struct doc_ways doc = { 0 };
	struct vn_error err;

	if (schema_decode(doc_ways_fields, json_object_get(ways, "fields"), arena, &doc, &err) < 0)
		abort();		/* checked when it came in */
	return doc;
}

bool
ways_is_plain(json_t *ways)
{
	vn_autoarena arena = { 0 };
	struct doc_ways doc;

	if (!json_is_object(ways))
		return false;
	doc = ways_read(ways, &arena);
	return doc_ways_is_plain(&doc);
}

static bool
has_index(json_t *indexes, json_int_t index)
{
	const char *name;
	json_t *value;

	json_object_foreach(indexes, name, value)
		if (json_integer_value(value) == index)
			return true;
	return false;
}

static json_t *
choose_indexes(const struct doc_ways *doc, const struct lan *lan)
{
	const struct doc_tunnel *tunnels = doc->tunnels.items;
	json_t *had = lan ? json_object_get(lan->ways, "indexes") : NULL, *indexes = json_object();
	json_int_t next = 0;

	for (size_t i = 0; i < doc->tunnels.count; i++)
		if (json_object_get(had, tunnels[i].name))
			json_object_set(indexes, tunnels[i].name,
					json_object_get(had, tunnels[i].name));
	for (size_t i = 0; i < doc->tunnels.count; i++) {
		if (json_object_get(indexes, tunnels[i].name))
			continue;
		while (has_index(indexes, next) || has_index(had, next))
			next++;
		json_object_set_new(indexes, tunnels[i].name, json_integer(next++));
	}
	return indexes;
}

json_t *
ways_make(const struct doc_ways *doc, const struct lan *lan, unsigned mtu)
{
	json_t *fields = schema_encode(doc_ways_fields, doc);

	if (!json_object_size(fields)) {
		json_decref(fields);
		return json_null();
	}
	return json_pack("{so so sI}", "fields", fields, "indexes", choose_indexes(doc, lan), "mtu",
			 (json_int_t)mtu);
}

unsigned
ways_mtu(json_t *ways, unsigned mtu)
{
	return mtu ? mtu : (unsigned)json_integer_value(json_object_get(ways, "mtu"));
}

unsigned
lan_mtu(const struct lan *lan)
{
	return ways_mtu(lan->ways, lan->mtu);
}

/* ---- for the backend ---- */

/* An empty key is one that is not there. */
static struct tunnel_spec
tunnel_spec(const struct doc_tunnel *doc)
{
	struct tunnel_spec spec = { .kind = doc->kind, .has_key = doc->key >= 0 };

	if (spec.has_key)
		spec.key = (uint32_t)doc->key;
	if (doc->kind == WAY_VXLAN)
		spec.port = (uint16_t)doc_tunnel_port(doc);
	doc_tunnel_read(doc, &spec.local, &spec.remote);
	return spec;
}

struct lan_spec
ways_spec(const struct lan *lan, json_t *ways, unsigned mtu, const struct lan_shaping *shaping,
	  struct vn_arena *arena)
{
	struct doc_ways doc = ways_read(ways, arena);
	const struct doc_tunnel *tunnels = doc.tunnels.items;
	struct tunnel_spec *specs = vn_arena_alloc(arena, (doc.tunnels.count + 1) * sizeof(*specs));
	json_t *indexes = json_object_get(ways, "indexes");

	for (size_t i = 0; i < doc.tunnels.count; i++) {
		specs[i] = tunnel_spec(&tunnels[i]);
		specs[i].index = (unsigned)json_integer_value(
			json_object_get(indexes, tunnels[i].name));
		shaping_tunnel(shaping, lan, &tunnels[i], &specs[i].out, &specs[i].in);
		if (tunnels[i].kind == WAY_GRE)
			vn_list_each(struct member, member, &lan->members, in_lan)
				specs[i].mac = member->mac;
	}
	return (struct lan_spec){ .id = lan->id, .uuid = vn_arena_strdup(arena, lan->uuid),
		.mtu = ways_mtu(ways, mtu), .no_learning = !doc.learning || doc_ways_is_plain(&doc),
		.uplink = { doc.uplink.device, (unsigned)doc.uplink.vlan, doc.uplink.default_route },
		.tunnels = specs, .n_tunnels = (unsigned)doc.tunnels.count };
}

struct lan_spec
lan_spec_now(const struct lan *lan, struct vn_arena *arena)
{
	struct lan_shaping shaping = shaping_now(lan);

	return ways_spec(lan, lan->ways, lan->mtu, &shaping, arena);
}

/* ---- for people ---- */

static json_t *
tunnels_of(json_t *ways)
{
	return json_object_get(json_object_get(ways, "fields"), "tunnels");
}

static json_t *
differing_fields(json_t *before, json_t *after)
{
	json_t *fields = json_array(), *value;
	const char *key;

	json_object_foreach(after, key, value)
		if (!json_object_get(before, key) || !json_equal(json_object_get(before, key), value))
			json_array_append_new(fields, json_string(key));
	json_object_foreach(before, key, value)
		if (!json_object_get(after, key))
			json_array_append_new(fields, json_string(key));
	return fields;
}

void
ways_fields(json_t *before, json_t *after, json_t *names)
{
	json_t *differing = differing_fields(json_object_get(before, "fields"),
					     json_object_get(after, "fields"));

	json_array_extend(names, differing);
	json_decref(differing);
}

static void
compare_one(const char *kind, const char *name, json_t *before, json_t *after, ways_fn *fn, void *arg)
{
	json_t *fields;

	if (!before || !after) {
		if (before || after)
			fn(arg, before ? "destroy" : "create", kind, name, NULL);
		return;
	}
	fields = differing_fields(before, after);
	if (json_array_size(fields))
		fn(arg, "change", kind, name, fields);
	json_decref(fields);
}

void
ways_compare(const char *lan, json_t *before, json_t *after, ways_fn *fn, void *arg)
{
	json_t *old = tunnels_of(before), *new = tunnels_of(after), *value;
	const char *key;

	compare_one("uplink", lan, json_object_get(json_object_get(before, "fields"), "uplink"),
		    json_object_get(json_object_get(after, "fields"), "uplink"), fn, arg);
	json_object_foreach(new, key, value) {
		vn_autofree char *name = vn_format("%s/%s", lan, key);

		compare_one("tunnel", name, json_object_get(old, key), value, fn, arg);
	}
	json_object_foreach(old, key, value) {
		vn_autofree char *name = vn_format("%s/%s", lan, key);

		if (!json_object_get(new, key))
			compare_one("tunnel", name, value, NULL, fn, arg);
	}
}

void
ways_export(const struct lan *lan, json_t *object)
{
	json_object_update(object, json_object_get(lan->ways, "fields"));
}

static json_t *
tunnel_object(const struct lan *lan, const struct doc_tunnel *tunnel)
{
	json_int_t index = json_integer_value(json_object_get(
		json_object_get(lan->ways, "indexes"), tunnel->name));
	struct shape to = shaping_shape(&tunnel->shape.to), from = shaping_shape(&tunnel->shape.from);

	return json_pack("{ss ss ss ss? so so so so so}", "name", tunnel->name, "kind",
		tunnel_words[tunnel->kind], "remote", tunnel->remote, "local", tunnel->local, "key",
		tunnel->key < 0 ? json_null() : json_integer(tunnel->key), "port",
		tunnel->kind == WAY_VXLAN ? json_integer(doc_tunnel_port(tunnel)) : json_null(),
		"device", json_sprintf("t%lldn%lld", (long long)lan->id, (long long)index),
		"to", shaping_object(&to), "from", shaping_object(&from));
}

void
ways_show(const struct lan *lan, json_t *object)
{
	vn_autoarena arena = { 0 };
	struct doc_ways doc = ways_read(lan->ways, &arena);
	const struct doc_tunnel *tunnels = doc.tunnels.items;
	json_t *list = json_array();

	for (size_t i = 0; i < doc.tunnels.count; i++)
		json_array_append_new(list, tunnel_object(lan, &tunnels[i]));
	json_object_set_new(object, "learning", json_boolean(doc.learning &&
							     !doc_ways_is_plain(&doc)));
	json_object_set_new(object, "uplink", doc.uplink.given
		? json_pack("{ss so sb}", "device", doc.uplink.device, "vlan", doc.uplink.vlan
			    ? json_integer(doc.uplink.vlan) : json_null(), "default_route",
			    doc.uplink.default_route)
		: json_null());
	json_object_set_new(object, "tunnels", list);
}
