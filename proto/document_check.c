/*
 * The checks of a topology document that need more than one field. What must be unique is kept in JSON
 * objects used as sets, from the thing to the path that has it, so that a large document stays linear and
 * an error can name both places.
 */
#include "proto/document_private.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/ident.h"
#include "proto/base/mem.h"

enum { MTU_MIN_IPV6 = 1280 };

/* ---- what must be unique ---- */

#define PATH_SIZE 320		/* three names, their words, and an index */
#define KEY_SIZE  192

struct checks {
	struct vn_error *err;
	json_t *object;		/* the input, for how a list was written */
	json_t *vnodes;		/* vnode name -> index */
	json_t *interfaces;	/* "vnode interface" -> path */
	json_t *macs;		/* canonical MAC -> path */
	json_t *ports;		/* "tcp 2201 address" -> path */
};

static void
checks_fini(struct checks *checks)
{
	json_decref(checks->vnodes);
	json_decref(checks->interfaces);
	json_decref(checks->macs);
	json_decref(checks->ports);
}

/* Takes `key` for `path`; fails at `path`, naming the first holder, when it is taken already. */
static int
claim(struct checks *checks, json_t *set, const char *key, const char *path, const char *what)
{
	json_t *first = json_object_get(set, key);

	if (first)
		return vn_fail_at(checks->err, path, VN_E_INVALID, "%s is used already at %s", what,
				  json_string_value(first));
	json_object_set_new_nocheck(set, key, json_string_nocheck(path));
	return 0;
}

/* Puts one text form to each address, so that "fd00::1" and "fd00:0::1" are the same. */
static void
canonical_address(const char *text, char ret[static INET6_ADDRSTRLEN])
{
	unsigned char byte[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, text, byte) != 1 || !inet_ntop(family, byte, ret, INET6_ADDRSTRLEN))
		ret[0] = '\0';
}

/* ---- vnodes ---- */

/* Two forwards collide when protocol and port are equal and either listens on every address. */
static int
check_forward(struct checks *checks, const struct doc_forward *forward, const char *path)
{
	char key[KEY_SIZE], any[KEY_SIZE], what[64], address[INET6_ADDRSTRLEN] = "*";
	const char *word = protocol_words[forward->protocol];
	json_t *first;

	if (forward->address)
		canonical_address(forward->address, address);
	snprintf(what, sizeof(what), "the host's %s port %lld", word, (long long)forward->host);
	snprintf(any, sizeof(any), "%s %lld any", word, (long long)forward->host);
	snprintf(key, sizeof(key), "%s %lld *", word, (long long)forward->host);
	first = json_object_get(checks->ports, forward->address ? key : any);
	if (first)
		return vn_fail_at(checks->err, path, VN_E_INVALID, "%s is used already at %s", what,
				  json_string_value(first));
	json_object_set_new_nocheck(checks->ports, any, json_string_nocheck(path));
	snprintf(key, sizeof(key), "%s %lld %s", word, (long long)forward->host, address);
	return claim(checks, checks->ports, key, path, what);
}

/* What the kernel makes of a route without one: none for IPv4, 1024 for IPv6. */
static int64_t
metric_of(const struct doc_route *route, int family)
{
	return route->metric || family == AF_INET ? route->metric : 1024;
}

/* Two routes to one network with one metric would be one; the control network's default is one too. */
static int
check_route(struct checks *checks, const struct doc_vnode *vnode, const struct doc_route *route,
	    json_t *used, const char *path)
{
	char at[PATH_SIZE], key[KEY_SIZE], network[VN_CIDR_TEXT];
	struct vn_cidr to, via;

	if (doc_route_read(route, &to, &via, checks->err) < 0) {
		vn_error_prefix_path(checks->err, path);
		return -1;
	}
	snprintf(at, sizeof(at), "%s/to", path);
	if (to.prefix == 0 && metric_of(route, to.family) == metric_of(&(struct doc_route){ 0 }, to.family) &&
	    vnode->control && vnode->default_route == DEFAULT_CONTROL)
		return vn_fail_at(checks->err, at, VN_E_INVALID, "the default route is the control "
				  "network's: say \"default_route\": \"none\", or give this one a%s metric",
				  route->metric ? "nother" : "");
	vn_cidr_print(&to, network);
	snprintf(key, sizeof(key), "%s %lld", network, (long long)metric_of(route, to.family));
	return claim(checks, used, key, at, "the same network with the same metric");
}

static int
check_routes(struct checks *checks, const struct doc_vnode *vnode, const char *at)
{
	const struct doc_route *routes = vnode->routes.items;
	json_t *used = json_object();
	char path[PATH_SIZE];
	int result = 0;

	for (size_t i = 0; i < vnode->routes.count && result == 0; i++) {
		snprintf(path, sizeof(path), "%s/routes/%zu", at, i);
		result = check_route(checks, vnode, &routes[i], used, path);
	}
	json_decref(used);
	return result;
}

