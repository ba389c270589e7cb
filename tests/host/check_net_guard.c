/*
 * What a guest can send into the control network. Each frame that must not pass is shown to pass once the
 * rules are gone, so that no case passes because a frame was malformed.
 */
#include "tests/host/net_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/digest.h"
#include "proto/base/mem.h"
#include "tests/host/frames.h"

#define MOST 64

static const struct vn_mac everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
static const struct vn_mac stranger = { { 0x02, 0x66, 0x66, 0x66, 0x66, 0x66 } };

struct cast {				/* who takes part: vnode 1 sends, vnode 2 and the gateway look */
	struct vn_mac mine, theirs, gateway_mac;
	struct vn_cidr own4, own6, link_local, their4, their6, their_link_local, gateway4, gateway6,
		gateway_link_local, nobody4, all4, all6;
	int from, to, at_gateway;
	struct frame frames[MOST], marker;
	size_t n_frames;
};

static struct cast cast;

static struct vn_cidr
link_local_of(const struct vn_mac *mac)
{
	const uint8_t *m = mac->byte;

	return (struct vn_cidr){ .family = AF_INET6, .prefix = 64, .byte = { 0xfe, 0x80, [8] = m[0] ^ 2,
				 m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5] } };
}

static struct frame *
add(const char *what, const struct vn_mac *from, uint16_t type)
{
	struct frame *frame = &cast.frames[cast.n_frames++];

	ck_assert_uint_le(cast.n_frames, MOST);
	frame_begin(frame, what, &everyone, from, type);
	return frame;
}

static struct frame *
add_ip4(const char *what, const struct vn_mac *mac, const struct vn_cidr *from)
{
	struct frame *frame = add(what, mac, 0x0800);

	frame_ip4(frame, from, &cast.all4, 17, 8);
	frame_udp(frame, 5000, 5001);
	return frame;
}

static void
add_arp(const char *what, int operation, const struct vn_mac *mac, const struct vn_cidr *from)
{
	frame_arp(add(what, &cast.mine, 0x0806), operation, mac, from, &cast.their4);
}

static struct frame *
add_ip6(const char *what, const struct vn_cidr *from, int next, size_t payload)
{
	struct frame *frame = add(what, &cast.mine, 0x86dd);

	frame_ip6(frame, from, &cast.all6, next, payload);
	return frame;
}

static void
add_icmp6(const char *what, const struct vn_cidr *from, int type, const struct vn_cidr *about)
{
	frame_icmp6(add_ip6(what, from, 58, about ? 24 : 8), type, about);
}

static void
meet(void)
{
	struct cast *c = &cast;

	bring_up_two();
	/* A bridge takes its time to believe in a new port's carrier. */
	while (ping(1, "198.18.0.1") != 0 || ping(2, "198.18.0.1") != 0)
		;
	*c = (struct cast){
		.mine = digest_mac(one.uuid, 0), .theirs = digest_mac(two.uuid, 0),
		.gateway_mac = digest_mac(INSTANCE, 1),
		.own4 = one.control[0], .own6 = one.control[1],
		.their4 = two.control[0], .their6 = two.control[1],
		.gateway4 = cidr("198.18.0.1"), .gateway6 = cidr("fd11:2222:3333:4444::1"),
		.gateway_link_local = cidr("fe80::1"), .nobody4 = cidr("0.0.0.0"),
		.all4 = cidr("255.255.255.255"), .all6 = cidr("ff02::1"),
	};
	c->link_local = link_local_of(&c->mine);
	c->their_link_local = link_local_of(&c->theirs);
	c->from = frames_open(one.netns, "eth0");
	c->to = frames_open(two.netns, "eth0");
	c->at_gateway = frames_open(NULL, UPLINK);
	frame_begin(&c->marker, "marker", &everyone, &c->mine, 0x0800);
	frame_ip4(&c->marker, &c->own4, &c->all4, 17, 8);
	frame_udp(&c->marker, 5000, 5001);
}

