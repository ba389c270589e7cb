/*
 * The ways out of LANs. The host of a world has the devices and addresses that a test gives it; packets
 * of 1500 bytes go everywhere, and 50 of them are what a tunnel takes.
 */
#include "backends/fake/model.h"

#include <string.h>

enum { DEVICE_MTU = 1500, TUNNEL_BYTES = 50 };

static const char *const kinds[] = { "gre", "egre", "vxlan" };

static void
add_foreign(struct world *world, const char *kind, const char *text)
{
	pthread_mutex_lock(&world->lock);
	word_add(&world->foreign, kind, text);
	pthread_mutex_unlock(&world->lock);
}

void
world_device(struct world *world, const char *name, bool has_default_route)
{
	add_foreign(world, "device", name);
	if (has_default_route)
		add_foreign(world, "default", name);
}

void
world_device_gone(struct world *world, const char *name)
{
	pthread_mutex_lock(&world->lock);
	vn_list_each_safe(struct word, word, &world->foreign, link)
		if (strcmp(word->text, name) == 0) {
			vn_list_remove(&word->link);
			word_free(word);
		}
	pthread_mutex_unlock(&world->lock);
}

void
world_address(struct world *world, const char *address)
{
	add_foreign(world, "address", address);
}

static bool
is_own(const struct world *world, const struct vn_cidr *address)
{
	char text[INET6_ADDRSTRLEN];

	vn_cidr_print_address(address, text);
	return word_has(&world->foreign, "address", text);
}

/* ---- checks ---- */

/* A world lacks what one of its sentences has as a word. */
static int
check_kernel(const struct world *world, const char *kind, const char *path, struct vn_error *err)
{
	vn_autofree char *needle = vn_format(" %s ", kind);

	vn_list_each(struct word, lack, &world->lacks, link)
		if (strstr(lack->text, needle))
			return vn_fail_at(err, path, VN_E_UNSUPPORTED, "%s", lack->text);
	return 0;
}

static int
check_route(const struct world *world, const struct tunnel_spec *tunnel, struct tunnel_route *ret,
	    struct vn_error *err)
{
	if (tunnel->local.family && !is_own(world, &tunnel->local))
		return vn_fail_at(err, "/local", VN_E_INVALID, "no address of this host");
	*ret = (struct tunnel_route){ .own = is_own(world, &tunnel->remote) };
	if (ret->own && !tunnel->local.family)
		return vn_fail_at(err, "/remote", VN_E_INVALID, "this host: a tunnel to oneself");
	if (ret->own)
		return 0;
	ret->mtu = DEVICE_MTU - TUNNEL_BYTES;
	return check_kernel(world, kinds[tunnel->kind], "/kind", err);
}

static int
check_uplink(const struct world *world, const struct uplink_spec *uplink, struct vn_error *err)
{
	if (!word_has(&world->foreign, "device", uplink->device))
		return vn_fail_at(err, "/device", VN_E_NOT_FOUND, "no device '%s'", uplink->device);
	if (!uplink->default_route && word_has(&world->foreign, "default", uplink->device))
		return vn_fail_at(err, "/default_route", VN_E_DENIED, "the default route leads there");
	return uplink->vlan ? check_kernel(world, "vlan", "/vlan", err) : 0;
}

int
fake_tunnel_route(struct net *self, const struct tunnel_spec *tunnel, struct tunnel_route *ret,
		  struct vn_error *err)
{
	struct fake_net *fake = vn_container_of(self, struct fake_net, base);
	struct call call;

	if (call_begin(&call, &fake->handle, "net.tunnel_route", 0, CALL_LOOP, err) < 0)
		return -1;
	return call_end(&call, check_route(call.world, tunnel, ret, err), err);
}

int
fake_uplink_check(struct net *self, const struct uplink_spec *uplink, unsigned *ret_mtu,
		  struct vn_error *err)
{
	struct fake_net *fake = vn_container_of(self, struct fake_net, base);
	struct call call;

	if (call_begin(&call, &fake->handle, "net.uplink_check", 0, CALL_LOOP, err) < 0)
		return -1;
	*ret_mtu = DEVICE_MTU;
	return call_end(&call, check_uplink(call.world, uplink, err), err);
}

/* ---- making ---- */

static int
check_lent(const struct world *world, const struct bridge *bridge, const struct uplink_spec *uplink,
	   struct vn_error *err)
{
	vn_list_each(struct bridge, other, &world->bridges, link)
		if (other != bridge && other->uplink.device &&
		    strcmp(other->uplink.device, uplink->device) == 0 &&
		    (!other->uplink.vlan || !uplink->vlan || other->uplink.vlan == uplink->vlan))
			return vn_fail(err, VN_E_BUSY, "'%s' is lent to another LAN", uplink->device);
	return 0;
}

int
ways_settle(struct call *call, struct bridge *bridge, const struct lan_spec *lan, struct vn_error *err)
{
	const struct uplink_spec *uplink = &lan->uplink;

	if (uplink->device && (check_uplink(call->world, uplink, err) < 0 ||
			       check_lent(call->world, bridge, uplink, err) < 0))
		return -1;
	if (call->is_amid)
		return 0;
	ways_free(bridge);
	bridge->no_learning = lan->no_learning;
	bridge->uplink = *uplink;
	bridge->uplink.device = vn_strdup(uplink->device);
	bridge->n_tunnels = lan->n_tunnels;
	bridge->tunnels = vn_alloc_array(lan->n_tunnels, sizeof(*bridge->tunnels));
	if (lan->n_tunnels)
		memcpy(bridge->tunnels, lan->tunnels, lan->n_tunnels * sizeof(*bridge->tunnels));
	return 0;
}

void
ways_free(struct bridge *bridge)
{
	free((char *)(uintptr_t)bridge->uplink.device);
	free(bridge->tunnels);
	bridge->uplink.device = NULL;
	bridge->tunnels = NULL;
	bridge->n_tunnels = 0;
}

/* ---- looking ---- */

static json_t *
describe_tunnel(const struct world *world, const struct tunnel_spec *tunnel)
{
	char local[INET6_ADDRSTRLEN] = "", remote[INET6_ADDRSTRLEN];
	json_t *object;

	if (tunnel->local.family)
		vn_cidr_print_address(&tunnel->local, local);
	vn_cidr_print_address(&tunnel->remote, remote);
	object = json_pack("{ss ss ss sI si sb}", "kind", kinds[tunnel->kind], "local", local, "remote",
			   remote, "key", tunnel->has_key ? (json_int_t)tunnel->key : -1, "port",
			   (int)tunnel->port, "own", is_own(world, &tunnel->remote));
	describe_shape(object, "out", &tunnel->out);
	describe_shape(object, "in", &tunnel->in);
	return object;
}

void
ways_describe(const struct world *world, const struct bridge *bridge, json_t *object)
{
	json_t *tunnels = json_object();

	for (unsigned i = 0; i < bridge->n_tunnels; i++) {
		vn_autofree char *name = vn_format("t%lldn%u", (long long)bridge->id,
						   bridge->tunnels[i].index);

		json_object_set_new(tunnels, name, describe_tunnel(world, &bridge->tunnels[i]));
	}
	if (json_object_size(tunnels))
		json_object_set(object, "tunnels", tunnels);
	json_decref(tunnels);
	if (bridge->no_learning)
		json_object_set_new(object, "learning", json_false());
	if (bridge->uplink.device)
		json_object_set_new(object, "uplink", json_sprintf("%s %u", bridge->uplink.device,
								  bridge->uplink.vlan));
}
