/*
 * Namespaces and ports as rows, what ports carry, and who may send through them. Strict where the kernel is:
 * no port without its namespaces and its bridge. Stricter: no namespaces are taken from a running guest.
 */
#include "backends/fake/model.h"

#include <string.h>

static struct handle *
handle_of(struct net *self)
{
	return &vn_container_of(self, struct fake_net, base)->handle;
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

int
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

int
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

int
fake_ports_up(struct net *self, const struct ns_ref *ns, const struct port_spec *ports,
	      size_t n_ports, struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.ports_up", ns->vmid, CALL_CHANGES | CALL_INSIDE,
		       err) < 0)
		return -1;
	return call_end(&call, ports_up(&call, ns, ports, n_ports, err), err);
}

int
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

int
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

int
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

int
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

int
fake_routes_set(struct net *self, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
		struct vn_error *err)
{
	struct call call;

	if (call_begin(&call, handle_of(self), "net.routes_set", ns->vmid, CALL_CHANGES, err) < 0)
		return -1;
	return call_end(&call, set_routes(&call, ns, routes, count, err), err);
}

/* A world lacks netem when one of its sentences names it. */
int
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
