/*
 * Looking up one route, a device's MTU by ioctl, and the tables of /proc/net take no RTNL lock, which
 * whoever makes or deletes devices may hold for long; dumps over netlink do.
 */
#include "backends/netlink/host.h"

#include <errno.h>
#include <net/if.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RTF_REJECT_BIT 0x0200u		/* as /proc/net/ipv6_route prints it */

struct found {
	bool own;
	int device;
	unsigned mtu;			/* the route's own; 0: the device's */
};

static void
on_route(void *arg, size_t at, struct nlmsghdr *reply)
{
	struct nlattr *attrs[RTA_MAX + 1], *metrics[RTAX_MAX + 1] = { 0 };
	struct rtmsg *header = nlmsg_data(reply);
	struct found *found = arg;

	(void)at;
	if (reply->nlmsg_type != RTM_NEWROUTE ||
	    nlmsg_parse(reply, sizeof(*header), attrs, RTA_MAX, NULL) < 0)
		return;
	if (attrs[RTA_METRICS])
		nla_parse_nested(metrics, RTAX_MAX, attrs[RTA_METRICS], NULL);
	found->own = header->rtm_type == RTN_LOCAL;
	found->device = attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0;
	found->mtu = metrics[RTAX_MTU] ? nla_get_u32(metrics[RTAX_MTU]) : 0;
}

static int
ask(const struct vn_cidr *from, const struct vn_cidr *to, struct found *ret, struct vn_error *err)
{
	size_t size = to->family == AF_INET ? 4 : 16;
	struct rtmsg header = { .rtm_family = (uint8_t)to->family, .rtm_dst_len = (uint8_t)(8 * size) };
	struct nl_sock *sock = NULL;
	auto_batch batch = { 0 };
	struct nl_msg *message;
	char text[INET6_ADDRSTRLEN];
	int result;

	if (socket_open(&sock, err) < 0)
		return -1;
	if (from->family)
		header.rtm_src_len = header.rtm_dst_len;
	vn_cidr_print_address(to, text);
	message = batch_add(&batch, RTM_GETROUTE, 0, &header, sizeof(header), "look up the route to %s",
			    text);
	attr_put(message, RTA_DST, to->byte, size);
	if (from->family)
		attr_put(message, RTA_SRC, from->byte, size);
	result = batch_send(sock, &batch, on_route, ret, err);
	nl_socket_free(sock);
	if (result < 0 && (batch.items[0].sys == ENETUNREACH || batch.items[0].sys == EHOSTUNREACH))
		return vn_fail(err, VN_E_NOT_FOUND, "this host has no route to %s", text);
	return result;
}

int
host_route(const struct vn_cidr *from, const struct vn_cidr *to, struct host_route *ret,
	   struct vn_error *err)
{
	struct found found = { 0 };
	char device[IF_NAMESIZE];

	if (ask(from, to, &found, err) < 0)
		return -1;
	*ret = (struct host_route){ .own = found.own, .mtu = found.mtu };
	if (ret->mtu)
		return 0;
	if (!found.device || !if_indextoname((unsigned)found.device, device))
		return vn_fail(err, VN_E_NOT_FOUND, "the route leads through no device");
	return host_device_mtu(device, &ret->mtu, err);
}

int
host_device_mtu(const char *device, unsigned *ret, struct vn_error *err)
{
	vn_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open a socket");
	if (ioctl(fd, SIOCGIFMTU, &request) < 0 && errno == ENODEV)
		return vn_fail(err, VN_E_NOT_FOUND, "this host has no network device '%s'", device);
	if (request.ifr_mtu <= 0)
		return vn_fail(err, VN_E_BACKEND, "the MTU of '%s' cannot be read", device);
	*ret = (unsigned)request.ifr_mtu;
	return 0;
}

static bool
is_default4(const char *line, const char *device)
{
	char name[32];
	unsigned to, mask;

	return sscanf(line, "%31s %x %*s %*s %*s %*s %*s %x", name, &to, &mask) == 3 && !to && !mask &&
	       strcmp(name, device) == 0;
}

static bool
is_default6(const char *line, const char *device)
{
	char to[40], name[32];
	unsigned length, flags;

	return sscanf(line, "%39s %x %*s %*s %*s %*s %*s %*s %x %31s", to, &length, &flags, name) == 4 &&
	       !length && strspn(to, "0") == strlen(to) && !(flags & RTF_REJECT_BIT) &&
	       strcmp(name, device) == 0;
}

static bool
any_line(const char *path, bool (*is_meant)(const char *line, const char *device),
	 const char *device)
{
	FILE *file = fopen(path, "re");
	bool found = false;
	char line[256];

	while (file && !found && fgets(line, sizeof(line), file))
		found = is_meant(line, device);
	if (file)
		fclose(file);
	return found;
}

bool
host_has_default_route(const char *device)
{
	return any_line("/proc/thread-self/net/route", is_default4, device) ||
	       any_line("/proc/thread-self/net/ipv6_route", is_default6, device);
}
