/* Everything on the machine's own side is shell commands: what they see owes nothing to our code. */
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

struct backend_env env;
struct net *net;

/* ---- surroundings ---------------------------------------------------------------------------- */

int
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

int
shell(const char *format, ...)
{
	char command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return shell_into(NULL, 0, command);
}

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

char *
dump(void)
{
	vn_autofree char *host = dump_of("");
	vn_autofree char *fabric = dump_of(FABRIC);
	vn_autofree char *first = dump_of("nsenter --net=" BASE "/run/netns/vnoded-1 ");
	vn_autofree char *mounts = vn_alloc(1 << 16);

	shell_into(mounts, 1 << 16, "grep vnoded-net /proc/self/mountinfo | cut -d' ' -f4-6; "
		   "find " BASE " | sort");
	return vn_format("host:\n%s\nfabric:\n%s\none:\n%s\n%s", host, fabric, first, mounts);
}

void
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

char *
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

struct vn_cidr
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

void
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

void
tear_down(void)
{
	net_linux.close(net);
}

/* ---- vnodes ---------------------------------------------------------------------------------- */

void
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

const struct lan_spec lan1 = { .id = 1, .mtu = 1400,
				      .uuid = "00000000-0000-4000-9000-000000000001" };

void
bring_up(struct node *node, int vmid)
{
	describe(node, vmid);
	check_ok(net_linux.namespaces_up(net, &node->ns, &err));
	check_ok(net_linux.ports_up(net, &node->ns, node->ports, 2, &err));
}

struct node one, two;

void
bring_up_two(void)
{
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan1, &err));
	bring_up(&one, 1);
	bring_up(&two, 2);
}

int
ping(int from, const char *to)
{
	return shell(INSIDE "ping -n -q -c 1 -W 2 %s >/dev/null", from, to);
}

void
check_pings(void)
{
	ck_assert_int_eq(shell(INSIDE "sh -c 'for to in 10.1.0.3 fd01::2; do "
			       "ping -n -q -c 1 -W 2 $to || exit; done' >/dev/null", 1), 0);
	ck_assert_int_eq(shell(INSIDE "sh -c 'for to in 198.18.0.2 198.18.0.1 127.0.0.1 ::1 "
			       "fd11:2222:3333:4444::1; do ping -n -q -c 1 -W 2 $to || exit; done' "
			       ">/dev/null", 2), 0);
}
