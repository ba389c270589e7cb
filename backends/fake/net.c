/*
 * The fabric, its bridges and what is found in it, as rows; namespaces and ports are in port.c, forwards in
 * rules.c, ways out of LANs in ways.c.
 */
#include "backends/fake/model.h"

#include <string.h>

static struct handle *
handle_of(struct net *self)
{
	return &vn_container_of(self, struct fake_net, base)->handle;
}

static int
fake_open(const struct backend_env *env, struct net **ret, struct vn_error *err)
{
	struct fake_net *fake = vn_alloc(sizeof(*fake));

	(void)err;
	fake->base.ops = &net_fake;
	fake->control[0] = env->control4;
	fake->control[1] = env->control6;
	fake->handle.is_net = true;
	handle_open(&fake->handle, env);
	*ret = &fake->base;
	return 0;
}

static void
fake_close(struct net *self)
{
	if (!self)
		return;
	handle_close(handle_of(self));
	free(self);
}

int
net_check_up(struct call *call, struct vn_error *err)
{
	if (call->world->net_is_up)
		return 0;
	return wrong_order(call, err, "the fabric is not there: host_up comes first");
}

static int
check_routes(const struct world *world, const struct vn_cidr *control, struct vn_error *err)
{
	char ours[VN_CIDR_TEXT], theirs[VN_CIDR_TEXT];

	for (size_t i = 0; i < world->n_routes; i++) {
		if (!vn_cidr_overlap(&world->routes[i], control))
			continue;
		vn_cidr_print(control, ours);
		vn_cidr_print(&world->routes[i], theirs);
		return vn_fail(err, VN_E_EXISTS, "control_network %s overlaps the host's route to "
			       "%s; choose another in vnoded.conf", ours, theirs);
	}
	return 0;
}

static int
host_up(struct call *call, const struct vn_cidr control[2], struct vn_error *err)
{
	for (size_t i = 0; i < 2; i++)
		if (control[i].family != 0 && check_routes(call->world, &control[i], err) < 0)
			return -1;
	call->world->net_is_up = true;
	call->world->uplink_is_down = false;
	return 0;
}