static void
add_lies_of_family_4(void)
{
	const struct cast *c = &cast;

	add_ip4("another MAC", &stranger, &c->own4);
	add_ip4("the neighbour's MAC", &c->theirs, &c->their4);
	add_ip4("the gateway's MAC", &c->gateway_mac, &c->gateway4);
	add_ip4("the neighbour's IPv4 address", &c->mine, &c->their4);
	add_ip4("the gateway's IPv4 address", &c->mine, &c->gateway4);
	add_ip4("no IPv4 address", &c->mine, &c->nobody4);
	add_ip4("an experiment network's address", &c->mine, &one.lan[0]);
	add_arp("ARP: I am the gateway", 2, &c->mine, &c->gateway4);
	add_arp("ARP: I am the neighbour", 2, &c->mine, &c->their4);
	add_arp("ARP: who asks is the neighbour", 1, &c->mine, &c->their4);
	add_arp("ARP: my address has another MAC", 2, &stranger, &c->own4);
	add_arp("ARP: an operation of its own", 9, &c->mine, &c->own4);
}

static void
add_lies_of_family_6(void)
{
	const struct cast *c = &cast;
	static const uint8_t jumbo[8] = { 58, 0, 1, 4 }, hiding[8] = { 60, 0, 0, 1 },
			     endless[8] = { 58, 200, 1, 4 }, direct[8] = { 58, 0, 0, 1 };
	struct frame *frame;

	add_icmp6("the neighbour's IPv6 address", &c->their6, 128, NULL);
	add_icmp6("the gateway's IPv6 address", &c->gateway6, 128, NULL);
	add_icmp6("the neighbour's link-local address", &c->their_link_local, 128, NULL);
	add_icmp6("the gateway's link-local address", &c->gateway_link_local, 128, NULL);
	add_icmp6("ND: I am the gateway", &c->own6, 136, &c->gateway6);
	add_icmp6("ND: I am the gateway on the link", &c->link_local, 136, &c->gateway_link_local);
	add_icmp6("ND: I am the neighbour", &c->link_local, 136, &c->their6);
	add_icmp6("a router advertisement", &c->link_local, 134, NULL);
	add_icmp6("a redirect", &c->link_local, 137, &c->their6);
	frame = add_ip6("a router advertisement behind options", &c->link_local, 0, 16);
	frame_put(frame, jumbo, sizeof(jumbo));
	frame_icmp6(frame, 134, NULL);
	frame = add_ip6("a fragment that hides what follows", &c->link_local, 44, 16);
	frame_put(frame, hiding, sizeof(hiding));
	frame_put(frame, endless, sizeof(endless));
	frame = add_ip6("a fragment of a router advertisement", &c->link_local, 44, 16);
	frame_put(frame, direct, sizeof(direct));
	frame_icmp6(frame, 134, NULL);
}

static void
add_other_lies(void)
{
	const struct cast *c = &cast;
	struct frame *frame;

	frame = add("a DHCP server's answer", &c->mine, 0x0800);
	frame_ip4(frame, &c->own4, &c->all4, 17, 8);
	frame_udp(frame, 67, 68);
	frame = add_ip6("a DHCPv6 server's answer", &c->link_local, 17, 8);
	frame_udp(frame, 547, 546);
	frame_tag(add_ip4("tagged", &c->mine, &c->own4), 0x8100, 5);
	frame_tag(add_ip4("tagged with 0", &c->mine, &c->own4), 0x8100, 0);
	frame_tag(add_ip4("tagged by a provider", &c->mine, &c->own4), 0x88a8, 5);
	add("another protocol", &c->mine, 0x88b5);
	add("PPPoE discovery", &c->mine, 0x8863);
	add("a length, not a type", &c->mine, 60);
}

static uint64_t
all_frames(void)
{
	return ((uint64_t)1 << cast.n_frames) - 1;
}

static void
send_to(const struct vn_mac *to)
{
	for (size_t i = 0; i < cast.n_frames; i++)
		memcpy(cast.frames[i].byte, to->byte, sizeof(to->byte));
}

