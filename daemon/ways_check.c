/*
 * What the ways of a LAN ask of this host, checked before anything is touched: what the kernel can do,
 * where packets would go and how large they may be, and that no other LAN has the same.
 */
#include "daemon/ways.h"

#include <stdio.h>
#include <string.h>

struct checking {
	struct daemon *daemon;
	const struct doc_lan *doc;
	const struct lan *self;		/* NULL: new */
	unsigned most;			/* MTU that all ways carry; 0: any */
	char which[VN_NAME_MAX + 24];	/* the way that has it, for people */
	struct vn_error *err;
};

/* The error's path is below a field of the LAN, or of one of its tunnels. */
static int
fail_below(struct checking *c, const char *field)
{
	char path[VN_NAME_MAX + 32];

	snprintf(path, sizeof(path), "/lans/%s%s", c->doc->key, field);
	vn_error_prefix_path(c->err, path);
	return -1;
}

static int
fail_tunnel(struct checking *c, const struct doc_tunnel *tunnel, const char *field)
{
	char path[VN_NAME_MAX + 32];

	snprintf(path, sizeof(path), "/tunnels/%s%s", tunnel->name, field);
	vn_error_prefix_path(c->err, path);
	return fail_below(c, "");
}

static void
bound(struct checking *c, unsigned mtu, const char *what, const char *name)
{
	if (!mtu || (c->most && c->most <= mtu))
		return;
	c->most = mtu;
	snprintf(c->which, sizeof(c->which), "%s '%.*s'", what, VN_NAME_MAX, name);
}

static bool
has_it_already(const struct checking *c)
{
	json_t *now = json_object_get(json_object_get(c->self ? c->self->ways : NULL, "fields"),
				      "uplink");
	json_t *wanted = schema_encode(doc_ways_fields, &c->doc->ways);
	bool is_same = now && json_equal(now, json_object_get(wanted, "uplink"));

	json_decref(wanted);
	return is_same;
}

static int
check_uplink(struct checking *c, enum role role)
{
	const struct doc_uplink *uplink = &c->doc->ways.uplink;
	struct uplink_spec spec = { uplink->device, (unsigned)uplink->vlan, uplink->default_route };
	struct net *net = c->daemon->net;
	unsigned mtu = 0;

	if (!uplink->given)
		return 0;
	if (role < ROLE_ADMIN && !has_it_already(c)) {
		vn_fail_at(c->err, "", VN_E_DENIED, "ports of the host are lent by admins only");
		return fail_below(c, "/uplink");
	}
	if (net->ops->uplink_check(net, &spec, &mtu, c->err) < 0)
		return fail_below(c, "/uplink");
	bound(c, mtu, "the uplink", uplink->device);
	return 0;
}

static int
check_tunnel(struct checking *c, const struct doc_tunnel *tunnel)
{
	struct tunnel_spec spec = { .kind = tunnel->kind, .has_key = tunnel->key >= 0 };
	struct shape to = shaping_shape(&tunnel->shape.to), from = shaping_shape(&tunnel->shape.from);
	struct net *net = c->daemon->net;
	struct tunnel_route route = { 0 };

	doc_tunnel_read(tunnel, &spec.local, &spec.remote);
	if (net->ops->tunnel_route(net, &spec, &route, c->err) < 0)
		return fail_tunnel(c, tunnel, "");
	if (net->ops->shape_check(net, &to, c->err) < 0)
		return fail_tunnel(c, tunnel, "/shape/to");
	if (net->ops->shape_check(net, &from, c->err) < 0)
		return fail_tunnel(c, tunnel, "/shape/from");
	bound(c, route.mtu, "tunnel", tunnel->name);
	return 0;
}

/* ---- other LANs ---- */

static void
add_claim(json_t *claims, const char *claim, const struct lan *lan)
{
	json_t *list = json_object_get(claims, claim);

	if (!list) {
		list = json_array();
		json_object_set_new_nocheck(claims, claim, list);
	}
	json_array_append_new(list, json_integer(lan->id));
}

/* An uplink is found by its device, and by device and VLAN (0: the whole). */
static void
uplink_claims(const struct doc_uplink *uplink, char ret[2][WAY_CLAIM])
{
	snprintf(ret[0], WAY_CLAIM, "uplink %s", uplink->device);
	snprintf(ret[1], WAY_CLAIM, "uplink %s %lld", uplink->device, (long long)uplink->vlan);
}

json_t *
ways_claims(const struct daemon *daemon)
{
	json_t *claims = json_object();

	vn_list_each(struct lan, lan, &daemon->model->lans, link) {
		vn_autoarena arena = { 0 };
		struct doc_ways ways = json_is_object(lan->ways) ? ways_read(lan->ways, &arena)
								 : (struct doc_ways){ 0 };
		const struct doc_tunnel *tunnels = ways.tunnels.items;
		char claim[2][WAY_CLAIM];

		for (size_t i = 0; i < ways.tunnels.count; i++) {
			doc_tunnel_claim(&tunnels[i], claim[0]);
			add_claim(claims, claim[0], lan);
		}
		if (!ways.uplink.given)
			continue;
		uplink_claims(&ways.uplink, claim);
		add_claim(claims, claim[0], lan);
		add_claim(claims, claim[1], lan);
	}
	return claims;
}