static int
fake_host_up(struct net *self, struct vn_error *err)
{
	struct fake_net *fake = vn_container_of(self, struct fake_net, base);
	struct call call;

	if (call_begin(&call, &fake->handle, "net.host_up", 0, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, host_up(&call, fake->control, err), err);
}

static int
host_down(struct call *call, struct vn_error *err)
{
	struct world *world = call->world;

	vn_list_each(struct guest, guest, &world->guests, link)
		if (guest->is_running)
			return wrong_order(call, err, "'%s' is still running", guest->domain);
	vn_list_each_safe(struct rule, rule, &world->rules, link) {
		vn_list_remove(&rule->link);
		free(rule);
	}
	vn_list_each_safe(struct port, port, &world->ports, link)
		port_free(port);
	if (call->is_amid)
		return 0;
	vn_list_each_safe(struct netns, netns, &world->namespaces, link)
		netns_free(netns);
	vn_list_each_safe(struct bridge, bridge, &world->bridges, link)
		bridge_free(bridge);
	world->net_is_up = false;
	return 0;
}

static int
fake_host_down(struct net *self, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.host_down", 0, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	return call_end(&call, host_down(&call, err), err);
}

static int
fake_missing(struct net *self, char ***ret, struct vn_error *err)
{
	return call_missing(handle_of(self), "net.missing", "net", ret, err);
}

static int
lan_up(struct call *call, const struct lan_spec *lan, struct vn_error *err)
{
	vn_autofree char *number = vn_format("%lld", (long long)lan->id);
	struct bridge *bridge = bridge_find(call->world, lan->id);
	bool is_new = !bridge;

	if (net_check_up(call, err) < 0)
		return -1;
	if (word_has(&call->world->foreign, "lan", number) ||
	    (bridge && strcmp(bridge->uuid, lan->uuid) != 0))
		return vn_fail(err, VN_E_EXISTS, "the bridge 'l%s' in the fabric is not this LAN's; "
			       "remove it", number);
	if (!bridge) {
		bridge = vn_alloc(sizeof(*bridge));
		bridge->id = lan->id;
		bridge->uuid = vn_strdup(lan->uuid);
		vn_list_append(&call->world->bridges, &bridge->link);
	}
	bridge->mtu = lan->mtu ? lan->mtu : 1500;
	if (ways_settle(call, bridge, lan, err) == 0)
		return 0;
	if (is_new)
		bridge_free(bridge);
	return -1;
}

static int
fake_lan_up(struct net *self, const struct lan_spec *lan, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.lan_up", lan->id, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	return call_end(&call, lan_up(&call, lan, err), err);
}

/* As in the kernel, ports outlive their bridge, connected to nothing. */
static void
lan_down(struct world *world, int64_t lan)
{
	struct bridge *bridge = bridge_find(world, lan);

	if (!bridge)
		return;
	bridge_free(bridge);
	vn_list_each(struct port, port, &world->ports, link)
		if (port->lan == lan)
			port->lan = -1;
}

static int
fake_lan_down(struct net *self, int64_t lan, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.lan_down", lan, CALL_CHANGES, err) < 0)
		return -1;
	lan_down(call.world, lan);
	return call_end(&call, 0, err);
}

struct findings {
	struct net_found *items;
	size_t count;
};

static void
find(struct findings *findings, const struct net_found *item, const char *uuid)
{
	findings->items = vn_realloc_array(findings->items, findings->count + 1, sizeof(*item));
	findings->items[findings->count] = *item;
	strncpy(findings->items[findings->count].uuid, uuid, VN_UUID_TEXT - 1);
	findings->count++;
}

static void
find_bridge(struct findings *found, const struct bridge *bridge)
{
	find(found, &(struct net_found){ .kind = NET_BRIDGE, .id = bridge->id, .lan = -1 },
	     bridge->uuid);
	for (unsigned i = 0; i < bridge->n_tunnels; i++)
		find(found, &(struct net_found){ .kind = NET_TUNNEL, .id = bridge->id,
			.index = bridge->tunnels[i].index, .lan = bridge->id, .up = true },
		     bridge->uuid);
	if (bridge->uplink.device)
		find(found, &(struct net_found){ .kind = NET_UPLINK, .id = bridge->id,
			.lan = bridge->id, .up = true }, bridge->uuid);
}

static void
find_all(struct world *world, struct findings *found)
{
	vn_list_each(struct bridge, bridge, &world->bridges, link)
		find_bridge(found, bridge);
	vn_list_each(struct port, port, &world->ports, link)
		find(found, &(struct net_found){ .kind = NET_PORT, .id = port->vmid,
			.index = port->index, .lan = port->lan, .up = port->up }, port->uuid);
	vn_list_each(struct netns, netns, &world->namespaces, link) {
		find(found, &(struct net_found){ .kind = NET_NETNS, .id = netns->vmid,
			.lan = -1 }, "");
		if (netns->userns)
			find(found, &(struct net_found){ .kind = NET_USERNS, .id = netns->vmid,
				.lan = -1 }, "");
	}
}

static int
fake_inventory(struct net *self, struct net_found **ret, size_t *ret_count, struct vn_error *err)
{
	struct findings found = { 0 };
	struct call call;

	if (call_begin(&call, handle_of(self), "net.inventory", 0, 0, err) < 0)
		return -1;
	find_all(call.world, &found);
	if (call_end(&call, 0, err) < 0) {
		free(found.items);
		return -1;
	}
	*ret = found.items;
	*ret_count = found.count;
	return 0;
}

const struct net_ops net_fake = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.host_up = fake_host_up,
	.host_down = fake_host_down,
	.missing = fake_missing,
	.lan_up = fake_lan_up,
	.lan_down = fake_lan_down,
	.tunnel_route = fake_tunnel_route,
	.uplink_check = fake_uplink_check,
	.namespaces_up = fake_namespaces_up,
	.namespaces_down = fake_namespaces_down,
	.ports_up = fake_ports_up,
	.ports_down = fake_ports_down,
	.control_sync = fake_control_sync,
	.ports_carrier = fake_ports_carrier,
	.ports_shape = fake_ports_shape,
	.shape_check = fake_shape_check,
	.routes_set = fake_routes_set,
	.forward_reserve = fake_forward_reserve,
	.forward_release = fake_forward_release,
	.forwards_up = fake_forwards_up,
	.forwards_down = fake_forwards_down,
	.forwards_sync = fake_forwards_sync,
	.inventory = fake_inventory,
	.probe = fake_measure,
	.verify = fake_net_verify,
	.watch = fake_net_watch,
};
