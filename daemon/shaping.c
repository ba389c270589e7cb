/*
 * Shapes in the model. A member's own shape lies in its spec, a LAN's in its row; both are kept decoded
 * beside the canonical JSON, and only here is one made from the other.
 */
#include "daemon/ways.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)JITTER_NORMAL == (int)SHAPE_NORMAL &&
	       (int)JITTER_PARETONORMAL == (int)SHAPE_PARETONORMAL, "one order of words");

struct shape
shaping_shape(const struct doc_shape *doc)
{
	return (struct shape){
		.rate_bps = doc->rate_bps, .delay_ns = doc->delay_ns, .jitter_ns = doc->jitter_ns,
		.distribution = doc->distribution, .loss = doc->loss,
		.loss_correlation = doc->loss_correlation, .duplicate = doc->duplicate,
		.corrupt = doc->corrupt, .reorder = doc->reorder,
		.reorder_correlation = doc->reorder_correlation, .limit_bytes = doc->limit_bytes,
		.limit_packets = (uint64_t)doc->limit_packets,
	};
}

bool
shaping_is_none(const struct shape *shape)
{
	return !shape->rate_bps && !shape->delay_ns && !(shape->loss > 0) &&
	       !(shape->duplicate > 0) && !(shape->corrupt > 0);
}

/* A port shape from JSON of our own. */
static struct doc_port_shape
read_port_shape(json_t *object)
{
	vn_autoarena arena = { 0 };
	struct doc_port_shape shape = { 0 };
	struct vn_error err;

	if (schema_decode(doc_port_shape_fields, object, &arena, &shape, &err) < 0)
		abort();		/* checked when it came in */
	return shape;
}

struct doc_shape
shaping_decode(json_t *object)
{
	vn_autoarena arena = { 0 };
	struct doc_shape shape = { 0 };
	struct vn_error err;

	if (schema_decode(doc_shape_fields, object, &arena, &shape, &err) < 0)
		abort();
	shape.given = object && !json_is_null(object);
	return shape;
}

struct lan_shaping
shaping_now(const struct lan *lan)
{
	return (struct lan_shaping){ .shape = lan->shape, .is_link = lan->is_link };
}

static struct doc_port_shape
own_shape(const struct lan_shaping *shaping, const struct member *member)
{
	json_t *other = json_object_get(shaping->members, member->vnode->name);

	return other ? read_port_shape(other) : member->shape;
}

/* What a member sends: its own word, else the LAN's. */
static struct shape
shape_to(const struct lan_shaping *shaping, const struct member *member)
{
	struct doc_port_shape own = own_shape(shaping, member);

	return shaping_shape(own.to.given ? &own.to : &shaping->shape);
}

/* The other end of a link; NULL: it is no link. */
static const struct member *
peer_of(const struct lan_shaping *shaping, const struct member *member)
{
	const struct member *peer = NULL;

	if (!shaping->is_link)
		return NULL;
	vn_list_each(struct member, other, &member->lan->members, in_lan) {
		if (other == member)
			continue;
		if (peer)
			return NULL;
		peer = other;
	}
	return peer;
}

/* The tunnel at the other end of a link; false: none. */
static bool
peer_tunnel(const struct lan_shaping *shaping, const struct lan *lan, struct doc_port_shape *ret)
{
	json_t *ways = shaping->ways ? shaping->ways : lan->ways;
	vn_autoarena arena = { 0 };
	struct doc_ways doc;

	if (!shaping->is_link || !json_is_object(ways))
		return false;
	doc = ways_read(ways, &arena);
	if (doc.tunnels.count != 1)
		return false;
	*ret = ((const struct doc_tunnel *)doc.tunnels.items)->shape;
	return true;
}

void
shaping_tunnel(const struct lan_shaping *shaping, const struct lan *lan,
	       const struct doc_tunnel *tunnel, struct shape *ret_out, struct shape *ret_in)
{
	const struct member *only = NULL;
	size_t n = 0;

	vn_list_each(struct member, member, &lan->members, in_lan) {
		only = member;
		n++;
	}
	if (shaping->is_link && n == 1) {
		*ret_out = shape_to(shaping, only);
		*ret_in = (struct shape){ 0 };
		return;
	}
	*ret_out = shaping_shape(&tunnel->shape.from);
	*ret_in = shaping_shape(&tunnel->shape.to);
}

void
shaping_port(const struct lan_shaping *shaping, const struct member *member, struct shape *ret_out,
	     struct shape *ret_in)
{
	const struct member *peer = peer_of(shaping, member);
	struct doc_port_shape own;

