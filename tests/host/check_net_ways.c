/*
 * Tunnels and uplinks against the real kernel: vnode 1 on LAN 1, and another host that is a network
 * namespace with plain commands in it, over a veth. What the kernel of this machine lacks is said.
 */
#include "tests/host/net_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/digest.h"
#include "proto/base/mem.h"

#define FAR "nsenter --net=/media/far "
#define LAN1 "00000000-0000-4000-9000-000000000001"
#define LAN2 "00000000-0000-4000-9000-000000000002"

/* The host with 192.0.2.1 on w0, the other one with 192.0.2.2 on w1. */
static void
wire_up(void)
{
	ck_assert_int_eq(shell("touch /media/far && unshare --net=/media/far true && ip link add w0 type "
		"veth peer name w1 && ip link set w0 addrgenmode none && ip link set w1 netns /media/far && ip addr add 192.0.2.1/24 dev w0 && "
		"ip addr add 2001:db8::1/64 dev w0 nodad && ip link set w0 up && " FAR "sh -c 'ip link "
		"set lo up; ip addr add 192.0.2.2/24 dev w1; ip addr add 2001:db8::2/64 dev w1 nodad; "
		"ip link set w1 up'"), 0);
}

static bool
kernel_has(const char *kind, const char *options)
{
	if (shell("unshare -n sh -c 'ip link add d0 type veth peer name d1; ip link add try0 %s type %s %s' "
		  "2>/dev/null", strstr(options, "link") ? "link d0" : "", kind,
		  strstr(options, "link") ? options + 4 : options) == 0)
		return true;
	printf("not tried here: this kernel has no %s\n", kind);
	return false;
}

static struct tunnel_spec
vxlan(const char *local, const char *remote, uint32_t key)
{
	return (struct tunnel_spec){ .kind = TUNNEL_VXLAN, .local = cidr(local), .remote = cidr(remote),
				     .key = key, .has_key = true };
}

static struct lan_spec
with(const struct tunnel_spec *tunnels, unsigned count)
{
	return (struct lan_spec){ .id = 1, .uuid = LAN1, .mtu = 1400, .tunnels = tunnels,
				  .n_tunnels = count };
}

static struct lan_spec
lent(const char *device, unsigned vlan)
{
	return (struct lan_spec){ .id = 1, .uuid = LAN1, .mtu = 1400,
				  .uplink = { .device = device, .vlan = vlan } };
}

static void
bring_up_one(const struct lan_spec *lan)
{
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, lan, &err));
	bring_up(&one, 1);
}

static void
check_gone(const char *name)
{
	ck_assert_msg(shell(FABRIC "ip link show %s >/dev/null 2>&1", name) != 0, "%s is left", name);
}

/* ---- tunnels ---- */

static const struct {
	const char *local, *remote, *far;	/* far: how the other end is made there */
	int kind;
	bool has_key;
	const char *probe, *options;
} kinds[] = {
	{ "192.0.2.1/32", "192.0.2.2/32", "vxlan id 7 remote 192.0.2.1 dstport 4789", TUNNEL_VXLAN, true,
	  "vxlan", "id 1 dstport 1" },
	{ "2001:db8::1/128", "2001:db8::2/128", "vxlan id 7 remote 2001:db8::1 dstport 4789",
	  TUNNEL_VXLAN, true, "vxlan", "id 1 dstport 1" },
	{ "192.0.2.1/32", "192.0.2.2/32", "gretap local 192.0.2.2 remote 192.0.2.1 key 7", TUNNEL_EGRE, true,
	  "gretap", "remote 192.0.2.1" },
	{ "192.0.2.1/32", "192.0.2.2/32", "gretap local 192.0.2.2 remote 192.0.2.1", TUNNEL_EGRE, false,
	  "gretap", "remote 192.0.2.1" },
	{ "2001:db8::1/128", "2001:db8::2/128", "ip6gretap local 2001:db8::2 remote 2001:db8::1 key 7 "
	  "encaplimit none", TUNNEL_EGRE, true, "ip6gretap", "remote ::2" },
};

