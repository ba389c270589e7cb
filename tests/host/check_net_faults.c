/*
 * The kernel refuses, at every message of every call in turn. A message that is to fail reaches the kernel as
 * NLMSG_NOOP, which it acknowledges without doing anything, and the acknowledgement then tells the error: as
 * if that one had been refused and all others carried out. Likewise a whole system call that cannot send, and
 * one that cannot receive, after which nobody knows what was done.
 *
 * After each failure all is as it was, and the same call again succeeds.
 */
#include "tests/host/net_world.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/digest.h"
#include "proto/base/mem.h"

/* ---- in front of libc's ---------------------------------------------------------------------- */

enum fault { FAULT_NONE, FAULT_CHANGE, FAULT_READ, FAULT_SEND, FAULT_RECEIVE };
static const char *const fault_words[] = { "", "change", "read", "send", "receive" };

static struct {
	enum fault kind;
	unsigned left;			/* points until it strikes; it strikes once */
	int sys;
	bool struck;
	int fd;				/* whose answer is to be changed; -1: none */
	uint32_t seq;
} fault = { .fd = -1 };

/* Whether this is the point at which the fault strikes. */
static bool
strikes(enum fault kind)
{
	if (fault.kind != kind || fault.struck || --fault.left > 0)
		return false;
	return fault.struck = true;
}

static bool
is_route_netlink(int fd)
{
	int domain = 0, protocol = -1;
	socklen_t size = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_NETLINK &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == NETLINK_ROUTE;
}

static bool
is_read(const struct nlmsghdr *header)
{
	return (header->nlmsg_type & 3) == 2;	/* RTM_GET*: the third of each four */
}

/* The message that is to fail, made one that does nothing; NULL: none of these. */
static struct nlmsghdr *
spoil(int fd, const struct msghdr *message, struct nlmsghdr *ret_was)
{
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		struct nlmsghdr *header = message->msg_iov[i].iov_base;

		if (!strikes(is_read(header) ? FAULT_READ : FAULT_CHANGE))
			continue;
		*ret_was = *header;
		fault.fd = fd;
		fault.seq = header->nlmsg_seq;
		header->nlmsg_type = NLMSG_NOOP;
		header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
		return header;
	}
	return NULL;
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct nlmsghdr was, *spoilt = NULL;
	ssize_t result;

	if (is_route_netlink(fd)) {
		if (strikes(FAULT_SEND)) {
			errno = fault.sys;
			return -1;
		}
		spoilt = spoil(fd, message, &was);
	}
	result = syscall(SYS_sendmsg, fd, message, flags);
	if (spoilt)
		*spoilt = was;
	return result;
}

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t size = syscall(SYS_recvmsg, fd, message, flags);
	unsigned left = (unsigned)size;

	if (size < 0 || !is_route_netlink(fd))
		return size;
	if (strikes(FAULT_RECEIVE)) {
		errno = fault.sys;
		return -1;
	}
	for (struct nlmsghdr *reply = message->msg_iov->iov_base; fd == fault.fd && NLMSG_OK(reply, left);
	     reply = NLMSG_NEXT(reply, left))
		if (reply->nlmsg_seq == fault.seq && reply->nlmsg_type == NLMSG_ERROR) {
			((struct nlmsgerr *)NLMSG_DATA(reply))->error = -fault.sys;
			fault.fd = -1;		/* another socket may get both numbers */
		}
	return size;
}

