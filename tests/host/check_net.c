/*
 * The net contract against the real kernel. Every case runs in a process, a network and a mount
 * namespace of its own, so nothing of the machine is touched and nothing is left. Run as root.
 */
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

#include "backends/backend.h"
#include "backends/digest.h"
#include "proto/base/mem.h"

#define INSTANCE "11111111-2222-4333-8444-555555555555"
#define OTHER    "aaaaaaaa-2222-4333-8444-555555555555"
#define UPLINK   "vnc11111111"
#define BASE     "/media/vnoded-net"

#define check_ok(call)                                                                             \
	do {                                                                                       \
		struct vn_error err = { 0 };                                                       \
		if ((call) < 0)                                                                    \
			ck_abort_msg("%s: %s", #call, err.text);                                   \
	} while (0)

#define check_fails(call, want, words)                                                             \
	do {                                                                                       \
		struct vn_error err = { 0 };                                                       \
		ck_assert_msg((call) < 0, "%s succeeded", #call);                                  \
		ck_assert_msg(err.code == (want), "%s: %s", vn_code_word(err.code), err.text);     \
		ck_assert_msg(strstr(err.text, words) != NULL, "no '%s' in: %s", words, err.text); \
	} while (0)

static struct backend_env env;
static struct net *net;

/* ---- surroundings ---------------------------------------------------------------------------- */

/* Runs a shell command; its output goes to text when that is not NULL. Returns the exit status. */
static int
shell_into(char *text, size_t size, const char *command)
{
	FILE *pipe = popen(command, "r");
	size_t got = 0;
	int status;

	ck_assert_ptr_nonnull(pipe);
	while (text && got < size - 1) {
		size_t more = fread(text + got, 1, size - 1 - got, pipe);

		if (more == 0)
			break;
		got += more;
	}
	if (text)
		text[got] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

__attribute__((format(printf, 1, 2))) static int
shell(const char *format, ...)
{
	char command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return shell_into(NULL, 0, command);
}

#define FABRIC "nsenter --net=" BASE "/run/netns/fabric "
#define INSIDE "nsenter --net=" BASE "/run/netns/vnoded-%d "

/* Everything that networking in one namespace consists of, without what changes by itself. */
static char *
dump_of(const char *enter)
{
	char *text = vn_alloc(4 << 20);
	vn_autofree char *command = vn_format(
		"%s sh -c 'ip -d -o link; ip -o addr; ip route show table all; "
		"ip -6 route show table all; nft list ruleset; cd /proc/sys/net; "
		"grep -H . ipv4/ip_forward ipv4/conf/*/route_localnet ipv6/conf/*/forwarding "
		"ipv6/conf/*/accept_ra' 2>/dev/null | "
		"sed -E 's/[a-z_]+_timer +[0-9.]+//g; s/ffff:[0-9a-f:]+//; /^anycast/d'", enter);

	shell_into(text, 4 << 20, command);
	return text;
}

static char *
dump(void)
{
	vn_autofree char *host = dump_of("");
	vn_autofree char *fabric = dump_of(FABRIC);
	vn_autofree char *one = dump_of("nsenter --net=" BASE "/run/netns/vnoded-1 ");
	vn_autofree char *mounts = vn_alloc(1 << 16);

	shell_into(mounts, 1 << 16, "grep vnoded-net /proc/self/mountinfo | cut -d' ' -f4-6; "
		   "find " BASE " | sort");
	return vn_format("host:\n%s\nfabric:\n%s\none:\n%s\n%s", host, fabric, one, mounts);
}

static void
check_same(const char *a, const char *b)
{
	if (strcmp(a, b) == 0)
		return;
	FILE *before = fopen("/media/before", "w"), *after = fopen("/media/after", "w");

	fputs(a, before);
	fputs(b, after);
	fclose(before);
	fclose(after);
	ck_assert_int_ne(system("diff /media/before /media/after | cut -c1-240 | head -30"), -1);
	ck_abort_msg("not the same as before (see the difference above)");
}

static struct vn_cidr
cidr(const char *text)
{
	struct vn_cidr ret = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	char address[64];

	snprintf(address, sizeof(address), "%s", text);
	ret.prefix = (uint8_t)(strchr(text, '/') ? atoi(strchr(text, '/') + 1) : 0);
	address[strcspn(address, "/")] = '\0';
	ck_assert_int_eq(inet_pton(ret.family, address, ret.byte), 1);
	return ret;
}

static void
set_up(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("tmp", "/media", "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(shell("mkdir -p " BASE "/state " BASE "/run; ip link set lo up"), 0);
	env = (struct backend_env){
		.instance = INSTANCE, .state_dir = BASE "/state", .run_dir = BASE "/run",
		.libexec_dir = getenv("VNODED_LIBEXEC"), .fabric = "fabric", .nft_table = "vnoded",
		.control4 = cidr("198.18.0.0/16"), .control6 = cidr("fd11:2222:3333:4444::/64"),
	};
	check_ok(net_linux.open(&env, &net, &err));
}

static void
tear_down(void)
{
	net_linux.close(net);
}

/* ---- vnodes ---------------------------------------------------------------------------------- */

struct node {
	struct ns_ref ns;
	char netns[128], userns[128], uuid[VN_UUID_TEXT];
	struct vn_cidr control[2], lan[2];
	struct port_spec ports[2];
};

static void
describe(struct node *node, int vmid)
{
	char text[64];

	snprintf(node->netns, sizeof(node->netns), "%s/netns/vnoded-%d", env.run_dir, vmid);
	snprintf(node->userns, sizeof(node->userns), "%s/userns/vnoded-%d", env.run_dir, vmid);
	snprintf(node->uuid, sizeof(node->uuid), "00000000-0000-4000-8000-%012d", vmid);
	node->ns = (struct ns_ref){ .vmid = vmid, .uuid = node->uuid, .netns = node->netns,
				    .userns = node->userns,
				    .idmap_base = 1000000 + 65536u * (uint32_t)vmid };
	node->control[0] = env.control4;
	node->control[0].byte[2] = (uint8_t)((vmid + 1) / 250);
	node->control[0].byte[3] = (uint8_t)((vmid + 1) % 250);
	node->control[1] = env.control6;
	node->control[1].byte[14] = (uint8_t)((vmid + 1) >> 8);
	node->control[1].byte[15] = (uint8_t)(vmid + 1);
	snprintf(text, sizeof(text), "10.1.%d.%d/16", vmid / 250, vmid % 250 + 1);
	node->lan[0] = cidr(text);
	snprintf(text, sizeof(text), "fd01::%x/64", vmid);
	node->lan[1] = cidr(text);
	node->ports[0] = (struct port_spec){ .lan = NET_CONTROL, .index = 0, .ifname = "eth0",
					     .mac = digest_mac(node->uuid, 0),
					     .addresses = node->control, .n_addresses = 2, .up = true };
	node->ports[1] = (struct port_spec){ .lan = 1, .index = 1, .ifname = "eth1",
					     .mac = digest_mac(node->uuid, 1), .mtu = 1400,
					     .addresses = node->lan, .n_addresses = 2, .up = true };
}

static const struct lan_spec lan1 = { .id = 1, .mtu = 1400,
				      .uuid = "00000000-0000-4000-9000-000000000001" };

static void
bring_up(struct node *node, int vmid)
{
	describe(node, vmid);
	check_ok(net_linux.namespaces_up(net, &node->ns, &err));
	check_ok(net_linux.ports_up(net, &node->ns, node->ports, 2, &err));
}

static struct node one, two;

static void
bring_up_two(void)
{
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan1, &err));
	bring_up(&one, 1);
	bring_up(&two, 2);
}

static int
ping(int from, const char *to)
{
	return shell(INSIDE "ping -n -q -c 1 -W 2 %s >/dev/null", from, to);
}

static void
check_pings(void)
{
	ck_assert_int_eq(shell(INSIDE "sh -c 'for to in 10.1.0.3 fd01::2; do "
			       "ping -n -q -c 1 -W 2 $to || exit; done' >/dev/null", 1), 0);
	ck_assert_int_eq(shell(INSIDE "sh -c 'for to in 198.18.0.2 198.18.0.1 127.0.0.1 ::1 "
			       "fd11:2222:3333:4444::1; do ping -n -q -c 1 -W 2 $to || exit; done' "
			       ">/dev/null", 2), 0);
}

/* ---- cases ----------------------------------------------------------------------------------- */

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

/* The dump without the indexes that the kernel numbers devices with. */
static char *
blur(char *text)
{
	FILE *file = fopen("/media/blur", "w");
	char *ret = vn_alloc(8 << 20);

	fputs(text, file);
	fclose(file);
	shell_into(ret, 8 << 20, "sed -E 's/^[0-9]+: //; s/@if[0-9]+/@if/g; s/link-netns(id)? "
		   "[^ ]+//g; s/(peer|bridge|designated)[a-z_]* [^ ]+//g; s/^[0-9]+ //; "
		   "/^(v[0-9]+e[0-9]+|uplink)@/s/link.ether [^ ]+//; s/fe80[^ ]+//; s/scope link .*//; "
		   "s/port_(no|id) [^ ]+//g; s/(net|user):.[0-9]+./\\1/' /media/blur | sort");
	free(text);
	return ret;
}

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

/* ---- forwards -------------------------------------------------------------------------------- */

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
	while (shell("nsenter --net=%s ss -Hnl | grep -q ':7 '", netns) != 0)
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
	while (shell("ss -Hltn | grep -q :2201") != 0)
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

/* ---- the host -------------------------------------------------------------------------------- */

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

/* ---- many ------------------------------------------------------------------------------------ */

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

#define MANY 50
#define THREADS 4
static struct node *many;
static atomic_int next;

static void *
ports_up_some(void *arg)
{
	int i;

	(void)arg;
	while ((i = atomic_fetch_add(&next, 1)) < MANY)
		check_ok(net_linux.ports_up(net, &many[i].ns, many[i].ports, 2, &err));
	return NULL;
}

static void *
down_some(void *arg)
{
	int i;

	(void)arg;
	while ((i = atomic_fetch_add(&next, 1)) < MANY)
		check_ok(net_linux.namespaces_down(net, &many[i].ns, &err));
	return NULL;
}

static double
in_threads(void *(*fn)(void *))
{
	pthread_t threads[THREADS];
	double start = now_ms();

	atomic_store(&next, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, fn, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return now_ms() - start;
}

static void
make_many(int count)
{
	many = vn_alloc_array((size_t)count, sizeof(*many));
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan1, &err));
	for (int i = 0; i < count; i++) {
		describe(&many[i], i + 1);
		many[i].ns.userns = NULL;
		check_ok(net_linux.namespaces_up(net, &many[i].ns, &err));
	}
}

START_TEST(many_in_threads)
{
	struct net_found *found;
	double start;
	size_t count;

	make_many(MANY);
	printf("%d vnodes of 2 ports, %d threads: ports_up %.0f ms", MANY, THREADS,
	       in_threads(ports_up_some));
	printf(", again %.0f ms", in_threads(ports_up_some));
	ck_assert_int_eq(ping(1, "10.1.0.51"), 0);
	start = now_ms();
	printf(", namespaces_down %.0f ms", in_threads(down_some));
	check_ok(net_linux.inventory(net, &found, &count, &err));
	printf(" (all gone after %.0f ms)\n", now_ms() - start);
	ck_assert_uint_eq(count, 2);
	free(found);
	free(many);
}
END_TEST

#define WIDE 10			/* ports of each vnode */

/* The same 500 ports as commands: the pairs, then what is inside each vnode. */
static void
write_script(void)
{
	FILE *script = fopen("/media/batch", "w");

	for (int i = 0; i < MANY; i++)
		for (int k = 0; k < WIDE; k++)
			fprintf(script, "link add x%de%d type veth peer name eth%d netns %s\n"
				"link set x%de%d master l%d up alias %s\n", i, k, k, many[i].netns, i,
				k, k > 0, many[i].uuid);
	fclose(script);
	for (int i = 0; i < MANY; i++) {
		vn_autofree char *path = vn_format("/media/batch%d", i);

		script = fopen(path, "w");
		for (int k = 0; k < WIDE; k++)
			fprintf(script, "link set eth%d address 02:00:00:00:%02x:%02x up\n"
				"addr add 10.%d.%d.1/24 dev eth%d\n"
				"addr add fd0%d:%x::1/64 dev eth%d nodad\n", k, i, k, 20 + k, i, k,
				k, i, k);
		fclose(script);
	}
}

static void
widen(struct node *node, int vmid, struct port_spec ports[WIDE], struct vn_cidr addresses[WIDE][2])
{
	char text[64];

	for (unsigned k = 0; k < WIDE; k++) {
		snprintf(text, sizeof(text), "10.%u.%d.1/24", 20 + k, vmid);
		addresses[k][0] = cidr(text);
		snprintf(text, sizeof(text), "fd0%u:%x::1/64", k, (unsigned)vmid);
		addresses[k][1] = cidr(text);
		ports[k] = (struct port_spec){ .lan = 1, .index = k, .mac = digest_mac(node->uuid, k),
					       .addresses = addresses[k], .n_addresses = 2, .up = true,
					       .ifname = vn_format("eth%u", k) };
	}
}

START_TEST(five_hundred_ports)
{
	struct port_spec ports[MANY][WIDE];
	struct vn_cidr addresses[MANY][WIDE][2];
	double start, ours, theirs;

	make_many(MANY);
	for (int i = 0; i < MANY; i++)
		widen(&many[i], i, ports[i], addresses[i]);
	start = now_ms();
	for (int i = 0; i < MANY; i++)
		check_ok(net_linux.ports_up(net, &many[i].ns, ports[i], WIDE, &err));
	ours = now_ms() - start;
	check_ok(net_linux.host_down(net, &err));
	make_many(MANY);
	write_script();
	start = now_ms();
	ck_assert_int_eq(shell(FABRIC "ip -batch /media/batch"), 0);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(shell("nsenter --net=%s ip -batch /media/batch%d", many[i].netns, i),
				 0);
	theirs = now_ms() - start;
	printf("%d ports of %d vnodes, one thread: ports_up %.0f ms, 'ip -batch' %.0f ms, "
	       "ratio %.2f\n", MANY * WIDE, MANY, ours, theirs, ours / theirs);
}
END_TEST

/* ---- being killed ---------------------------------------------------------------------------- */

static int *fuse;			/* shared: system calls until the end; 0 = never */

static void
burn(void)
{
	if (fuse && *fuse > 0 && --*fuse == 0)
		raise(SIGKILL);
}

/* In front of libc's: each call that changes the kernel is a point to be killed at, before and after. */
ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t result;

	burn();
	result = syscall(SYS_sendmsg, fd, message, flags);
	burn();
	return result;
}

