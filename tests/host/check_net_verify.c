/*
 * What a foreign hand does with ip, tc, nft and umount is found, named exactly, and mended by what the daemon
 * mends with. Where the kernel lacks netem the cases that need it say so.
 */
#include "tests/host/net_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/difference.h"
#include "proto/base/mem.h"
#include "tests/mini_loop.h"

static struct forward_spec forward;
static struct port_spec ports[2][2];
static struct net_vnode vnodes[2];
static struct route_spec route;
static struct net_wanted wanted;

/* eth1 of the first is shaped in both directions; the second has a route and a forward. */
static void
describe_wanted(void)
{
	static struct shape sent = { .rate_bps = 8000000, .limit_packets = 50 };
	static struct shape received = { .rate_bps = 80000000, .limit_bytes = 65536 };

	describe(&one, 1);
	describe(&two, 2);
	one.ports[1].in = sent;
	one.ports[1].out = received;
	route = (struct route_spec){ .to = cidr("10.77.0.0/16"), .via = cidr("10.1.0.2"), .metric = 7,
				     .index = PORT_ANY };
	forward = (struct forward_spec){ .vmid = 2, .protocol = IPPROTO_TCP, .host = 2201, .guest = 22,
					 .to4 = two.control[0], .to6 = two.control[1] };
	memcpy(ports[0], one.ports, sizeof(one.ports));
	memcpy(ports[1], two.ports, sizeof(two.ports));
	vnodes[0] = (struct net_vnode){ one.ns, ports[0], 2, NULL, 0 };
	vnodes[1] = (struct net_vnode){ two.ns, ports[1], 2, &route, 1 };
	wanted = (struct net_wanted){ .lans = &lan1, .n_lans = 1, .vnodes = vnodes, .n_vnodes = 2,
				      .forwards = &forward, .n_forwards = 1, .whole = true,
				      .inside = true };
}

/* What host.repair does, in its order. */
static void
mend(void)
{
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan1, &err));
	for (size_t i = 0; i < 2; i++) {
		check_ok(net_linux.namespaces_up(net, &vnodes[i].ns, &err));
		check_ok(net_linux.ports_up(net, &vnodes[i].ns, vnodes[i].ports, 2, &err));
		check_ok(net_linux.routes_set(net, &vnodes[i].ns, vnodes[i].routes, vnodes[i].n_routes,
					      &err));
	}
	check_ok(net_linux.forwards_up(net, &forward, 1, &err));
}

static void
print_value(FILE *out, json_t *value)
{
	vn_autofree char *text = json_dumps(value ? value : json_null(), JSON_ENCODE_ANY);

	fprintf(out, " %s", text);
}

/* A line each: "port v1e1 up true false". */
static char *
verify_text(struct differences *list)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	check_ok(net_linux.verify(net, &wanted, list, &err));
	for (size_t i = 0; i < list->count; i++) {
		const struct difference *difference = &list->items[i];

		fprintf(out, "%s %s %s", difference->about.kind, difference->about.object,
			difference->field);
		print_value(out, difference->wanted);
		print_value(out, difference->found);
		fputc('\n', out);
	}
	fclose(out);
	return text;
}

static void
check_clean(const char *when)
{
	struct differences list = { 0 };
	vn_autofree char *text = verify_text(&list);

	ck_assert_msg(list.count == 0, "%s:\n%s", when, text);
	ck_assert_uint_eq(list.checked[CHECKED_PORTS], 4);
	ck_assert_uint_eq(list.checked[CHECKED_QDISCS], 4);
	ck_assert_uint_eq(list.checked[CHECKED_ROUTES], 5);
	ck_assert_uint_eq(list.checked[CHECKED_FORWARDS], 1);
	ck_assert_uint_ge(list.checked[CHECKED_ADDRESSES], 8);
	differences_fini(&list);
}

#define INSIDE1 "nsenter --net=" BASE "/run/netns/vnoded-1 "
#define INSIDE2 "nsenter --net=" BASE "/run/netns/vnoded-2 "

