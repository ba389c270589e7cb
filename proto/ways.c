/*
 * The tables of uplinks and tunnels, and what their fields must have to do with each other. Two tunnels
 * of one host that mirror each other are no tunnel but a link between two LANs; see docs/tunnels.md.
 */
#include "proto/ways.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/document.h"

enum { TUNNELS_MAX = 64, VLAN_MAX = 4094, VNI_MAX = (1 << 24) - 1 };

const char *const tunnel_words[] = { "gre", "egre", "vxlan", NULL };

static int
check_device(const char *text, struct vn_error *err)
{
	size_t length = strlen(text);

	if (length > 0 && length < 16 && strcspn(text, "/: \t\n\v\f\r") == length &&
	    strcmp(text, ".") != 0 && strcmp(text, "..") != 0)
		return 0;
	return vn_fail(err, VN_E_INVALID, "expected the name of a network device such as \"eth3\", got "
		       "\"%.40s\"", text);
}

static const struct form form_device = {
	"device of the host", "^[^/: \\t\\n\\v\\f\\r]{1,15}$", check_device
};

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field uplink_fields[] = {
	{ "device", "the port of the host", FIELD_STRING, FIELD_REQUIRED, AT(doc_uplink, device),
	  .form = &form_device },
	{ "vlan", "tag of the VLAN that is lent; the whole device unless given", FIELD_INT, 0,
	  AT(doc_uplink, vlan), 1, VLAN_MAX },
	{ "default_route", "it may be the device of the host's default route", FIELD_BOOL, 0,
	  AT(doc_uplink, default_route) },
	{ 0 }
};

static const struct field tunnel_fields[] = {
	{ "kind", "gre (IP alone), egre (Ethernet over GRE) or vxlan", FIELD_WORD, FIELD_REQUIRED,
	  AT(doc_tunnel, kind), .words = tunnel_words },
	{ "remote", "address of the other host", FIELD_STRING, FIELD_REQUIRED, AT(doc_tunnel, remote),
	  .form = &form_address },
	{ "local", "address of this host; the kernel chooses unless given", FIELD_STRING, 0,
	  AT(doc_tunnel, local), .form = &form_address },
	{ "key", "GRE key, or VXLAN network identifier", FIELD_INT, 0, AT(doc_tunnel, key), 0,
	  UINT32_MAX, .preset = -1 },
	{ "port", "UDP port of VXLAN; 4789 unless given", FIELD_INT, 0, AT(doc_tunnel, port), 1,
	  65535 },
	{ "shape", "how its traffic is shaped, each way; \"to\" is what comes from the other host",
	  FIELD_STRUCT, 0, AT(doc_tunnel, shape), .fields = doc_port_shape_fields,
	  .size = sizeof(struct doc_port_shape) },
	{ 0 }
};

const struct field doc_ways_fields[] = {
	{ "learning", "whether it learns who is where; else each frame goes to everyone", FIELD_BOOL, 0,
	  AT(doc_ways, learning), .preset = true },
	{ "uplink", "a port of the host that is lent to it; admins only", FIELD_STRUCT, FIELD_MARKED,
	  AT(doc_ways, uplink), .fields = uplink_fields, .size = sizeof(struct doc_uplink) },
	{ "tunnels", "its ways to other hosts by name", FIELD_MAP, 0, AT(doc_ways, tunnels), 0,
	  TUNNELS_MAX, .form = &form_name, .fields = tunnel_fields,
	  .size = sizeof(struct doc_tunnel) },
	{ 0 }
};

bool
doc_lan_is_link(const struct doc_lan *lan)
{
	return lan->members.count && !lan->ways.uplink.given &&
	       lan->members.count + lan->ways.tunnels.count == 2;
}

bool
doc_ways_is_plain(const struct doc_ways *ways)
{
	const struct doc_tunnel *tunnels = ways->tunnels.items;

	for (size_t i = 0; i < ways->tunnels.count; i++)
		if (tunnels[i].kind == WAY_GRE)
			return true;
	return false;
}