int
mount(const char *source, const char *target, const char *type, unsigned long flags,
      const void *data)
{
	int result;

	burn();
	result = (int)syscall(SYS_mount, source, target, type, flags, data);
	burn();
	return result;
}

int
umount2(const char *target, int flags)
{
	int result;

	burn();
	result = (int)syscall(SYS_umount2, target, flags);
	burn();
	return result;
}

int
rename(const char *from, const char *to)
{
	int result;

	burn();
	result = (int)syscall(SYS_rename, from, to);
	burn();
	return result;
}

/* Runs fn in a process that is killed at its nth point. Returns whether it was. */
static bool
killed_at(int nth, void (*fn)(void))
{
	int status;
	pid_t pid;

	*fuse = 0;
	pid = fork();
	if (pid == 0) {
		check_ok(net_linux.open(&env, &net, &err));
		*fuse = nth;
		fn();
		*fuse = 0;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	*fuse = 0;
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void
take_down(void)
{
	check_ok(net_linux.namespaces_down(net, &two.ns, &err));
	check_ok(net_linux.host_down(net, &err));
}

START_TEST(killed_anywhere)
{
	vn_autofree char *empty = NULL, *whole = NULL;
	int points = 1;

	fuse = mmap(NULL, sizeof(*fuse), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	empty = dump();
	bring_up_two();
	whole = blur(dump());
	take_down();
	for (bool down = false;; points++) {
		vn_autofree char *after = NULL;
		bool killed = killed_at(points, down ? take_down : bring_up_two);

		bring_up_two();
		after = blur(dump());
		check_same(whole, after);
		take_down();
		free(vn_take_ptr(&after));
		after = dump();
		check_same(empty, after);
		if (!killed && down)
			break;
		if (!killed) {
			printf("killed at %d points of the way up", points - 1);
			points = 0;
			down = true;
		}
		if (down)
			bring_up_two();
	}
	printf(", at %d of the way down\n", points - 1);
}
END_TEST

static const struct {
	const char *name;		/* CK_RUN_CASE runs one */
	const TTest **test;
	int times;
} cases[] = {
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
	{ "forwards", &forwards_reach, 1 },
	{ "udp", &forwards_udp, 1 },
	{ "nat", &nat_to_outside, 1 },
	{ "exact", &forwards_are_exact, 1 },
	{ "reservations", &reservations, 1 },
	{ "missing", &what_is_missing, 1 },
	{ "two", &two_installations, 1 },
	{ "threads", &many_in_threads, 1 },
	{ "many", &five_hundred_ports, 1 },
	{ "killed", &killed_anywhere, 1 },
};

int
main(void)
{
	Suite *suite = suite_create("net");
	SRunner *runner = srunner_create(suite);
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < VN_COUNT(cases); i++) {
		TCase *tcase = tcase_create(cases[i].name);

		tcase_add_checked_fixture(tcase, set_up, tear_down);
		tcase_set_timeout(tcase, 300);
		tcase_add_loop_test(tcase, *cases[i].test, 0, cases[i].times);
		suite_add_tcase(suite, tcase);
	}
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