/* What someone does, and each line that verify is to say of it; NULL: any that follow from it as well. */
static const struct {
	const char *command;
	const char *lines;
	bool and_more;
	bool stays;		/* not mended by what we do: only told */
} meddlings[] = {
	{ FABRIC "ip link del v1e1", "port v1e1 exists true false\n", .and_more = true },
	{ FABRIC "ip link set v1e1 nomaster", "port v1e1 bridge \"l1\" null\n" },
	/* The kernel lowers the MTU of the other bridge to that of its new port. */
	{ FABRIC "ip link set v1e1 master l0", "port v1e1 bridge \"l1\" \"l0\"\n", .and_more = true },
	{ FABRIC "ip link set v1e1 down", "port v1e1 up true false\n" },
	{ FABRIC "ip link set v2e1 mtu 900", "port v2e1 mtu 1400 900\n" },
	{ FABRIC "ip link set v1e1 alias mine", "foreign v1e1 tag \"vnoded:" INSTANCE
	  ":00000000-0000-4000-8000-000000000001\" \"mine\"\n", .and_more = true, .stays = true },
	{ FABRIC "ip link del l1", "bridge l1 exists true false\n", .and_more = true },
	{ FABRIC "ip link set l1 down", "bridge l1 up true false\n" },
	{ FABRIC "ip link set l1 address 02:00:00:00:00:77", "bridge l1 mac ", .and_more = true },
	{ FABRIC "ip link set l1 type bridge stp_state 1", "bridge l1 spanning_tree false true\n" },
	{ FABRIC "ip link set l1 type bridge ageing_time 0", "bridge l1 ageing_time 30000 0\n" },
	{ FABRIC "ip link set l1 type bridge mcast_snooping 1", "bridge l1 snooping false true\n" },
	{ FABRIC "ip link set l1 type bridge group_fwd_mask 0", "bridge l1 forwarded_groups 65528 0\n" },
	{ FABRIC "ip link set i1e1 down", "ifb i1e1 up true false\n" },
	{ FABRIC "ip link del i1e1", "ifb i1e1 exists true false\n", .and_more = true },
	{ FABRIC "tc qdisc del dev v1e1 root", "qdisc v1e1 chain \"tbf bfifo\" null\n" },
	{ FABRIC "tc qdisc change dev v1e1 root handle 3: tbf rate 40Mbit burst 10000 limit 65536",
	  "qdisc v1e1 rate_bps 80000000 40000000\n" },
	{ FABRIC "tc qdisc change dev v1e1 parent 3:1 handle 4: bfifo limit 3000",
	  "qdisc v1e1 limit_bytes 65536 3000\n" },
	{ FABRIC "tc qdisc replace dev v1e1 root pfifo limit 7",
	  "qdisc v1e1 chain \"tbf bfifo\" \"pfifo\"\n" },
	{ FABRIC "tc qdisc add dev v2e1 root pfifo limit 7", "qdisc v2e1 chain null \"pfifo\"\n" },
	{ FABRIC "tc qdisc del dev v1e1 ingress", "qdisc v1e1 redirection \"i1e1\" null\n" },
	{ FABRIC "tc filter del dev v1e1 ingress", "qdisc v1e1 redirection \"i1e1\" null\n" },
	{ FABRIC "tc filter add dev v1e1 ingress protocol ip prio 9 u32 match u32 0 0 flowid 1:1",
	  "qdisc v1e1 filters 1 2\n" },
	{ FABRIC "tc qdisc change dev i1e1 parent 3:1 handle 5: pfifo limit 9",
	  "qdisc i1e1 limit_packets 50 9\n" },
	{ FABRIC "tc qdisc del dev i1e1 root", "qdisc i1e1 chain \"tbf pfifo\" null\n" },
	{ FABRIC "tc qdisc add dev v2e1 ingress", "qdisc v2e1 redirection null \"ingress\"\n" },
	{ FABRIC "ip link del uplink", "uplink " UPLINK " exists true false\n", .and_more = true },
	/* Below 1280 bytes the kernel takes IPv6 away. */
	{ INSIDE1 "ip link set eth1 mtu 900", "port v1e1 interface_mtu 1400 900\n", .and_more = true },
	{ INSIDE1 "ip link set eth1 address 02:00:00:00:00:99", "port v1e1 mac ", .and_more = true },
	{ INSIDE1 "ip addr del 10.1.0.2/16 dev eth1", "address v1e1 address \"10.1.0.2/16\" null\n",
	  .and_more = true },
	{ INSIDE1 "ip addr add 10.1.77.1/16 dev eth1", "address v1e1 address null \"10.1.77.1/16\"\n" },
	{ INSIDE1 "ip addr del fd01::1/64 dev eth1", "address v1e1 address \"fd01::1/64\" null\n" },
	{ INSIDE1 "sh -c 'ip link set eth1 down; ip link set eth1 name foo; ip link set foo up; "
	  "ip addr add fd01::1/64 dev foo nodad'", "port v1e1 interface \"eth1\" \"foo\"\n" },
	{ INSIDE1 "ip route del default", "route vnoded-1 route \"default via 198.18.0.1\" null\n" },
	{ INSIDE2 "ip route del 10.77.0.0/16",
	  "route vnoded-2 route \"10.77.0.0/16 via 10.1.0.2 metric 7\" null\n" },
	{ INSIDE2 "ip route add 10.78.0.0/16 via 10.1.0.2 proto 86",
	  "route vnoded-2 route null \"10.78.0.0/16 via 10.1.0.2\"\n" },
	{ "ip link set " UPLINK " down", "uplink " UPLINK " up true false\n", .and_more = true },
	{ "ip addr del 198.18.0.1/16 dev " UPLINK,
	  "uplink " UPLINK " address \"198.18.0.1/16\" null\n" },
	{ "sysctl -qw net.ipv4.ip_forward=0", "sysctl net/ipv4/ip_forward value \"1\" \"0\"\n" },
	{ "nft delete table inet vnoded", "rule table inet vnoded exists true false\n",
	  .and_more = true },
	{ "nft flush chain inet vnoded guard", "rule chain guard rule \"iifname \\\"" UPLINK
	  "\\\" ip daddr 127.0.0.0/8 drop\" null\n", .and_more = true },
	{ "nft add rule inet vnoded guard counter accept",
	  "rule chain guard rule null \"counter accept\"\n" },
	{ "nft delete element inet vnoded any4 '{ 6 . 2201 }'",
	  "forward tcp 2201 target \"198.18.0.3 . 22\" null\n" },
	{ "nft 'delete element inet vnoded any4 { 6 . 2201 }; "
	  "add element inet vnoded any4 { 6 . 2201 : 198.18.0.9 . 22 }'",
	  "forward tcp 2201 target \"198.18.0.3 . 22\" \"198.18.0.9 . 22\"\n" },
	{ FABRIC "ip link set v1e0 group 0", "port v1e0 group 1986946047 0\n" },
	{ FABRIC "nft flush set bridge vnoded macs", "guard v1e0 macs \"v1e0 . 02:", .and_more = true },
	{ FABRIC "nft add element bridge vnoded own4 '{ v1e0 . 02:00:00:00:00:99 . 10.0.0.1 }'",
	  "guard v1e0 own4 null \"v1e0 . 02:00:00:00:00:99 . 10.0.0.1\"\n" },
	{ FABRIC "nft flush chain bridge vnoded between", "rule chain between rule ", .and_more = true },
	{ FABRIC "nft delete table bridge vnoded", "rule table bridge vnoded exists true false\n",
	  .and_more = true },
	{ "umount " BASE "/run/netns/vnoded-1", "namespace vnoded-1 network_namespace true false\n",
	  .and_more = true },
	{ "umount " BASE "/run/netns/fabric", "namespace fabric network_namespace true false\n",
	  .and_more = true },
};