	if (!peer && peer_tunnel(shaping, member->lan, &own)) {
		*ret_out = shaping_shape(&own.to);
		*ret_in = (struct shape){ 0 };
		return;
	}
	if (peer) {
		*ret_out = shape_to(shaping, peer);
		*ret_in = (struct shape){ 0 };
		return;
	}
	own = own_shape(shaping, member);
	*ret_out = shaping_shape(&own.from);
	*ret_in = shape_to(shaping, member);
}

void
shaping_effective(const struct lan *lan, const struct member *member, struct shape *ret_to,
		  struct shape *ret_from)
{
	struct lan_shaping now = shaping_now(lan);

	*ret_to = shape_to(&now, member);
	*ret_from = shaping_shape(&member->shape.from);
}

json_t *
shaping_export(const struct lan *lan, json_t *names)
{
	json_t *members = json_object();

	vn_list_each(struct member, member, &lan->members, in_lan)
		if (!names || json_object_get(names, member->vnode->name))
			json_object_set_new(members, member->vnode->name,
					    schema_encode(doc_port_shape_fields, &member->shape));
	return json_pack("{so sb so}", "shape", lan->shape.given
			 ? schema_encode(doc_shape_fields, &lan->shape) : json_null(), "link",
			 lan->is_link, "members", members);
}

struct lan_shaping
shaping_read(json_t *object)
{
	return (struct lan_shaping){
		.shape = shaping_decode(json_object_get(object, "shape")),
		.is_link = json_is_true(json_object_get(object, "link")),
		.members = json_object_get(object, "members"),
	};
}

void
shaping_adopt(struct lan *lan, json_t *object)
{
	struct lan_shaping shaping = shaping_read(object);

	vn_list_each(struct member, member, &lan->members, in_lan) {
		json_t *shape = json_object_get(shaping.members, member->vnode->name);

		if (shape)
			member_set_shape(member, shape);
	}
	lan_set_shape(lan, &shaping.shape, shaping.is_link);
}

int
shaping_merge(struct daemon *daemon, const struct doc_shape *now, json_t *change, json_t **ret,
	      struct vn_error *err)
{
	json_t *merged = schema_encode(doc_shape_fields, now), *value;
	vn_autoarena arena = { 0 };
	struct doc_shape shape = { 0 };
	struct shape wanted;
	const char *key;
	int status;

	json_object_foreach(change, key, value)
		json_object_set(merged, key, value);	/* null is absent to the decoder */
	status = schema_decode(doc_shape_fields, merged, &arena, &shape, err);
	json_decref(merged);
	wanted = shaping_shape(&shape);
	if (status < 0 || doc_shape_check(&shape, err) < 0 ||
	    daemon->net->ops->shape_check(daemon->net, &wanted, err) < 0)
		return -1;
	*ret = schema_encode(doc_shape_fields, &shape);
	return 0;
}

static int
check(struct daemon *daemon, const struct doc_shape *doc, const char *path, struct vn_error *err)
{
	struct shape shape = shaping_shape(doc);

	if (daemon->net->ops->shape_check(daemon->net, &shape, err) == 0)
		return 0;
	vn_error_prefix_path(err, path);
	return -1;
}

int
shaping_check(struct daemon *daemon, const struct doc_lan *lan, struct vn_error *err)
{
	const struct doc_member *members = lan->members.items;
	char path[2 * VN_NAME_MAX + 40];

	snprintf(path, sizeof(path), "/lans/%s/shape", lan->key);
	if (check(daemon, &lan->shape, path, err) < 0)
		return -1;
	for (size_t i = 0; i < lan->members.count; i++) {
		snprintf(path, sizeof(path), "/lans/%s/members/%s/shape/to", lan->key, members[i].key);
		if (check(daemon, &members[i].shape.to, path, err) < 0)
			return -1;
		snprintf(path, sizeof(path), "/lans/%s/members/%s/shape/from", lan->key,
			 members[i].key);
		if (check(daemon, &members[i].shape.from, path, err) < 0)
			return -1;
	}
	return 0;
}

json_t *
shaping_object(const struct shape *shape)
{
	if (shaping_is_none(shape))
		return json_null();
	return json_pack("{sI sI sI ss sf sf sf sf sf sf sI sI}",
		"rate_bps", (json_int_t)shape->rate_bps, "delay_ns", (json_int_t)shape->delay_ns,
		"jitter_ns", (json_int_t)shape->jitter_ns,
		"distribution", distribution_words[shape->distribution], "loss", shape->loss,
		"loss_correlation", shape->loss_correlation, "duplicate", shape->duplicate,
		"corrupt", shape->corrupt, "reorder", shape->reorder,
		"reorder_correlation", shape->reorder_correlation,
		"limit_bytes", (json_int_t)shape->limit_bytes,
		"limit_packets", (json_int_t)shape->limit_packets);
}
