/*
 * Whether a device is as it is wanted is found by putting the wanted attributes into a message that is
 * not sent, and looking for each of them in what the kernel tells of the device.
 *
 * A device joins its bridge while it is down: a macvlan that joins while it is up leaves the device below
 * it in all-multicast mode for good, since the kernel takes back only what it did on the way up.
 */
#include "backends/netlink/way.h"

#include <errno.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

static void
on_way(void *arg, size_t at, struct nlmsghdr *reply)
{
	struct nlattr *attrs[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1] = { 0 };
	struct way *way = (struct way *)arg + at;

	if (!link_parse(reply, &way->link) ||
	    nlmsg_parse(reply, sizeof(struct ifinfomsg), attrs, IFLA_MAX, NULL) < 0)
		return;
	if (attrs[IFLA_LINKINFO])
		nla_parse_nested(info, IFLA_INFO_MAX, attrs[IFLA_LINKINFO], NULL);
	if (!info[IFLA_INFO_DATA] || (size_t)nla_len(info[IFLA_INFO_DATA]) > sizeof(way->data))
		return;
	way->size = (size_t)nla_len(info[IFLA_INFO_DATA]);
	memcpy(way->data, nla_data(info[IFLA_INFO_DATA]), way->size);
}

int
ways_find(struct fabric *fabric, const char (*names)[16], size_t count, struct way *ret,
	  struct vn_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	auto_batch batch = { 0 };

	memset(ret, 0, count * sizeof(*ret));
	for (size_t i = 0; i < count; i++) {
		struct nl_msg *message = batch_add(&batch, RTM_GETLINK, 0, &header, sizeof(header),
						   "look up device '%s'", names[i]);

		attr_put_text(message, IFLA_IFNAME, names[i]);
		batch_allow(&batch, ENODEV);
	}
	return fabric_ask(fabric, &batch, on_way, ret, err);
}

bool
way_is_ours(const struct fabric *fabric, const struct link *link, const char *uuid)
{
	bool is_untagged = !*link->alias && (link->group & ~WAY_WAS_DOWN) == WAY_GROUP;

	return is_untagged || fabric_owns(fabric, link, uuid);
}

static bool
has_data(const struct way *way, const struct way_spec *spec)
{
	struct ifinfomsg header = { 0 };
	auto_batch batch = { 0 };
	struct nl_msg *message = batch_add(&batch, RTM_NEWLINK, 0, &header, sizeof(header), "compare");
	struct nlattr *wanted;
	int left;

	spec->put(message, spec->spec);
	nlmsg_for_each_attr(wanted, nlmsg_hdr(message), sizeof(header), left) {
		struct nlattr *found = nla_find((struct nlattr *)(uintptr_t)way->data, (int)way->size,
						nla_type(wanted));

		if (!found || nla_len(found) != nla_len(wanted))
			return false;
		if (nla_type(wanted) == spec->flags_attr
		    ? (nla_get_u32(wanted) & ~nla_get_u32(found)) != 0
		    : memcmp(nla_data(found), nla_data(wanted), (size_t)nla_len(wanted)) != 0)
			return false;
	}
	return true;
}

bool
way_matches(const struct way *way, const struct way_spec *spec)
{
	return way->link.index && strcmp(way->link.kind, spec->kind) == 0 &&
	       (!spec->lower || (way->link.abroad && way->link.peer == spec->lower)) &&
	       has_data(way, spec);
}

static struct nl_msg *
begin_create(struct batch *batch, const struct way_spec *spec)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = spec->index };
	struct nl_msg *message = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header,
					   sizeof(header), "create the %s device '%s'", spec->kind,
					   spec->name);
	struct link_kind nest;

	attr_put_text(message, IFLA_IFNAME, spec->name);
	attr_put_u32(message, IFLA_GROUP, WAY_GROUP | spec->flags);
	if (spec->lower)
		attr_put_u32(message, IFLA_LINK, (uint32_t)spec->lower);
	link_kind_begin(message, spec->kind, &nest);
	spec->put(message, spec->spec);
	link_kind_end(message, &nest);
	return message;
}

void
way_create(struct batch *batch, const struct way_spec *spec, int fabric_fd)
{
	attr_put_u32(begin_create(batch, spec), IFLA_NET_NS_FD, (uint32_t)fabric_fd);
}

void
way_create_moved(struct batch *batch, const struct way_spec *spec, int nsid, const char *tag)
{
	attr_put_u32(begin_create(batch, spec), IFLA_LINK_NETNSID, (uint32_t)nsid);
	attr_put_text(link_change(batch, spec->index, -1, "tag '%s'", spec->name), IFLA_IFALIAS, tag);
	batch_join(batch);
}

static void
on_nsid(void *arg, size_t at, struct nlmsghdr *reply)
{
	struct nlattr *attrs[NETNSA_MAX + 1];

	if (at == 1 && nlmsg_parse(reply, sizeof(struct rtgenmsg), attrs, NETNSA_MAX, NULL) >= 0 &&
	    attrs[NETNSA_NSID])
		*(int *)arg = (int)nla_get_u32(attrs[NETNSA_NSID]);
}

int
way_host_nsid(struct fabric *fabric, int *ret, struct vn_error *err)
{
	struct rtgenmsg header = { .rtgen_family = AF_UNSPEC };
	auto_batch batch = { 0 };
	struct nl_msg *message = batch_add(&batch, RTM_NEWNSID, 0, &header, sizeof(header),
					   "number the host's namespace");
	int nsid = -1;

	attr_put_u32(message, NETNSA_FD, (uint32_t)fabric->home);
	attr_put_u32(message, NETNSA_NSID, (uint32_t)-1);
	batch_allow(&batch, EEXIST);
	message = batch_add(&batch, RTM_GETNSID, 0, &header, sizeof(header),
			    "read the number of the host's namespace");
	attr_put_u32(message, NETNSA_FD, (uint32_t)fabric->home);
	if (fabric_ask(fabric, &batch, on_nsid, &nsid, err) < 0)
		return -1;
	if (nsid < 0)
		return vn_fail(err, VN_E_BACKEND, "the fabric has no number for the host's namespace");
	*ret = nsid;
	return 0;
}

void
way_settle(struct batch *batch, const struct way_spec *spec, const struct link *found,
	   const char *tag, int bridge)
{
	bool is_up = found && found->flags & IFF_UP, moves = !found || found->master != bridge;
	struct nl_msg *message;

	if (is_up && !moves && found->mtu == spec->mtu && strcmp(found->alias, tag) == 0)
		return;
	if (is_up && moves)
		link_change(batch, spec->index, 0, "take down '%s'", spec->name);
	message = link_change(batch, spec->index, -1, "set up '%s'", spec->name);
	attr_put_u32(message, IFLA_MTU, spec->mtu);
	attr_put_text(message, IFLA_IFALIAS, tag);
	if (moves)
		attr_put_u32(message, IFLA_MASTER, (uint32_t)bridge);
	if (!is_up || moves)
		link_change(batch, spec->index, 1, "bring up '%s'", spec->name);
}

void
way_delete(struct batch *batch, int index, const char *name)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index };

	batch_add(batch, RTM_DELLINK, 0, &header, sizeof(header), "delete '%s'", name);
	batch_allow(batch, ENODEV);
}
