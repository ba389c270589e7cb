/*
 * One call looks at both ends, decides per port what is missing or wrong, and says it in two
 * batches: one to the fabric (devices), one inside the vnode's namespace (names, addresses, routes).
 * A right port gets only messages that change nothing, so links live on.
 *
 * A pair is right when its ends point at each other: the fabric end by name and tag, the guest end
 * by the index the fabric end reports, whatever the guest has renamed it to.
 */
#include "backends/netlink/port.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/control.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port_inner.h"
#include "backends/netlink/shape.h"
#include "backends/netlink/sysctl.h"
#include "backends/nft/guard.h"
#include "backends/netlink/tunnel.h"

void
port_name(int64_t vmid, unsigned index, char name[static 16])
{
	snprintf(name, 16, "v%" PRId64 "e%u", vmid, index);
}

bool
port_name_parse(const char *name, int64_t *ret_vmid, unsigned *ret_index)
{
	char canonical[16];

	if (sscanf(name, "v%" SCNd64 "e%u", ret_vmid, ret_index) != 2)
		return false;
	port_name(*ret_vmid, *ret_index, canonical);
	return strcmp(name, canonical) == 0;
}

static unsigned
mtu_of(const struct plan *plan)
{
	return plan->spec->mtu ? plan->spec->mtu : 1500;
}

