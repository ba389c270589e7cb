/*
 * A LAN's bridge forwards everything a wire would: no spanning tree, no snooping, and the link-local
 * groups (LLDP, LACP's are refused by the kernel) pass. It has no address and its MAC is fixed, so
 * nothing changes when ports come and go. Its ways out come and go with it.
 */
#include "backends/netlink/lan.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"
#include "backends/netlink/fabric.h"
#include "backends/netlink/tunnel.h"
#include "backends/netlink/uplink.h"

/* 01-80-c2-00-00-0X; the kernel keeps bits 0 to 2 for itself. */
#define FORWARD_GROUPS 0xfff8
#define AGEING_TICKS   30000		/* hundredths of a second, as kernels have it */

void
lan_name(int64_t id, char name[static 16])
{
	snprintf(name, 16, "l%" PRId64, id);
}

bool
lan_name_parse(const char *name, int64_t *ret)
{
	char canonical[16];

	if (sscanf(name, "l%" SCNd64, ret) != 1)
		return false;
	lan_name(*ret, canonical);
	return strcmp(name, canonical) == 0;
}

/* A bridge that forgets at once sends each frame to every port. */
struct bridge_settings
lan_settings(const struct lan_spec *lan)
{
	return (struct bridge_settings){ .ageing = lan->no_learning ? 0 : AGEING_TICKS, .groups = FORWARD_GROUPS };
}

static void
put_settings(struct nl_msg *message, const struct lan_spec *lan)
{
	struct bridge_settings settings = lan_settings(lan);
	struct link_kind nest;

	link_kind_begin(message, "bridge", &nest);
	attr_put_u32(message, IFLA_BR_STP_STATE, settings.stp);
	attr_put_u32(message, IFLA_BR_FORWARD_DELAY, 0);
	attr_put_u8(message, IFLA_BR_MCAST_SNOOPING, settings.snooping);
	attr_put_u32(message, IFLA_BR_AGEING_TIME, settings.ageing);
	attr_put_u16(message, IFLA_BR_GROUP_FWD_MASK, settings.groups);
	link_kind_end(message, &nest);
}

/* What somebody else has switched on goes first: with a spanning tree the kernel refuses a delay of 0. */
static void
put_off(struct nl_msg *message, const struct bridge_settings *found)
{
	struct link_kind nest;

	link_kind_begin(message, "bridge", &nest);
	if (found->stp)
		attr_put_u32(message, IFLA_BR_STP_STATE, 0);
	if (found->vlans)
		attr_put_u8(message, IFLA_BR_VLAN_FILTERING, 0);
	link_kind_end(message, &nest);
}

static void
put_identity(struct nl_msg *message, const struct lan_spec *lan, const char *tag)
{
	struct vn_mac mac = digest_mac(lan->uuid, 0);

	attr_put(message, IFLA_ADDRESS, mac.byte, sizeof(mac.byte));
	attr_put_text(message, IFLA_IFALIAS, tag);
	attr_put_u32(message, IFLA_MTU, lan->mtu ? lan->mtu : 1500);
}

static void
delete(struct fabric *fabric, int index, const char *name)
{
	struct vn_error ignored;
	auto_batch batch = { 0 };

	way_delete(&batch, index, name);
	fabric_send(fabric, &batch, &ignored);
}

static int
create(struct fabric *fabric, const struct lan_spec *lan, const char *name, const char *tag,
       int index, struct vn_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	auto_batch batch = { 0 };
	struct nl_msg *message = batch_add(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header,
					   sizeof(header), "create bridge '%s'", name);

	attr_put_text(message, IFLA_IFNAME, name);
	put_settings(message, lan);
	put_identity(link_change(&batch, header.ifi_index, 1, "set up bridge '%s'", name), lan, tag);
	batch_join(&batch);
	if (fabric_send(fabric, &batch, err) == 0)
		return 0;
	if (batch.items[0].sys == 0 || batch.items[0].sys == BATCH_UNKNOWN)
		delete(fabric, index, name);
	return -1;
}

