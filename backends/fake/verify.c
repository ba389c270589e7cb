/*
 * verify and watch over the rows of the world, in the words of the real backend. Shapes are compared as
 * shapes, since there are no qdiscs here: the fields are the same.
 */
#include "backends/difference.h"
#include "backends/fake/model.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct look {
	struct world *world;
	const struct net_wanted *wanted;
	struct differences *ret;
};

static bool
spares(const struct look *look, int64_t vmid)
{
	for (size_t i = 0; i < look->wanted->n_spared; i++)
		if (look->wanted->spared[i].vmid == vmid)
			return true;
	return false;
}

static const struct net_vnode *
vnode_find(const struct look *look, int64_t vmid)
{
	for (size_t i = 0; i < look->wanted->n_vnodes; i++)
		if (look->wanted->vnodes[i].ns.vmid == vmid)
			return &look->wanted->vnodes[i];
	return NULL;
}

/* ---- bridges --------------------------------------------------------------------------------- */

static bool
spares_lan(const struct look *look, int64_t lan)
{
	for (size_t i = 0; i < look->wanted->n_spared_lans; i++)
		if (look->wanted->spared_lans[i] == lan)
			return true;
	for (size_t i = 0; i < look->wanted->n_lans; i++)
		if (look->wanted->lans[i].id == lan)
			return true;
	return false;
}

static bool
has_tunnel(const struct bridge *bridge, const struct tunnel_spec *wanted)
{
	for (unsigned i = 0; bridge && i < bridge->n_tunnels; i++)
		if (bridge->tunnels[i].index == wanted->index)
			return true;
	return false;
}

static void
check_ways(struct look *look, const struct lan_spec *lan, const struct bridge *bridge)
{
	struct difference_about about = difference_about("uplink", 0, PORT_ANY, lan->id, "u%lld",
							 (long long)lan->id);

	difference_flag(look->ret, &about, "exists", lan->uplink.device != NULL,
			bridge && bridge->uplink.device != NULL);
	for (unsigned i = 0; i < lan->n_tunnels; i++) {
		about = difference_about("tunnel", 0, PORT_ANY, lan->id, "t%lldn%u",
					 (long long)lan->id, lan->tunnels[i].index);
		difference_flag(look->ret, &about, "exists", true, has_tunnel(bridge, &lan->tunnels[i]));
	}
}

