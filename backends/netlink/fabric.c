/*
 * The fabric and the uplink; fabric_socket.c is how to speak to it. Only the uplink's host end lives in the
 * host's own namespace; it is the router of the control network. host_up walks the same path whether nothing,
 * a part or all is there, so it is the repair as well.
 */
#include "backends/netlink/fabric.h"

#include <errno.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/digest.h"
#include "backends/netlink/address.h"
#include "backends/netlink/control.h"
#include "backends/netlink/inventory.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/sysctl.h"
#include "backends/nft/guard.h"
#include "backends/netlink/uplink.h"
#include "backends/nft/nat.h"

void
fabric_tag(const struct fabric *fabric, const char *uuid, char tag[static TAG_SIZE])
{
	snprintf(tag, TAG_SIZE, "vnoded:%s:%s", fabric->env->instance, uuid);
}

bool
fabric_owns(const struct fabric *fabric, const struct link *link, const char *uuid)
{
	char tag[TAG_SIZE];

	fabric_tag(fabric, uuid ? uuid : "", tag);
	return uuid ? strcmp(link->alias, tag) == 0 : strncmp(link->alias, tag, strlen(tag)) == 0;
}

int
fabric_new_index(struct fabric *fabric)
{
	return atomic_fetch_add(&fabric->next_index, 1) & 0x7fffffff;
}

/* ---- the namespace --------------------------------------------------------------------------- */

/*
 * Nothing in the fabric speaks IP, and new devices inherit that. Where br_netfilter is there (Docker loads
 * it), a bridge would hand frames to iptables, which trims and drops what a wire would carry.
 */
static int
silence_ip(struct fabric *fabric, struct vn_error *err)
{
	static const char *const settings[][2] = {
		{ "net/ipv6/conf/all/disable_ipv6", "1" },
		{ "net/ipv6/conf/default/disable_ipv6", "1" },
		{ "net/bridge/bridge-nf-call-iptables", "0" },
		{ "net/bridge/bridge-nf-call-ip6tables", "0" },
		{ "net/bridge/bridge-nf-call-arptables", "0" },
	};
	vn_autoclose int fd = netns_open(fabric->pin, err);
	int result = 0;

	if (fd < 0 || netns_enter(fd, err) < 0)
		return -1;
	for (size_t i = 0; i < VN_COUNT(settings) && result == 0; i++)
		result = sysctl_write(settings[i][0], settings[i][1], err);
	netns_leave(fabric->home);
	return result;
}

/* Loopback's alias says whose fabric this is. */
static int
claim(struct fabric *fabric, struct vn_error *err)
{
	static const char loopback[1][16] = { "lo" };
	auto_batch batch = { 0 };
	char tag[TAG_SIZE];
	struct link found;

	if (fabric_links_get(fabric, loopback, 1, &found, err) < 0)
		return -1;
	if (*found.alias && !fabric_owns(fabric, &found, NULL))
		return vn_fail(err, VN_E_EXISTS, "the network namespace '%s' belongs to another "
			       "installation ('%s'): set another fabric", fabric->pin, found.alias);
	if (*found.alias)
		return 0;
	fabric_tag(fabric, fabric->env->instance, tag);
	attr_put_text(link_change(&batch, found.index, -1, "tag the fabric"), IFLA_IFALIAS, tag);
	return fabric_send(fabric, &batch, err);
}

static int
namespace_up(struct fabric *fabric, struct vn_error *err)
{
	vn_autofree char *users = vn_format("%s/userns", fabric->env->run_dir);

	fabric_forget(fabric);
	if (pin_folder_up(fabric->folder, err) < 0 || pin_folder_up(users, err) < 0)
		return -1;
	if (!netns_is_pinned(fabric->pin) && netns_pin_new(fabric->pin, fabric->home, err) < 0)
		return -1;
	if (claim(fabric, err) < 0)
		return -1;
	return silence_ip(fabric, err);
}

/* ---- the uplink ------------------------------------------------------------------------------ */

static int
find_uplink(struct fabric *fabric, struct nl_sock *host, struct link *ret, struct vn_error *err)
{
	char name[1][16];

	snprintf(name[0], sizeof(name[0]), "%s", fabric->uplink);
	if (links_get(host, (const char (*)[16])name, 1, ret, err) < 0)
		return -1;
	if (ret->index && !fabric_owns(fabric, ret, NULL))
		return vn_fail(err, VN_E_EXISTS, "the host has a foreign device '%s': remove it",
			       fabric->uplink);
	return 0;
}