static void
check_seen(uint64_t seen, uint64_t wanted, const char *who)
{
	for (size_t i = 0; i < cast.n_frames; i++)
		if ((seen ^ wanted) >> i & 1)
			ck_abort_msg("%s %s: %s", who, seen >> i & 1 ? "saw" : "did not see",
				     cast.frames[i].what);
}

/* Sent to everyone, to the neighbour alone, and to the gateway alone. */
static void
check_reach(uint64_t wanted)
{
	const struct cast *c = &cast;

	send_to(&everyone);
	check_seen(frames_seen(c->from, c->to, c->frames, c->n_frames, &c->marker), wanted,
		   "the neighbour");
	check_seen(frames_seen(c->from, c->at_gateway, c->frames, c->n_frames, &c->marker), wanted,
		   "the gateway");
	send_to(&c->theirs);
	check_seen(frames_seen(c->from, c->to, c->frames, c->n_frames, &c->marker), wanted,
		   "the neighbour, addressed,");
	send_to(&c->gateway_mac);
	check_seen(frames_seen(c->from, c->at_gateway, c->frames, c->n_frames, &c->marker), wanted,
		   "the gateway, addressed,");
}

/* Whether the bridge believes that a MAC is at the port of vnode 1. */
static bool
is_learned(const struct vn_mac *mac)
{
	char text[VN_MAC_TEXT];

	vn_mac_print(mac, text);
	return shell(FABRIC "bridge fdb show dev v1e0 | grep -q %s", text) == 0;
}

START_TEST(lies_reach_nobody)
{
	meet();
	add_lies_of_family_4();
	add_lies_of_family_6();
	add_other_lies();
	check_reach(0);
	ck_assert(!is_learned(&stranger) && !is_learned(&cast.theirs));
	check_pings();
	/* and only the rules did that */
	ck_assert_int_eq(shell(FABRIC "nft flush chain bridge vnoded guard"), 0);
	send_to(&everyone);
	check_seen(frames_seen(cast.from, cast.to, cast.frames, cast.n_frames, &cast.marker),
		   all_frames(), "the neighbour, unguarded,");
	check_seen(frames_seen(cast.from, cast.at_gateway, cast.frames, cast.n_frames, &cast.marker),
		   all_frames(), "the gateway, unguarded,");
	check_ok(net_linux.host_up(net, &err));
	check_reach(0);
}
END_TEST

START_TEST(what_is_its_own_passes)
{
	static const uint8_t later[8] = { 58, 0, 0, 8 }, options[8] = { 6, 0, 1, 4 };
	const struct cast *c = &cast;
	struct frame *frame;

	meet();
	add_ip4("own MAC and IPv4 address", &c->mine, &c->own4);
	add_arp("ARP: a question", 1, &c->mine, &c->own4);
	add_arp("ARP: an answer", 2, &c->mine, &c->own4);
	add_icmp6("own IPv6 address", &c->own6, 128, NULL);
	add_icmp6("own link-local address", &c->link_local, 128, NULL);
	add_icmp6("ND: a question", &c->own6, 135, &c->their6);
	add_icmp6("ND: an answer", &c->own6, 136, &c->own6);
	add_icmp6("ND: an answer on the link", &c->link_local, 136, &c->link_local);
	frame_udp(add_ip6("UDP over IPv6", &c->own6, 17, 8), 5000, 5001);
	frame = add_ip6("a later fragment", &c->own6, 44, 8);
	frame_put(frame, later, sizeof(later));
	frame = add_ip6("TCP behind options", &c->own6, 0, 16);
	frame_put(frame, options, sizeof(options));
	frame_put(frame, later, sizeof(later));
	check_reach(all_frames());
}
END_TEST

static void
send_to_groups(void)
{
	struct vn_mac group = { { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x00 } };
	struct frame frame;

	for (; group.byte[5] < 16; group.byte[5]++) {
		frame_begin(&frame, "a group", &group, &stranger, 0x8809);
		frames_seen(cast.from, cast.to, &frame, 1, &cast.marker);
	}
}