/* The next LAN but self with that claim, from *at on; NULL: none. */
static const struct lan *
next_holder(const struct checking *c, json_t *claims, const char *claim, size_t *at)
{
	json_t *list = json_object_get(claims, claim);

	while (*at < json_array_size(list)) {
		const struct lan *lan = lan_by_id(c->daemon,
						  json_integer_value(json_array_get(list, (*at)++)));

		if (lan && lan != c->self)
			return lan;
	}
	return NULL;
}

/* An apply takes a thing from one LAN and gives it to another in no order: it is refused. */
static int
check_lent(struct checking *c, json_t *claims)
{
	const struct doc_uplink *mine = &c->doc->ways.uplink;
	const struct lan *other = NULL;
	char claim[2][WAY_CLAIM];
	size_t at = 0;

	if (!mine->given)
		return 0;
	uplink_claims(mine, claim);
	other = next_holder(c, claims, claim[mine->vlan ? 1 : 0], &at);
	if (!other && mine->vlan) {
		struct doc_uplink whole = { .device = mine->device };

		uplink_claims(&whole, claim);
		at = 0;
		other = next_holder(c, claims, claim[1], &at);
	}
	if (!other)
		return 0;
	vn_fail_at(c->err, "", VN_E_BUSY, "%s is lent to LAN '%s/%s': let that one give it back first",
		   mine->device, other->topology->name, other->name);
	return fail_below(c, "/uplink");
}

static bool
has_mirror(const struct lan *lan, const struct doc_tunnel *mine, const char *claim,
	   struct vn_arena *arena, const char **ret_name)
{
	struct doc_ways theirs = ways_read(lan->ways, arena);
	const struct doc_tunnel *tunnels = theirs.tunnels.items;
	char other[WAY_CLAIM];

	for (size_t i = 0; i < theirs.tunnels.count; i++) {
		doc_tunnel_claim(&tunnels[i], other);
		*ret_name = tunnels[i].name;
		if (strcmp(claim, other) == 0 && !doc_tunnel_mirrors(mine, &tunnels[i]))
			return false;
	}
	return true;
}

static int
check_claimed(struct checking *c, json_t *claims, const struct doc_tunnel *mine)
{
	vn_autoarena arena = { 0 };
	const struct lan *other;
	char claim[WAY_CLAIM];
	const char *name;
	size_t at = 0;

	doc_tunnel_claim(mine, claim);
	while ((other = next_holder(c, claims, claim, &at))) {
		if (has_mirror(other, mine, claim, &arena, &name))
			continue;
		vn_fail_at(c->err, "", VN_E_EXISTS, "kind, key and %s are those of tunnel '%s' of LAN "
			   "'%s/%s': choose another key", mine->kind == WAY_VXLAN ? "port" : "remote",
			   name, other->topology->name, other->name);
		return fail_tunnel(c, mine, "");
	}
	return 0;
}

/* ---- all of it ---- */

enum { MTU_PRESET = 1500 };

/* What each way can do by itself, and the bound of them all. */
static int
measure(struct checking *c, enum role role)
{
	const struct doc_tunnel *tunnels = c->doc->ways.tunnels.items;

	if (check_uplink(c, role) < 0)
		return -1;
	for (size_t i = 0; i < c->doc->ways.tunnels.count; i++)
		if (check_tunnel(c, &tunnels[i]) < 0)
			return -1;
	return 0;
}

static int
check_bound(struct checking *c, int64_t mtu)
{
	if (!c->most || mtu <= c->most)
		return 0;
	return vn_fail_at(c->err, "/mtu", VN_E_INVALID, "%s carries packets of at most %u bytes "
			  "unfragmented: ask for no more, or leave the MTU out", c->which, c->most);
}

int
ways_check(struct daemon *daemon, const struct doc_lan *doc, const struct lan *self, enum role role,
	   json_t *claims, unsigned *ret_mtu, struct vn_error *err)
{
	struct checking c = { .daemon = daemon, .doc = doc, .self = self, .err = err };
	const struct doc_tunnel *tunnels = doc->ways.tunnels.items;

	if (measure(&c, role) < 0 || check_lent(&c, claims) < 0)
		return -1;
	for (size_t i = 0; i < doc->ways.tunnels.count; i++)
		if (check_claimed(&c, claims, &tunnels[i]) < 0)
			return -1;
	if (check_bound(&c, doc->mtu) < 0)
		return fail_below(&c, "");
	*ret_mtu = c.most && c.most < MTU_PRESET ? c.most : 0;
	return 0;
}

int
ways_check_mtu(const struct lan *lan, unsigned mtu, struct vn_error *err)
{
	vn_autoarena arena = { 0 };
	struct doc_lan doc = { .key = lan->name, .ways = ways_read(lan->ways, &arena) };
	struct checking c = { .daemon = lan->daemon, .doc = &doc, .self = lan, .err = err };

	if (measure(&c, ROLE_ADMIN) < 0) {
		err->path[0] = '\0';	/* no field of this call */
		return -1;
	}
	return check_bound(&c, mtu);
}