START_TEST(meddling_is_found_named_and_mended)
{
	struct differences list = { 0 };
	vn_autofree char *text = NULL;

	describe_wanted();
	mend();
	check_clean("before");
	ck_assert_msg(shell("%s", meddlings[_i].command) == 0, "%s", meddlings[_i].command);
	text = verify_text(&list);
	if (meddlings[_i].and_more)
		ck_assert_msg(strstr(text, meddlings[_i].lines) != NULL, "%s:\n%s",
			      meddlings[_i].command, text);
	else
		ck_assert_msg(strcmp(text, meddlings[_i].lines) == 0, "%s:\n%s", meddlings[_i].command,
			      text);
	differences_fini(&list);
	if (meddlings[_i].stays)
		return;
	mend();
	check_clean(meddlings[_i].command);
}
END_TEST

/* Named only where all there is is asked for; strangers in a LAN are named, others are nobody's business. */
START_TEST(what_nobody_wants_is_told)
{
	struct differences list = { 0 };
	vn_autofree char *text = NULL, *partly = NULL, *spared = NULL;
	struct net_spared third = { .vmid = 3 };
	struct node three;

	describe_wanted();
	mend();
	bring_up(&three, 3);
	check_ok(net_linux.lan_up(net, &(struct lan_spec){ .id = 9, .uuid = three.uuid }, &err));
	ck_assert_int_eq(shell(FABRIC "ip link add stranger type veth peer name other; " FABRIC
			       "ip link set stranger master l1; "
			       "nft add element inet vnoded any4 '{ 17 . 53 : 198.18.0.4 . 53 }'"), 0);
	text = verify_text(&list);
	ck_assert_ptr_nonnull(strstr(text, "port v3e0 exists false true\n"));
	ck_assert_ptr_nonnull(strstr(text, "port v3e1 exists false true\n"));
	ck_assert_ptr_nonnull(strstr(text, "bridge l9 exists false true\n"));
	ck_assert_ptr_nonnull(strstr(text, "namespace vnoded-3 exists false true\n"));
	ck_assert_ptr_nonnull(strstr(text, "foreign stranger bridge null \"l1\"\n"));
	ck_assert_ptr_nonnull(strstr(text, "forward udp 53 target null \"198.18.0.4 . 53\"\n"));
	ck_assert_ptr_null(strstr(text, "other"));
	ck_assert_uint_eq(list.count, 11);	/* both namespaces of the third vnode, what it may send with */
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.items[i].about.kind, "forward") == 0)
			check_ok(net_linux.forwards_down(net, &list.items[i].forward, 1, &err));
	differences_fini(&list);
	wanted.whole = false;
	partly = verify_text(&list);
	ck_assert_str_eq(partly, "");
	wanted.whole = true;
	wanted.spared = &third;
	wanted.n_spared = 1;
	spared = verify_text(&list);
	ck_assert_uint_eq(list.count, 2);
	ck_assert_ptr_nonnull(strstr(spared, "bridge l9 exists false true\n"));
	ck_assert_ptr_nonnull(strstr(spared, "foreign stranger bridge null \"l1\"\n"));
	differences_fini(&list);
}
END_TEST