START_TEST(a_tunnel_reaches_another_host)
{
	vn_autofree char *before = NULL, *after = NULL;
	struct tunnel_spec tunnel = vxlan(kinds[_i].local, kinds[_i].remote, 7);
	struct lan_spec lan = with(&tunnel, 1);
	struct tunnel_route route;

	if (!kernel_has(kinds[_i].probe, kinds[_i].options))
		return;
	tunnel.kind = kinds[_i].kind;
	tunnel.has_key = kinds[_i].has_key;
	wire_up();
	bring_up_one(&lan);
	ck_assert_int_eq(shell(FAR "sh -c 'ip link add far0 type %s && ip addr add 10.1.0.99/16 dev far0 "
			       "&& ip addr add fd01::99/64 dev far0 nodad && ip link set far0 up mtu 1400'",
			       kinds[_i].far), 0);
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	ck_assert_int_eq(ping(1, "fd01::99"), 0);
	/* As large as is promised without a fragment, and not a byte more. */
	check_ok(net_linux.tunnel_route(net, &tunnel, &route, &err));
	lan.mtu = one.ports[1].mtu = route.mtu;
	check_ok(net_linux.lan_up(net, &lan, &err));
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
	shell(FAR "sh -c 'ip link set far0 mtu %u; ip link set w1 mtu 1500'", route.mtu);
	ck_assert_int_eq(shell(INSIDE "ping -n -q -c 1 -W 2 -M do -s %u 10.1.0.99 >/dev/null", 1,
			       route.mtu - 28), 0);
	ck_assert_int_eq(shell("test $(awk '/^Ip: [0-9]/ { print $18 }' /proc/net/snmp) = 0 && "
			       "test $(awk '/Ip6FragCreates/ { print $2 }' /proc/net/snmp6) = 0"), 0);
	before = dump();
	check_ok(net_linux.lan_up(net, &lan, &err));
	after = dump();
	check_same(before, after);
	lan.n_tunnels = 0;
	check_ok(net_linux.lan_up(net, &lan, &err));
	check_gone("t1n0");
	ck_assert_int_ne(ping(1, "10.1.0.99"), 0);
}
END_TEST

/* IP alone: no ARP inside, large packets, a port that is made anew, and nothing left. */
START_TEST(plain_gre_carries_ip_both_ways)
{
	bool is_six = _i == 1;
	struct tunnel_spec tunnel = { .kind = TUNNEL_GRE, .key = 7, .has_key = true,
		.local = cidr(is_six ? "2001:db8::1/128" : "192.0.2.1/32"),
		.remote = cidr(is_six ? "2001:db8::2/128" : "192.0.2.2/32") };
	struct lan_spec lan = with(&tunnel, 1);
	vn_autofree char *before = NULL, *after = NULL;
	struct tunnel_route route;

	if (!kernel_has(is_six ? "ip6gre" : "gre", is_six ? "remote ::2" : "remote 192.0.2.1") ||
	    shell("unshare -n tc actions add action vlan push_eth dst_mac 02:00:00:00:00:01 src_mac "
		  "02:00:00:00:00:02 2>/dev/null") != 0) {
		printf("not tried here: plain GRE\n");
		return;
	}
	wire_up();
	describe(&one, 1);
	check_ok(net_linux.tunnel_route(net, &tunnel, &route, &err));
	ck_assert_uint_eq(route.mtu, is_six ? 1452 : 1472);
	lan.mtu = route.mtu;
	lan.no_learning = true;
	tunnel.mac = digest_mac(one.uuid, 1);
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan, &err));
	one.ports[1].mtu = route.mtu;
	one.ports[1].no_arp = true;
	check_ok(net_linux.namespaces_up(net, &one.ns, &err));
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
	ck_assert_int_eq(shell(FAR "sh -c 'ip link add far0 type %s && ip addr add 10.1.0.99/16 dev far0 "
			       "&& ip addr add fd01::99/64 dev far0 nodad && ip link set far0 up mtu %u'",
			       is_six ? "ip6gre local 2001:db8::2 remote 2001:db8::1 key 7 encaplimit none"
				      : "gre local 192.0.2.2 remote 192.0.2.1 key 7", route.mtu), 0);
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	ck_assert_int_eq(ping(1, "fd01::99"), 0);
	ck_assert_int_eq(shell(FAR "ping -n -q -c 1 -W 2 -M do -s %u 10.1.0.2 >/dev/null",
			       route.mtu - 28), 0);
	ck_assert_int_eq(shell(INSIDE "ping -n -q -c 1 -W 2 -M do -s %u 10.1.0.99 >/dev/null", 1,
			       route.mtu - 28), 0);
	before = dump();
	check_ok(net_linux.lan_up(net, &lan, &err));
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
	after = dump();
	check_same(before, after);
	/* Another MAC: what comes back is addressed to it. */
	check_ok(net_linux.ports_down(net, &one.ns, &(unsigned){ 1 }, 1, &err));
	one.ports[1].mac.byte[5] ^= 1;
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	ck_assert_int_eq(shell(FABRIC "ip link del g1n0"), 0);
	tunnel.mac = one.ports[1].mac;
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	/* To a kind that speaks Ethernet and back. */
	tunnel.kind = TUNNEL_EGRE;
	check_ok(net_linux.lan_up(net, &lan, &err));
	check_gone("g1n0");
	check_gone("w1n0");
	tunnel.kind = TUNNEL_GRE;
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	check_ok(net_linux.lan_down(net, 1, &err));
	check_gone("t1n0");
	check_gone("w1n0");
	check_gone("g1n0");
}
END_TEST

