/* The fabric's side: bridges, ports with their shapes, and the IFBs through which vnodes send. */
#include "backends/netlink/verify.h"

#include <net/if.h>
#include <string.h>

#include "backends/digest.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/port.h"
#include "backends/netlink/redirect.h"
#include "backends/netlink/shape.h"
#include "backends/nft/guard.h"

static void
check_settings(struct look *look, const struct difference_about *about, struct bridge_settings wanted,
	       const struct bridge_settings *found)
{
	difference_flag(look->ret, about, "spanning_tree", false, found->stp != 0);
	difference_flag(look->ret, about, "vlan_filtering", false, found->vlans);
	difference_flag(look->ret, about, "snooping", false, found->snooping);
	difference_number(look->ret, about, "ageing_time", wanted.ageing, found->ageing);
	difference_number(look->ret, about, "forwarded_groups", wanted.groups, found->groups);
}

void
check_bridge(struct look *look, const struct lan_spec *lan)
{
	char name[16];
	struct difference_about about;
	struct vn_mac mac = digest_mac(lan->uuid, 0);
	const struct link *link;

	lan_name(lan->id, name);
	about = difference_about("bridge", 0, PORT_ANY, lan->id, "%s", name);
	link = look_for_ours(look, &about, lan->uuid);
	if (!link || !difference_text(look->ret, &about, "type", "bridge", link->kind))
		return;
	difference_number(look->ret, &about, "mtu", lan->mtu ? lan->mtu : 1500, link->mtu);
	difference_mac(look->ret, &about, "mac", &mac, &link->mac);
	difference_flag(look->ret, &about, "up", true, (link->flags & IFF_UP) != 0);
	check_settings(look, &about, lan_settings(lan), &link->bridge);
}

int
check_bridges(struct look *look, struct vn_error *err)
{
	for (size_t i = 0; i < look->wanted->n_lans; i++) {
		check_bridge(look, &look->wanted->lans[i]);
		if (check_ways(look, &look->wanted->lans[i], err) < 0)
			return -1;
	}
	return 0;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* What stands on the ingress of a port, where something is wanted or found there. */
static int
check_redirect(struct look *look, const struct difference_about *about, const struct link *port,
	       const struct link *ifb, bool wanted, bool has_ingress, struct vn_error *err)
{
	struct redirect redirect = { 0 };
	const struct link *to;

	if (has_ingress && redirect_read(look->sock, port->index, &redirect, err) < 0)
		return -1;
	to = redirect.to ? look_at_index(look, redirect.to) : NULL;
	if (!wanted && has_ingress)
		difference_text(look->ret, about, "redirection", NULL, to ? to->name : "ingress");
	if (!wanted || !ifb)
		return 0;
	if (difference_text(look->ret, about, "redirection", ifb->name, to ? to->name : NULL))
		difference_number(look->ret, about, "filters", 1, redirect.filters);
	return 0;
}

/* What the vnode sends: the IFB is to be there as soon as there was a shape, and may stay after it. */
static int
check_in(struct look *look, const struct net_vnode *vnode, const struct port_spec *spec,
	 const struct link *port, bool has_ingress, struct vn_error *err)
{
	bool wanted = !shape_is_none(&spec->in);
	char name[16];
	struct difference_about about;
	struct qdisc_chain want, have;
	const struct link *ifb;

	ifb_name(vnode->ns.vmid, spec->index, name);
	about = difference_about("ifb", vnode->ns.vmid, spec->index, spec->lan, "%s", name);
	ifb = wanted || look_at(look, name) ? look_for_ours(look, &about, vnode->ns.uuid) : NULL;
	if (ifb) {
		difference_flag(look->ret, &about, "up", true, (ifb->flags & IFF_UP) != 0);
		difference_number(look->ret, &about, "mtu", port->mtu, ifb->mtu);
		about.kind = "qdisc";
		qdisc_chain_make(&spec->in, port->mtu, &want);
		look_chain(look, ifb->index, &have, NULL);
		qdisc_chain_differ(look->ret, &about, &want, &have);
	}
	about = difference_about("qdisc", vnode->ns.vmid, spec->index, spec->lan, "%s", port->name);
	return check_redirect(look, &about, port, ifb, wanted, has_ingress, err);
}

/* A wrong MTU has been told; its consequences are not. */
static int
check_shapes(struct look *look, const struct net_vnode *vnode, const struct port_spec *spec,
	     const struct link *port, struct vn_error *err)
{
	struct difference_about about = difference_about("qdisc", vnode->ns.vmid, spec->index, spec->lan,
							 "%s", port->name);
	struct qdisc_chain want, have;
	bool has_ingress;

	qdisc_chain_make(&spec->out, port->mtu, &want);
	look_chain(look, port->index, &have, &has_ingress);
	qdisc_chain_differ(look->ret, &about, &want, &have);
	return check_in(look, vnode, spec, port, has_ingress, err);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static int
check_port(struct look *look, const struct net_vnode *vnode, const struct port_spec *spec,
	   struct vn_error *err)
{
	char name[16], bridge[16], ifb[16];
	struct difference_about about;
	const struct link *port, *master;

	look->ret->checked[CHECKED_PORTS]++;
	port_name(vnode->ns.vmid, spec->index, name);
	lan_name(spec->lan, bridge);
	ifb_name(vnode->ns.vmid, spec->index, ifb);
	look_claim(look, ifb);		/* also where its port is missing */
	about = difference_about("port", vnode->ns.vmid, spec->index, spec->lan, "%s", name);
	port = look_for_ours(look, &about, vnode->ns.uuid);
	if (!port || !difference_text(look->ret, &about, "type", "veth", port->kind))
		return 0;
	master = port->master ? look_at_index(look, port->master) : NULL;
	difference_text(look->ret, &about, "bridge", bridge, master ? master->name : NULL);
	difference_number(look->ret, &about, "mtu", spec->mtu ? spec->mtu : 1500, port->mtu);
	difference_flag(look->ret, &about, "up", spec->up, (port->flags & IFF_UP) != 0);
	difference_number(look->ret, &about, "group", spec->lan == NET_CONTROL ? GUARD_GROUP : 0,
			  port->group);
	return check_shapes(look, vnode, spec, port, err);
}

int
check_ports(struct look *look, struct vn_error *err)
{
	for (size_t i = 0; i < look->wanted->n_vnodes; i++)
		for (size_t k = 0; k < look->wanted->vnodes[i].n_ports; k++)
			if (check_port(look, &look->wanted->vnodes[i],
				       &look->wanted->vnodes[i].ports[k], err) < 0)
				return -1;
	return 0;
}
