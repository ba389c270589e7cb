/*
 * A socket that is bound without SO_REUSEADDR and does not listen: nobody can connect to it, others
 * cannot bind the port whatever options they set, and binding it fails when others have it. What it
 * would receive (UDP, before the rules are in place) is dropped by a filter.
 *
 * An address that the host does not have yet can be held too (IP_FREEBIND): at boot, addresses come
 * later than vnoded.
 */
#include "backends/nft/reserve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/list.h"
#include "proto/base/mem.h"

struct held {
	struct vn_list all;
	int64_t vmid;
	int protocol;
	uint16_t port;
	struct vn_cidr address;
	int fd4, fd6;
};

struct reserve {
	struct vn_list all;
};

struct reserve *
reserve_new(void)
{
	struct reserve *reserve = vn_alloc(sizeof(*reserve));

	vn_list_init(&reserve->all);
	return reserve;
}

static void
drop(struct held *held)
{
	vn_list_remove(&held->all);
	vn_close_at(&held->fd4);
	vn_close_at(&held->fd6);
	free(held);
}

void
reserve_free(struct reserve *reserve)
{
	if (!reserve)
		return;
	vn_list_each_safe(struct held, held, &reserve->all, all)
		drop(held);
	free(reserve);
}

static bool
is_same_place(const struct held *held, const struct forward_spec *forward)
{
	if (held->protocol != forward->protocol || held->port != forward->host ||
	    held->address.family != forward->address.family)
		return false;
	return forward->address.family == 0 ||
	       vn_cidr_same_address(&held->address, &forward->address);
}

static struct held *
find_held(struct reserve *reserve, const struct forward_spec *forward)
{
	vn_list_each(struct held, held, &reserve->all, all)
		if (is_same_place(held, forward))
			return held;
	return NULL;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int
bind_to(int fd, int family, const struct forward_spec *forward)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(forward->host) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(forward->host) };

	if (family == AF_INET) {
		if (forward->address.family)
			memcpy(&v4.sin_addr, forward->address.byte, sizeof(v4.sin_addr));
		return bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	}
	if (forward->address.family)
		memcpy(&v6.sin6_addr, forward->address.byte, sizeof(v6.sin6_addr));
	return bind(fd, (struct sockaddr *)&v6, sizeof(v6));
}

static int
refuse(const struct forward_spec *forward, int sys, struct vn_error *err)
{
	const char *protocol = forward->protocol == IPPROTO_UDP ? "udp" : "tcp";

	if (sys == EADDRINUSE)
		return vn_fail(err, VN_E_EXISTS,
			       "port %u/%s of the host is in use by another program: choose another, "
			       "or end that program", forward->host, protocol);
	return vn_fail_errno(err, sys, "reserve port %u/%s of the host", forward->host, protocol);
}

/* Returns a bound socket, or -1 and err; -1 without a failure (*absent) where IPv6 is not built in. */
static int
hold(int family, const struct forward_spec *forward, bool *absent, struct vn_error *err)
{
	int type = forward->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
	vn_autoclose int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, forward->protocol);
	struct sock_filter nothing = { .code = BPF_RET | BPF_K };
	struct sock_fprog filter = { .len = 1, .filter = &nothing };

	*absent = fd < 0 && errno == EAFNOSUPPORT;
	if (fd < 0)
		return *absent ? -1 : refuse(forward, errno, err);
	setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on));
	if (family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return refuse(forward, errno, err);
	if (type == SOCK_DGRAM &&
	    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0)
		return refuse(forward, errno, err);
	if (bind_to(fd, family, forward) < 0)
		return refuse(forward, errno, err);
	return vn_take_fd(&fd);
}

static int
hold_both(struct held *held, const struct forward_spec *forward, struct vn_error *err)
{
	int family = forward->address.family;
	bool absent = false;

	if (family != AF_INET6) {
		held->fd4 = hold(AF_INET, forward, &absent, err);
		if (held->fd4 < 0)
			return absent ? refuse(forward, EAFNOSUPPORT, err) : -1;
	}
	if (family != AF_INET) {
		held->fd6 = hold(AF_INET6, forward, &absent, err);
		if (held->fd6 < 0 && (!absent || family == AF_INET6))
			return absent ? refuse(forward, EAFNOSUPPORT, err) : -1;
	}
	return 0;
}

int
reserve_take(struct reserve *reserve, const struct forward_spec *forward, struct vn_error *err)
{
	struct held *held = find_held(reserve, forward);

	if (held && held->vmid == forward->vmid)
		return 0;
	if (held)
		return vn_fail(err, VN_E_EXISTS,
			       "port %u/%s of the host is forwarded to vnode %" PRId64 " already",
			       forward->host, forward->protocol == IPPROTO_UDP ? "udp" : "tcp",
			       held->vmid);
	held = vn_alloc(sizeof(*held));
	vn_list_append(&reserve->all, &held->all);
	held->vmid = forward->vmid;
	held->protocol = forward->protocol;
	held->port = forward->host;
	held->address = forward->address;
	held->fd4 = held->fd6 = -1;
	if (hold_both(held, forward, err) < 0) {
		drop(held);
		return -1;
	}
	return 0;
}

void
reserve_give_back(struct reserve *reserve, const struct forward_spec *forward)
{
	struct held *held = find_held(reserve, forward);

	if (held && held->vmid == forward->vmid)
		drop(held);
}