START_TEST(changed_tunnels_leave_the_others_alone)
{
	struct tunnel_spec tunnels[3] = { vxlan("192.0.2.1/32", "192.0.2.2/32", 7),
		vxlan("192.0.2.1/32", "192.0.2.3/32", 8), vxlan("192.0.2.1/32", "192.0.2.4/32", 9) };
	struct lan_spec lan = with(tunnels, 2);
	char before[64], after[64], changed[64];

	wire_up();
	for (unsigned i = 0; i < 3; i++)
		tunnels[i].index = i;
	bring_up_one(&lan);
	shell_into(before, sizeof(before), FABRIC "cat /sys/class/net/t1n0/ifindex 2>/dev/null || " FABRIC
		   "ip -o link show t1n0 | cut -d: -f1");
	shell_into(changed, sizeof(changed), FABRIC "ip -o link show t1n1 | cut -d: -f1");
	tunnels[1].key = 88;
	lan.n_tunnels = 3;
	check_ok(net_linux.lan_up(net, &lan, &err));
	shell_into(after, sizeof(after), FABRIC "ip -o link show t1n0 | cut -d: -f1");
	ck_assert_int_eq(atoi(before), atoi(after));
	shell_into(after, sizeof(after), FABRIC "ip -o link show t1n1 | cut -d: -f1");
	ck_assert_int_ne(atoi(changed), atoi(after));
	ck_assert_int_eq(shell(FABRIC "ip -d link show t1n1 | grep -q 'vxlan id 88 remote 192.0.2.3'"), 0);
	/* A foreign hand in it. */
	ck_assert_int_eq(shell(FABRIC "sh -c 'ip link del t1n2; ip link set t1n0 down nomaster'"), 0);
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(shell(FABRIC "ip -o link show master l1 up | grep -c ': t1n' | grep -qx 3"), 0);
	check_ok(net_linux.lan_down(net, 1, &err));
	ck_assert_int_ne(shell(FABRIC "ip -o link | grep -q ': t1n'"), 0);
}
END_TEST