/* ---- addresses ---- */

static struct vn_cidr
read_address(const char *text)
{
	struct vn_cidr address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	address.prefix = address.family == AF_INET ? 32 : 128;
	if (inet_pton(address.family, text, address.byte) != 1)
		address.family = 0;		/* the form has told already */
	return address;
}

void
doc_tunnel_read(const struct doc_tunnel *tunnel, struct vn_cidr *ret_local,
		struct vn_cidr *ret_remote)
{
	*ret_remote = read_address(tunnel->remote);
	*ret_local = tunnel->local ? read_address(tunnel->local) : (struct vn_cidr){ 0 };
}

unsigned
doc_tunnel_port(const struct doc_tunnel *tunnel)
{
	return tunnel->port ? (unsigned)tunnel->port : VXLAN_PORT;
}

static bool
has_same_key(const struct doc_tunnel *a, const struct doc_tunnel *b)
{
	return a->kind == b->kind && a->key == b->key &&
	       (a->kind != WAY_VXLAN || doc_tunnel_port(a) == doc_tunnel_port(b));
}

bool
doc_tunnel_mirrors(const struct doc_tunnel *a, const struct doc_tunnel *b)
{
	struct vn_cidr local[2], remote[2];

	doc_tunnel_read(a, &local[0], &remote[0]);
	doc_tunnel_read(b, &local[1], &remote[1]);
	return has_same_key(a, b) && vn_cidr_same_address(&local[0], &remote[1]) &&
	       vn_cidr_same_address(&local[1], &remote[0]);
}

bool
doc_uplink_collides(const struct doc_uplink *a, const struct doc_uplink *b)
{
	return a->given && b->given && strcmp(a->device, b->device) == 0 &&
	       (!a->vlan || !b->vlan || a->vlan == b->vlan);
}

/* ---- one LAN ---- */

static bool
is_multicast(const struct vn_cidr *address)
{
	return address->family == AF_INET6 ? address->byte[0] == 0xff
	       : (address->byte[0] & 0xf0) == 0xe0 || address->byte[0] == 0xff;
}

static bool
is_unspecified(const struct vn_cidr *address)
{
	static const struct vn_cidr zero;

	return memcmp(address->byte, zero.byte, sizeof(zero.byte)) == 0;
}

static int
check_tunnel(const struct doc_tunnel *tunnel, struct vn_error *err)
{
	struct vn_cidr local, remote;

	doc_tunnel_read(tunnel, &local, &remote);
	if (is_multicast(&remote) || is_unspecified(&remote))
		return vn_fail_at(err, "/remote", VN_E_INVALID, "\"%s\" is no address of one host",
				  tunnel->remote);
	if (local.family && (is_multicast(&local) || is_unspecified(&local)))
		return vn_fail_at(err, "/local", VN_E_INVALID, "\"%s\" is no address of one host",
				  tunnel->local);
	if (local.family && local.family != remote.family)
		return vn_fail_at(err, "/local", VN_E_INVALID, "an IPv%d tunnel needs an IPv%d address",
				  remote.family == AF_INET ? 4 : 6, remote.family == AF_INET ? 4 : 6);
	if (local.family && vn_cidr_same_address(&local, &remote))
		return vn_fail_at(err, "/remote", VN_E_INVALID, "the same as \"local\": a tunnel to "
				  "oneself leads nowhere");
	if (tunnel->kind == WAY_VXLAN && tunnel->key < 0)
		return vn_fail_at(err, "/key", VN_E_INVALID, "missing: VXLAN needs the identifier of its "
				  "network, the same at both ends");
	if (tunnel->kind == WAY_VXLAN && tunnel->key > VNI_MAX)
		return vn_fail_at(err, "/key", VN_E_INVALID, "expected at most %d for VXLAN, got %lld",
				  VNI_MAX, (long long)tunnel->key);
	if (tunnel->kind != WAY_VXLAN && tunnel->port)
		return vn_fail_at(err, "/port", VN_E_INVALID, "GRE has no ports: leave it out");
	return 0;
}