static int
check_disks(struct checks *checks, const struct doc_vnode *vnode, const char *at)
{
	bool is_first = doc_disk_check(&vnode->disk, checks->err) < 0;
	char path[PATH_SIZE];

	if (!is_first && doc_extras_check(vnode->extras.items, vnode->extras.count, checks->err) == 0)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", at, is_first ? "disk" : "disks");
	vn_error_prefix_path(checks->err, path);
	return -1;
}

/* at: the pointer of the vnode, "" or "/vnodes/NAME". */
static int
check_vnode(struct checks *checks, const struct doc_vnode *vnode, const char *at)
{
	const struct doc_forward *forwards = vnode->forwards.items;
	const char *const *argv = vnode->init.items;
	char path[PATH_SIZE];

	if (vnode->init.count > 0 && argv[0][0] != '/') {
		snprintf(path, sizeof(path), "%s/init/0", at);
		return vn_fail_at(
			checks->err, path, VN_E_INVALID,
			"the first process must be an absolute path such as \"/sbin/init\"");
	}
	for (size_t i = 0; i < vnode->forwards.count; i++) {
		snprintf(path, sizeof(path), "%s/forwards/%zu/host", at, i);
		if (check_forward(checks, &forwards[i], path) < 0)
			return -1;
	}
	if (check_disks(checks, vnode, at) < 0)
		return -1;
	if (doc_vnode_check_guest(vnode, checks->err) < 0) {
		vn_error_prefix_path(checks->err, at);
		return -1;
	}
	return check_routes(checks, vnode, at);
}

int
doc_vnode_check(const struct doc_vnode *vnode, struct vn_error *err)
{
	struct checks checks = { .err = err, .ports = json_object() };
	int result = check_vnode(&checks, vnode, "");

	checks_fini(&checks);
	return result;
}

/* ---- LANs ---- */

/* Whether the input wrote the member's address as an array, which its path must follow. */
static bool
is_address_array(const struct checks *checks, const struct doc_lan *lan,
		 const struct doc_member *member)
{
	json_t *lans = json_object_get(checks->object, "lans");
	json_t *members = json_object_get(json_object_get(lans, lan->key), "members");

	return json_is_array(json_object_get(json_object_get(members, member->key), "address"));
}

static int
check_address(struct checks *checks, const struct doc_lan *lan, const char *text, json_t *used,
	      const char *path)
{
	struct vn_cidr cidr;
	char address[INET6_ADDRSTRLEN], what[80];
	int width;

	if (vn_cidr_parse(text, &cidr, checks->err) < 0)
		return vn_fail_at(checks->err, path, VN_E_INVALID, "the address cannot be read");
	width = cidr.family == AF_INET ? 32 : 128;
	if (cidr.prefix == width && lan->members.count + lan->ways.tunnels.count > 1)
		return vn_fail_at(
			checks->err, path, VN_E_INVALID,
			"\"%s\" reaches no other member: write the LAN's prefix length, as in /%d",
			text, width == 32 ? 24 : 64);
	if (cidr.family == AF_INET6 && lan->mtu != 0 && lan->mtu < MTU_MIN_IPV6) {
		char mtu[PATH_SIZE];

		snprintf(mtu, sizeof(mtu), "/lans/%s/mtu", lan->key);
		return vn_fail_at(checks->err, mtu, VN_E_INVALID,
				  "a LAN with IPv6 addresses needs at least %d, got %lld",
				  MTU_MIN_IPV6, (long long)lan->mtu);
	}
	vn_cidr_print_address(&cidr, address);
	snprintf(what, sizeof(what), "the address %s", address);
	return claim(checks, used, address, path, what);
}

static int
check_addresses(struct checks *checks, const struct doc_lan *lan, const struct doc_member *member,
		json_t *used)
{
	const char *const *addresses = member->addresses.items;
	bool is_array = is_address_array(checks, lan, member);
	char path[PATH_SIZE];

	for (size_t i = 0; i < member->addresses.count; i++) {
		int length = snprintf(path, sizeof(path), "/lans/%s/members/%s/address", lan->key,
				      member->key);

		if (is_array)
			snprintf(path + length, sizeof(path) - (size_t)length, "/%zu", i);
		if (check_address(checks, lan, addresses[i], used, path) < 0)
			return -1;
	}
	return 0;
}

static int
check_interface(struct checks *checks, const struct doc_lan *lan, const struct doc_member *member,
		const struct doc_vnode *vnode)
{
	char path[PATH_SIZE], key[KEY_SIZE], what[KEY_SIZE];

	if (!member->interface)
		return 0;
	snprintf(path, sizeof(path), "/lans/%s/members/%s/interface", lan->key, member->key);
	if (vnode->control && strcmp(member->interface, "eth0") == 0)
		return vn_fail_at(
			checks->err, path, VN_E_INVALID,
			"eth0 is the control network: use another name, or \"control\": false");
	snprintf(key, sizeof(key), "%s %s", member->key, member->interface);
	snprintf(what, sizeof(what), "the interface \"%s\" of \"%s\"", member->interface,
		 member->key);
	return claim(checks, checks->interfaces, key, path, what);
}

