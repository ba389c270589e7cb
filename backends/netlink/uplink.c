/*
 * A lent port never leaves the host's namespace. A VLAN of it is an 8021q device, the whole of it a
 * macvlan that passes everything through; either lives in the fabric, and with its end the kernel
 * takes back what it did to the port. What is ours to restore is whether the port was up: a mark on the
 * device in the fabric, set before the port is touched, so that it is as old as the loan.
 */
#include "backends/netlink/uplink.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/host.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/probe.h"

struct work {				/* one call of uplink_settle */
	struct fabric *fabric;
	const struct lan_spec *lan;
	int bridge;
	struct nl_sock *host;
	struct link lower;		/* the host's device */
	struct way way;			/* what is there */
	char name[1][16];
};

void
uplink_name(int64_t lan, char name[static 16])
{
	snprintf(name, 16, "u%" PRId64, lan);
}

bool
uplink_name_parse(const char *name, int64_t *ret_lan)
{
	char canonical[16];

	if (sscanf(name, "u%" SCNd64, ret_lan) != 1)
		return false;
	uplink_name(*ret_lan, canonical);
	return strcmp(name, canonical) == 0;
}

/* ---- the two kinds --------------------------------------------------------------------------- */

static void
put_vlan(struct nl_msg *message, const void *spec)
{
	attr_put_u16(message, IFLA_VLAN_ID, (uint16_t)((const struct uplink_spec *)spec)->vlan);
}

static void
put_whole(struct nl_msg *message, const void *spec)
{
	(void)spec;
	attr_put_u32(message, IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU);
}

const char *
uplink_kind_word(const struct uplink_spec *uplink)
{
	return uplink->vlan ? "vlan" : "macvlan";
}

/* ---- what the host says ---------------------------------------------------------------------- */

static int
check_device(const struct fabric *fabric, const struct uplink_spec *uplink, struct vn_error *err)
{
	if (strcmp(uplink->device, "lo") == 0 || strcmp(uplink->device, fabric->uplink) == 0)
		return vn_fail_at(err, "/device", VN_E_INVALID, "'%s' is no port to another machine",
				  uplink->device);
	if (!uplink->default_route && host_has_default_route(uplink->device))
		return vn_fail_at(err, "/default_route", VN_E_DENIED, "the host's default route leads "
				  "through '%s': lending it may cut the host off. If that is meant, say "
				  "\"default_route\": true", uplink->device);
	return 0;
}

int
uplink_check(struct net *net, const struct uplink_spec *uplink, unsigned *ret_mtu,
	     struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);

	if (host_device_mtu(uplink->device, ret_mtu, err) < 0) {
		vn_error_prefix_path(err, "/device");
		return -1;
	}
	if (probe_check(fabric, uplink_kind_word(uplink), uplink->vlan ? "/vlan" : "/device", err) < 0)
		return -1;
	return check_device(fabric, uplink, err);
}

static int
read_lower(struct work *work, struct vn_error *err)
{
	char name[1][16];

	snprintf(name[0], sizeof(name[0]), "%s", work->lan->uplink.device);
	return links_get(work->host, (const char (*)[16])name, 1, &work->lower, err);
}

static int
find_lower(struct work *work, struct vn_error *err)
{
	if (fabric_host_socket(work->fabric, &work->host, err) < 0 || read_lower(work, err) < 0)
		return -1;
	if (!work->lower.index)
		return vn_fail(err, VN_E_NOT_FOUND, "this host has no network device '%s'",
			       work->lan->uplink.device);
	return check_device(work->fabric, &work->lan->uplink, err);
}

/* ---- sharing --------------------------------------------------------------------------------- */