static unsigned
group_of(const struct plan *plan)
{
	return plan->spec->lan == NET_CONTROL ? GUARD_GROUP : 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

static int
look_outside(struct work *work, struct vn_error *err)
{
	size_t n = work->n_plans;
	vn_autofree char (*names)[16] = vn_alloc_array(2 * n, sizeof(*names));
	vn_autofree struct link *links = vn_alloc_array(2 * n, sizeof(*links));

	for (size_t i = 0; i < n; i++) {
		memcpy(names[i], work->plans[i].name, sizeof(names[i]));
		lan_name(work->plans[i].spec->lan, names[n + i]);
	}
	if (fabric_links_get(work->fabric, (const char (*)[16])names, 2 * n, links, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct plan *plan = &work->plans[i];

		plan->outer = links[i];
		plan->bridge = links[n + i];
		if (!plan->bridge.index || !fabric_owns(work->fabric, &plan->bridge, NULL))
			return vn_fail(err, VN_E_NOT_FOUND,
				       "the fabric has no bridge '%s' of ours: bring the LAN up first",
				       names[n + i]);
		if (plan->outer.index && !fabric_owns(work->fabric, &plan->outer, work->ns->uuid))
			return vn_fail(err, VN_E_EXISTS,
				       "the fabric '%s' holds a foreign device '%s': remove it",
				       work->fabric->env->fabric, plan->name);
	}
	return 0;
}

/* A guest may have turned IPv6 off; its addresses could not be set then. */
static int
allow_ipv6_on(const char *ifname, struct vn_error *err)
{
	vn_autofree char *path = vn_format("net/ipv6/conf/%s/disable_ipv6", ifname);
	char now[16];

	if (!sysctl_read(path, now, sizeof(now)) || strcmp(now, "1") != 0)
		return 0;
	return sysctl_write(path, "0", err);
}

static int
allow_ipv6(const struct work *work, struct vn_error *err)
{
	if (allow_ipv6_on("all", err) < 0 || allow_ipv6_on("default", err) < 0)
		return -1;
	for (size_t i = 0; i < work->n_plans; i++)
		if (allow_ipv6_on(work->plans[i].spec->ifname, err) < 0)
			return -1;
	return 0;
}

static int
open_inside(struct work *work, struct vn_error *err)
{
	int result;

	work->netns = netns_open(work->ns->netns, err);
	if (work->netns < 0 || netns_enter(work->netns, err) < 0)
		return -1;
	result = allow_ipv6(work, err);
	if (result == 0)
		result = socket_open(&work->sock, err);
	netns_leave(work->fabric->home);
	return result;
}

static int
look_inside(struct work *work, struct vn_error *err)
{
	if (open_inside(work, err) < 0 ||
	    links_read(work->sock, &work->inside, &work->n_inside, err) < 0)
		return -1;
	return addresses_read(work->sock, &work->addresses, &work->n_addresses, err);
}

/* Default routes of a control port that is there, for the case that they have to come back. */
static int
note_defaults(struct work *work, struct vn_error *err)
{
	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];

		if (plan->inner && plan->spec->lan == NET_CONTROL &&
		    route_default_read(work->sock, plan->inner_index, plan->had_default, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what to do ------------------------------------------------------------------------------ */

static const struct link *
find_inner(const struct work *work, const struct link *outer)
{
	for (size_t i = 0; outer->index && i < work->n_inside; i++)
		if (work->inside[i].index == outer->peer && work->inside[i].peer == outer->index &&
		    work->inside[i].abroad)
			return &work->inside[i];
	return NULL;
}

static bool
is_planned(const struct work *work, const struct link *inner)
{
	for (size_t i = 0; i < work->n_plans; i++)
		if (work->plans[i].inner == inner)
			return true;
	return false;
}

/* The guest end of a pair whose other end is gone or going: an earlier fabric's. */
static bool
is_orphan(const struct link *inner, const struct plan *plan)
{
	return !plan->inner && inner->abroad && strcmp(inner->kind, "veth") == 0 &&
	       memcmp(&inner->mac, &plan->spec->mac, sizeof(inner->mac)) == 0;
}

static int
check_ifname(const struct work *work, const struct plan *plan, struct vn_error *err)
{
	for (size_t i = 0; i < work->n_inside; i++) {
		const struct link *inner = &work->inside[i];

		if (strcmp(inner->name, plan->spec->ifname) == 0 && !is_planned(work, inner) &&
		    !is_orphan(inner, plan))
			return vn_fail(err, VN_E_EXISTS,
				       "vnode %" PRId64 " already has a device '%s' inside that is "
				       "not this interface: remove or rename it there",
				       work->ns->vmid, plan->spec->ifname);
	}
	return 0;
}

static int
decide(struct work *work, struct vn_error *err)
{
	int free_index = 1;

	for (size_t i = 0; i < work->n_inside; i++)
		if (work->inside[i].index > free_index)
			free_index = work->inside[i].index;
	for (size_t i = 0; i < work->n_plans; i++)
		work->plans[i].inner = find_inner(work, &work->plans[i].outer);
	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];

		if (check_ifname(work, plan, err) < 0)
			return -1;
		plan->outer_index = plan->inner ? plan->outer.index : fabric_new_index(work->fabric);
		plan->inner_index = plan->inner ? plan->inner->index : ++free_index;
		plan->renamed = plan->inner && strcmp(plan->inner->name, plan->spec->ifname) != 0;
	}
	return 0;
}

/* ---- the fabric's batch ---------------------------------------------------------------------- */

static void
put_peer(struct nl_msg *message, const struct work *work, const struct plan *plan)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = plan->inner_index };
	struct nlattr *peer;
	struct link_kind nest;

	link_kind_begin(message, "veth", &nest);
	peer = attr_begin(message, VETH_INFO_PEER);
	nlmsg_append(message, &header, sizeof(header), NLMSG_ALIGNTO);
	attr_put_text(message, IFLA_IFNAME, plan->spec->ifname);
	attr_put(message, IFLA_ADDRESS, plan->spec->mac.byte, sizeof(plan->spec->mac.byte));
	attr_put_u32(message, IFLA_MTU, mtu_of(plan));
	attr_put_u32(message, IFLA_NUM_TX_QUEUES, 1);
	attr_put_u32(message, IFLA_NUM_RX_QUEUES, 1);
	attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)work->netns);
	attr_end(message, peer);
	link_kind_end(message, &nest);
}

/*
 * The alias needs a message of its own, joined to the creation. It names the device by its new
 * index: if the creation fails, no device has that.
 */
static void
append_create(struct batch *batch, const struct work *work, const struct plan *plan)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = plan->outer_index };
	struct nl_msg *message;

	if (plan->spec->up)
		header.ifi_flags = header.ifi_change = IFF_UP;
	message = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header),
			    "create port '%s' (inside: '%s')", plan->name, plan->spec->ifname);
	attr_put_text(message, IFLA_IFNAME, plan->name);
	attr_put_u32(message, IFLA_MTU, mtu_of(plan));
	attr_put_u32(message, IFLA_NUM_TX_QUEUES, 1);
	attr_put_u32(message, IFLA_NUM_RX_QUEUES, 1);
	attr_put_u32(message, IFLA_MASTER, (uint32_t)plan->bridge.index);
	attr_put_u32(message, IFLA_GROUP, group_of(plan));
	put_peer(message, work, plan);
	attr_put_text(link_change(batch, plan->outer_index, -1, "tag port '%s'", plan->name),
		      IFLA_IFALIAS, work->tag);
	batch_join(batch);
}