/* As far as a device shows it; what a bridge is told besides is told again by the next call. */
static void
restore(struct fabric *fabric, const struct link *was)
{
	struct vn_error ignored;
	auto_batch batch = { 0 };
	struct nl_msg *message = link_change(&batch, was->index, (was->flags & IFF_UP) != 0,
					     "restore bridge '%s'", was->name);

	attr_put(message, IFLA_ADDRESS, was->mac.byte, sizeof(was->mac.byte));
	attr_put_u32(message, IFLA_MTU, was->mtu);
	fabric_send(fabric, &batch, &ignored);
}

static int
mend(struct fabric *fabric, const struct lan_spec *lan, const struct link *found, const char *tag,
     struct vn_error *err)
{
	auto_batch batch = { 0 };

	if (found->bridge.stp || found->bridge.vlans)
		put_off(link_change(&batch, found->index, -1, "set up bridge '%s'", found->name), &found->bridge);
	put_settings(link_change(&batch, found->index, -1, "set up bridge '%s'", found->name), lan);
	put_identity(link_change(&batch, found->index, 1, "set up bridge '%s'", found->name), lan,
		     tag);
	if (fabric_send(fabric, &batch, err) == 0)
		return 0;
	restore(fabric, found);
	return -1;
}

/* The ways out: one worker at a time, since two LANs may share a device or be two ends of a link. */
static int
ways_up(struct fabric *fabric, const struct lan_spec *lan, int bridge, bool is_new,
	struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&fabric->ways_lock);
	result = uplink_settle(fabric, lan, bridge, is_new, err);
	if (result == 0)
		result = tunnels_settle(fabric, lan, bridge, is_new, err);
	pthread_mutex_unlock(&fabric->ways_lock);
	return result;
}

int
lan_up(struct net *net, const struct lan_spec *lan, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	char name[1][16], tag[TAG_SIZE];
	struct link found;
	int index;

	reap_settle_bridge(fabric, lan->id);
	lan_name(lan->id, name[0]);
	fabric_tag(fabric, lan->uuid, tag);
	if (fabric_links_get(fabric, name, 1, &found, err) < 0)
		return -1;
	if (found.index && (!fabric_owns(fabric, &found, lan->uuid) ||
			    strcmp(found.kind, "bridge") != 0))
		return vn_fail(err, VN_E_EXISTS,
			       "the fabric '%s' holds a foreign device '%s': remove it",
			       fabric->env->fabric, name[0]);
	index = found.index ? found.index : fabric_new_index(fabric);
	if (found.index ? mend(fabric, lan, &found, tag, err) < 0
			: create(fabric, lan, name[0], tag, index, err) < 0)
		return -1;
	if (ways_up(fabric, lan, index, !found.index, err) == 0)
		return 0;
	if (!found.index) {
		struct vn_error ignored;

		lan_down(net, lan->id, &ignored);
	} else {
		restore(fabric, &found);
	}
	return -1;
}

/* Without its bridge a LAN's ports are found by their names alone, among all. */
static int
ways_down(struct fabric *fabric, int64_t lan, int bridge, struct vn_error *err)
{
	vn_autofree struct link *links = NULL;
	size_t count = 0, n = 0;
	int result;

	if (bridge ? fabric_ports_read(fabric, bridge, &links, &count, err) < 0
		   : fabric_links_read(fabric, &links, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		unsigned index;
		int64_t of;

		if (bridge || (tunnel_name_parse(links[i].name, &of, &index) && of == lan))
			links[n++] = links[i];
	}
	pthread_mutex_lock(&fabric->ways_lock);
	result = tunnels_remove(fabric, links, n, err);
	if (result == 0)
		result = uplink_remove(fabric, lan, err);
	pthread_mutex_unlock(&fabric->ways_lock);
	return result;
}

int
lan_down(struct net *net, int64_t lan, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	struct link found;
	char name[1][16];

	lan_name(lan, name[0]);
	if (fabric_links_get(fabric, name, 1, &found, err) < 0)
		return err->code == VN_E_NOT_FOUND ? 0 : -1;
	if (found.index && !fabric_owns(fabric, &found, NULL))
		return 0;
	if (ways_down(fabric, lan, found.index, err) < 0)
		return -1;
	if (found.index)
		reap_bridge_soon(fabric, lan);	/* many at once take as long as one */
	return 0;
}