/* Groups of 802.1 take a way of their own through a bridge, and it would learn from them. */
START_TEST(nothing_is_learned_from_link_local_groups)
{
	meet();
	send_to_groups();
	ck_assert(is_learned(&cast.mine));
	ck_assert(!is_learned(&stranger));
	check_pings();
	ck_assert_int_eq(shell(FABRIC "nft flush chain bridge vnoded inside"), 0);
	send_to_groups();
	ck_assert(is_learned(&stranger));
}
END_TEST

START_TEST(another_mac_inside_is_cut_off)
{
	meet();
	ck_assert_int_eq(ping(1, "198.18.0.1"), 0);
	shell(INSIDE "ip link set eth0 address 02:66:66:66:66:66", 1);
	ck_assert_int_ne(ping(1, "198.18.0.1"), 0);
	shell(INSIDE "ip addr add 198.18.9.9/16 dev eth0; " INSIDE "ip link set eth0 address "
	      "$(" FABRIC "nft -j list set bridge vnoded macs | tr , '\\n' | grep -A1 v1e0 | "
	      "grep -o '02:[0-9a-f:]*')", 1, 1);
	ck_assert_int_eq(ping(1, "198.18.0.1"), 0);
	ck_assert_int_ne(shell(INSIDE "ping -n -q -c 1 -W 1 -I 198.18.9.9 198.18.0.1 >/dev/null", 1), 0);
}
END_TEST

/* What is for one guest is shown to no other, also while the bridge does not know where that is. */
START_TEST(frames_for_others_are_not_shown)
{
	meet();
	frame_begin(&cast.frames[0], "for someone else", &stranger, &cast.gateway_mac, 0x88b5);
	cast.n_frames = 1;
	memcpy(cast.marker.byte + 6, cast.gateway_mac.byte, 6);
	ck_assert_uint_eq(frames_seen(cast.at_gateway, cast.to, cast.frames, 1, &cast.marker), 0);
	ck_assert_int_eq(shell(FABRIC "nft flush chain bridge vnoded between"), 0);
	ck_assert_uint_eq(frames_seen(cast.at_gateway, cast.to, cast.frames, 1, &cast.marker), 1);
}
END_TEST

/* An experiment network is a wire: nothing is looked at, whatever the host does with bridges elsewhere. */
START_TEST(experiment_networks_carry_everything)
{
	struct vn_mac lldp = { { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e } };
	struct cast *c = &cast;
	struct frame *frame;

	meet();
	c->mine = digest_mac(one.uuid, 1);
	add_lies_of_family_4();
	add_lies_of_family_6();
	add_other_lies();
	frame_ip4(add("IPv4, longer than it is", &c->mine, 0x0800), &c->own4, &c->all4, 17, 100);
	frame = add("IPv4, shorter than it is", &c->mine, 0x0800);
	frame_ip4(frame, &c->own4, &c->all4, 17, 0);
	frame->byte[17] = 20;
	memcpy(add("LLDP", &c->mine, 0x88cc)->byte, lldp.byte, sizeof(lldp.byte));
	c->from = frames_open(one.netns, "eth1");
	c->to = frames_open(two.netns, "eth1");
	check_seen(frames_seen(c->from, c->to, c->frames, c->n_frames, &c->marker), all_frames(),
		   "the other member");
}
END_TEST

static size_t
count_rules(const char *where, const char *table)
{
	vn_autofree char *command = vn_format("%s nft list table %s vnoded | "
		"grep -cE '(accept|drop|return|masquerade|jump|goto|dnat|vmap)'", where, table);
	char text[32];

	ck_assert_int_eq(shell_into(text, sizeof(text), command), 0);
	return (size_t)atol(text);
}

static size_t
count_elements(const char *set)
{
	vn_autofree char *command = vn_format(FABRIC "nft list set bridge vnoded %s | grep -o v[0-9]*e0 "
					      "| wc -l", set);
	char text[32];

	shell_into(text, sizeof(text), command);
	return (size_t)atol(text);
}

#define MANY 200

