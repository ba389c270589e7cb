/*
 * Ours are told from others by their protocol number. A failure in the middle is undone: what was added
 * goes, what was removed comes back.
 */
#include "backends/netlink/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/netlink/fabric.h"
#include "backends/netlink/link.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"

#define METRIC6 1024			/* what the kernel makes of 0 for IPv6 */

static size_t
family_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

static void
take_address(struct nlattr *attr, int family, struct vn_cidr *ret)
{
	ret->family = family;
	if (attr && (size_t)nla_len(attr) == family_size(family))
		memcpy(ret->byte, nla_data(attr), family_size(family));
}

static void
on_route(void *arg, size_t at, struct nlmsghdr *reply)
{
	struct route_rows *rows = arg;
	struct rtmsg *header = nlmsg_data(reply);
	struct nlattr *attrs[RTA_MAX + 1];
	struct route_row row = { .to.prefix = 0 };

	(void)at;
	row.is_default = header->rtm_protocol == RTPROT_STATIC && header->rtm_dst_len == 0;
	if (reply->nlmsg_type != RTM_NEWROUTE || header->rtm_table != RT_TABLE_MAIN ||
	    (header->rtm_protocol != ROUTE_PROTOCOL && !row.is_default) ||
	    nlmsg_parse(reply, sizeof(*header), attrs, RTA_MAX, NULL) < 0)
		return;
	take_address(attrs[RTA_DST], header->rtm_family, &row.to);
	row.to.prefix = header->rtm_dst_len;
	if (attrs[RTA_GATEWAY])
		take_address(attrs[RTA_GATEWAY], header->rtm_family, &row.via);
	row.device = attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0;
	row.metric = attrs[RTA_PRIORITY] ? nla_get_u32(attrs[RTA_PRIORITY]) : 0;
	rows->list = vn_realloc_array(rows->list, rows->count + 1, sizeof(*rows->list));
	rows->list[rows->count++] = row;
}

static void
forget_routes(void *arg)
{
	((struct route_rows *)arg)->count = 0;
}

bool
route_is_same(const struct route_row *a, const struct route_row *b)
{
	return a->is_default == b->is_default && a->to.family == b->to.family &&
	       a->to.prefix == b->to.prefix && vn_cidr_same_address(&a->to, &b->to) &&
	       a->via.family == b->via.family && memcmp(a->via.byte, b->via.byte, 16) == 0 &&
	       (!a->device || !b->device || a->device == b->device) && a->metric == b->metric;
}

bool
route_rows_have(const struct route_rows *rows, const struct route_row *one)
{
	for (size_t i = 0; i < rows->count; i++)
		if (route_is_same(&rows->list[i], one))
			return true;
	return false;
}

static void
append_route(struct batch *batch, int type, const struct route_row *row)
{
	struct rtmsg header = { .rtm_family = (uint8_t)row->to.family, .rtm_table = RT_TABLE_MAIN,
				.rtm_protocol = ROUTE_PROTOCOL, .rtm_type = RTN_UNICAST,
				.rtm_dst_len = row->to.prefix, .rtm_scope = row->via.family
				? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK };
	bool is_new = type == RTM_NEWROUTE;
	char to[VN_CIDR_TEXT], via[INET6_ADDRSTRLEN] = "the link";
	struct nl_msg *message;

	vn_cidr_print(&row->to, to);
	if (row->via.family)
		vn_cidr_print_address(&row->via, via);
	message = batch_add(batch, type, is_new ? NLM_F_CREATE | NLM_F_EXCL : 0, &header,
			    sizeof(header), "%s the route to %s by %s", is_new ? "add" : "remove", to,
			    via);
	if (row->to.prefix)
		attr_put(message, RTA_DST, row->to.byte, family_size(row->to.family));
	if (row->via.family)
		attr_put(message, RTA_GATEWAY, row->via.byte, family_size(row->via.family));
	if (row->device)
		attr_put_u32(message, RTA_OIF, (uint32_t)row->device);
	if (row->metric)
		attr_put_u32(message, RTA_PRIORITY, row->metric);
	if (!is_new)
		batch_allow(batch, ESRCH);
}

struct route_row
route_row_of(const struct route_spec *spec, int device)
{
	struct route_row row = { .to = spec->to, .via = spec->via, .metric = spec->metric,
				 .device = device };

	if (row.to.family == AF_INET6 && !row.metric)
		row.metric = METRIC6;
	return row;
}