static void
append_mend_outer(struct batch *batch, const struct plan *plan)
{
	bool is_up = plan->outer.flags & IFF_UP;
	struct nl_msg *message;

	if (plan->outer.mtu == mtu_of(plan) && plan->outer.master == plan->bridge.index &&
	    is_up == plan->spec->up && plan->outer.group == group_of(plan))
		return;
	message = link_change(batch, plan->outer_index, plan->spec->up, "mend port '%s'", plan->name);
	attr_put_u32(message, IFLA_MTU, mtu_of(plan));
	attr_put_u32(message, IFLA_MASTER, (uint32_t)plan->bridge.index);
	attr_put_u32(message, IFLA_GROUP, group_of(plan));
}

void
port_append_delete(struct batch *batch, int index, const char *name)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index };

	batch_add(batch, RTM_DELLINK, 0, &header, sizeof(header), "delete port '%s'", name);
	batch_allow(batch, ENODEV);
}

static void
fill_outer_batch(struct batch *batch, const struct work *work)
{
	for (size_t i = 0; i < work->n_plans; i++) {
		const struct plan *plan = &work->plans[i];

		if (plan->outer.index && !plan->inner)
			port_append_delete(batch, plan->outer.index, plan->name);
		if (plan->inner)
			append_mend_outer(batch, plan);
		else
			append_create(batch, work, plan);
	}
}

/* ---- the vnode's batch ----------------------------------------------------------------------- */

/* Names may have been swapped inside: all go to a name of their own first. */
static void
append_renames(struct batch *batch, const struct work *work)
{
	char own[16];

	for (size_t i = 0; i < work->n_plans; i++) {
		const struct plan *plan = &work->plans[i];

		if (!plan->renamed)
			continue;
		snprintf(own, sizeof(own), "vnx%d", plan->inner_index);
		attr_put_text(link_change(batch, plan->inner_index, 0, "rename '%s'",
					  plan->inner->name), IFLA_IFNAME, own);
	}
	for (size_t i = 0; i < work->n_plans; i++)
		if (work->plans[i].renamed)
			attr_put_text(link_change(batch, work->plans[i].inner_index, -1,
						  "rename to '%s'", work->plans[i].spec->ifname),
				      IFLA_IFNAME, work->plans[i].spec->ifname);
}

/*
 * The link-local address that the kernel gives by itself, made from the MAC. Lost once, it would
 * stay lost, and IPv6 needs it.
 */
static bool
is_link_local_lost(const struct work *work, const struct plan *plan, struct vn_cidr *ret)
{
	const uint8_t *mac = plan->spec->mac.byte;
	bool is_six = false;

	for (unsigned i = 0; i < plan->spec->n_addresses; i++)
		is_six = is_six || plan->spec->addresses[i].family == AF_INET6;
	for (size_t i = 0; i < work->n_addresses; i++)
		if (work->addresses[i].index == plan->inner_index && work->addresses[i].link_local)
			return false;
	*ret = (struct vn_cidr){ .family = AF_INET6, .prefix = 64,
				 .byte = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe,
					   mac[3], mac[4], mac[5] } };
	return plan->inner && is_six;
}

static bool
has_arp(const struct link *link)
{
	return !(link->flags & IFF_NOARP);
}

static void
put_arp(struct nl_msg *message, bool is_off)
{
	struct ifinfomsg *header = nlmsg_data(nlmsg_hdr(message));

	header->ifi_change |= IFF_NOARP;
	header->ifi_flags |= is_off ? IFF_NOARP : 0;
}

static void
append_inner(struct batch *batch, const struct work *work, const struct plan *plan)
{
	const struct port_spec *spec = plan->spec;
	const struct link *inner = plan->inner;
	bool is_up = inner && (inner->flags & IFF_UP) && !plan->renamed;
	struct vn_cidr link_local;
	struct nl_msg *message;

	if (!is_up || inner->mtu != mtu_of(plan) || has_arp(inner) == spec->no_arp ||
	    memcmp(&inner->mac, &spec->mac, sizeof(spec->mac)) != 0) {
		message = link_change(batch, plan->inner_index, 1, "set up '%s'", spec->ifname);
		put_arp(message, spec->no_arp);
		attr_put(message, IFLA_ADDRESS, spec->mac.byte, sizeof(spec->mac.byte));
		attr_put_u32(message, IFLA_MTU, mtu_of(plan));
	}
	addresses_settle(batch, plan->inner_index, spec->ifname, spec->addresses, spec->n_addresses,
			 inner ? work->addresses : NULL, inner ? work->n_addresses : 0, !is_up);
	if (is_link_local_lost(work, plan, &link_local))
		address_add(batch, plan->inner_index, spec->ifname, &link_local);
	if (spec->lan != NET_CONTROL)
		return;
	for (unsigned i = 0; i < spec->n_addresses; i++)
		route_default(batch, plan->inner_index,
			      spec->addresses[i].family == AF_INET ? &work->fabric->gateway4 :
								     &work->fabric->gateway6,
			      !spec->no_default_route);
}