/* The host end is the one created, its peer is born in the fabric: `host` carries the batch. */
static int
create_uplink(struct fabric *fabric, struct nl_sock *host, struct vn_error *err)
{
	vn_autoclose int fd = netns_open(fabric->pin, err);
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC,
				    .ifi_index = fabric_new_index(fabric) };
	struct ifinfomsg peer_header = { .ifi_family = AF_UNSPEC,
					 .ifi_index = fabric_new_index(fabric) };
	struct vn_mac mac = digest_mac(fabric->env->instance, 1);
	auto_batch batch = { 0 };
	char tag[TAG_SIZE];
	struct link_kind nest;
	struct nl_msg *message;
	struct nlattr *peer;

	if (fd < 0)
		return -1;
	fabric_tag(fabric, fabric->env->instance, tag);
	message = batch_add(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header),
			    "create the uplink '%s'", fabric->uplink);
	attr_put_text(message, IFLA_IFNAME, fabric->uplink);
	attr_put(message, IFLA_ADDRESS, mac.byte, sizeof(mac.byte));
	link_kind_begin(message, "veth", &nest);
	peer = attr_begin(message, VETH_INFO_PEER);
	nlmsg_append(message, &peer_header, sizeof(peer_header), NLMSG_ALIGNTO);
	attr_put_text(message, IFLA_IFNAME, FABRIC_END);
	attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)fd);
	attr_end(message, peer);
	link_kind_end(message, &nest);
	attr_put_text(link_change(&batch, header.ifi_index, -1, "tag '%s'", fabric->uplink),
		      IFLA_IFALIAS, tag);
	batch_join(&batch);
	return batch_send(host, &batch, NULL, NULL, err);
}

/* Settings of our own device: it routes, but believes nothing that vnodes tell about routing. */
static int
set_up_uplink_sysctls(const struct fabric *fabric, struct vn_error *err)
{
	static const struct {
		const char *family, *name, *value;
	} settings[] = {
		{ "ipv4", "route_localnet", "1" },	/* forwards of 127.0.0.1; see nft/table.c */
		{ "ipv4", "rp_filter", "1" },
		{ "ipv4", "send_redirects", "0" },
		{ "ipv4", "accept_redirects", "0" },
		{ "ipv6", "addr_gen_mode", "1" },	/* none: see set_up_host_end() */
		{ "ipv6", "accept_ra", "0" },
		{ "ipv6", "accept_redirects", "0" },
	};

	for (size_t i = 0; i < VN_COUNT(settings); i++) {
		vn_autofree char *path = vn_format("net/%s/conf/%s/%s", settings[i].family,
						   fabric->uplink, settings[i].name);
		char now[16];

		if (sysctl_read(path, now, sizeof(now)) && strcmp(now, settings[i].value) != 0 &&
		    sysctl_write(path, settings[i].value, err) < 0)
			return -1;
	}
	return 0;
}

static int
set_up_host_end(struct fabric *fabric, struct nl_sock *host, const struct link *uplink,
		struct vn_error *err)
{
	struct vn_mac mac = digest_mac(fabric->env->instance, 1);
	/* Without a link-local address ready at once, forwarded IPv6 packets find no neighbours. */
	struct vn_cidr link_local = { .family = AF_INET6, .byte = { 0xfe, 0x80, [15] = 1 },
				      .prefix = 64 };
	struct vn_cidr gateways[] = { fabric->gateway4, fabric->gateway6, link_local };
	vn_autofree struct address *found = NULL;
	auto_batch batch = { 0 };
	size_t n_found = 0;

	if (set_up_uplink_sysctls(fabric, err) < 0 ||
	    addresses_read(host, &found, &n_found, err) < 0)
		return -1;
	attr_put(link_change(&batch, uplink->index, 1, "set up the uplink '%s'", fabric->uplink),
		 IFLA_ADDRESS, mac.byte, sizeof(mac.byte));
	addresses_settle(&batch, uplink->index, fabric->uplink, gateways, VN_COUNT(gateways), found,
			 n_found, !(uplink->flags & IFF_UP));
	return batch_send(host, &batch, NULL, NULL, err);
}

static int
set_up_fabric_end(struct fabric *fabric, const struct link *end, const struct link *bridge,
		  struct vn_error *err)
{
	auto_batch batch = { 0 };
	char tag[TAG_SIZE];
	struct nl_msg *message;

	if (end->master == bridge->index && end->flags & IFF_UP &&
	    fabric_owns(fabric, end, fabric->env->instance))
		return 0;
	fabric_tag(fabric, fabric->env->instance, tag);
	message = link_change(&batch, end->index, 1, "set up '%s' in the fabric", FABRIC_END);
	attr_put_u32(message, IFLA_MASTER, (uint32_t)bridge->index);
	attr_put_text(message, IFLA_IFALIAS, tag);
	return fabric_send(fabric, &batch, err);
}

static int
delete_uplink(struct nl_sock *host, const struct link *uplink, struct vn_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = uplink->index };
	auto_batch batch = { 0 };

	batch_add(&batch, RTM_DELLINK, 0, &header, sizeof(header), "delete '%s'", uplink->name);
	batch_allow(&batch, ENODEV);
	return batch_send(host, &batch, NULL, NULL, err);
}

