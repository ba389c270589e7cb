/*
 * The net contract against the real kernel. Every case runs in a process, a network and a mount
 * namespace of its own, so nothing of the machine is touched and nothing is left. Run as root.
 */
#include "tests/host/net_world.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/digest.h"
#include "proto/base/mem.h"

#include "tests/conform.h"

START_TEST(links_are_real)
{
	bring_up_two();
	check_pings();
	ck_assert_int_eq(shell(INSIDE "ip -o link show eth1 | grep -q 'mtu 1400'", 1), 0);
	ck_assert_int_eq(shell(INSIDE "ip route | grep -q 'default via 198.18.0.1 dev eth0'", 1), 0);
	ck_assert_int_eq(shell(INSIDE "ip -6 route | "
			       "grep -q 'default via fd11:2222:3333:4444::1 dev eth0'", 1), 0);
}
END_TEST

START_TEST(repeat_changes_nothing)
{
	vn_autofree char *before = NULL, *after = NULL;

	bring_up_two();
	before = dump();
	bring_up_two();
	after = dump();
	check_same(before, after);
	ck_assert_ptr_nonnull(strstr(before, "vnoded:" INSTANCE ":00000000-0000-4000-8000-"));
}
END_TEST

START_TEST(host_down_leaves_nothing)
{
	vn_autofree char *before = NULL, *after = NULL;

	shell("ip link add d0 type bridge; ip addr add 10.9.9.1/24 dev d0; ip link set d0 up; "
	      "sysctl -qw net.ipv6.conf.d0.forwarding=1; ip -6 addr flush dev d0");
	before = dump();
	bring_up_two();
	ck_assert_int_eq(shell("grep -q 2 /proc/sys/net/ipv6/conf/lo/accept_ra"), 0);
	ck_assert_int_eq(shell("grep -q 1 /proc/sys/net/ipv4/ip_forward"), 0);
	check_ok(net_linux.host_down(net, &err));
	after = dump();
	check_same(before, after);
	check_ok(net_linux.host_down(net, &err));
	bring_up_two();
	check_pings();
}
END_TEST

/* What someone else may do to our objects, and how to see that all is well again is a ping. */
static const char *const damages[] = {
	FABRIC "ip link del v1e1",
	FABRIC "ip link set v1e1 nomaster",
	FABRIC "ip link set v1e1 down",
	FABRIC "ip link del l1",
	FABRIC "ip link del l0",
	FABRIC "ip link set l1 down",
	FABRIC "ip link del uplink",
	FABRIC "ip link set v1e1 mtu 900",
	"nsenter --net=" BASE "/run/netns/vnoded-1 ip link set eth1 down",
	"nsenter --net=" BASE "/run/netns/vnoded-1 ip link set eth1 address 02:00:00:00:00:99",
	"nsenter --net=" BASE "/run/netns/vnoded-1 ip addr flush dev eth1",
	"nsenter --net=" BASE "/run/netns/vnoded-1 ip addr add 10.1.77.1/16 dev eth1",
	"nsenter --net=" BASE "/run/netns/vnoded-1 sh -c 'ip link set eth1 down; "
		"ip link set eth1 name foo'",
	"nsenter --net=" BASE "/run/netns/vnoded-1 sh -c 'ip link set eth1 down; "
		"ip link set eth0 down; ip link set eth1 name foo; ip link set eth0 name eth1; "
		"ip link set foo name eth0'",
	"nsenter --net=" BASE "/run/netns/vnoded-1 ip route del default",
	"nsenter --net=" BASE "/run/netns/vnoded-1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
	"ip link del " UPLINK,
	"ip link set " UPLINK " down",
	"ip addr flush dev " UPLINK,
	"nft delete table inet vnoded",
	"nft flush chain inet vnoded outward",
	"nft flush ruleset",
	"sysctl -qw net.ipv4.ip_forward=0",
	"umount " BASE "/run/netns/fabric",
	"umount " BASE "/run/netns/vnoded-1",
	"umount -l " BASE "/run/netns",
};

START_TEST(damage_is_mended)
{
	vn_autofree char *before = NULL, *after = NULL;

	bring_up_two();
	before = blur(dump());
	ck_assert_int_eq(shell("%s", damages[_i]), 0);
	bring_up_two();
	check_pings();
	after = blur(dump());
	check_same(before, after);
}
END_TEST

START_TEST(foreign_things_stay)
{
	vn_autofree char *before = NULL, *after = NULL;
	struct node three;

	bring_up_two();
	describe(&three, 3);
	check_ok(net_linux.namespaces_up(net, &three.ns, &err));
	ck_assert_int_eq(shell(FABRIC "ip link add v3e1 type bridge; "
			       FABRIC "ip link add l7 type bridge"), 0);
	before = dump();
	check_fails(net_linux.ports_up(net, &three.ns, three.ports, 2, &err), VN_E_EXISTS, "v3e1");
	check_fails(net_linux.lan_up(net, &(struct lan_spec){ .id = 7, .uuid = one.uuid }, &err),
		    VN_E_EXISTS, "l7");
	check_ok(net_linux.lan_down(net, 7, &err));
	check_ok(net_linux.ports_down(net, &three.ns, &(unsigned){ 1 }, 1, &err));
	after = dump();
	check_same(before, after);
}
END_TEST