static void
check_bridges(struct look *look)
{
	for (size_t i = 0; i < look->wanted->n_lans; i++) {
		const struct lan_spec *lan = &look->wanted->lans[i];
		struct bridge *bridge = bridge_find(look->world, lan->id);
		struct difference_about about = difference_about("bridge", 0, PORT_ANY, lan->id, "l%lld",
								 (long long)lan->id);

		if (difference_flag(look->ret, &about, "exists", true, bridge != NULL))
			difference_number(look->ret, &about, "mtu", lan->mtu ? lan->mtu : 1500,
					  bridge->mtu);
		check_ways(look, lan, bridge);
	}
	vn_list_each(struct bridge, bridge, &look->world->bridges, link) {
		struct difference_about about = difference_about("bridge", 0, PORT_ANY, bridge->id,
								 "l%lld", (long long)bridge->id);

		if (look->wanted->whole && !spares_lan(look, bridge->id))
			difference_surplus(look->ret, &about);
	}
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void
check_shape(struct look *look, const struct difference_about *about, const struct shape *wanted,
	    const struct shape *found)
{
	static const struct {
		const char *field;
		size_t offset;
		bool is_share;
	} fields[] = {
#define FIELD(member, share) { #member, offsetof(struct shape, member), share }
		FIELD(rate_bps, false), FIELD(delay_ns, false), FIELD(jitter_ns, false),
		FIELD(loss, true), FIELD(loss_correlation, true), FIELD(duplicate, true),
		FIELD(corrupt, true), FIELD(reorder, true), FIELD(reorder_correlation, true),
		FIELD(limit_bytes, false), FIELD(limit_packets, false),
	};

	look->ret->checked[CHECKED_QDISCS]++;
	for (size_t i = 0; i < VN_COUNT(fields); i++) {
		const void *want = (const char *)wanted + fields[i].offset;
		const void *have = (const char *)found + fields[i].offset;
		double share, other;

		if (memcmp(want, have, sizeof(uint64_t)) == 0)
			continue;
		memcpy(&share, want, sizeof(share));
		memcpy(&other, have, sizeof(other));
		if (fields[i].is_share)
			difference_add(look->ret, about, fields[i].field, json_real(share),
				       json_real(other));
		else
			difference_number(look->ret, about, fields[i].field, *(const uint64_t *)want,
					  *(const uint64_t *)have);
	}
}

static void
check_inside(struct look *look, struct difference_about about, const struct port_spec *spec,
	     const struct port *port)
{
	difference_text(look->ret, &about, "interface", spec->ifname, port->ifname);
	difference_mac(look->ret, &about, "mac", &spec->mac, &port->mac);
	about.kind = "address";
	difference_addresses(look->ret, &about, spec->addresses, spec->n_addresses, port->addresses,
			     port->n_addresses);
}

static void
check_port(struct look *look, const struct net_vnode *vnode, const struct port_spec *spec)
{
	long long vmid = (long long)vnode->ns.vmid;
	struct port *port = port_find(look->world, vnode->ns.vmid, spec->index);
	struct difference_about about = difference_about("port", vnode->ns.vmid, spec->index, spec->lan,
							 "v%llde%u", vmid, spec->index);
	char wanted[24], found[24];

	look->ret->checked[CHECKED_PORTS]++;
	if (!difference_flag(look->ret, &about, "exists", true, port != NULL))
		return;
	snprintf(wanted, sizeof(wanted), "l%lld", (long long)spec->lan);
	snprintf(found, sizeof(found), "l%lld", (long long)port->lan);
	difference_text(look->ret, &about, "bridge", wanted, port->lan < 0 ? NULL : found);
	difference_number(look->ret, &about, "mtu", spec->mtu ? spec->mtu : 1500, port->mtu);
	difference_flag(look->ret, &about, "up", spec->up, port->up);
	about.kind = "qdisc";
	check_shape(look, &about, &spec->out, &port->out);
	about = difference_about("qdisc", vnode->ns.vmid, spec->index, spec->lan, "i%llde%u", vmid,
				 spec->index);
	check_shape(look, &about, &spec->in, &port->in);
	about = difference_about("port", vnode->ns.vmid, spec->index, spec->lan, "v%llde%u", vmid,
				 spec->index);
	if (look->wanted->inside)
		check_inside(look, about, spec, port);
}

static bool
is_wanted_port(const struct look *look, const struct port *port)
{
	const struct net_vnode *vnode = vnode_find(look, port->vmid);

	for (size_t i = 0; vnode && i < vnode->n_ports; i++)
		if (vnode->ports[i].index == port->index)
			return true;
	return spares(look, port->vmid);
}

static void
check_ports(struct look *look)
{
	for (size_t i = 0; i < look->wanted->n_vnodes; i++)
		for (size_t k = 0; k < look->wanted->vnodes[i].n_ports; k++)
			check_port(look, &look->wanted->vnodes[i], &look->wanted->vnodes[i].ports[k]);
	vn_list_each(struct port, port, &look->world->ports, link) {
		struct difference_about about = difference_about("port", port->vmid, port->index, -1,
								 "v%llde%u", (long long)port->vmid,
								 port->index);

		if (look->wanted->whole && !is_wanted_port(look, port))
			difference_surplus(look->ret, &about);
	}
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static bool
is_same_route(const struct route_spec *a, const struct route_spec *b)
{
	return memcmp(&a->to, &b->to, sizeof(a->to)) == 0 && memcmp(&a->via, &b->via, sizeof(a->via)) == 0 &&
	       a->metric == b->metric;
}

static bool
has_route(const struct route_spec *list, size_t count, const struct route_spec *one)
{
	for (size_t i = 0; i < count; i++)
		if (is_same_route(&list[i], one))
			return true;
	return false;
}

static void
tell_route(struct look *look, const struct difference_about *about, const struct route_spec *route,
	   bool wanted)
{
	char to[VN_CIDR_TEXT], via[INET6_ADDRSTRLEN], text[128];

	vn_cidr_print(&route->to, to);
	vn_cidr_print_address(&route->via, via);
	snprintf(text, sizeof(text), "%s via %s", to, via);
	difference_text(look->ret, about, "route", wanted ? text : NULL, wanted ? NULL : text);
}

static void
check_vnode(struct look *look, const struct net_vnode *vnode)
{
	struct netns *netns = netns_find(look->world, vnode->ns.vmid);
	struct difference_about about = difference_about("namespace", vnode->ns.vmid, PORT_ANY, -1,
							 "vnoded-%lld", (long long)vnode->ns.vmid);

	if (!difference_flag(look->ret, &about, "network_namespace", true, netns != NULL))
		return;
	about.kind = "route";
	look->ret->checked[CHECKED_ROUTES] += (unsigned)vnode->n_routes;
	for (size_t i = 0; i < vnode->n_routes; i++)
		if (!has_route(netns->routes, netns->n_routes, &vnode->routes[i]))
			tell_route(look, &about, &vnode->routes[i], true);
	for (size_t i = 0; i < netns->n_routes; i++)
		if (!has_route(vnode->routes, vnode->n_routes, &netns->routes[i]))
			tell_route(look, &about, &netns->routes[i], false);
}

static void
check_namespaces(struct look *look)
{
	for (size_t i = 0; look->wanted->inside && i < look->wanted->n_vnodes; i++)
		check_vnode(look, &look->wanted->vnodes[i]);
	vn_list_each(struct netns, netns, &look->world->namespaces, link) {
		struct difference_about about = difference_about("namespace", netns->vmid, PORT_ANY, -1,
								 "vnoded-%lld", (long long)netns->vmid);

		if (look->wanted->whole && !vnode_find(look, netns->vmid) && !spares(look, netns->vmid))
			difference_surplus(look->ret, &about);
	}
}

/* ---- forwards -------------------------------------------------------------------------------- */

static struct difference_about
about_forward(const struct forward_spec *forward)
{
	return difference_about("forward", forward->vmid, PORT_ANY, -1, "%s %u",
				forward->protocol == IPPROTO_UDP ? "udp" : "tcp", forward->host);
}

static bool
is_wanted_forward(const struct look *look, const struct forward_spec *forward)
{
	for (size_t i = 0; i < look->wanted->n_forwards; i++)
		if (look->wanted->forwards[i].protocol == forward->protocol &&
		    look->wanted->forwards[i].host == forward->host)
			return true;
	return spares(look, forward->vmid);
}

static void
print_target(const struct forward_spec *forward, char text[static 80])
{
	char address[INET6_ADDRSTRLEN];

	vn_cidr_print_address(&forward->to4, address);
	snprintf(text, 80, "%s . %u", address, forward->guest);
}

static void
check_forwards(struct look *look)
{
	look->ret->checked[CHECKED_FORWARDS] += (unsigned)look->wanted->n_forwards;
	for (size_t i = 0; i < look->wanted->n_forwards; i++) {
		const struct forward_spec *forward = &look->wanted->forwards[i];
		struct difference_about about = about_forward(forward);
		struct rule *rule = rule_find(look->world, forward->protocol, forward->host);
		char wanted[80], found[80];

		print_target(forward, wanted);
		if (rule)
			print_target(&rule->forward, found);
		difference_text(look->ret, &about, "target", wanted, rule ? found : NULL);
	}
	vn_list_each(struct rule, rule, &look->world->rules, link) {
		struct difference_about about = about_forward(&rule->forward);
		struct difference *difference;
		char found[80];

		if (!look->wanted->whole || is_wanted_forward(look, &rule->forward))
			continue;
		about.vmid = 0;
		print_target(&rule->forward, found);
		difference = difference_add(look->ret, &about, "target", NULL, json_string(found));
		difference->surplus = true;
		difference->forward = rule->forward;
	}
}

/* ---- all of it ------------------------------------------------------------------------------- */

int
fake_net_verify(struct net *self, const struct net_wanted *wanted, struct differences *ret,
	    struct vn_error *err)
{
	struct fake_net *fake = vn_container_of(self, struct fake_net, base);
	struct look look = { .world = fake->handle.world, .wanted = wanted, .ret = ret };
	struct difference_about uplink = difference_about("uplink", 0, PORT_ANY, -1, "uplink");
	struct call call;

	if (call_begin(&call, &fake->handle, "net.verify", 0, 0, err) < 0)
		return -1;
	if (wanted->whole)
		difference_flag(ret, &uplink, "up", true, !look.world->uplink_is_down);
	check_bridges(&look);
	check_ports(&look);
	check_namespaces(&look);
	check_forwards(&look);
	return call_end(&call, 0, err);
}

/* ---- watching -------------------------------------------------------------------------------- */

int
fake_net_watch(struct net *self, watch_fn *on_change, void *arg, struct vn_error *err)
{
	struct fake_net *fake = vn_container_of(self, struct fake_net, base);
	struct call call;

	if (call_begin(&call, &fake->handle, "net.watch", 0, CALL_LOOP, err) < 0)
		return -1;
	fake->on_change = on_change;
	fake->on_change_arg = arg;
	return call_end(&call, 0, err);
}

static void
tell(struct handle *handle, void *arg)
{
	struct fake_net *fake = vn_container_of(handle, struct fake_net, handle);

	(void)arg;
	pthread_mutex_lock(&handle->world->lock);
	fake->is_telling = false;
	pthread_mutex_unlock(&handle->world->lock);
	if (fake->on_change)		/* written on the loop only, which this is */
		fake->on_change(fake->on_change_arg);
}

void
net_tell_change(struct world *world)
{
	vn_list_each(struct handle, handle, &world->handles, link) {
		struct fake_net *fake = handle->is_net ? vn_container_of(handle, struct fake_net, handle)
						       : NULL;

		if (!fake || !fake->on_change || fake->is_telling || !handle_lives(handle))
			continue;
		fake->is_telling = true;
		handle_post(handle, tell, NULL);
	}
}