START_TEST(rules_do_not_grow_with_vnodes)
{
	static struct node nodes[MANY];
	struct forward_spec forwards[MANY];
	size_t bridge = 0, inet = 0, last_bridge = 0, last_inet = 0;

	check_ok(net_linux.host_up(net, &err));
	for (int i = 0; i < MANY; i++) {
		describe(&nodes[i], i + 1);
		nodes[i].ns.userns = NULL;
		check_ok(net_linux.namespaces_up(net, &nodes[i].ns, &err));
		check_ok(net_linux.ports_up(net, &nodes[i].ns, nodes[i].ports, 1, &err));
		forwards[i] = (struct forward_spec){ .vmid = i + 1, .protocol = i & 1 ? 17 : 6,
			.host = (uint16_t)(20000 + i), .guest = 7, .to4 = nodes[i].control[0],
			.to6 = nodes[i].control[1] };
		check_ok(net_linux.forwards_up(net, &forwards[i], 1, &err));
		if (i != 0 && i != MANY - 1)
			continue;
		bridge = count_rules(FABRIC, "bridge");
		inet = count_rules("", "inet");
		ck_assert_uint_gt(bridge, 10);
		ck_assert_uint_gt(inet, 10);
		ck_assert_uint_eq(count_elements("macs"), (size_t)i + 1);
		ck_assert_uint_eq(count_elements("own6"), 2 * ((size_t)i + 1));
		ck_assert(i == 0 || (bridge == last_bridge && inet == last_inet));
		last_bridge = bridge;
		last_inet = inet;
	}
	printf("rules with 1 and with %d vnodes: %zu in the fabric, %zu on the host\n", MANY, bridge,
	       inet);
	for (int i = 0; i < MANY; i++)
		check_ok(net_linux.namespaces_down(net, &nodes[i].ns, &err));
	check_ok(net_linux.inventory(net, &(struct net_found *){ NULL }, &(size_t){ 0 }, &err));
	ck_assert_uint_eq(count_elements("macs") + count_elements("own4") + count_elements("own6"), 0);
}
END_TEST

/* A new life of the daemon says who may send; what the old one left is gone. */
START_TEST(a_start_sets_exactly_the_ports_that_are)
{
	struct control_spec specs[2];
	vn_autofree char *before = NULL, *after = NULL;

	meet();
	before = dump();
	for (int i = 0; i < 2; i++)
		specs[i] = (struct control_spec){ .vmid = i + 1, .mac = i ? cast.theirs : cast.mine,
			.own4 = i ? cast.their4 : cast.own4, .own6 = i ? cast.their6 : cast.own6 };
	shell(FABRIC "nft 'add element bridge vnoded macs { v1e0 . 02:66:66:66:66:66 }; "
	      "add element bridge vnoded own4 { v9e0 . 02:66:66:66:66:66 . 198.18.0.1 }; "
	      "flush set bridge vnoded own6'");
	net_linux.close(net);
	check_ok(net_linux.open(&env, &net, &err));
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.control_sync(net, specs, 2, &err));
	after = dump();
	check_same(before, after);
	check_ok(net_linux.control_sync(net, specs, 1, &err));
	ck_assert_int_ne(ping(2, "198.18.0.1"), 0);
	ck_assert_int_eq(ping(1, "198.18.0.1"), 0);
	bring_up_two();
	check_pings();
	/* someone deletes the whole table */
	ck_assert_int_eq(shell(FABRIC "nft delete table bridge vnoded"), 0);
	bring_up_two();
	check_pings();
	free(vn_take_ptr(&after));
	after = dump();
	check_same(before, after);
}
END_TEST

const struct net_case guard_cases[] = {
	{ "lies", &lies_reach_nobody, 1 },
	{ "own", &what_is_its_own_passes, 1 },
	{ "groups", &nothing_is_learned_from_link_local_groups, 1 },
	{ "mac", &another_mac_inside_is_cut_off, 1 },
	{ "shown", &frames_for_others_are_not_shown, 1 },
	{ "wire", &experiment_networks_carry_everything, 1 },
	{ "rules", &rules_do_not_grow_with_vnodes, 1 },
	{ "sync", &a_start_sets_exactly_the_ports_that_are, 1 },
	{ 0 },
};