/* fe80::/10 is the kernel's own unless a document asks for one: then it is missed like any other. */
START_TEST(a_link_local_address_may_be_asked_for)
{
	struct differences list = { 0 };
	struct vn_cidr addresses[2] = { cidr("10.1.0.2/16"), cidr("fe80::1/64") };
	vn_autofree char *text = NULL;

	describe_wanted();
	ports[0][1].addresses = addresses;
	mend();
	check_clean("with a link-local address of its own");
	ck_assert_int_eq(shell(INSIDE1 "ip addr del fe80::1/64 dev eth1"), 0);
	text = verify_text(&list);
	ck_assert_ptr_nonnull(strstr(text, "address v1e1 address \"fe80::1/64\" null\n"));
	differences_fini(&list);
	mend();
	check_clean("mended");
}
END_TEST

/* A port whose LAN has netem: each of its numbers. */
START_TEST(each_number_of_netem_is_compared)
{
	struct differences list = { 0 };
	vn_autofree char *text = NULL;
	struct vn_error why = { 0 };
	struct shape shape = { .delay_ns = 5000000, .jitter_ns = 100000, .loss = 0.01 };
	char **missing;

	describe_wanted();
	mend();
	check_ok(net_linux.missing(net, &missing, &err));
	backend_free_strings(missing);
	if (net_linux.shape_check(net, &shape, &why) < 0) {
		printf("SKIPPED each_number_of_netem_is_compared: %s\n", why.text);
		return;
	}
	ports[1][1].out = shape;
	mend();
	ck_assert_int_eq(shell(FABRIC "tc qdisc change dev v2e1 parent 1:1 handle 2: netem delay 3ms 0.2ms "
			       "loss 2%% limit 1000"), 0);
	text = verify_text(&list);
	ck_assert_ptr_nonnull(strstr(text, "qdisc v2e1 delay_ns 5000000 3000000\n"));
	ck_assert_ptr_nonnull(strstr(text, "qdisc v2e1 jitter_ns 100000 200000\n"));
	ck_assert_ptr_nonnull(strstr(text, "qdisc v2e1 loss 0.01 0.02\n"));
	differences_fini(&list);
}
END_TEST