static int
delete_orphans(struct work *work, struct vn_error *err)
{
	auto_batch batch = { 0 };

	for (size_t i = 0; i < work->n_plans; i++)
		for (size_t k = 0; k < work->n_inside; k++)
			if (is_orphan(&work->inside[k], &work->plans[i]))
				port_append_delete(&batch, work->inside[k].index, work->inside[k].name);
	return batch_send(work->sock, &batch, NULL, NULL, err);
}

/*
 * New ports before the guest's ends come up: nothing passes unshaped, and one without a shape needs no look.
 * Those that are there last, so that a failure elsewhere does not touch their shapes.
 */
static int
shape(const struct work *work, bool is_new, struct vn_error *err)
{
	vn_autofree struct port_shape *shapes = vn_alloc_array(work->n_plans, sizeof(*shapes));
	size_t count = 0;

	for (size_t i = 0; i < work->n_plans; i++) {
		const struct port_spec *spec = work->plans[i].spec;

		if (is_new == !work->plans[i].inner &&
		    (!is_new || !shape_is_none(&spec->out) || !shape_is_none(&spec->in)))
			shapes[count++] = (struct port_shape){ .vmid = work->ns->vmid,
				.index = spec->index, .out = spec->out, .in = spec->in };
	}
	return shape_ports(&work->fabric->base, shapes, count, err);
}

static int
aim_tunnels(const struct work *work, struct vn_error *err)
{
	for (size_t i = 0; i < work->n_plans; i++)
		if (work->plans[i].spec->no_arp &&
		    plain_aim(work->fabric, work->plans[i].spec->lan, &work->plans[i].spec->mac, err) < 0)
			return -1;
	return 0;
}

static int
carry_out(struct work *work, const struct port_spec *ports, struct vn_error *err)
{
	auto_batch outer = { 0 };
	auto_batch inner = { 0 };

	fill_outer_batch(&outer, work);
	append_renames(&inner, work);
	for (size_t i = 0; i < work->n_plans; i++)
		append_inner(&inner, work, &work->plans[i]);
	if (delete_orphans(work, err) == 0 &&
	    control_allow(work->fabric, work->ns->vmid, ports, work->n_plans, err) == 0 &&
	    fabric_send(work->fabric, &outer, err) == 0 && shape(work, true, err) == 0 &&
	    aim_tunnels(work, err) == 0 && batch_send(work->sock, &inner, NULL, NULL, err) == 0 &&
	    shape(work, false, err) == 0)
		return 0;
	port_undo(work);
	return -1;
}

static void
work_fini(struct work *work)
{
	if (work->sock)
		nl_socket_free(work->sock);
	if (work->netns >= 0)
		close(work->netns);
	free(work->addresses);
	free(work->inside);
	free(work->plans);
}

int
port_up(struct net *net, const struct ns_ref *ns, const struct port_spec *ports, size_t n_ports,
	struct vn_error *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {
		.fabric = fabric_of(net), .ns = ns, .netns = -1, .n_plans = n_ports,
	};

	if (n_ports == 0)
		return 0;
	reap_settle(work.fabric, ns->vmid);
	work.plans = vn_alloc_array(n_ports, sizeof(*work.plans));
	fabric_tag(work.fabric, ns->uuid, work.tag);
	for (size_t i = 0; i < n_ports; i++) {
		work.plans[i].spec = &ports[i];
		port_name(ns->vmid, ports[i].index, work.plans[i].name);
	}
	if (look_outside(&work, err) < 0 || look_inside(&work, err) < 0 || decide(&work, err) < 0 ||
	    note_defaults(&work, err) < 0)
		return -1;
	return carry_out(&work, ports, err);
}

int
port_down(struct net *net, const struct ns_ref *ns, const unsigned *indexes, size_t n_indexes,
	  struct vn_error *err)
{
	if (n_indexes == 0)
		return 0;
	return reap_ports(fabric_of(net), ns->vmid, ns->uuid, indexes, n_indexes, err);
}
