/* Reads only the attributes we use; unknown ones are skipped, as netlink wants it. */
#include "backends/netlink/link.h"

#include <errno.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif

static void
copy_text(char *to, size_t size, struct nlattr *from)
{
	if (from)
		nla_strlcpy(to, from, size);
}

static uint32_t
number(struct nlattr *from)
{
	return from ? nla_get_u32(from) : 0;
}

static bool
is_set(struct nlattr *from)
{
	return from && nla_get_u8(from);
}

static void
parse_bridge(struct nlattr *data, struct bridge_settings *ret)
{
	struct nlattr *attrs[IFLA_BR_MAX + 1];

	if (nla_parse_nested(attrs, IFLA_BR_MAX, data, NULL) < 0)
		return;
	*ret = (struct bridge_settings){ .stp = number(attrs[IFLA_BR_STP_STATE]),
					 .ageing = number(attrs[IFLA_BR_AGEING_TIME]),
					 .snooping = is_set(attrs[IFLA_BR_MCAST_SNOOPING]),
					 .vlans = is_set(attrs[IFLA_BR_VLAN_FILTERING]) };
	if (attrs[IFLA_BR_GROUP_FWD_MASK])
		ret->groups = nla_get_u16(attrs[IFLA_BR_GROUP_FWD_MASK]);
}

bool
link_parse(struct nlmsghdr *row, struct link *ret)
{
	struct nlattr *attrs[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1] = { 0 };
	struct ifinfomsg *header = nlmsg_data(row);

	if (row->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse(row, sizeof(*header), attrs, IFLA_MAX, NULL) < 0)
		return false;
	if (attrs[IFLA_LINKINFO])
		nla_parse_nested(info, IFLA_INFO_MAX, attrs[IFLA_LINKINFO], NULL);
	*ret = (struct link){ .index = header->ifi_index, .flags = header->ifi_flags };
	ret->peer = (int)number(attrs[IFLA_LINK]);
	ret->abroad = attrs[IFLA_LINK_NETNSID] != NULL;
	ret->master = (int)number(attrs[IFLA_MASTER]);
	ret->mtu = number(attrs[IFLA_MTU]);
	ret->group = number(attrs[IFLA_GROUP]);
	copy_text(ret->name, sizeof(ret->name), attrs[IFLA_IFNAME]);
	copy_text(ret->kind, sizeof(ret->kind), info[IFLA_INFO_KIND]);
	copy_text(ret->alias, sizeof(ret->alias), attrs[IFLA_IFALIAS]);
	if (info[IFLA_INFO_DATA] && strcmp(ret->kind, "bridge") == 0)
		parse_bridge(info[IFLA_INFO_DATA], &ret->bridge);
	if (attrs[IFLA_ADDRESS] && nla_len(attrs[IFLA_ADDRESS]) == sizeof(ret->mac.byte))
		memcpy(ret->mac.byte, nla_data(attrs[IFLA_ADDRESS]), sizeof(ret->mac.byte));
	return true;
}

static void
on_got(void *arg, size_t at, struct nlmsghdr *reply)
{
	link_parse(reply, (struct link *)arg + at);
}

int
links_get(struct nl_sock *sock, const char (*names)[16], size_t count, struct link *links,
	  struct vn_error *err)
{
	auto_batch batch = { 0 };
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };

	memset(links, 0, count * sizeof(*links));
	for (size_t i = 0; i < count; i++) {
		struct nl_msg *message = batch_add(&batch, RTM_GETLINK, 0, &header, sizeof(header),
						   "look up device '%s'", names[i]);

		attr_put_text(message, IFLA_IFNAME, names[i]);
		attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		batch_allow(&batch, ENODEV);
	}
	return batch_send(sock, &batch, on_got, links, err);
}

struct rows {
	struct link *links;
	size_t n_links, room;
};

static void
on_row(void *arg, size_t at, struct nlmsghdr *row)
{
	struct rows *rows = arg;

	(void)at;
	if (rows->n_links == rows->room) {
		rows->room = rows->room ? 2 * rows->room : 32;
		rows->links = vn_realloc_array(rows->links, rows->room, sizeof(*rows->links));
	}
	if (link_parse(row, &rows->links[rows->n_links]))
		rows->n_links++;
}

static void
forget_rows(void *arg)
{
	((struct rows *)arg)->n_links = 0;
}

int
links_read(struct nl_sock *sock, struct link **ret, size_t *ret_count, struct vn_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct rows rows = { 0 };

	if (table_read(sock, RTM_GETLINK, &header, sizeof(header), RTEXT_FILTER_SKIP_STATS, on_row,
		       forget_rows, &rows, err) < 0) {
		free(rows.links);
		return -1;
	}
	*ret = rows.links;
	*ret_count = rows.n_links;
	return 0;
}

int
links_read_of(struct nl_sock *sock, int bridge, struct link **ret, size_t *ret_count,
	      struct vn_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct rows rows = { 0 };
	auto_batch batch = { 0 };
	struct nl_msg *request = batch_add(&batch, RTM_GETLINK, 0, &header, sizeof(header),
					   "read the ports of a bridge");

	attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	attr_put_u32(request, IFLA_MASTER, (uint32_t)bridge);
	if (table_ask(sock, request, on_row, forget_rows, &rows, err) < 0) {
		free(rows.links);
		return -1;
	}
	*ret = rows.links;
	*ret_count = rows.n_links;
	return 0;
}

void
link_kind_begin(struct nl_msg *message, const char *kind, struct link_kind *nest)
{
	nest->info = attr_begin(message, IFLA_LINKINFO);
	attr_put_text(message, IFLA_INFO_KIND, kind);
	nest->data = attr_begin(message, IFLA_INFO_DATA);
}

void
link_kind_end(struct nl_msg *message, struct link_kind *nest)
{
	attr_end(message, nest->data);
	attr_end(message, nest->info);
}

struct nl_msg *
link_change(struct batch *batch, int index, int up, const char *format, ...)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	char label[96];
	va_list args;

	if (up >= 0) {
		header.ifi_change = IFF_UP;
		header.ifi_flags = up ? IFF_UP : 0;
	}
	va_start(args, format);
	vsnprintf(label, sizeof(label), format, args);
	va_end(args);
	return batch_add(batch, RTM_NEWLINK, 0, &header, sizeof(header), "%s", label);
}