START_TEST(a_tunnel_that_cannot_be_made_leaves_nothing)
{
	struct tunnel_spec tunnels[2] = { vxlan("192.0.2.1/32", "192.0.2.2/32", 7),
		vxlan("192.0.2.1/32", "192.0.2.3/32", 8) };
	struct lan_spec lan = with(tunnels, 2);
	vn_autofree char *before = NULL, *after = NULL;

	wire_up();
	tunnels[1].index = 1;
	ck_assert_int_eq(shell("ip link add theirs type vxlan id 8 dstport 4789 remote 192.0.2.9"), 0);
	check_ok(net_linux.host_up(net, &err));
	before = dump();
	check_fails(net_linux.lan_up(net, &lan, &err), VN_E_EXISTS, "t1n1");
	after = dump();
	check_same(before, after);
	lan.n_tunnels = 1;
	check_ok(net_linux.lan_up(net, &lan, &err));
	lan.n_tunnels = 2;
	check_fails(net_linux.lan_up(net, &lan, &err), VN_E_EXISTS, "t1n1");
	check_gone("t1n1");
	ck_assert_int_eq(shell(FABRIC "ip -o link show t1n0 | grep -q 'master l1'"), 0);
	check_ok(net_linux.host_down(net, &err));
	ck_assert_int_eq(shell("ip link show theirs >/dev/null"), 0);
}
END_TEST

/* As after a crash between the two sockets. */
START_TEST(a_tunnel_without_its_tag_is_found_again)
{
	struct tunnel_spec tunnel = vxlan("192.0.2.1/32", "192.0.2.2/32", 7);
	struct lan_spec lan = with(&tunnel, 1);
	struct net_found *found = NULL;
	size_t count = 0, tunnels = 0;

	wire_up();
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(shell(FABRIC "ip link set t1n0 nomaster down alias ''"), 0);
	check_ok(net_linux.inventory(net, &found, &count, &err));
	for (size_t i = 0; i < count; i++)
		tunnels += found[i].kind == NET_TUNNEL && found[i].id == 1 && found[i].index == 0;
	free(found);
	ck_assert_uint_eq(tunnels, 1);
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(shell(FABRIC "ip link show t1n0 | grep -q 'alias vnoded:" INSTANCE ":" LAN1 "'"), 0);
	/* Its bridge is gone: the name is enough. */
	ck_assert_int_eq(shell(FABRIC "ip link del l1"), 0);
	check_ok(net_linux.lan_down(net, 1, &err));
	check_gone("t1n0");
	/* A foreign one of that name is in the way. */
	ck_assert_int_eq(shell(FABRIC "ip link add t1n0 type bridge"), 0);
	check_fails(net_linux.lan_up(net, &lan, &err), VN_E_EXISTS, "t1n0");
	check_ok(net_linux.lan_down(net, 1, &err));
	ck_assert_int_eq(shell(FABRIC "ip link show t1n0 >/dev/null"), 0);
}
END_TEST

START_TEST(two_lans_of_this_host_are_linked)
{
	struct tunnel_spec west = vxlan("127.0.0.1/32", "127.0.0.2/32", 7);
	struct tunnel_spec east = vxlan("127.0.0.2/32", "127.0.0.1/32", 7);
	struct lan_spec first = with(&west, 1), second = with(&east, 1);
	vn_autofree char *before = NULL, *after = NULL;
	struct tunnel_route route;

	shell("ip link set lo up");
	second.id = 2;
	second.uuid = LAN2;
	bring_up_one(&first);
	check_ok(net_linux.tunnel_route(net, &west, &route, &err));
	ck_assert(route.own);
	describe(&two, 2);
	two.ports[1].lan = 2;
	check_ok(net_linux.lan_up(net, &second, &err));
	check_ok(net_linux.namespaces_up(net, &two.ns, &err));
	check_ok(net_linux.ports_up(net, &two.ns, two.ports, 2, &err));
	ck_assert_int_eq(ping(1, "10.1.0.3"), 0);
	ck_assert_int_ne(shell(FABRIC "ip -d link | grep -q vxlan"), 0);
	before = dump();
	check_ok(net_linux.lan_up(net, &first, &err));
	check_ok(net_linux.lan_up(net, &second, &err));
	after = dump();
	check_same(before, after);
	/* One side leaves and comes back, then the other, which ends the link. */
	check_ok(net_linux.lan_down(net, 2, &err));
	ck_assert_int_ne(ping(1, "10.1.0.3"), 0);
	check_ok(net_linux.lan_up(net, &second, &err));
	check_ok(net_linux.ports_up(net, &two.ns, two.ports, 2, &err));
	ck_assert_int_eq(ping(1, "10.1.0.3"), 0);
	first.n_tunnels = 0;
	check_ok(net_linux.lan_up(net, &first, &err));
	check_ok(net_linux.lan_down(net, 2, &err));
	ck_assert_int_ne(shell(FABRIC "ip -o link | grep -qE ': [xy][0-9a-f]{12}'"), 0);
}
END_TEST

