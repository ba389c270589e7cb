/*
 * Bridges, namespaces and ports as rows; forwards are in rules.c. Strict where the kernel is: no
 * port without its namespaces and its bridge. Stricter: no namespaces are taken from a running guest.
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

static int
namespaces_up(struct call *call, const struct ns_ref *ns, struct vn_error *err)
{
	struct netns *netns = netns_find(call->world, ns->vmid);

	if (net_check_up(call, err) < 0)
		return -1;
	if (netns && (strcmp(netns->uuid, ns->uuid) != 0 || !netns->userns != !ns->userns))
		return vn_fail(err, VN_E_EXISTS, "'%s' holds the namespaces of another vnode, or of "
			       "another kind; remove them", ns->netns);
	if (netns)
		return 0;
	netns = vn_alloc(sizeof(*netns));
	netns->vmid = ns->vmid;
	netns->uuid = vn_strdup(ns->uuid);
	netns->netns = vn_strdup(ns->netns);
	netns->userns = vn_strdup(ns->userns);
	netns->idmap_base = ns->idmap_base;
	netns->inode = call->world->next_serial++;
	vn_list_append(&call->world->namespaces, &netns->link);
	return 0;
}

static int
fake_namespaces_up(struct net *self, const struct ns_ref *ns, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.namespaces_up", ns->vmid, CALL_CHANGES,
		       err) < 0)
		return -1;
	return call_end(&call, namespaces_up(&call, ns, err), err);
}

static int
namespaces_down(struct call *call, const struct ns_ref *ns, struct vn_error *err)
{
	struct netns *netns = netns_find(call->world, ns->vmid);

	if (guest_by_vmid(call->world, ns->vmid))
		return wrong_order(call, err, "vnode %lld is still running", (long long)ns->vmid);
	ports_free(call->world, ns->vmid);
	if (netns && !call->is_amid)
		netns_free(netns);
	return 0;
}

static int
fake_namespaces_down(struct net *self, const struct ns_ref *ns, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.namespaces_down", ns->vmid,
		       CALL_CHANGES | CALL_INSIDE, err) < 0)
		return -1;
	return call_end(&call, namespaces_down(&call, ns, err), err);
}

static int
check_port(struct call *call, const struct ns_ref *ns, const struct port_spec *spec,
	   struct vn_error *err)
{
	if (spec->lan != NET_CONTROL && !bridge_find(call->world, spec->lan))
		return wrong_order(call, err, "port v%llde%u: its bridge l%lld is not there",
				   (long long)ns->vmid, spec->index, (long long)spec->lan);
	vn_list_each(struct port, port, &call->world->ports, link)
		if (port->vmid == ns->vmid && port->index != spec->index &&
		    strcmp(port->ifname, spec->ifname) == 0)
			return vn_fail(err, VN_E_EXISTS, "vnode %lld has an interface '%s' already",
				       (long long)ns->vmid, spec->ifname);
	return 0;
}

static void
make_port(struct world *world, const struct ns_ref *ns, const struct port_spec *spec)
{
	struct port *port = port_find(world, ns->vmid, spec->index);

	if (port)
		port_free(port);
	port = vn_alloc(sizeof(*port));
	port->vmid = ns->vmid;
	port->lan = spec->lan;
	port->index = spec->index;
	port->mtu = spec->mtu ? spec->mtu : 1500;
	port->uuid = vn_strdup(ns->uuid);
	port->ifname = vn_strdup(spec->ifname);
	port->mac = spec->mac;
	port->up = spec->up;
	port->may_send = true;
	port->no_arp = spec->no_arp;
	port->out = spec->out;
	port->in = spec->in;
	port->n_addresses = spec->n_addresses;
	port->addresses = vn_alloc_array(spec->n_addresses, sizeof(*port->addresses));
	if (spec->n_addresses)
		memcpy(port->addresses, spec->addresses,
		       spec->n_addresses * sizeof(*port->addresses));
	vn_list_append(&world->ports, &port->link);
}

static int
ports_up(struct call *call, const struct ns_ref *ns, const struct port_spec *ports, size_t n_ports,
	 struct vn_error *err)
{
	struct netns *netns = netns_find(call->world, ns->vmid);

	if (net_check_up(call, err) < 0)
		return -1;
	if (!netns || strcmp(netns->uuid, ns->uuid) != 0)
		return wrong_order(call, err, "vnode %lld has no namespaces", (long long)ns->vmid);
	for (size_t i = 0; i < n_ports; i++)
		if (check_port(call, ns, &ports[i], err) < 0)
			return -1;
	for (size_t i = 0; i < n_ports && !(call->is_amid && i == 1); i++)
		make_port(call->world, ns, &ports[i]);
	return 0;
}

static int
fake_ports_up(struct net *self, const struct ns_ref *ns, const struct port_spec *ports,
	      size_t n_ports, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.ports_up", ns->vmid, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	return call_end(&call, ports_up(&call, ns, ports, n_ports, err), err);
}

static int
fake_ports_down(struct net *self, const struct ns_ref *ns, const unsigned *indexes,
		size_t n_indexes, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.ports_down", ns->vmid,
		       CALL_CHANGES | CALL_INSIDE, err) < 0)
		return -1;
	for (size_t i = 0; i < n_indexes && !(call.is_amid && i == 1); i++) {
		struct port *port = port_find(call.world, ns->vmid, indexes[i]);

		if (port)
			port_free(port);
	}
	return call_end(&call, 0, err);
}

static bool
is_among(const struct port *port, const struct control_spec *specs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (specs[i].vmid == port->vmid &&
		    memcmp(&specs[i].mac, &port->mac, sizeof(port->mac)) == 0)
			return true;
	return false;
}

static int
control_sync(struct call *call, const struct control_spec *specs, size_t count, struct vn_error *err)
{
	if (net_check_up(call, err) < 0)
		return -1;
	vn_list_each(struct port, port, &call->world->ports, link)
		if (port->lan == NET_CONTROL)
			port->may_send = is_among(port, specs, count);
	return 0;
}

static int
fake_control_sync(struct net *self, const struct control_spec *specs, size_t count,
		  struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.control_sync", 0, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, control_sync(&call, specs, count, err), err);
}

static int
ports_carrier(struct call *call, const int64_t *vmids, const unsigned *indexes, size_t count,
	      bool up, struct vn_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!port_find(call->world, vmids[i], indexes[i]))
			return vn_fail(err, VN_E_NOT_FOUND, "no port v%llde%u in the fabric",
				       (long long)vmids[i], indexes[i]);
	for (size_t i = 0; i < count; i++)
		port_find(call->world, vmids[i], indexes[i])->up = up;
	return 0;
}

static int
fake_ports_carrier(struct net *self, const int64_t *vmids, const unsigned *indexes, size_t count,
		   bool up, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.ports_carrier", count ? vmids[0] : 0,
		       CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, ports_carrier(&call, vmids, indexes, count, up, err), err);
}

static int
ports_shape(struct call *call, const struct port_shape *ports, size_t count, struct vn_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!port_find(call->world, ports[i].vmid, ports[i].index))
			return vn_fail(err, VN_E_NOT_FOUND, "no port v%llde%u in the fabric",
				       (long long)ports[i].vmid, ports[i].index);
	for (size_t i = 0; i < count; i++) {
		struct port *port = port_find(call->world, ports[i].vmid, ports[i].index);

		port->out = ports[i].out;
		port->in = ports[i].in;
	}
	return 0;
}

static int
fake_ports_shape(struct net *self, const struct port_shape *ports, size_t count, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.ports_shape", count ? ports[0].vmid : 0,
		       CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, ports_shape(&call, ports, count, err), err);
}

static int
set_routes(struct call *call, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
	   struct vn_error *err)
{
	struct netns *netns = netns_find(call->world, ns->vmid);

	if (!netns)
		return vn_fail(err, VN_E_NOT_FOUND, "no namespace of vnode %lld", (long long)ns->vmid);
	free(netns->routes);
	netns->routes = vn_alloc_array(count, sizeof(*routes));
	netns->n_routes = count;
	if (count)
		memcpy(netns->routes, routes, count * sizeof(*routes));
	return 0;
}

static int
fake_routes_set(struct net *self, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
		struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.routes_set", ns->vmid, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, set_routes(&call, ns, routes, count, err), err);
}

/* A world lacks netem when one of its sentences names it. */
static int
fake_shape_check(struct net *self, const struct shape *shape, struct vn_error *err)
{
	struct call call;
	int result = 0;

	if (call_begin(&call, handle_of(self), "net.shape_check", 0, CALL_LOOP, err) < 0)
		return -1;
	vn_list_each(struct word, lack, &call.world->lacks, link)
		if (strstr(lack->text, "netem") && (shape->delay_ns || shape->loss > 0))
			result = vn_fail_at(err, shape->delay_ns ? "/delay" : "/loss",
					    VN_E_UNSUPPORTED, "%s", lack->text);
	return call_end(&call, result, err);
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