static int
check_mac(struct checks *checks, const struct doc_lan *lan, const struct doc_member *member)
{
	char path[PATH_SIZE], text[VN_MAC_TEXT], what[40];
	struct vn_mac mac;

	if (!member->mac)
		return 0;
	snprintf(path, sizeof(path), "/lans/%s/members/%s/mac", lan->key, member->key);
	if (vn_mac_parse(member->mac, &mac, checks->err) < 0)
		return vn_fail_at(checks->err, path, VN_E_INVALID, "the MAC cannot be read");
	vn_mac_print(&mac, text);
	snprintf(what, sizeof(what), "the MAC %s", text);
	return claim(checks, checks->macs, text, path, what);
}

static int
check_shape(struct checks *checks, const struct doc_shape *shape, const char *path)
{
	if (doc_shape_check(shape, checks->err) == 0)
		return 0;
	vn_error_prefix_path(checks->err, path);
	return -1;
}

static int
check_port_shape(struct checks *checks, const struct doc_lan *lan, const struct doc_member *member)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/lans/%s/members/%s/shape/from", lan->key, member->key);
	if (member->shape.from.given && doc_lan_is_link(lan))
		return vn_fail_at(checks->err, path, VN_E_INVALID,
				  "a link has two members: use the other member's \"to\"");
	if (check_shape(checks, &member->shape.from, path) < 0)
		return -1;
	snprintf(path, sizeof(path), "/lans/%s/members/%s/shape/to", lan->key, member->key);
	return check_shape(checks, &member->shape.to, path);
}

static int
check_member(struct checks *checks, const struct document *document, const struct doc_lan *lan,
	     const struct doc_member *member, json_t *used)
{
	const struct doc_vnode *vnodes = document->vnodes.items;
	json_t *index = json_object_get(checks->vnodes, member->key);
	char path[PATH_SIZE];

	if (!index) {
		snprintf(path, sizeof(path), "/lans/%s/members/%s", lan->key, member->key);
		return vn_fail_at(checks->err, path, VN_E_INVALID,
				  "no vnode \"%s\" in this document: add it to \"vnodes\"",
				  member->key);
	}
	if (check_interface(checks, lan, member, &vnodes[json_integer_value(index)]) < 0 ||
	    check_mac(checks, lan, member) < 0 || check_port_shape(checks, lan, member) < 0)
		return -1;
	return check_addresses(checks, lan, member, used);
}

static int
check_schedule(struct checks *checks, const struct doc_lan *lan)
{
	json_t *object = json_object_get(json_object_get(checks->object, "lans"), lan->key);
	char path[PATH_SIZE];

	if (doc_schedule_check(lan->schedule, json_object_get(object, "members"),
			       doc_lan_is_link(lan), checks->err) == 0)
		return 0;
	snprintf(path, sizeof(path), "/lans/%s/schedule", lan->key);
	vn_error_prefix_path(checks->err, path);
	return -1;
}

static int
check_lan(struct checks *checks, const struct document *document, const struct doc_lan *lan)
{
	const struct doc_member *members = lan->members.items;
	json_t *used = json_object();
	char path[PATH_SIZE];
	int result;

	snprintf(path, sizeof(path), "/lans/%s/shape", lan->key);
	result = check_shape(checks, &lan->shape, path);
	if (result == 0 && doc_ways_check(lan, checks->err) < 0) {
		snprintf(path, sizeof(path), "/lans/%s", lan->key);
		vn_error_prefix_path(checks->err, path);
		result = -1;
	}
	for (size_t i = 0; i < lan->members.count && result == 0; i++)
		result = check_member(checks, document, lan, &members[i], used);
	if (result == 0)
		result = check_schedule(checks, lan);
	json_decref(used);
	return result;
}

static int
check_document(struct checks *checks, const struct document *document)
{
	const struct doc_vnode *vnodes = document->vnodes.items;
	const struct doc_lan *lans = document->lans.items;

	char at[PATH_SIZE];

	for (size_t i = 0; i < document->vnodes.count; i++) {
		snprintf(at, sizeof(at), "/vnodes/%s", vnodes[i].key);
		json_object_set_new(checks->vnodes, vnodes[i].key, json_integer((json_int_t)i));
		if (check_vnode(checks, &vnodes[i], at) < 0)
			return -1;
	}
	for (size_t i = 0; i < document->lans.count; i++)
		if (check_lan(checks, document, &lans[i]) < 0)
			return -1;
	return doc_ways_check_all(lans, document->lans.count, checks->err);
}

int
document_check(const struct document *document, json_t *object, struct vn_error *err)
{
	struct checks checks = { .err = err, .object = object, .vnodes = json_object(),
				 .interfaces = json_object(), .macs = json_object(),
				 .ports = json_object() };
	int result = check_document(&checks, document);

	checks_fini(&checks);
	return result;
}