START_TEST(where_a_tunnel_leads_is_told)
{
	struct tunnel_spec tunnel = vxlan("192.0.2.1/32", "192.0.2.2/32", 7);
	struct tunnel_route route;

	wire_up();
	check_ok(net_linux.tunnel_route(net, &tunnel, &route, &err));
	ck_assert(!route.own);
	ck_assert_uint_eq(route.mtu, 1450);
	shell("ip link set w0 mtu 9000");
	check_ok(net_linux.tunnel_route(net, &tunnel, &route, &err));
	ck_assert_uint_eq(route.mtu, 8950);
	shell("ip route add 192.0.2.2 dev w0 mtu 1300");
	check_ok(net_linux.tunnel_route(net, &tunnel, &route, &err));
	ck_assert_uint_eq(route.mtu, 1250);
	tunnel = vxlan("2001:db8::1/128", "2001:db8::2/128", 7);
	check_ok(net_linux.tunnel_route(net, &tunnel, &route, &err));
	ck_assert_uint_eq(route.mtu, 8930);
	tunnel = vxlan("192.0.2.7/32", "192.0.2.2/32", 7);
	check_fails(net_linux.tunnel_route(net, &tunnel, &route, &err), VN_E_INVALID, "no address of this");
	tunnel = vxlan("192.0.2.1/32", "203.0.113.1/32", 7);
	check_fails(net_linux.tunnel_route(net, &tunnel, &route, &err), VN_E_INVALID, "no route");
	tunnel = vxlan("192.0.2.1/32", "192.0.2.1/32", 7);
	tunnel.local.family = 0;
	check_fails(net_linux.tunnel_route(net, &tunnel, &route, &err), VN_E_INVALID, "oneself");
}
END_TEST

/* What enters and leaves by a tunnel is shaped as what enters and leaves by a port. */
START_TEST(a_tunnel_has_its_shapes)
{
	struct tunnel_spec tunnel = vxlan("192.0.2.1/32", "192.0.2.2/32", 7);
	struct lan_spec lan = with(&tunnel, 1);

	wire_up();
	tunnel.out.rate_bps = 8000000;
	tunnel.in.rate_bps = 16000000;
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(shell(FABRIC "tc qdisc show dev t1n0 | grep -q 'tbf.*rate 8Mbit'"), 0);
	ck_assert_int_eq(shell(FABRIC "tc qdisc show dev it1n0 | grep -q 'tbf.*rate 16Mbit'"), 0);
	tunnel.out.rate_bps = 0;
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_ne(shell(FABRIC "tc qdisc show dev t1n0 | grep -q tbf"), 0);
	check_ok(net_linux.lan_down(net, 1, &err));
	check_gone("it1n0");
}
END_TEST

/* ---- uplinks ---- */

