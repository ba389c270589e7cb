/*
 * IPv6 addresses are added with IFA_F_NODAD: vnoded hands out each address once, and duplicate
 * detection would keep it unusable for a second.
 */
#include "backends/netlink/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>

static size_t
family_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

struct address_rows {
	struct address *rows;
	size_t n_rows, room;
};

static void
on_address(void *arg, size_t at, struct nlmsghdr *row)
{
	struct address_rows *list = arg;
	struct ifaddrmsg *header = nlmsg_data(row);
	struct nlattr *attrs[IFA_MAX + 1], *value;
	struct address *address;

	(void)at;
	if (row->nlmsg_type != RTM_NEWADDR ||
	    nlmsg_parse(row, sizeof(*header), attrs, IFA_MAX, NULL) < 0)
		return;
	value = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	if (!value || (size_t)nla_len(value) != family_size(header->ifa_family))
		return;
	if (list->n_rows == list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->rows = vn_realloc_array(list->rows, list->room, sizeof(*list->rows));
	}
	address = &list->rows[list->n_rows++];
	*address = (struct address){ .index = (int)header->ifa_index };
	address->cidr.family = header->ifa_family;
	address->cidr.prefix = header->ifa_prefixlen;
	memcpy(address->cidr.byte, nla_data(value), (size_t)nla_len(value));
	address->link_local = header->ifa_family == AF_INET6 && address->cidr.byte[0] == 0xfe &&
			      (address->cidr.byte[1] & 0xc0) == 0x80;
}

static void
forget_addresses(void *arg)
{
	((struct address_rows *)arg)->n_rows = 0;
}

int
addresses_read(struct nl_sock *sock, struct address **ret, size_t *ret_count, struct vn_error *err)
{
	struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };
	struct address_rows list = { 0 };

	if (table_read(sock, RTM_GETADDR, &header, sizeof(header), 0, on_address, forget_addresses,
		       &list, err) < 0) {
		free(list.rows);
		return -1;
	}
	*ret = list.rows;
	*ret_count = list.n_rows;
	return 0;
}

static bool
is_same(const struct vn_cidr *a, const struct vn_cidr *b)
{
	return a->prefix == b->prefix && vn_cidr_same_address(a, b);
}

static void
append_address(struct batch *batch, int type, int index, const char *ifname,
	       const struct vn_cidr *cidr)
{
	struct ifaddrmsg header = { .ifa_family = (uint8_t)cidr->family,
				    .ifa_prefixlen = cidr->prefix, .ifa_index = (uint32_t)index };
	size_t size = family_size(cidr->family);
	char text[VN_CIDR_TEXT];
	struct nl_msg *message;

	vn_cidr_print(cidr, text);
	if (cidr->family == AF_INET6)
		header.ifa_flags = IFA_F_NODAD;
	message = batch_add(batch, type, type == RTM_NEWADDR ? NLM_F_CREATE : 0, &header,
			    sizeof(header), "%s address %s on '%s'",
			    type == RTM_NEWADDR ? "add" : "remove", text, ifname);
	attr_put(message, IFA_LOCAL, cidr->byte, size);
	attr_put(message, IFA_ADDRESS, cidr->byte, size);
	if (type == RTM_NEWADDR && cidr->family == AF_INET && cidr->prefix < 31) {
		uint32_t host = cidr->prefix ? UINT32_MAX >> cidr->prefix : UINT32_MAX, broadcast;

		memcpy(&broadcast, cidr->byte, sizeof(broadcast));
		attr_put_u32(message, IFA_BROADCAST, broadcast | htonl(host));
	}
	batch_allow(batch, type == RTM_NEWADDR ? EEXIST : EADDRNOTAVAIL);
}

void
address_add(struct batch *batch, int index, const char *ifname, const struct vn_cidr *cidr)
{
	append_address(batch, RTM_NEWADDR, index, ifname, cidr);
}

static bool
is_same_network(const struct vn_cidr *a, const struct vn_cidr *b)
{
	return a->family == b->family && a->prefix == b->prefix && vn_cidr_overlap(a, b);
}