static int
check_tunnel_shape(const struct doc_lan *lan, const struct doc_tunnel *tunnel, struct vn_error *err)
{
	if (tunnel->shape.from.given && doc_lan_is_link(lan))
		return vn_fail_at(err, "/shape/from", VN_E_INVALID,
				  "a link has two members: use the other member's \"to\"");
	if (doc_shape_check(&tunnel->shape.to, err) < 0) {
		vn_error_prefix_path(err, "/shape/to");
		return -1;
	}
	if (doc_shape_check(&tunnel->shape.from, err) < 0) {
		vn_error_prefix_path(err, "/shape/from");
		return -1;
	}
	return 0;
}

static int
check_in_lan(const struct doc_lan *lan, const struct doc_tunnel *tunnel, struct vn_error *err)
{
	const struct doc_member *members = lan->members.items;

	for (size_t i = 0; i < lan->members.count; i++)
		if (strcmp(members[i].key, tunnel->name) == 0)
			return vn_fail_at(err, "", VN_E_INVALID, "the LAN has a member of that name: call "
					  "the tunnel otherwise");
	if (tunnel->kind == WAY_GRE && (lan->members.count != 1 || lan->ways.tunnels.count != 1 ||
					lan->ways.uplink.given))
		return vn_fail_at(err, "/kind", VN_E_INVALID, "plain GRE carries IP without Ethernet, so "
				  "its LAN must be one vnode and this tunnel alone: use egre or vxlan here");
	return check_tunnel_shape(lan, tunnel, err);
}

int
doc_ways_check(const struct doc_lan *lan, struct vn_error *err)
{
	const struct doc_tunnel *tunnels = lan->ways.tunnels.items;
	size_t ports = lan->members.count + lan->ways.tunnels.count + lan->ways.uplink.given;
	char path[VN_NAME_MAX + 16];

	for (size_t i = 0; i < lan->ways.tunnels.count; i++) {
		if (check_tunnel(&tunnels[i], err) == 0 && check_in_lan(lan, &tunnels[i], err) == 0)
			continue;
		snprintf(path, sizeof(path), "/tunnels/%s", tunnels[i].name);
		vn_error_prefix_path(err, path);
		return -1;
	}
	if (ports > BRIDGE_PORTS_MAX)
		return vn_fail_at(err, "/members", VN_E_LIMIT, "the LAN would have %zu ports, and the "
				  "kernel's bridges have at most %d: join several LANs by a vnode",
				  ports, BRIDGE_PORTS_MAX);
	return 0;
}

/* ---- all LANs of a document ---- */

void
doc_tunnel_claim(const struct doc_tunnel *tunnel, char ret[static WAY_CLAIM])
{
	char address[INET6_ADDRSTRLEN] = "";
	struct vn_cidr local, remote;

	doc_tunnel_read(tunnel, &local, &remote);
	vn_cidr_print_address(&remote, address);
	if (tunnel->kind == WAY_VXLAN)
		snprintf(ret, WAY_CLAIM, "vxlan %u %lld", doc_tunnel_port(tunnel),
			 (long long)tunnel->key);
	else
		snprintf(ret, WAY_CLAIM, "%s %s %lld", tunnel_words[tunnel->kind], address,
			 (long long)tunnel->key);
}

/* Who claims what: claim -> array of indexes into `tunnels`, or of LANs for "uplink DEVICE". */
struct claims {
	struct vn_error *err;
	const struct doc_lan *lans;
	json_t *held;
};

/* Where a tunnel stands: LAN and number in one. */
static json_int_t
place(size_t lan, size_t tunnel)
{
	return (json_int_t)(lan << 16 | tunnel);
}