/* Other uplinks of ours over the same device; *ret to be freed. */
static int
find_siblings(struct fabric *fabric, int lower, const char *but, struct link **ret,
	      size_t *ret_count, struct vn_error *err)
{
	size_t count = 0, n = 0;
	int64_t lan;

	if (fabric_links_read(fabric, ret, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct link *link = &(*ret)[i];

		if (uplink_name_parse(link->name, &lan) && link->abroad && link->peer == lower &&
		    strcmp(link->name, but) != 0 && way_is_ours(fabric, link, NULL))
			(*ret)[n++] = *link;
	}
	*ret_count = n;
	return 0;
}

/* What is told twice of one VLAN the kernel refuses by itself. */
static int
share(struct work *work, uint32_t *ret_flags, struct vn_error *err)
{
	vn_autofree struct link *siblings = NULL;
	size_t count = 0;

	if (find_siblings(work->fabric, work->lower.index, work->name[0], &siblings, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!work->lan->uplink.vlan || strcmp(siblings[i].kind, "macvlan") == 0)
			return vn_fail(err, VN_E_BUSY, "'%s' is lent to another LAN%s",
				       work->lower.name, work->lan->uplink.vlan ? " as a whole" : "");
	*ret_flags = count ? siblings[0].group & WAY_WAS_DOWN
			   : work->lower.flags & IFF_UP ? 0 : WAY_WAS_DOWN;
	return 0;
}

/* ---- giving back ----------------------------------------------------------------------------- */

static int
set_lower(struct fabric *fabric, int lower, bool up, struct vn_error *err)
{
	struct nl_sock *host = NULL;
	auto_batch batch = { 0 };
	int result = fabric_host_socket(fabric, &host, err);

	if (result < 0)
		return -1;
	link_change(&batch, lower, up, "set the host's device %s", up ? "up" : "down");
	batch_allow(&batch, ENODEV);
	result = batch_send(host, &batch, NULL, NULL, err);
	nl_socket_free(host);
	return result;
}

/* The port goes down before its mark goes: whoever dies between finds the mark again. */
static int
give_back(struct fabric *fabric, const struct link *link, struct vn_error *err)
{
	vn_autofree struct link *siblings = NULL;
	auto_batch batch = { 0 };
	size_t count = 0;

	if (!link->index || !way_is_ours(fabric, link, NULL))
		return 0;
	if (find_siblings(fabric, link->peer, link->name, &siblings, &count, err) < 0 ||
	    (!count && link->group == (WAY_GROUP | WAY_WAS_DOWN) &&
	     set_lower(fabric, link->peer, false, err) < 0))
		return -1;
	way_delete(&batch, link->index, link->name);
	return fabric_send(fabric, &batch, err);
}

int
uplink_remove(struct fabric *fabric, int64_t lan, struct vn_error *err)
{
	struct link link;
	char name[1][16];

	uplink_name(lan, name[0]);
	if (fabric_links_get(fabric, (const char (*)[16])name, 1, &link, err) < 0)
		return -1;
	return give_back(fabric, &link, err);
}

int
uplinks_give_back(struct fabric *fabric, struct vn_error *err)
{
	vn_autofree struct link *links = NULL;
	size_t count = 0;
	int64_t lan;

	if (fabric_links_read(fabric, &links, &count, err) < 0)
		return err->code == VN_E_NOT_FOUND ? 0 : -1;
	for (size_t i = 0; i < count; i++)
		if (uplink_name_parse(links[i].name, &lan) && give_back(fabric, &links[i], err) < 0)
			return -1;
	return 0;
}

/* ---- lending --------------------------------------------------------------------------------- */

static int
lend(struct work *work, struct way_spec *spec, struct vn_error *err)
{
	vn_autoclose int fd = netns_open(work->fabric->pin, err);
	auto_batch batch = { 0 };

	if (fd < 0 || share(work, &spec->flags, err) < 0)
		return -1;
	spec->index = fabric_new_index(work->fabric);
	way_create(&batch, spec, fd);
	if (!(work->lower.flags & IFF_UP)) {
		link_change(&batch, work->lower.index, 1, "set '%s' up", work->lower.name);
		batch_join(&batch);
	}
	return batch_send(work->host, &batch, NULL, NULL, err);
}

static int
settle(struct work *work, struct vn_error *err)
{
	const struct uplink_spec *uplink = &work->lan->uplink;
	struct way_spec spec = { .name = work->name[0], .kind = uplink_kind_word(uplink), .spec = uplink,
				 .put = uplink->vlan ? put_vlan : put_whole, .lower = work->lower.index,
				 .mtu = work->lan->mtu ? work->lan->mtu : 1500 };
	bool is_right = way_matches(&work->way, &spec);
	auto_batch batch = { 0 };
	char tag[TAG_SIZE];
	struct vn_error ignored;

	fabric_tag(work->fabric, work->lan->uuid, tag);
	spec.index = work->way.link.index;
	if (!is_right && (give_back(work->fabric, &work->way.link, err) < 0 ||
			  read_lower(work, err) < 0 || lend(work, &spec, err) < 0))
		return -1;
	if (is_right && !(work->lower.flags & IFF_UP) &&
	    set_lower(work->fabric, work->lower.index, true, err) < 0)
		return -1;
	way_settle(&batch, &spec, is_right ? &work->way.link : NULL, tag, work->bridge);
	if (fabric_send(work->fabric, &batch, err) == 0)
		return 0;
	if (!is_right)
		uplink_remove(work->fabric, work->lan->id, &ignored);
	return -1;
}

int
uplink_settle(struct fabric *fabric, const struct lan_spec *lan, int bridge, bool is_new,
	      struct vn_error *err)
{
	struct work work = { .fabric = fabric, .lan = lan, .bridge = bridge };
	int result = -1;

	if (!lan->uplink.device)
		return is_new ? 0 : uplink_remove(fabric, lan->id, err);
	uplink_name(lan->id, work.name[0]);
	if (ways_find(fabric, (const char (*)[16])work.name, 1, &work.way, err) < 0)
		return -1;
	if (work.way.link.index && !way_is_ours(fabric, &work.way.link, lan->uuid))
		return vn_fail(err, VN_E_EXISTS, "the fabric '%s' holds a foreign device '%s': remove it",
			       fabric->env->fabric, work.name[0]);
	if (find_lower(&work, err) == 0)
		result = settle(&work, err);
	if (work.host)
		nl_socket_free(work.host);
	return result;
}