struct settling {
	const struct vn_cidr *wanted;
	size_t n_wanted;
	size_t *at;			/* where each wanted one was found, from 1 on; 0: it is not there */
	bool *moves;
};

/*
 * The first IPv4 address of a network is the one that packets are sent from, and the kernel keeps the
 * order in which they came: what stands before one that it should follow goes and comes again, and so
 * do, or come, those behind it.
 */
static void
choose_moves(const struct settling *settling)
{
	const struct vn_cidr *wanted = settling->wanted;

	for (size_t k = 0; k < settling->n_wanted; k++)
		for (size_t i = 0; i < k && wanted[k].family == AF_INET; i++)
			if (is_same_network(&wanted[i], &wanted[k]) &&
			    (settling->moves[i] ||
			     (settling->at[k] && (!settling->at[i] || settling->at[i] > settling->at[k]))))
				settling->moves[k] = true;
}

/* IPv6 knows an address once, whatever its prefix: this one is in the way of a wanted one. */
static bool
is_in_the_way(const struct settling *settling, const struct vn_cidr *found)
{
	for (size_t k = 0; k < settling->n_wanted; k++)
		if (found->family == AF_INET6 && vn_cidr_same_address(&settling->wanted[k], found))
			return true;
	return false;
}

static bool
find_wanted(struct settling *settling, const struct address *found, size_t at)
{
	for (size_t k = 0; k < settling->n_wanted; k++)
		if (is_same(&found->cidr, &settling->wanted[k])) {
			settling->at[k] = at + 1;
			return true;
		}
	return found->link_local;
}

void
addresses_settle(struct batch *batch, int index, const char *ifname, const struct vn_cidr *wanted,
		 size_t n_wanted, const struct address *found, size_t n_found, bool again)
{
	vn_autofree bool *keep = vn_alloc_array(n_found + 1, sizeof(*keep));
	vn_autofree size_t *at = vn_alloc_array(n_wanted + 1, sizeof(*at));
	vn_autofree bool *moves = vn_alloc_array(n_wanted + 1, sizeof(*moves));
	struct settling settling = { wanted, n_wanted, at, moves };

	for (size_t i = 0; i < n_found; i++) {
		keep[i] = found[i].index != index || find_wanted(&settling, &found[i], i);
		if (keep[i] || !is_in_the_way(&settling, &found[i].cidr))
			continue;
		append_address(batch, RTM_DELADDR, index, ifname, &found[i].cidr);
		keep[i] = true;
	}
	choose_moves(&settling);
	for (size_t k = 0; k < n_wanted; k++)
		if (!at[k] && !moves[k])
			append_address(batch, RTM_NEWADDR, index, ifname, &wanted[k]);
	for (size_t i = 0; i < n_found; i++) {
		if (keep[i])
			continue;
		append_address(batch, RTM_DELADDR, index, ifname, &found[i].cidr);
		again = true;		/* where nothing is promoted, a network's others went with its first */
	}
	for (size_t k = 0; k < n_wanted; k++)
		if (moves[k] && at[k])
			append_address(batch, RTM_DELADDR, index, ifname, &wanted[k]);
	for (size_t k = 0; k < n_wanted; k++)
		if (again || moves[k])
			append_address(batch, RTM_NEWADDR, index, ifname, &wanted[k]);
}

void
route_default(struct batch *batch, int index, const struct vn_cidr *gateway, bool wanted)
{
	struct rtmsg header = { .rtm_family = (uint8_t)gateway->family, .rtm_table = RT_TABLE_MAIN,
				.rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_UNIVERSE,
				.rtm_type = RTN_UNICAST };
	char text[INET6_ADDRSTRLEN];
	struct nl_msg *message;

	vn_cidr_print_address(gateway, text);
	message = batch_add(batch, wanted ? RTM_NEWROUTE : RTM_DELROUTE,
			    wanted ? NLM_F_CREATE | NLM_F_REPLACE : 0, &header, sizeof(header),
			    "%s the default route by %s", wanted ? "set" : "remove", text);
	attr_put(message, RTA_GATEWAY, gateway->byte, family_size(gateway->family));
	attr_put_u32(message, RTA_OIF, (uint32_t)index);
	if (!wanted)
		batch_allow(batch, ESRCH);
}