static json_t *
holders(struct claims *claims, const char *claim)
{
	json_t *list = json_object_get(claims->held, claim);

	if (!list) {
		list = json_array();
		json_object_set_new_nocheck(claims->held, claim, list);
	}
	return list;
}

static int
claim_uplink(struct claims *claims, size_t lan)
{
	const struct doc_lan *lans = claims->lans;
	char claim[32], path[VN_NAME_MAX + 32];
	json_t *list, *other;
	size_t i;

	if (!lans[lan].ways.uplink.given)
		return 0;
	snprintf(claim, sizeof(claim), "uplink %s", lans[lan].ways.uplink.device);
	list = holders(claims, claim);
	json_array_foreach(list, i, other) {
		const struct doc_lan *first = &lans[json_integer_value(other)];

		if (!doc_uplink_collides(&first->ways.uplink, &lans[lan].ways.uplink))
			continue;
		snprintf(path, sizeof(path), "/lans/%s/uplink", lans[lan].key);
		return vn_fail_at(claims->err, path, VN_E_INVALID, "%s is lent already at "
				  "/lans/%s/uplink: give each LAN a \"vlan\" of its own",
				  lans[lan].ways.uplink.device, first->key);
	}
	return json_array_append_new(list, json_integer((json_int_t)lan));
}

static int
claim_tunnel(struct claims *claims, size_t lan, size_t at)
{
	const struct doc_lan *lans = claims->lans;
	const struct doc_tunnel *tunnel = (const struct doc_tunnel *)lans[lan].ways.tunnels.items + at;
	char claim[WAY_CLAIM], path[2 * VN_NAME_MAX + 32];
	json_t *list, *other;
	size_t i;

	doc_tunnel_claim(tunnel, claim);
	snprintf(path, sizeof(path), "/lans/%s/tunnels/%s", lans[lan].key, tunnel->name);
	list = holders(claims, claim);
	json_array_foreach(list, i, other) {
		const struct doc_lan *first = &lans[json_integer_value(other) >> 16];
		const struct doc_tunnel *theirs = (const struct doc_tunnel *)first->ways.tunnels.items +
						  (json_integer_value(other) & 0xffff);

		if (!doc_tunnel_mirrors(theirs, tunnel))
			return vn_fail_at(claims->err, path, VN_E_INVALID, "kind, key and %s are those "
					  "of /lans/%s/tunnels/%s: choose another key",
					  tunnel->kind == WAY_VXLAN ? "port" : "remote", first->key,
					  theirs->name);
	}
	return json_array_append_new(list, json_integer(place(lan, at)));
}

/* Within one LAN, where there are few. */
static int
check_not_oneself(struct claims *claims, const struct doc_lan *lan)
{
	const struct doc_tunnel *tunnels = lan->ways.tunnels.items;
	char path[2 * VN_NAME_MAX + 32];

	for (size_t i = 1; i < lan->ways.tunnels.count; i++)
		for (size_t k = 0; k < i; k++) {
			if (!doc_tunnel_mirrors(&tunnels[k], &tunnels[i]))
				continue;
			snprintf(path, sizeof(path), "/lans/%s/tunnels/%s", lan->key, tunnels[i].name);
			return vn_fail_at(claims->err, path, VN_E_INVALID, "the other end of \"%s\" of "
					  "the same LAN: a tunnel to oneself leads nowhere",
					  tunnels[k].name);
		}
	return 0;
}

int
doc_ways_check_all(const struct doc_lan *lans, size_t count, struct vn_error *err)
{
	struct claims claims = { .err = err, .lans = lans, .held = json_object() };
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++) {
		result = claim_uplink(&claims, i);
		if (result == 0)
			result = check_not_oneself(&claims, &lans[i]);
		for (size_t t = 0; t < lans[i].ways.tunnels.count && result == 0; t++)
			result = claim_tunnel(&claims, i, t);
	}
	json_decref(claims.held);
	return result;
}