START_TEST(a_whole_port_is_lent_and_given_back)
{
	struct lan_spec lan = lent("w0", 0), none = with(NULL, 0);
	vn_autofree char *before = NULL, *after = NULL;

	if (!kernel_has("macvlan", "linkmode passthru"))
		return;
	wire_up();
	/* A port that is down has no IPv6 addresses, and no carrier. */
	shell("ip link set w0 mtu 1600; test %d = 0 || ip link set w0 down", _i);
	bring_up_one(&none);
	ck_assert_int_eq(shell(FAR "ip addr add 10.1.0.99/16 dev w1"), 0);
	before = dump();
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	check_ok(net_linux.lan_up(net, &none, &err));
	ck_assert_int_ne(ping(1, "10.1.0.99"), 0);
	after = dump();
	check_same(before, after);
	check_ok(net_linux.lan_up(net, &lan, &err));
	check_ok(net_linux.lan_down(net, 1, &err));
	check_gone("u1");
	ck_assert_int_eq(shell("ip -d link show w0 | grep -q 'promiscuity 0'"), 0);
	ck_assert_int_eq(shell("ip link show w0 | grep -q '[<,]UP'"), _i);
}
END_TEST

START_TEST(a_port_is_lent_once)
{
	struct lan_spec first = lent("w0", 0), second = lent("w0", 0);

	if (!kernel_has("macvlan", "linkmode passthru"))
		return;
	wire_up();
	second.id = 2;
	second.uuid = LAN2;
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &first, &err));
	check_fails(net_linux.lan_up(net, &second, &err), VN_E_BUSY, "another LAN");
	check_gone("l2");
	second.uplink.vlan = 100;
	check_fails(net_linux.lan_up(net, &second, &err), VN_E_BUSY, "as a whole");
	check_ok(net_linux.lan_down(net, 1, &err));
	second.uplink.vlan = 0;
	check_ok(net_linux.lan_up(net, &second, &err));
	check_ok(net_linux.host_down(net, &err));
	ck_assert_int_eq(shell("ip -d link show w0 | grep -q 'promiscuity 0'"), 0);
}
END_TEST

START_TEST(teardown_gives_ports_back)
{
	struct lan_spec lan = lent("w0", 0);

	if (!kernel_has("macvlan", "linkmode passthru"))
		return;
	wire_up();
	shell("ip link set w0 down");
	bring_up_one(&lan);
	ck_assert_int_eq(shell("ip link show w0 | grep -q '[<,]UP'"), 0);
	check_ok(net_linux.host_down(net, &err));
	ck_assert_int_ne(shell("ip link show w0 | grep -q '[<,]UP'"), 0);
}
END_TEST

START_TEST(vlans_share_a_port)
{
	struct lan_spec first = lent("w0", 100), second = lent("w0", 200);

	if (!kernel_has("vlan", "linkid 7"))
		return;
	wire_up();
	second.id = 2;
	second.uuid = LAN2;
	shell("ip link set w0 down");
	bring_up_one(&first);
	check_ok(net_linux.lan_up(net, &second, &err));
	ck_assert_int_eq(shell(FAR "sh -c 'ip link add link w1 name w1.100 type vlan id 100; "
			       "ip addr add 10.1.0.99/16 dev w1.100; ip link set w1.100 up'"), 0);
	ck_assert_int_eq(ping(1, "10.1.0.99"), 0);
	check_ok(net_linux.lan_down(net, 1, &err));
	ck_assert_int_eq(shell("ip link show w0 | grep -q '[<,]UP'"), 0);
	/* The last one takes the port down again. */
	second.uplink.vlan = 300;
	check_ok(net_linux.lan_up(net, &second, &err));
	ck_assert_int_eq(shell("ip link show w0 | grep -q '[<,]UP'"), 0);
	check_ok(net_linux.lan_down(net, 2, &err));
	ck_assert_int_ne(shell("ip link show w0 | grep -q '[<,]UP'"), 0);
}
END_TEST

