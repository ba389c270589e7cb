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

/* Answers each connection or datagram on port 7 of a vnode with its name. */
static void
serve(int vmid, const char *socat)
{
	vn_autofree char *netns = vn_format("%s/netns/vnoded-%d", env.run_dir, vmid);
	pid_t pid = fork();

	if (pid == 0) {
		vn_autofree char *command = vn_format("exec socat %s SYSTEM:'echo node%d'", socat,
						      vmid);
		int fd = open(netns, O_RDONLY);

		if (setns(fd, CLONE_NEWNET) == 0)
			execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	while (shell("nsenter --net=%s ss -Hnl 2>/dev/null | grep -q ':7 '", netns) != 0)
		sched_yield();
}

static void
check_reaches(const char *where, const char *socat, const char *answer)
{
	char text[256];
	vn_autofree char *command = vn_format("echo hello | %s timeout 5 socat -t 2 - %s,"
					      "%s 2>&1 | head -1", where, socat,
					      strncmp(socat, "UDP", 3) == 0 ? "shut-none" :
									      "connect-timeout=2");

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

START_TEST(forwards_reach)
{
	struct forward_spec f[3];

	connect_outside();
	bring_up_two();
	f[0] = forward_to(&one, IPPROTO_TCP, 2201);
	f[1] = forward_to(&one, IPPROTO_UDP, 2201);
	f[2] = forward_to(&two, IPPROTO_TCP, 2202);
	f[2].address = cidr("203.0.113.1");
	for (int i = 0; i < 3; i++)
		check_ok(net_linux.forward_reserve(net, &f[i], &err));
	check_ok(net_linux.forwards_up(net, f, 3, &err));
	check_ok(net_linux.forwards_up(net, f, 3, &err));
	serve(1, "TCP6-LISTEN:7,fork,reuseaddr,ipv6only=0");
	serve(2, "TCP6-LISTEN:7,fork,reuseaddr,ipv6only=0");
	check_reaches("", "TCP:127.0.0.1:2201", "node1");
	check_reaches("", "TCP:203.0.113.1:2201", "node1");
	check_reaches("", "TCP:[2001:db8::1]:2201", "node1");
	check_reaches("nsenter --net=/media/out/ns ", "TCP:203.0.113.1:2201", "node1");
	check_reaches("nsenter --net=/media/out/ns ", "TCP:[2001:db8::1]:2201", "node1");
	check_reaches("nsenter --net=/media/out/ns ", "TCP:203.0.113.1:2202", "node2");
	check_reaches("nsenter --net=" BASE "/run/netns/vnoded-2 ", "TCP:203.0.113.1:2201", "node1");
	check_reaches("nsenter --net=" BASE "/run/netns/vnoded-1 ", "TCP:203.0.113.1:2201", "node1");
	check_reaches("nsenter --net=" BASE "/run/netns/vnoded-2 ", "TCP:198.18.0.1:2201", "node1");
	check_reaches("nsenter --net=" BASE "/run/netns/vnoded-2 ", "TCP:[2001:db8::1]:2201",
		      "node1");
	/* the address of the second forward is not every address */
	ck_assert_int_ne(shell("socat /dev/null TCP:127.0.0.1:2202,connect-timeout=2 2>/dev/null"), 0);
	check_ok(net_linux.forwards_down(net, f, 3, &err));
	check_ok(net_linux.forwards_down(net, f, 3, &err));
	ck_assert_int_ne(shell("socat /dev/null TCP:127.0.0.1:2201,connect-timeout=2 2>/dev/null"), 0);
	shell("kill $(cat /proc/%d/task/*/children)", getpid());
}
END_TEST

START_TEST(forwards_udp)
{
	struct forward_spec f;

	connect_outside();
	bring_up_two();
	f = forward_to(&one, IPPROTO_UDP, 2203);
	check_ok(net_linux.forward_reserve(net, &f, &err));
	check_ok(net_linux.forwards_up(net, &f, 1, &err));
	serve(1, "UDP6-RECVFROM:7,fork,ipv6only=0");
	check_reaches("", "UDP:127.0.0.1:2203", "node1");
	check_reaches("nsenter --net=/media/out/ns ", "UDP:203.0.113.1:2203", "node1");
	check_reaches("nsenter --net=/media/out/ns ", "UDP:[2001:db8::1]:2203", "node1");
	shell("kill $(cat /proc/%d/task/*/children)", getpid());
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

START_TEST(reservations)
{
	struct forward_spec f, other;
	pid_t listener;

	bring_up_two();
	f = forward_to(&one, IPPROTO_TCP, 2201);
	other = forward_to(&two, IPPROTO_TCP, 2201);
	check_ok(net_linux.forward_reserve(net, &f, &err));
	check_ok(net_linux.forward_reserve(net, &f, &err));
	check_fails(net_linux.forward_reserve(net, &other, &err), VN_E_EXISTS, "vnode 1");
	ck_assert_int_ne(shell("socat -T1 TCP-LISTEN:2201,reuseaddr,accept-timeout=1 - 2>/dev/null"),
			 0);
	ck_assert_int_eq(shell("socat TCP-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	ck_assert_int_eq(shell("socat TCP6-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	net_linux.forward_release(net, &other);
	ck_assert_int_eq(shell("socat TCP-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	net_linux.forward_release(net, &f);
	net_linux.forward_release(net, &f);
	listener = fork();
	if (listener == 0) {
		execlp("socat", "socat", "TCP-LISTEN:2201,reuseaddr", "-", NULL);
		_exit(1);
	}
	while (shell("ss -Hltn 2>/dev/null | grep -q :2201") != 0)
		sched_yield();
	check_fails(net_linux.forward_reserve(net, &f, &err), VN_E_EXISTS, "2201/tcp");
	kill(listener, SIGKILL);
	waitpid(listener, NULL, 0);
	f.protocol = IPPROTO_UDP;
	check_ok(net_linux.forward_reserve(net, &f, &err));
	ck_assert_int_eq(shell("socat UDP-LISTEN:2201,reuseaddr - 2>&1 | grep -q 'in use'"), 0);
	net_linux.forward_release(net, &f);
}
END_TEST

const struct net_case nat_cases[] = {
	{ "forwards", &forwards_reach, 1 },
	{ "udp", &forwards_udp, 1 },
	{ "nat", &nat_to_outside, 1 },
	{ "exact", &forwards_are_exact, 1 },
	{ "reservations", &reservations, 1 },
	{ 0 },
};