/* ---- listening ------------------------------------------------------------------------------- */

static struct mini_loop *loop;
static unsigned changes;
static bool is_told;

static void
on_change(void *arg)
{
	ck_assert_ptr_eq(arg, &changes);
	changes++;
	is_told = true;
}

static void
open_with_loop(void)
{
	net_linux.close(net);
	loop = mini_loop_new();
	env.watch = mini_loop_ops(loop);
	check_ok(net_linux.open(&env, &net, &err));
	describe_wanted();
	mend();
	check_ok(net_linux.watch(net, on_change, &changes, &err));
}

static void
await_change(const char *what)
{
	is_told = false;
	ck_assert_msg(mini_loop_run(loop, &is_told, 60000), "nothing is heard of: %s", what);
}

/* What has been told when nothing more is on its way: `ms` of the loop without another call. */
static unsigned
heard(unsigned ms)
{
	changes = 0;
	do
		is_told = false;
	while (mini_loop_run(loop, &is_told, ms));
	return changes;
}

enum { QUIET_MS = 700 };		/* longer than the listener is deaf between two calls */

START_TEST(foreign_changes_are_heard)
{
	static const char *const commands[] = {
		FABRIC "tc qdisc del dev v1e1 root",
		FABRIC "ip link set v2e1 down",
		FABRIC "ip link del i1e1",
		"ip addr add 198.18.99.1/32 dev " UPLINK,
		"ip link set " UPLINK " down",
	};

	open_with_loop();
	heard(QUIET_MS);
	for (size_t i = 0; i < VN_COUNT(commands); i++) {
		ck_assert_int_eq(shell("%s", commands[i]), 0);
		await_change(commands[i]);
		heard(QUIET_MS);
	}
	ck_assert_uint_eq(heard(QUIET_MS), 0);		/* nothing happens: nothing is told */
	shell("ip link add d0 type bridge; ip link set d0 up; ip addr add 192.0.2.1/24 dev d0");
	ck_assert_uint_eq(heard(QUIET_MS), 0);		/* the host's own business */
	check_ok(net_linux.watch(net, NULL, NULL, &err));
	ck_assert_uint_eq(mini_loop_watches(loop), 0);
	net_linux.close(net);
	mini_loop_free(loop);
	env.watch = NULL;
	check_ok(net_linux.open(&env, &net, &err));
}
END_TEST

/* More than the socket holds: what is lost is told as well, in few calls. */
START_TEST(a_storm_is_a_few_calls)
{
	open_with_loop();
	heard(QUIET_MS);
	ck_assert_int_eq(shell(FABRIC "sh -c 'for i in $(seq 1500); do echo link set v2e1 down; "
			       "echo link set v2e1 up; done | ip -b -'"), 0);
	await_change("the storm");
	ck_assert_uint_le(heard(QUIET_MS), 8);		/* of 3,000 messages and more */
	check_ok(net_linux.watch(net, NULL, NULL, &err));
	net_linux.close(net);
	mini_loop_free(loop);
	env.watch = NULL;
	check_ok(net_linux.open(&env, &net, &err));
}
END_TEST

/* A socket that listens holds the namespace: nothing of it may be left. */
START_TEST(listening_ends_before_the_fabric)
{
	open_with_loop();
	check_ok(net_linux.watch(net, NULL, NULL, &err));
	check_ok(net_linux.host_down(net, &err));
	ck_assert_uint_eq(mini_loop_watches(loop), 0);
	ck_assert_int_eq(net_linux.watch(net, on_change, &changes, &(struct vn_error){ 0 }), -1);
	net_linux.close(net);
	mini_loop_free(loop);
	env.watch = NULL;
	check_ok(net_linux.open(&env, &net, &err));
}
END_TEST

const struct net_case verify_cases[] = {
	{ "meddling", &meddling_is_found_named_and_mended, (int)VN_COUNT(meddlings) },
	{ "surplus", &what_nobody_wants_is_told, 1 },
	{ "link-local", &a_link_local_address_may_be_asked_for, 1 },
	{ "netem", &each_number_of_netem_is_compared, 1 },
	{ "heard", &foreign_changes_are_heard, 1 },
	{ "storm", &a_storm_is_a_few_calls, 1 },
	{ "deaf", &listening_ends_before_the_fabric, 1 },
	{ 0 },
};