void
route_print(const struct route_row *row, char text[static ROUTE_TEXT])
{
	char to[VN_CIDR_TEXT] = "default", via[INET6_ADDRSTRLEN];
	size_t length;

	if (row->to.prefix)
		vn_cidr_print(&row->to, to);
	length = (size_t)snprintf(text, ROUTE_TEXT, "%s", to);
	if (row->via.family) {
		vn_cidr_print_address(&row->via, via);
		length += (size_t)snprintf(text + length, ROUTE_TEXT - length, " via %s", via);
	}
	if (row->metric && !(row->to.family == AF_INET6 && row->metric == METRIC6))
		snprintf(text + length, ROUTE_TEXT - length, " metric %u", row->metric);
}

/* The device inside of each port that a route names. */
static int
resolve(struct fabric *fabric, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
	struct route_rows *wanted, struct vn_error *err)
{
	vn_autofree char (*names)[16] = vn_alloc_array(count + 1, sizeof(*names));
	vn_autofree struct link *links = vn_alloc_array(count + 1, sizeof(*links));

	wanted->list = vn_alloc_array(count + 1, sizeof(*wanted->list));
	wanted->count = count;
	for (size_t i = 0; i < count; i++)
		port_name(ns->vmid, routes[i].index == PORT_ANY ? 0 : routes[i].index, names[i]);
	if (count && fabric_links_get(fabric, (const char (*)[16])names, count, links, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct route_row *row = &wanted->list[i];

		*row = route_row_of(&routes[i], 0);
		if (routes[i].index == PORT_ANY)
			continue;
		if (!links[i].index)
			return vn_fail(err, VN_E_NOT_FOUND, "the fabric has no port '%s'", names[i]);
		row->device = links[i].peer;
	}
	return 0;
}

int
routes_read(struct nl_sock *sock, struct route_rows *rows, struct vn_error *err)
{
	struct rtmsg header = { .rtm_family = AF_UNSPEC };

	return table_read(sock, RTM_GETROUTE, &header, sizeof(header), 0, on_route, forget_routes, rows,
			  err);
}

/* What the kernel says of a gateway that nothing reaches. */
static bool
is_unreachable(int sys)
{
	return sys == ENETUNREACH || sys == EHOSTUNREACH || sys == EINVAL || sys == ENETDOWN;
}

/* The first failure is the one that err tells of. */
static void
explain(const struct batch *batch, struct vn_error *err)
{
	for (size_t i = 0; i < batch->n_items; i++) {
		int sys = batch->items[i].sys;

		if (sys == 0 || sys == batch->items[i].allowed)
			continue;
		if (is_unreachable(sys))
			err->code = VN_E_INVALID;
		else if (sys == EEXIST)
			vn_fail(err, VN_E_EXISTS, "%s: the guest has one of its own to that network with "
				"that metric: remove it there, or choose another metric",
				batch->items[i].label);
		return;
	}
}

static int
settle(struct nl_sock *sock, const struct route_rows *wanted, const struct route_rows *found, struct vn_error *err)
{
	auto_batch batch = { 0 }, undo = { 0 };
	struct vn_error ignored;

	for (size_t i = 0; i < found->count; i++)
		if (!found->list[i].is_default && !route_rows_have(wanted, &found->list[i])) {
			append_route(&batch, RTM_DELROUTE, &found->list[i]);
			append_route(&undo, RTM_NEWROUTE, &found->list[i]);
			batch_allow(&undo, EEXIST);
		}
	for (size_t i = 0; i < wanted->count; i++)
		if (!route_rows_have(found, &wanted->list[i]))
			append_route(&batch, RTM_NEWROUTE, &wanted->list[i]);
	if (batch_send(sock, &batch, NULL, NULL, err) == 0)
		return 0;
	explain(&batch, err);
	auto_batch back = { 0 };

	for (size_t i = 0, at = undo.n_items; i < wanted->count; i++)
		if (!route_rows_have(found, &wanted->list[i])) {
			int sys = batch.items[at++].sys;

			if (sys == 0 || sys == BATCH_UNKNOWN)
				append_route(&back, RTM_DELROUTE, &wanted->list[i]);
		}
	batch_send(sock, &back, NULL, NULL, &ignored);
	batch_send(sock, &undo, NULL, NULL, &ignored);
	return -1;
}

int
routes_set(struct net *net, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
	   struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	vn_autoclose int netns = netns_open(ns->netns, err);
	struct route_rows wanted = { 0 }, found = { 0 };
	struct nl_sock *sock = NULL;
	int result;

	if (netns < 0)
		return -1;
	result = netns_socket(netns, fabric->home, &sock, err);
	if (result == 0)
		result = resolve(fabric, ns, routes, count, &wanted, err);
	if (result == 0)
		result = routes_read(sock, &found, err);
	if (result == 0)
		result = settle(sock, &wanted, &found, err);
	free(wanted.list);
	free(found.list);
	nl_socket_free(sock);
	return result;
}
