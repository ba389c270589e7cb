/*
 * What the kernel is told of each kind of tunnel, and how much of a packet each takes. Everything is
 * said in so many words, since the kernel's presets differ between kinds and releases.
 */
#include "backends/netlink/tunnel.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/ip6_tunnel.h>
#include <string.h>

#include "backends/netlink/host.h"
#include "backends/netlink/probe.h"

enum { TTL = 64, VXLAN_DEFAULT_PORT = 4789, VXLAN_BYTES = 16, GRE_BYTES = 4, KEY_BYTES = 4 };
enum { MTU_LEAST = 576 };

static const char *const kinds[][2] = {		/* by enum tunnel_kind, over IPv4 and IPv6 */
	[TUNNEL_GRE] = { "gre", "ip6gre" },
	[TUNNEL_EGRE] = { "gretap", "ip6gretap" },
	[TUNNEL_VXLAN] = { "vxlan", "vxlan" },
};

const char *
tunnel_kind_word(const struct tunnel_spec *tunnel)
{
	return kinds[tunnel->kind][tunnel->remote.family == AF_INET6];
}

static void
put_address(struct nl_msg *message, int type, const struct vn_cidr *address)
{
	attr_put(message, type, address->byte, address->family == AF_INET6 ? 16 : 4);
}

static void
put_vxlan(struct nl_msg *message, const struct tunnel_spec *tunnel)
{
	bool is_six = tunnel->remote.family == AF_INET6;

	attr_put_u32(message, IFLA_VXLAN_ID, tunnel->key);
	put_address(message, is_six ? IFLA_VXLAN_GROUP6 : IFLA_VXLAN_GROUP, &tunnel->remote);
	if (tunnel->local.family)
		put_address(message, is_six ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, &tunnel->local);
	attr_put_u16(message, IFLA_VXLAN_PORT,
		     htons(tunnel->port ? tunnel->port : VXLAN_DEFAULT_PORT));
	attr_put_u8(message, IFLA_VXLAN_TTL, TTL);
	attr_put_u8(message, IFLA_VXLAN_LEARNING, 0);	/* there is one other end */
}

static void
put_gre(struct nl_msg *message, const struct tunnel_spec *tunnel)
{
	uint16_t flags = tunnel->has_key ? htons(0x2000) : 0;	/* GRE_KEY */

	put_address(message, IFLA_GRE_REMOTE, &tunnel->remote);
	if (tunnel->local.family)
		put_address(message, IFLA_GRE_LOCAL, &tunnel->local);
	attr_put_u16(message, IFLA_GRE_IFLAGS, flags);
	attr_put_u16(message, IFLA_GRE_OFLAGS, flags);
	attr_put_u32(message, IFLA_GRE_IKEY, htonl(tunnel->has_key ? tunnel->key : 0));
	attr_put_u32(message, IFLA_GRE_OKEY, htonl(tunnel->has_key ? tunnel->key : 0));
	attr_put_u8(message, IFLA_GRE_TTL, TTL);
	if (tunnel->remote.family == AF_INET6)
		attr_put_u32(message, IFLA_GRE_FLAGS, IP6_TNL_F_IGN_ENCAP_LIMIT);
	else
		attr_put_u8(message, IFLA_GRE_PMTUDISC, 1);
}

void
tunnel_put_data(struct nl_msg *message, const void *spec)
{
	const struct tunnel_spec *tunnel = spec;

	if (tunnel->kind == TUNNEL_VXLAN)
		put_vxlan(message, tunnel);
	else
		put_gre(message, tunnel);
}

int
tunnel_flags_attr(const struct tunnel_spec *tunnel)
{
	return tunnel->kind != TUNNEL_VXLAN && tunnel->remote.family == AF_INET6 ? IFLA_GRE_FLAGS : 0;
}

/* Bytes that a packet of the LAN grows by on its way. */
static unsigned
overhead(const struct tunnel_spec *tunnel)
{
	unsigned bytes = tunnel->remote.family == AF_INET6 ? 40 : 20;

	if (tunnel->kind != TUNNEL_GRE)
		bytes += ETH_HLEN;
	if (tunnel->kind == TUNNEL_VXLAN)
		return bytes + VXLAN_BYTES;
	return bytes + GRE_BYTES + (tunnel->has_key ? KEY_BYTES : 0);
}

static int
check_kernel(struct fabric *fabric, const struct tunnel_spec *tunnel, struct vn_error *err)
{
	if (probe_check(fabric, tunnel_kind_word(tunnel), "/kind", err) < 0)
		return -1;
	return tunnel->kind == TUNNEL_GRE ? probe_check(fabric, "push_eth", "/kind", err) : 0;
}

static int
check_local(const struct tunnel_spec *tunnel, struct vn_error *err)
{
	static const struct vn_cidr any;
	char text[INET6_ADDRSTRLEN];
	struct host_route route;

	if (!tunnel->local.family)
		return 0;
	if (host_route(&any, &tunnel->local, &route, err) == 0 && route.own)
		return 0;
	vn_cidr_print_address(&tunnel->local, text);
	return vn_fail_at(err, "/local", VN_E_INVALID, "%s is no address of this host", text);
}

/* Two LANs of this host: no tunnel, whatever the kernel can do. */
static int
check_own(const struct tunnel_spec *tunnel, struct vn_error *err)
{
	char text[INET6_ADDRSTRLEN];

	vn_cidr_print_address(&tunnel->remote, text);
	if (!tunnel->local.family)
		return vn_fail_at(err, "/remote", VN_E_INVALID, "%s is this host: a tunnel to oneself. To "
				  "link two LANs of this host give both tunnels \"local\" and \"remote\", "
				  "the one the other way round", text);
	if (tunnel->kind == TUNNEL_GRE)
		return vn_fail_at(err, "/kind", VN_E_INVALID, "%s is this host, and LANs of one host are "
				  "linked without GRE: use egre", text);
	return 0;
}

int
tunnel_route(struct net *net, const struct tunnel_spec *tunnel, struct tunnel_route *ret,
	     struct vn_error *err)
{
	struct host_route route;

	if (check_local(tunnel, err) < 0)
		return -1;
	if (host_route(&tunnel->local, &tunnel->remote, &route, err) < 0) {
		if (err->code == VN_E_NOT_FOUND)
			err->code = VN_E_INVALID;
		vn_error_prefix_path(err, "/remote");
		return -1;
	}
	*ret = (struct tunnel_route){ .own = route.own };
	if (route.own)
		return check_own(tunnel, err);
	if (check_kernel(fabric_of(net), tunnel, err) < 0)
		return -1;
	if (route.mtu < overhead(tunnel) + MTU_LEAST)
		return vn_fail_at(err, "/remote", VN_E_INVALID, "the way there carries %u bytes a packet, "
				  "too few for a tunnel", route.mtu);
	ret->mtu = route.mtu - overhead(tunnel);
	return 0;
}
