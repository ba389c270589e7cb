/*
 * A message is only looked at for who caused it; what it says is found out by comparing. So after the first of
 * a burst nobody listens for a moment: whatever comes meanwhile, be it of our own making or a guest that turns
 * its interface off and on as fast as it can, costs one wake-up. Losing messages that way loses nothing.
 *
 * What surprises: an open socket keeps its network namespace alive.
 */
#include "backends/netlink/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/netlink/fabric.h"
#include "backends/netlink/namespace.h"

enum { PAUSE_MS = 250, MESSAGES = 32, HEAD_BYTES = 64, BUFFER_BYTES = 256 << 10 };
enum { FABRIC, HOST };

static void listen_again(struct listener *listener);

static void
on_pause_end(void *arg)
{
	struct listener *listener = arg;
	const struct watch_ops *ops = listener->fabric->env->watch;

	ops->remove(ops->loop, vn_take_ptr(&listener->pause));
	listen_again(listener);
}

static void
be_deaf(struct listener *listener)
{
	const struct watch_ops *ops = listener->fabric->env->watch;

	for (unsigned i = 0; i < VN_COUNT(listener->watches); i++)
		if (listener->watches[i])
			ops->remove(ops->loop, vn_take_ptr(&listener->watches[i]));
}

/* Takes what has come; whether any of it was not by our own socket, or was lost. */
static bool
drain(const struct listener *listener, int fd)
{
	char heads[MESSAGES][HEAD_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct iovec at[MESSAGES];
	struct mmsghdr messages[MESSAGES];
	uint32_t own = atomic_load(&listener->fabric->port);
	bool is_foreign = false;
	int count;

	do {
		memset(messages, 0, sizeof(messages));
		for (unsigned i = 0; i < MESSAGES; i++) {
			at[i] = (struct iovec){ heads[i], HEAD_BYTES };
			messages[i].msg_hdr.msg_iov = &at[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		count = recvmmsg(fd, messages, MESSAGES, MSG_DONTWAIT, NULL);
		is_foreign = is_foreign || (count < 0 && errno == ENOBUFS);
		for (int i = 0; i < count; i++)
			is_foreign = is_foreign || messages[i].msg_len < sizeof(struct nlmsghdr) ||
				     ((struct nlmsghdr *)(void *)heads[i])->nlmsg_pid != own;
	} while (count == MESSAGES || (count < 0 && (errno == EINTR || errno == ENOBUFS)));
	return is_foreign;
}

static void
on_readable(int fd, unsigned what, void *arg)
{
	struct listener *listener = arg;
	const struct watch_ops *ops = listener->fabric->env->watch;
	bool is_foreign = drain(listener, fd);

	(void)what;
	be_deaf(listener);
	listener->pause = ops->add_timer(ops->loop, PAUSE_MS, on_pause_end, listener);
	if (is_foreign)
		listener->on_change(listener->arg);
}

static void
listen_again(struct listener *listener)
{
	const struct watch_ops *ops = listener->fabric->env->watch;

	for (unsigned i = 0; i < VN_COUNT(listener->fds); i++)
		if (listener->fds[i] >= 0)
			listener->watches[i] = ops->add_fd(ops->loop, listener->fds[i], WATCH_READ,
							  on_readable, listener);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int
open_listener(const int *groups, struct vn_error *err)
{
	vn_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int size = BUFFER_BYTES;

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		return vn_fail_errno(err, errno, "open a netlink socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (; *groups; groups++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups, sizeof(*groups)) < 0)
			return vn_fail_errno(err, errno, "listen to changes of the network");
	return vn_take_fd(&fd);
}

/*
 * Of links and addresses, only those of this device: both begin with a header whose second word is its index,
 * behind the 16 bytes of the message's own. What the host does else wakes nobody.
 */
static int
limit_to(int fd, unsigned index, struct vn_error *err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NLMSG_HDRLEN + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(index), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { VN_COUNT(code), code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return vn_fail_errno(err, errno, "listen to changes of the uplink");
	return 0;
}

static int
open_in_fabric(struct listener *listener, struct vn_error *err)
{
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_TC, 0 };
	vn_autoclose int netns = netns_open(listener->fabric->pin, err);

	if (netns < 0 || netns_enter(netns, err) < 0)
		return -1;
	listener->fds[FABRIC] = open_listener(groups, err);
	netns_leave(listener->fabric->home);
	return listener->fds[FABRIC] < 0 ? -1 : 0;
}

static int
open_on_host(struct listener *listener, struct vn_error *err)
{
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0 };
	unsigned index = if_nametoindex(listener->fabric->uplink);

	if (!index)
		return vn_fail(err, VN_E_NOT_FOUND, "the host has no uplink '%s'", listener->fabric->uplink);
	listener->fds[HOST] = open_listener(groups, err);
	if (listener->fds[HOST] < 0)
		return -1;
	return limit_to(listener->fds[HOST], index, err);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
listener_init(struct listener *listener, struct fabric *fabric)
{
	*listener = (struct listener){ .fabric = fabric, .fds = { -1, -1 } };
}

void
listener_fini(struct listener *listener)
{
	const struct watch_ops *ops = listener->fabric->env->watch;

	if (!listener->on_change)
		return;
	be_deaf(listener);
	if (listener->pause)
		ops->remove(ops->loop, listener->pause);
	for (unsigned i = 0; i < VN_COUNT(listener->fds); i++)
		if (listener->fds[i] >= 0)
			close(listener->fds[i]);
	listener_init(listener, listener->fabric);
}

int
listener_watch(struct net *net, watch_fn *on_change, void *arg, struct vn_error *err)
{
	struct listener *listener = &fabric_of(net)->listener;

	listener_fini(listener);
	if (!on_change)
		return 0;
	listener->on_change = on_change;
	listener->arg = arg;
	if (open_in_fabric(listener, err) < 0 || open_on_host(listener, err) < 0) {
		listener_fini(listener);
		return -1;
	}
	listen_again(listener);
	return 0;
}