struct defaults {
	int index;
	bool *has;
};

static void
on_default(void *arg, size_t at, struct nlmsghdr *row)
{
	struct defaults *defaults = arg;
	struct rtmsg *header = nlmsg_data(row);
	struct nlattr *attrs[RTA_MAX + 1];

	(void)at;
	if (row->nlmsg_type == RTM_NEWROUTE && header->rtm_dst_len == 0 &&
	    header->rtm_table == RT_TABLE_MAIN && header->rtm_protocol == RTPROT_STATIC &&
	    nlmsg_parse(row, sizeof(*header), attrs, RTA_MAX, NULL) == 0 && attrs[RTA_GATEWAY] &&
	    attrs[RTA_OIF] && (int)nla_get_u32(attrs[RTA_OIF]) == defaults->index)
		defaults->has[header->rtm_family == AF_INET6] = true;
}

static void
forget_defaults(void *arg)
{
	struct defaults *defaults = arg;

	defaults->has[0] = defaults->has[1] = false;
}

int
route_default_read(struct nl_sock *sock, int index, bool ret[static 2], struct vn_error *err)
{
	struct rtmsg header = { .rtm_family = AF_UNSPEC };
	struct defaults defaults = { index, ret };

	forget_defaults(&defaults);
	return table_read(sock, RTM_GETROUTE, &header, sizeof(header), 0, on_default, forget_defaults,
			  &defaults, err);
}

/* ---- overlap --------------------------------------------------------------------------------- */

struct overlap {
	const struct vn_cidr *network;
	int uplink, device;		/* device: of the route in the way */
	bool found;
	struct vn_cidr route;
};

static void
on_route(void *arg, size_t at, struct nlmsghdr *row)
{
	struct overlap *overlap = arg;
	struct rtmsg *header = nlmsg_data(row);
	struct nlattr *attrs[RTA_MAX + 1];
	struct vn_cidr route = { .family = header->rtm_family, .prefix = header->rtm_dst_len };
	int device;

	(void)at;
	if (row->nlmsg_type != RTM_NEWROUTE || header->rtm_dst_len == 0 ||
	    header->rtm_table == RT_TABLE_LOCAL || header->rtm_flags & RTM_F_CLONED ||
	    nlmsg_parse(row, sizeof(*header), attrs, RTA_MAX, NULL) < 0 || !attrs[RTA_DST])
		return;
	device = attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0;
	memcpy(route.byte, nla_data(attrs[RTA_DST]), family_size(route.family));
	if (overlap->found || (device && device == overlap->uplink) ||
	    !vn_cidr_overlap(&route, overlap->network))
		return;
	overlap->found = true;
	overlap->route = route;
	overlap->device = device;
}

static void
forget_overlap(void *arg)
{
	((struct overlap *)arg)->found = false;
}

int
route_check_free(struct nl_sock *sock, const struct vn_cidr *network, int uplink,
		 struct vn_error *err)
{
	struct rtmsg header = { .rtm_family = (uint8_t)network->family };
	struct overlap overlap = { .network = network, .uplink = uplink };
	char route[VN_CIDR_TEXT], ours[VN_CIDR_TEXT], device[IF_NAMESIZE] = "";

	if (table_read(sock, RTM_GETROUTE, &header, sizeof(header), 0, on_route, forget_overlap,
		       &overlap, err) < 0)
		return -1;
	if (!overlap.found)
		return 0;
	vn_cidr_print(&overlap.route, route);
	vn_cidr_print(network, ours);
	if (overlap.device)
		if_indextoname((unsigned)overlap.device, device);
	return vn_fail(err, VN_E_EXISTS,
		       "the control network %s overlaps the host's route %s%s%s: set control_network "
		       "to a network that the host does not use", ours, route,
		       *device ? " through " : "", device);
}
