/* The namespace is pinned by nothing: whatever ends us takes it along. */
#include "backends/netlink/bare.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>

#include "backends/netlink/namespace.h"
#include "backends/netlink/sysctl.h"

/* Indexes, beyond those of the devices that tunnels' modules put into each new namespace. */
enum { BRIDGE = 0x10000, FROM, FROM_PORT, TO, TO_PORT };

static void
append_bridge(struct batch *batch, unsigned mtu)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = BRIDGE, .ifi_flags = IFF_UP,
				    .ifi_change = IFF_UP };
	struct nl_msg *message = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header,
					   sizeof(header), "make the bridge of the bare path");
	struct link_kind nest;

	attr_put_text(message, IFLA_IFNAME, "bridge");
	attr_put_u32(message, IFLA_MTU, mtu);
	link_kind_begin(message, "bridge", &nest);
	link_kind_end(message, &nest);
}

static void
append_pair(struct batch *batch, unsigned mtu, int index, const char *name, const char *port)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index + 1, .ifi_flags = IFF_UP,
				    .ifi_change = IFF_UP };
	struct ifinfomsg inner = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	struct nl_msg *message = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header,
					   sizeof(header), "make a port of the bare path");
	struct link_kind nest;
	struct nlattr *peer;

	attr_put_text(message, IFLA_IFNAME, port);
	attr_put_u32(message, IFLA_MTU, mtu);
	attr_put_u32(message, IFLA_MASTER, BRIDGE);
	link_kind_begin(message, "veth", &nest);
	peer = attr_begin(message, VETH_INFO_PEER);
	nlmsg_append(message, &inner, sizeof(inner), NLMSG_ALIGNTO);
	attr_put_text(message, IFLA_IFNAME, name);
	attr_put_u32(message, IFLA_MTU, mtu);
	attr_end(message, peer);
	link_kind_end(message, &nest);
	link_change(batch, index, 1, "set up an end of the bare path");
}

static int
build(struct nl_sock *sock, unsigned mtu, struct vn_error *err)
{
	auto_batch batch = { 0 };

	append_bridge(&batch, mtu);
	append_pair(&batch, mtu, FROM, "from", "from-port");
	append_pair(&batch, mtu, TO, "to", "to-port");
	return batch_send(sock, &batch, NULL, NULL, err);
}

/* A namespace without a name, and a socket inside. Returns its descriptor, or -1 and err. */
static int
make_namespace(int home, struct nl_sock **ret, struct vn_error *err)
{
	vn_autoclose int netns = -1;
	int result = -1;

	if (unshare(CLONE_NEWNET) < 0)
		return vn_fail_errno(err, errno, "make a network namespace");
	netns = netns_open_own(err);
	if (netns >= 0)
		result = sysctl_write("net/ipv6/conf/default/disable_ipv6", "1", err);	/* no chatter */
	if (result == 0)
		result = socket_open(ret, err);
	netns_leave(home);
	return result < 0 ? -1 : vn_take_fd(&netns);
}

int
bare_open(int home, unsigned mtu, uint32_t run, struct packet_port *from, struct packet_port *to,
	  struct vn_error *err)
{
	struct nl_sock *sock = NULL;
	vn_autoclose int netns = make_namespace(home, &sock, err);
	int result;

	if (netns < 0)
		return -1;
	result = build(sock, mtu, err);
	nl_socket_free(sock);
	if (result < 0 || packet_open(from, netns, home, FROM, run, err) < 0)
		return -1;
	if (packet_open(to, netns, home, TO, run, err) == 0)
		return 0;
	packet_close(from);
	return -1;
}
