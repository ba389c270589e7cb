/* Forwards, address translation and reserved ports, from the host, from outside and from vnodes. */
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

#define TRIES 3		/* UDP loses a datagram at times */

/* An outside machine: 203.0.113.2 and 2001:db8::2 in the namespace "outside". */
static void
connect_outside(void)
{
	ck_assert_int_eq(shell(
		"mkdir -p /media/out && touch /media/out/ns && unshare --net=/media/out/ns true && "
		"ip link add wan type veth peer name wan0 netns /media/out/ns && "
		"ip addr add 203.0.113.1/24 dev wan && ip addr add 2001:db8::1/64 dev wan nodad && "
		"ip link set wan up && nsenter --net=/media/out/ns sh -c 'ip link set lo up; "
		"ip addr add 203.0.113.2/24 dev wan0; ip addr add 2001:db8::2/64 dev wan0 nodad; "
		"ip link set wan0 up'"), 0);
}

/*
 * Answers each line on port 7 of a vnode with its name. The line is read first: socat ends without an answer
 * when it cannot write to a program that has ended.
 */
static void
serve(int vmid, const char *socat)
{
	vn_autofree char *netns = vn_format("%s/netns/vnoded-%d", env.run_dir, vmid);
	pid_t pid = fork();

	if (pid == 0) {
		vn_autofree char *command = vn_format("exec socat %s SYSTEM:'read line; echo node%d'", socat,
						      vmid);
		int fd = open(netns, O_RDONLY);

		if (setns(fd, CLONE_NEWNET) == 0)
			execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	while (shell("nsenter --net=%s ss -Hnl%c 2>/dev/null | grep -q ':7 '", netns,
		     *socat == 'U' ? 'u' : 't') != 0)
		sched_yield();
}

static void
check_reaches(const char *where, const char *socat, const char *answer)
{
	char text[256] = "";
	vn_autofree char *command = vn_format("echo hello | %s timeout 5 socat -t 2 - %s,"
					      "%s 2>&1 | head -1", where, socat,
					      strncmp(socat, "UDP", 3) == 0 ? "shut-none" :
									      "connect-timeout=2");

	for (int i = 0; i < TRIES && !*text; i++)
		shell_into(text, sizeof(text), command);
	ck_assert_msg(strncmp(text, answer, strlen(answer)) == 0, "%s%s: got '%s'", where, socat,
		      text);
}

static struct forward_spec
forward_to(const struct node *node, int protocol, uint16_t host)
{
	return (struct forward_spec){ .vmid = node->ns.vmid, .protocol = protocol, .host = host,
				      .guest = 7, .to4 = node->control[0], .to6 = node->control[1] };
}

#define OUT    "nsenter --net=/media/out/ns "
#define IN(id) "nsenter --net=" BASE "/run/netns/vnoded-" #id " "

/* Who reaches vnode 1 by which address of the host. The last rows are vnode 1 itself. */
static const struct {
	const char *who, *address;
} ways[] = {
	{ "",     "127.0.0.1" },
	{ "",     "203.0.113.1" },
	{ "",     "198.18.0.1" },
	{ "",     "[2001:db8::1]" },
	{ "",     "[fd11:2222:3333:4444::1]" },
	{ OUT,    "203.0.113.1" },
	{ OUT,    "[2001:db8::1]" },
	{ IN(2),  "203.0.113.1" },
	{ IN(2),  "198.18.0.1" },
	{ IN(2),  "[2001:db8::1]" },
	{ IN(2),  "[fd11:2222:3333:4444::1]" },
	{ IN(1),  "203.0.113.1" },
	{ IN(1),  "198.18.0.1" },
	{ IN(1),  "[2001:db8::1]" },
	{ IN(1),  "[fd11:2222:3333:4444::1]" },
};

static void
check_ways(const char *protocol, int port)
{
	for (size_t i = 0; i < VN_COUNT(ways); i++) {
		vn_autofree char *socat = vn_format("%s:%s:%d", protocol, ways[i].address, port);

		check_reaches(ways[i].who, socat, "node1");
	}
}

static void
end_servers(void)
{
	shell("kill $(cat /proc/%d/task/*/children)", getpid());
}

static void
forward_all(struct forward_spec *f, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_ok(net_linux.forward_reserve(net, &f[i], &err));
	check_ok(net_linux.forwards_up(net, f, count, &err));
	check_ok(net_linux.forwards_up(net, f, count, &err));
}

START_TEST(forwards_reach)
{
	struct forward_spec f[3];

	connect_outside();
	bring_up_two();
	f[0] = forward_to(&one, IPPROTO_TCP, 2201);
	f[1] = forward_to(&two, IPPROTO_TCP, 2202);
	f[1].address = cidr("203.0.113.1");
	f[2] = forward_to(&two, IPPROTO_TCP, 2203);
	f[2].address = cidr("2001:db8::1");
	forward_all(f, 3);
	serve(1, "TCP6-LISTEN:7,fork,reuseaddr,ipv6only=0");
	serve(2, "TCP6-LISTEN:7,fork,reuseaddr,ipv6only=0");
	check_ways("TCP", 2201);
	check_reaches(OUT, "TCP:203.0.113.1:2202", "node2");
	check_reaches("", "TCP:203.0.113.1:2202", "node2");
	check_reaches(OUT, "TCP:[2001:db8::1]:2203", "node2");
	/* one address is not every address */
	ck_assert_int_ne(shell("socat /dev/null TCP:127.0.0.1:2202,connect-timeout=2 2>/dev/null"), 0);
	ck_assert_int_ne(shell("socat /dev/null TCP:203.0.113.1:2203,connect-timeout=2 2>/dev/null"), 0);
	check_ok(net_linux.forwards_down(net, f, 3, &err));
	check_ok(net_linux.forwards_down(net, f, 3, &err));
	for (size_t i = 0; i < VN_COUNT(ways); i++)
		ck_assert_int_ne(shell("%ssocat /dev/null TCP:%s:2201,connect-timeout=2 2>/dev/null",
				       ways[i].who, ways[i].address), 0);
	end_servers();
}
END_TEST

START_TEST(forwards_udp)
{
	struct forward_spec f[2];

	connect_outside();
	bring_up_two();
	f[0] = forward_to(&one, IPPROTO_UDP, 2203);
	f[1] = forward_to(&two, IPPROTO_UDP, 2204);
	f[1].address = cidr("127.0.0.1");
	forward_all(f, 2);
	serve(1, "UDP6-RECVFROM:7,fork,ipv6only=0");
	serve(2, "UDP6-RECVFROM:7,fork,ipv6only=0");
	check_ways("UDP", 2203);
	check_reaches("", "UDP:127.0.0.1:2204", "node2");
	end_servers();
}
END_TEST

START_TEST(nat_to_outside)
{
	connect_outside();
	bring_up_two();
	/* the outside has no route back to the control network: only translation makes this work */
	ck_assert_int_eq(ping(1, "203.0.113.2"), 0);
	ck_assert_int_eq(ping(1, "2001:db8::2"), 0);
	/* 127/8 through the gateway is dropped */
	ck_assert_int_ne(shell(INSIDE "sh -c 'ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 "
			       "via 198.18.0.1; sysctl -qw net.ipv4.conf.all.route_localnet=1; "
			       "ping -q -c1 -W1 127.0.0.1 >/dev/null'", 1), 0);
}
END_TEST

START_TEST(some_networks_see_the_vnodes)
{
	struct vn_cidr except[] = { cidr("203.0.113.0/25"), cidr("203.0.113.0/24"), cidr("203.0.112.0/24"),
				    cidr("2001:db8::/64"), cidr("203.0.113.0/24") };

	connect_outside();
	bring_up_two();
	ck_assert_int_eq(ping(1, "203.0.113.2"), 0);
	env.nat_except = except;
	env.n_nat_except = VN_COUNT(except);
	for (int i = 0; i < 2; i++)
		check_ok(net_linux.host_up(net, &err));
	/* the outside knows no way back, and then it does */
	ck_assert_int_ne(ping(1, "203.0.113.2"), 0);
	ck_assert_int_ne(ping(1, "2001:db8::2"), 0);
	ck_assert_int_eq(shell(OUT "sh -c 'ip route add 198.18.0.0/16 via 203.0.113.1; "
			       "ip route add fd11:2222:3333:4444::/64 via 2001:db8::1'"), 0);
	ck_assert_int_eq(ping(1, "203.0.113.2"), 0);
	ck_assert_int_eq(ping(1, "2001:db8::2"), 0);
	/* all else is translated as before */
	ck_assert_int_eq(shell(OUT "sh -c 'ip addr add 192.0.2.2/32 dev lo; ip route del 198.18.0.0/16'; "
			       "ip route add 192.0.2.2 via 203.0.113.2"), 0);
	ck_assert_int_eq(ping(1, "192.0.2.2"), 0);
	env.n_nat_except = 0;
	check_ok(net_linux.host_up(net, &err));
	ck_assert_int_eq(ping(1, "203.0.113.2"), 0);
}
END_TEST

START_TEST(isolated_vnodes_meet_by_forwards_only)
{
	struct forward_spec f[2];

	connect_outside();
	bring_up_two();
	check_pings();
	env.control_isolation = true;
	check_ok(net_linux.host_up(net, &err));
	ck_assert_int_ne(ping(2, "198.18.0.2"), 0);
	ck_assert_int_ne(ping(2, "fd11:2222:3333:4444::2"), 0);
	/* nor through the host */
	ck_assert_int_eq(shell(INSIDE "sh -c 'ip route add 198.18.0.2/32 via 198.18.0.1; "
			       "ip route add fd11:2222:3333:4444::2/128 via fd11:2222:3333:4444::1'", 2), 0);
	ck_assert_int_eq(shell(INSIDE "sh -c 'ip route add 198.18.0.3/32 via 198.18.0.1; "
			       "ip route add fd11:2222:3333:4444::3/128 via fd11:2222:3333:4444::1'", 1), 0);
	ck_assert_int_ne(ping(2, "198.18.0.2"), 0);
	ck_assert_int_ne(ping(2, "fd11:2222:3333:4444::2"), 0);
	ck_assert_int_eq(ping(2, "198.18.0.1"), 0);
	ck_assert_int_eq(ping(2, "fd11:2222:3333:4444::1"), 0);
	ck_assert_int_eq(ping(2, "203.0.113.2"), 0);
	ck_assert_int_eq(ping(2, "2001:db8::2"), 0);
	f[0] = forward_to(&one, IPPROTO_TCP, 2201);
	f[1] = forward_to(&one, IPPROTO_UDP, 2201);
	forward_all(f, 2);
	serve(1, "TCP6-LISTEN:7,fork,reuseaddr,ipv6only=0");
	serve(1, "UDP6-RECVFROM:7,fork,ipv6only=0");
	check_ways("TCP", 2201);
	check_ways("UDP", 2201);
	end_servers();
	env.control_isolation = false;
	check_ok(net_linux.host_up(net, &err));
	ck_assert_int_eq(ping(2, "198.18.0.2"), 0);
	ck_assert_int_eq(ping(2, "fd11:2222:3333:4444::2"), 0);
}
END_TEST

START_TEST(forwards_are_exact)
{
	struct forward_spec f[2], changed;
	vn_autofree char *before = NULL, *after = NULL, *empty = NULL;

	bring_up_two();
	empty = dump();
	f[0] = forward_to(&one, IPPROTO_TCP, 2201);
	f[1] = forward_to(&two, IPPROTO_UDP, 2202);
	check_ok(net_linux.forwards_sync(net, f, 2, &err));
	before = dump();
	check_ok(net_linux.forwards_sync(net, f, 2, &err));
	shell("nft add element inet vnoded any4 '{ tcp . 99 : 198.18.0.9 . 9 }'; "
	      "nft delete element inet vnoded any4 '{ tcp . 2201 }'");
	check_ok(net_linux.forwards_sync(net, f, 2, &err));
	after = dump();
	check_same(before, after);
	changed = forward_to(&two, IPPROTO_TCP, 2201);
	check_ok(net_linux.forwards_up(net, &changed, 1, &err));
	check_ok(net_linux.forwards_up(net, &f[0], 1, &err));
	shell("nft delete element inet vnoded any4 '{ tcp . 2201 }'");
	check_ok(net_linux.forwards_down(net, f, 2, &err));
	free(vn_take_ptr(&after));
	after = dump();
	check_same(empty, after);
	shell("nft delete table inet vnoded");
	check_ok(net_linux.forwards_down(net, f, 2, &err));
	check_ok(net_linux.forwards_up(net, f, 2, &err));
	check_ok(net_linux.host_up(net, &err));
	free(vn_take_ptr(&after));
	after = dump();
	check_same(before, after);
}
END_TEST

/* Another program with the port, whichever address of whichever family it has bound. */
static const struct {
	int protocol;
	const char *listen, *seen, *words;
} programs[] = {
	{ IPPROTO_TCP, "TCP-LISTEN:2201,reuseaddr",                     "-lt", "2201/tcp" },
	{ IPPROTO_TCP, "TCP-LISTEN:2201,reuseaddr,reuseport",           "-lt", "2201/tcp" },
	{ IPPROTO_TCP, "TCP-LISTEN:2201,bind=127.0.0.1,reuseaddr",      "-lt", "2201/tcp" },
	{ IPPROTO_TCP, "TCP6-LISTEN:2201,reuseaddr,ipv6only=1",         "-lt", "2201/tcp" },
	{ IPPROTO_UDP, "UDP-RECV:2201",                                 "-lu", "2201/udp" },
	{ IPPROTO_UDP, "UDP-RECV:2201,reuseaddr,reuseport",             "-lu", "2201/udp" },
	{ IPPROTO_UDP, "UDP-RECV:2201,bind=127.0.0.1",                  "-lu", "2201/udp" },
	{ IPPROTO_UDP, "UDP6-RECV:2201,ipv6only=1",                     "-lu", "2201/udp" },
};

START_TEST(ports_of_other_programs_are_refused)
{
	int other_protocol = programs[_i].protocol == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
	struct forward_spec f, other;
	pid_t program;

	bring_up_two();
	f = forward_to(&one, programs[_i].protocol, 2201);
	other = forward_to(&one, other_protocol, 2201);
	program = fork();
	if (program == 0) {
		execlp("socat", "socat", "-u", programs[_i].listen, "-", NULL);
		_exit(1);
	}
	while (shell("ss -Hn %s 2>/dev/null | grep -q :2201", programs[_i].seen) != 0)
		sched_yield();
	check_fails(net_linux.forward_reserve(net, &f, &err), VN_E_EXISTS, programs[_i].words);
	check_fails(net_linux.forward_reserve(net, &f, &err), VN_E_EXISTS, "another program");
	check_ok(net_linux.forward_reserve(net, &other, &err));
	kill(program, SIGKILL);
	waitpid(program, NULL, 0);
	check_ok(net_linux.forward_reserve(net, &f, &err));
	net_linux.forward_release(net, &f);
	net_linux.forward_release(net, &other);
}
END_TEST

/* And the other way round: no other program gets what is held here. */
START_TEST(reservations)
{
	struct forward_spec f, other;

	bring_up_two();
	f = forward_to(&one, IPPROTO_TCP, 2201);
	other = forward_to(&two, IPPROTO_TCP, 2201);
	check_ok(net_linux.forward_reserve(net, &f, &err));
	check_ok(net_linux.forward_reserve(net, &f, &err));
	check_fails(net_linux.forward_reserve(net, &other, &err), VN_E_EXISTS, "vnode 1");
	ck_assert_int_eq(shell("socat TCP-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	ck_assert_int_eq(shell("socat TCP6-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	net_linux.forward_release(net, &other);
	check_fails(net_linux.forward_reserve(net, &other, &err), VN_E_EXISTS, "vnode 1");
	net_linux.forward_release(net, &f);
	f.protocol = IPPROTO_UDP;
	check_ok(net_linux.forward_reserve(net, &f, &err));
	ck_assert_int_eq(shell("socat UDP-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	ck_assert_int_eq(shell("socat UDP6-RECV:2201,reuseport - 2>&1 | grep -q 'in use'"), 0);
	net_linux.forward_release(net, &f);
}
END_TEST

const struct net_case nat_cases[] = {
	{ "forwards", &forwards_reach, 1 },
	{ "udp", &forwards_udp, 1 },
	{ "nat", &nat_to_outside, 1 },
	{ "except", &some_networks_see_the_vnodes, 1 },
	{ "isolated", &isolated_vnodes_meet_by_forwards_only, 1 },
	{ "exact", &forwards_are_exact, 1 },
	{ "taken", &ports_of_other_programs_are_refused, (int)VN_COUNT(programs) },
	{ "reservations", &reservations, 1 },
	{ 0 },
};