/* Leaves an uplink whose ends point at each other; both as they are in *uplink and ends[0]. */
static int
join_uplink(struct fabric *fabric, struct nl_sock *host, struct link *uplink, struct link ends[2],
	    struct vn_error *err)
{
	static const char names[2][16] = { FABRIC_END, "l0" };

	if (fabric_links_get(fabric, names, 2, ends, err) < 0)
		return -1;
	if (uplink->index && ends[0].index && uplink->peer == ends[0].index &&
	    ends[0].peer == uplink->index)
		return 0;
	if (uplink->index && delete_uplink(host, uplink, err) < 0)
		return -1;
	if (create_uplink(fabric, host, err) < 0 ||
	    find_uplink(fabric, host, uplink, err) < 0)
		return -1;
	return fabric_links_get(fabric, names, 2, ends, err);
}

static int
uplink_up(struct fabric *fabric, struct nl_sock *host, struct link *uplink, struct vn_error *err)
{
	struct link ends[2];		/* the fabric end and its bridge */

	if (join_uplink(fabric, host, uplink, ends, err) < 0 ||
	    set_up_fabric_end(fabric, &ends[0], &ends[1], err) < 0)
		return -1;
	return set_up_host_end(fabric, host, uplink, err);
}

/* ---- up and down ----------------------------------------------------------------------------- */

static int
check_host(struct fabric *fabric, struct nl_sock *host, struct link *uplink, struct vn_error *err)
{
	if (find_uplink(fabric, host, uplink, err) < 0 ||
	    route_check_free(host, &fabric->env->control4, uplink->index, err) < 0)
		return -1;
	return route_check_free(host, &fabric->env->control6, uplink->index, err);
}

static int
bring_up(struct fabric *fabric, struct nl_sock *host, struct link *uplink, struct vn_error *err)
{
	struct lan_spec control = { .id = NET_CONTROL, .uuid = fabric->env->instance };

	if (namespace_up(fabric, err) < 0 || control_up(fabric, err) < 0 ||
	    lan_up(&fabric->base, &control, err) < 0 || nat_up(fabric->nat, err) < 0 ||
	    uplink_up(fabric, host, uplink, err) < 0)
		return -1;
	return sysctl_up(fabric, err);
}

int
fabric_up(struct net *net, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	bool was_there = netns_is_pinned(fabric->pin);
	struct nl_sock *host = NULL;
	struct link uplink;
	struct vn_error ignored;
	int result;

	if (fabric_host_socket(fabric, &host, err) < 0)
		return -1;
	result = check_host(fabric, host, &uplink, err);
	if (result == 0) {
		result = bring_up(fabric, host, &uplink, err);
		if (result < 0 && !was_there)
			fabric_down(net, &ignored);
	}
	nl_socket_free(host);
	return result;
}

static int
drop_pin(void *arg, const char *path, int64_t vmid, struct vn_error *err)
{
	(void)arg;
	(void)vmid;
	return netns_unpin(path, err);
}

/* Forwarding is everyone's: while another installation routes here, the settings stay. */
static int
restore_sysctls(struct fabric *fabric, struct nl_sock *host, struct vn_error *err)
{
	vn_autofree struct link *links = NULL;
	size_t n_links = 0;

	if (links_read(host, &links, &n_links, err) < 0)
		return -1;
	for (size_t i = 0; i < n_links; i++)
		if (strncmp(links[i].alias, "vnoded:", 7) == 0 &&
		    !fabric_owns(fabric, &links[i], NULL))
			return 0;
	return sysctl_down(fabric, err);
}

static int
host_end_down(struct fabric *fabric, struct vn_error *err)
{
	struct nl_sock *host = NULL;
	struct link uplink;
	int result;

	if (fabric_host_socket(fabric, &host, err) < 0)
		return -1;
	result = find_uplink(fabric, host, &uplink, err);
	if (result < 0 && err->code == VN_E_EXISTS)
		result = 0;		/* foreign: not ours to remove */
	else if (result == 0 && uplink.index)
		result = delete_uplink(host, &uplink, err);
	if (result == 0)
		result = restore_sysctls(fabric, host, err);
	nl_socket_free(host);
	return result;
}

int
fabric_down(struct net *net, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	const char *run_dir = fabric->env->run_dir;
	vn_autofree char *users = vn_format("%s/userns", run_dir);

	if (uplinks_give_back(fabric, err) < 0 || host_end_down(fabric, err) < 0 || nat_down(fabric->nat, err) < 0 ||
	    inventory_pins(run_dir, "netns", drop_pin, NULL, err) < 0 ||
	    inventory_pins(run_dir, "userns", drop_pin, NULL, err) < 0 ||
	    reap_all(fabric, err) < 0)
		return -1;
	fabric_forget(fabric);
	guard_forget(fabric->guard, true);
	if (netns_unpin(fabric->pin, err) < 0 || pin_folder_down(fabric->folder, err) < 0)
		return -1;
	return pin_folder_down(users, err);
}