START_TEST(what_may_not_be_lent_is_refused)
{
	struct lan_spec lan = lent("w0", 0);
	struct uplink_spec none = { .device = "nope0" }, loopback = { .device = "lo" };
	unsigned mtu;

	wire_up();
	check_ok(net_linux.host_up(net, &err));
	check_fails(net_linux.uplink_check(net, &none, &mtu, &err), VN_E_NOT_FOUND, "nope0");
	check_fails(net_linux.uplink_check(net, &loopback, &mtu, &err), VN_E_INVALID, "lo");
	check_ok(net_linux.uplink_check(net, &lan.uplink, &mtu, &err));
	ck_assert_uint_eq(mtu, 1500);
	ck_assert_int_eq(shell("ip %s route add default via %s", _i ? "-6" : "",
			       _i ? "2001:db8::2" : "192.0.2.2"), 0);
	check_fails(net_linux.uplink_check(net, &lan.uplink, &mtu, &err), VN_E_DENIED, "default route");
	check_fails(net_linux.lan_up(net, &lan, &err), VN_E_DENIED, "default route");
	check_gone("l1");
	lan.uplink.device = "nope0";
	check_fails(net_linux.lan_up(net, &lan, &err), VN_E_NOT_FOUND, "nope0");
	lan.uplink = (struct uplink_spec){ .device = "w0", .default_route = true };
	check_ok(net_linux.uplink_check(net, &lan.uplink, &mtu, &err));
}
END_TEST

/* ---- bridges ---- */

START_TEST(a_bridge_keeps_its_mac_and_learns_by_choice)
{
	struct lan_spec lan = with(NULL, 0);
	struct vn_mac mac = digest_mac(LAN1, 0);
	char text[VN_MAC_TEXT];

	lan.mtu = 9000;
	vn_mac_print(&mac, text);
	bring_up_one(&lan);
	bring_up(&two, 2);
	ck_assert_int_eq(shell(FABRIC "ip link show l1 | grep -q 'mtu 9000'"), 0);
	ck_assert_int_eq(shell(FABRIC "ip -d link show l1 | grep -q 'link/ether %s.*ageing_time 30000'"
			       " || " FABRIC "ip -d -o link show l1 | grep -q 'ether %s .* ageing_time 30000'",
			       text, text), 0);
	ck_assert_int_eq(ping(1, "10.1.0.3"), 0);
	ck_assert_int_eq(shell(FABRIC "bridge fdb show br l1 | grep -v permanent | grep -q v1e1"), 0);
	lan.no_learning = true;
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(shell(FABRIC "sh -c 'ip -d -o link show l1 | grep -q \"ageing_time 0\"'"), 0);
	ck_assert_int_eq(shell(FABRIC "ip link set l1 type bridge fdb_flush"), 0);
	ck_assert_int_eq(ping(1, "10.1.0.3"), 0);
	ck_assert_int_ne(shell(FABRIC "bridge fdb show br l1 | grep -v permanent | grep -q v1e1"), 0);
	lan.no_learning = false;
	check_ok(net_linux.lan_up(net, &lan, &err));
	ck_assert_int_eq(shell(FABRIC "sh -c 'ip -d -o link show l1 | grep -q \"ageing_time 30000\"'"), 0);
}
END_TEST

const struct net_case way_cases[] = {
	{ "tunnel", &a_tunnel_reaches_another_host, VN_COUNT(kinds) },
	{ "tunnel plain", &plain_gre_carries_ip_both_ways, 2 },
	{ "tunnel changed", &changed_tunnels_leave_the_others_alone, 1 },
	{ "tunnel refused", &a_tunnel_that_cannot_be_made_leaves_nothing, 1 },
	{ "tunnel untagged", &a_tunnel_without_its_tag_is_found_again, 1 },
	{ "tunnel home", &two_lans_of_this_host_are_linked, 1 },
	{ "tunnel route", &where_a_tunnel_leads_is_told, 1 },
	{ "tunnel shapes", &a_tunnel_has_its_shapes, 1 },
	{ "uplink whole", &a_whole_port_is_lent_and_given_back, 2 },
	{ "uplink once", &a_port_is_lent_once, 1 },
	{ "uplink teardown", &teardown_gives_ports_back, 1 },
	{ "uplink vlans", &vlans_share_a_port, 1 },
	{ "uplink refused", &what_may_not_be_lent_is_refused, 2 },
	{ "bridge", &a_bridge_keeps_its_mac_and_learns_by_choice, 1 },
	{ 0 },
};