static void
arm(enum fault kind, unsigned nth, int sys)
{
	fault.kind = kind;
	fault.left = nth;
	fault.sys = sys;
	fault.struck = false;
	fault.fd = -1;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static const struct lan_spec lan2 = { .id = 2, .uuid = "00000000-0000-4000-9000-000000000002" };
static struct node three;

static void
two_vnodes(void)
{
	bring_up_two();
	describe(&three, 3);
	check_ok(net_linux.namespaces_up(net, &three.ns, &err));
}

static int
make_lan(struct vn_error *err)
{
	return net_linux.lan_up(net, &lan2, err);
}

static int
change_lan(struct vn_error *err)
{
	struct lan_spec lan = lan1;

	lan.mtu = 1300;
	return net_linux.lan_up(net, &lan, err);
}

/* Shapes that need no netem, which kernels lack: each direction, so that there is an IFB. */
static struct port_spec *
shaped(struct node *node)
{
	node->ports[1].out = (struct shape){ .rate_bps = 8000000, .limit_packets = 100 };
	node->ports[1].in = (struct shape){ .rate_bps = 4000000 };
	return node->ports;
}

static int
make_ports(struct vn_error *err)
{
	return net_linux.ports_up(net, &three.ns, shaped(&three), 2, err);
}

static void
three_vnodes(void)
{
	two_vnodes();
	check_ok(make_ports(&err));
}

/* MTU, addresses, carrier, default route and shape of a living vnode, beside a new interface. */
static int
change_ports(struct vn_error *err)
{
	static struct vn_cidr addresses[2];
	struct port_spec ports[3] = { three.ports[0], three.ports[1], three.ports[1] };

	addresses[0] = cidr("10.1.0.77/16");
	addresses[1] = three.lan[0];
	ports[0].no_default_route = true;
	ports[1].mtu = 1300;
	ports[1].addresses = addresses;
	ports[1].up = false;
	ports[1].in = (struct shape){ .rate_bps = 6000000 };
	ports[2].index = 2;
	ports[2].ifname = "eth2";
	ports[2].mac = digest_mac(three.uuid, 2);
	ports[2].addresses = NULL;
	ports[2].n_addresses = 0;
	return net_linux.ports_up(net, &three.ns, ports, 3, err);
}

static const struct port_shape reshaped[] = {
	{ .vmid = 1, .index = 1, .out = { .rate_bps = 10000000 }, .in = { .rate_bps = 20000000 } },
	{ .vmid = 2, .index = 1, .in = { .rate_bps = 30000000, .limit_bytes = 100000 } },
	{ .vmid = 3, .index = 1, .out = { .rate_bps = 50000000 } },
};

static int
change_shapes(struct vn_error *err)
{
	return net_linux.ports_shape(net, reshaped, VN_COUNT(reshaped), err);
}

static int
set_routes(bool again, struct vn_error *err)
{
	struct route_spec routes[3] = {
		{ .to = cidr("10.20.0.0/16"), .via = cidr("10.1.0.3"), .index = PORT_ANY, .metric = 5 },
		{ .to = cidr("fd20::/64"), .via = cidr("fd01::1"), .index = PORT_ANY },
		{ .to = cidr("10.30.0.0/16"), .via = cidr("10.1.0.2"), .index = 1 },
	};

	if (again) {
		routes[0].to = cidr("10.21.0.0/16");
		routes[1].metric = 7;
	}
	return net_linux.routes_set(net, &three.ns, routes, VN_COUNT(routes), err);
}

static void
routed_vnodes(void)
{
	three_vnodes();
	check_ok(set_routes(false, &err));
}

static int
change_routes(struct vn_error *err)
{
	return set_routes(true, err);
}

static int
cut_carrier(struct vn_error *err)
{
	return net_linux.ports_carrier(net, (int64_t[]){ 1, 2, 3 }, (unsigned[]){ 1, 1, 1 }, 3, false, err);
}

static int
cut_carrier_of_one(struct vn_error *err)
{
	return net_linux.ports_carrier(net, &(int64_t){ 2 }, &(unsigned){ 1 }, 1, false, err);
}

static const struct {
	const char *name;
	void (*prepare)(void);
	int (*call)(struct vn_error *err);
} calls[] = {
	{ "lan_up, new", two_vnodes, make_lan },
	{ "lan_up, changed", two_vnodes, change_lan },
	{ "ports_up, new", two_vnodes, make_ports },
	{ "ports_up, changed", three_vnodes, change_ports },
	{ "ports_shape", three_vnodes, change_shapes },
	{ "routes_set", routed_vnodes, change_routes },
	{ "ports_carrier", three_vnodes, cut_carrier },
	{ "ports_carrier of one", three_vnodes, cut_carrier_of_one },
};

/* ---- the matrix ------------------------------------------------------------------------------ */

/* The fabric's devices, queues and redirections, and all of the third vnode's network; few processes. */
static char *
picture(void)
{
	char *text = vn_alloc(1 << 20);

	shell_into(text, 1 << 20, "{ " FABRIC "sh -c 'ip -d -o link; tc qdisc; for i in 1 2 3; do "
		   "echo filter show dev v${i}e1 ingress; done | tc -force -b - 2>/dev/null'; "
		   "nsenter --net=" BASE "/run/netns/vnoded-3 sh -c 'ip -o link; ip -o addr; "
		   "ip route show table all; ip -6 route show table all'; } | "
		   "sed -E 's/ qlen [0-9]+//; s/index [0-9]+ ref/ref/; s/[a-z_]+_timer +[0-9.]+//g; /^anycast/d; "
		   "/^[0-9]+: i[0-9]+e/s/ether [^ ]+//'");
	ck_assert_msg(strstr(text, "l1:") && strstr(text, "lo"), "no picture: %s", text);
	return blur(text);
}

static const struct {
	enum fault kind;
	int sys;
} faults[] = {
	{ FAULT_CHANGE, EEXIST }, { FAULT_CHANGE, ENOBUFS }, { FAULT_CHANGE, EBUSY }, { FAULT_CHANGE, ENODEV },
	{ FAULT_READ, ENOBUFS }, { FAULT_SEND, ENOBUFS }, { FAULT_RECEIVE, ENOBUFS },
};

enum outcome { OUTCOME_FAILED, OUTCOME_TOLERATED, OUTCOME_NO_POINT };

/*
 * Fails at the nth point. "It is there already" and "it is gone already" are what some messages want; where that
 * is a lie, as here, the same call again makes it true.
 */
static enum outcome
fail_at(size_t call, size_t which, unsigned nth, const char *before, const char *after)
{
	vn_autofree char *now = NULL;
	struct vn_error why = { 0 };
	int result;

	arm(faults[which].kind, nth, faults[which].sys);
	result = calls[call].call(&why);
	fault.kind = FAULT_NONE;
	fault.fd = -1;
	if (result == 0 && fault.struck)
		check_ok(calls[call].call(&err));
	if (!fault.struck) {
		ck_assert_msg(result == 0, "%s: %s", calls[call].name, why.text);
		return OUTCOME_NO_POINT;
	}
	now = picture();
	if (result == 0 ? strcmp(now, after) != 0 : strcmp(now, before) != 0)
		printf("%s: %s at %s %u: %s\n", calls[call].name, strerror(faults[which].sys),
		       fault_words[faults[which].kind], nth, result == 0 ? "called a success" : why.text);
	check_same(result == 0 ? after : before, now);
	if (result < 0)
		ck_assert_msg(why.code != VN_OK && why.text[0], "%s: no reason", calls[call].name);
	return result < 0 ? OUTCOME_FAILED : OUTCOME_TOLERATED;
}

/* The world as it was prepared, whatever the call has made of it. */
static void
prepare_again(size_t call)
{
	check_ok(net_linux.host_down(net, &err));
	calls[call].prepare();
}

START_TEST(every_message_may_fail)
{
	size_t call = (size_t)_i / VN_COUNT(faults), which = (size_t)_i % VN_COUNT(faults);
	vn_autofree char *before = NULL, *after = NULL;
	enum outcome outcome = OUTCOME_TOLERATED;	/* the world has to be made again */
	unsigned points = 0;

	calls[call].prepare();
	before = picture();
	check_ok(calls[call].call(&err));
	after = picture();
	ck_assert_msg(strcmp(before, after) != 0, "%s changes nothing", calls[call].name);
	for (;; points++) {
		if (outcome == OUTCOME_TOLERATED)
			prepare_again(call);
		outcome = fail_at(call, which, points + 1, before, after);
		if (outcome == OUTCOME_NO_POINT)
			break;
	}
	ck_assert_msg(points > 0, "%s: no %s could fail", calls[call].name, fault_words[faults[which].kind]);
	printf("%-22s %-8s %-28s %u points\n", calls[call].name, fault_words[faults[which].kind],
	       strerror(faults[which].sys), points);
}
END_TEST

/* usage: check_net_faults [FIRST [END]], numbers of cases: calls by faults */
int
main(int argc, char **argv)
{
	int first = argc > 1 ? atoi(argv[1]) : 0;
	int end = argc > 2 ? atoi(argv[2]) : (int)(VN_COUNT(calls) * VN_COUNT(faults));
	Suite *suite = suite_create("net faults");
	TCase *tcase = tcase_create("faults");
	SRunner *runner = srunner_create(suite);
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 600);
	tcase_add_loop_test(tcase, every_message_may_fail, first, end);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