START_TEST(foreign_host_objects_refuse)
{
	vn_autofree char *before = NULL, *after = NULL;

	shell("nft add table inet vnoded; nft add chain inet vnoded mine");
	before = dump();
	check_fails(net_linux.host_up(net, &err), VN_E_EXISTS, "nft_table");
	after = dump();
	check_same(before, after);
	shell("nft delete table inet vnoded; ip link add " UPLINK " type bridge");
	check_fails(net_linux.host_up(net, &err), VN_E_EXISTS, UPLINK);
	shell("ip link del " UPLINK "; ip link add d0 type bridge; ip addr add 198.18.7.1/24 dev d0; "
	      "ip link set d0 up");
	check_fails(net_linux.host_up(net, &err), VN_E_EXISTS, "198.18.7.0/24 through d0");
	check_fails(net_linux.host_up(net, &err), VN_E_EXISTS, "control_network");
	shell("ip link del d0");
	check_ok(net_linux.host_up(net, &err));
}
END_TEST

START_TEST(failed_batch_leaves_nothing)
{
	vn_autofree char *before = NULL, *after = NULL;
	struct node three;

	bring_up_two();
	describe(&three, 3);
	check_ok(net_linux.namespaces_up(net, &three.ns, &err));
	three.ports[1].mac = (struct vn_mac){ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	before = dump();
	check_fails(net_linux.ports_up(net, &three.ns, three.ports, 2, &err), VN_E_BACKEND, "v3e1");
	after = dump();
	check_same(before, after);
	three.ports[1].lan = 99;
	check_fails(net_linux.ports_up(net, &three.ns, three.ports, 2, &err), VN_E_NOT_FOUND, "l99");
	check_fails(net_linux.ports_carrier(net, (int64_t[]){ 1, 44 }, (unsigned[]){ 1, 1 }, 2, false,
					    &err), VN_E_NOT_FOUND, "v44e1");
	check_pings();
}
END_TEST

START_TEST(carrier)
{
	int64_t vmids[] = { 1, 2 };
	unsigned indexes[] = { 1, 1 };

	bring_up_two();
	check_ok(net_linux.ports_carrier(net, vmids, indexes, 2, false, &err));
	ck_assert_int_eq(shell(INSIDE "grep -qx 0 /proc/self/net/../../../sys/class/net/none "
			       "2>/dev/null; " INSIDE "ip link show eth1 | grep -q NO-CARRIER", 1, 1),
			 0);
	ck_assert_int_ne(ping(1, "10.1.0.3"), 0);
	check_ok(net_linux.ports_carrier(net, vmids, indexes, 2, true, &err));
	check_pings();
}
END_TEST

START_TEST(inventory_is_exact)
{
	static const int want[] = { [NET_BRIDGE] = 2, [NET_PORT] = 4, [NET_NETNS] = 2,
				    [NET_USERNS] = 2 };
	struct net_found *found;
	int seen[4] = { 0 };
	size_t count;

	bring_up_two();
	shell(FABRIC "ip link add v9e9 type bridge; touch " BASE "/run/netns/vnoded-77");
	check_ok(net_linux.inventory(net, &found, &count, &err));
	for (size_t i = 0; i < count; i++) {
		seen[found[i].kind]++;
		ck_assert_int_ne(found[i].id, 77);
		if (found[i].kind == NET_PORT) {
			ck_assert_int_eq(found[i].lan, found[i].index);
			ck_assert(found[i].up);
			ck_assert_str_eq(found[i].uuid, found[i].id == 1 ? one.uuid : two.uuid);
		}
	}
	free(found);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(seen[i], want[i]);
	check_ok(net_linux.ports_down(net, &two.ns, &(unsigned){ 1 }, 1, &err));
	check_ok(net_linux.ports_down(net, &two.ns, &(unsigned){ 1 }, 1, &err));
	ck_assert_int_eq(shell(FABRIC "ip -o link show v2e0 >/dev/null"), 0);
	ck_assert_int_ne(shell(FABRIC "ip -o link show v2e1 2>/dev/null >&2"), 0);
	check_ok(net_linux.lan_down(net, 1, &err));
	check_ok(net_linux.lan_down(net, 1, &err));
}
END_TEST

/* A process in the namespace keeps it alive: its ports must go from the fabric all the same. */
START_TEST(held_namespace)
{
	struct net_found *found;
	size_t count;
	int ready[2];
	pid_t holder;
	char byte;

	bring_up_two();
	ck_assert_int_eq(pipe(ready), 0);
	holder = fork();
	if (holder == 0) {
		int fd = open(one.netns, O_RDONLY);

		if (setns(fd, CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	check_ok(net_linux.namespaces_down(net, &one.ns, &err));
	check_ok(net_linux.namespaces_down(net, &one.ns, &err));
	check_ok(net_linux.inventory(net, &found, &count, &err));	/* waits for the removal */
	free(found);
	ck_assert_int_ne(shell(FABRIC "ip -o link | grep -q v1e"), 0);
	ck_assert_int_ne(shell("test -e %s", one.netns), 0);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	bring_up(&one, 1);
	check_pings();
}
END_TEST

START_TEST(what_is_missing)
{
	char **missing, **again;
	bool named = false;

	shell("nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward "
	      "priority 0; policy drop; }; add table ip6 f; add chain ip6 f F { type filter hook "
	      "forward priority 0; policy accept; }'");
	check_ok(net_linux.missing(net, &missing, &err));
	check_ok(net_linux.missing(net, &again, &err));
	for (size_t i = 0; missing[i]; i++) {
		printf("missing: %s\n", missing[i]);
		ck_assert_str_eq(missing[i], again[i]);
		named = named || strstr(missing[i], "'FORWARD' of the table 'ip filter'");
		ck_assert_ptr_null(strstr(missing[i], "ip6 f"));
	}
	ck_assert(named);
	backend_free_strings(missing);
	backend_free_strings(again);
}
END_TEST

START_TEST(two_installations)
{
	struct backend_env first_env = env, second_env = env;
	vn_autofree char *before = NULL, *after = NULL;
	struct net *first = net, *second;
	struct node other;

	shell("mkdir -p /media/other/state /media/other/run");
	second_env.instance = OTHER;
	second_env.run_dir = "/media/other/run";
	second_env.state_dir = "/media/other/state";
	second_env.nft_table = "vnoded2";
	bring_up_two();
	before = dump();
	check_ok(net_linux.open(&second_env, &second, &err));
	check_fails(net_linux.host_up(second, &err), VN_E_EXISTS, "through " UPLINK);
	second_env.control4 = cidr("198.19.0.0/16");
	second_env.control6 = cidr("fd99::/64");
	net_linux.close(second);
	check_ok(net_linux.open(&second_env, &second, &err));
	env = second_env;
	net = second;
	check_ok(net_linux.host_up(second, &err));
	check_ok(net_linux.lan_up(second, &lan1, &err));
	bring_up(&other, 1);
	check_ok(net_linux.host_down(second, &err));
	env = first_env;
	net = first;
	after = dump();
	check_same(before, after);
	check_pings();
	net_linux.close(second);
}
END_TEST

const struct net_case net_cases[] = {
	{ "links", &links_are_real, 1 },
	{ "repeat", &repeat_changes_nothing, 1 },
	{ "down", &host_down_leaves_nothing, 1 },
	{ "damage", &damage_is_mended, (int)VN_COUNT(damages) },
	{ "foreign", &foreign_things_stay, 1 },
	{ "foreign_host", &foreign_host_objects_refuse, 1 },
	{ "failed", &failed_batch_leaves_nothing, 1 },
	{ "carrier", &carrier, 1 },
	{ "inventory", &inventory_is_exact, 1 },
	{ "held", &held_namespace, 1 },
	{ "missing", &what_is_missing, 1 },
	{ "two", &two_installations, 1 },
	{ 0 },
};

/* ---- the contract ---------------------------------------------------------------------------- */

/* The promises every implementation makes, tried on this one. */
static void
rig_open(struct machine *machine)
{
	const struct watch_ops *watch = machine->env.watch;

	set_up();
	net_linux.close(net);
	machine->env = env;
	machine->env.watch = watch;
}

static void
rig_close(struct machine *machine)
{
	(void)machine;
	ck_assert_int_ne(shell("ip -o link | grep -q vnc; nft list tables | grep -q vnoded"), 0);
}

static const struct rig rig = {
	.name = "conform linux", .net = &net_linux, .open = rig_open, .close = rig_close,
};

static void
add_cases(Suite *suite, const struct net_case *cases)
{
	for (; cases->name; cases++) {
		TCase *tcase = tcase_create(cases->name);

		tcase_add_checked_fixture(tcase, set_up, tear_down);
		tcase_set_timeout(tcase, 900);
		tcase_add_loop_test(tcase, *cases->test, 0, cases->times);
		suite_add_tcase(suite, tcase);
	}
}

int
main(void)
{
	Suite *suite = suite_create("net");
	SRunner *runner = srunner_create(suite);
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	add_cases(suite, net_cases);
	add_cases(suite, nat_cases);
	add_cases(suite, guard_cases);
	add_cases(suite, route_cases);
	add_cases(suite, address_cases);
	add_cases(suite, many_cases);
	add_cases(suite, probe_cases);
	add_cases(suite, verify_cases);
	add_cases(suite, way_cases);
	srunner_add_suite(runner, conform_suite(&rig));
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
