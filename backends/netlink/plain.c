/*
 * Plain GRE carries IP packets, a bridge Ethernet frames. Between the two stands a veth whose outer end
 * is a port of the bridge: what arrives at its inner end loses its Ethernet header on the way into the
 * GRE device (act_mirred takes it off for a device without one), what arrives there gets one (act_vlan,
 * push_eth) on the way back. Both happen on ingress, by the kernel alone. Nobody answers ARP: the vnode's
 * interface does without (port_spec.no_arp), and its bridge learns nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_vlan.h>
#include <stdio.h>
#include <string.h>

#include "backends/netlink/tunnel.h"

#define INGRESS_HANDLE 0xffff0000u
#define FILTERS 2			/* IPv4 and IPv6 */

static const uint16_t protocols[FILTERS] = { ETH_P_IP, ETH_P_IPV6 };

/* ---- actions --------------------------------------------------------------------------------- */

static struct nlattr *
action_begin(struct nl_msg *message, int order, const char *kind, struct nlattr **ret_options)
{
	struct nlattr *action = attr_begin(message, order);

	attr_put_text(message, TCA_ACT_KIND, kind);
	*ret_options = attr_begin(message, TCA_ACT_OPTIONS);
	return action;
}

/* The source is of no one in particular: who answers is reached through the tunnel in any case. */
static void
put_push(struct nl_msg *message, int order, const struct vn_mac *to)
{
	static const struct vn_mac from = { { 0x02 } };
	struct tc_vlan push = { .action = TC_ACT_PIPE, .v_action = TCA_VLAN_ACT_PUSH_ETH };
	struct nlattr *options, *action = action_begin(message, order, "vlan", &options);

	attr_put(message, TCA_VLAN_PARMS, &push, sizeof(push));
	attr_put(message, TCA_VLAN_PUSH_ETH_DST, to->byte, sizeof(to->byte));
	attr_put(message, TCA_VLAN_PUSH_ETH_SRC, from.byte, sizeof(from.byte));
	attr_end(message, options);
	attr_end(message, action);
}

static void
put_redirect(struct nl_msg *message, int order, int device)
{
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR,
				    .ifindex = (uint32_t)device };
	struct nlattr *options, *action = action_begin(message, order, "mirred", &options);

	attr_put(message, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
	attr_end(message, options);
	attr_end(message, action);
}

void
plain_try(struct batch *batch)
{
	static const struct vn_mac to = { { 0x02, 0, 0, 0, 0, 1 } };
	struct tcamsg header = { .tca_family = AF_UNSPEC };
	struct nl_msg *message = batch_add(batch, RTM_NEWACTION, NLM_F_CREATE, &header, sizeof(header),
					   "try push_eth");
	struct nlattr *actions = attr_begin(message, TCA_ACT_TAB);

	put_push(message, 1, &to);
	attr_end(message, actions);
}

/* ---- filters --------------------------------------------------------------------------------- */

static void
append_ingress(struct batch *batch, const struct link *link)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = link->index,
				.tcm_handle = INGRESS_HANDLE, .tcm_parent = TC_H_INGRESS };

	attr_put_text(batch_add(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &header,
				sizeof(header), "make the ingress of '%s'", link->name),
		      TCA_KIND, "ingress");
	batch_allow(batch, EEXIST);
}

/* One u32 filter for each protocol, at a priority of its own. */
static void
append_filter(struct batch *batch, const struct link *from, int to, int at, const struct vn_mac *mac)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = from->index,
				.tcm_parent = INGRESS_HANDLE,
				.tcm_info = TC_H_MAKE((uint32_t)(at + 1) << 16, htons(protocols[at])) };
	union {
		unsigned char bytes[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)];
		struct tc_u32_sel sel;
	} select = { .bytes = { 0 } };
	struct nlattr *options, *actions;
	struct nl_msg *message;

	select.sel.flags = TC_U32_TERMINAL;
	select.sel.nkeys = 1;
	message = batch_add(batch, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header),
			    "lead what enters '%s' on", from->name);
	attr_put_text(message, TCA_KIND, "u32");
	options = attr_begin(message, TCA_OPTIONS);
	attr_put(message, TCA_U32_SEL, &select, sizeof(select));
	actions = attr_begin(message, TCA_U32_ACT);
	if (mac)
		put_push(message, 1, mac);
	put_redirect(message, mac ? 2 : 1, to);
	attr_end(message, actions);
	attr_end(message, options);
}

static void
append_no_filter(struct batch *batch, const struct link *from, int at)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = from->index,
				.tcm_parent = INGRESS_HANDLE,
				.tcm_info = TC_H_MAKE((uint32_t)(at + 1) << 16, htons(protocols[at])) };

	batch_add(batch, RTM_DELTFILTER, 0, &header, sizeof(header), "clear the ingress of '%s'",
		  from->name);
	batch_allow(batch, ENOENT);
}

/* Old filters go and new ones come in one system call; nothing is lost but what arrives between. */
static void
append_way(struct batch *batch, const struct link *from, int to, const struct vn_mac *mac)
{
	append_ingress(batch, from);
	for (int i = 0; i < FILTERS; i++) {
		append_no_filter(batch, from, i);
		batch_join(batch);
		append_filter(batch, from, to, i, mac);
		batch_join(batch);
	}
}

int
plain_join(struct fabric *fabric, const struct link *inner, const struct link *gre,
	   const struct vn_mac *mac, struct vn_error *err)
{
	static const struct vn_mac none;
	auto_batch batch = { 0 };

	append_way(&batch, inner, gre->index, NULL);
	if (memcmp(mac, &none, sizeof(none)) != 0)
		append_way(&batch, gre, inner->index, mac);
	return fabric_send(fabric, &batch, err);
}

int
plain_aim(struct fabric *fabric, int64_t lan, const struct vn_mac *mac, struct vn_error *err)
{
	struct link *ports = NULL;
	char bridge_name[1][16], names[2][16];
	struct link bridge, ends[2];
	size_t count = 0;
	unsigned index = 0;
	int64_t of = -1;
	int result;

	snprintf(bridge_name[0], 16, "l%" PRId64, lan);
	if (fabric_links_get(fabric, (const char (*)[16])bridge_name, 1, &bridge, err) < 0 ||
	    (bridge.index && fabric_ports_read(fabric, bridge.index, &ports, &count, err) < 0))
		return -1;
	for (size_t i = 0; i < count && of != lan; i++)
		if (!tunnel_name_parse(ports[i].name, &of, &index))
			of = -1;
	free(ports);
	if (of != lan)
		return 0;
	snprintf(names[0], 16, "w%" PRId64 "n%u", lan, index);
	snprintf(names[1], 16, "g%" PRId64 "n%u", lan, index);
	result = fabric_links_get(fabric, (const char (*)[16])names, 2, ends, err);
	if (result < 0 || !ends[0].index || !ends[1].index)
		return result;
	return plain_join(fabric, &ends[0], &ends[1], mac, err);
}
