/* Reads the fabric, runs the checks, and tells what is left that nobody asked for. */
#include "backends/netlink/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/control.h"
#include "backends/netlink/inventory.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"
#include "backends/netlink/redirect.h"
#include "backends/netlink/shape.h"
#include "backends/nft/nat.h"

/* ---- reading --------------------------------------------------------------------------------- */

static void
on_qdisc(void *arg, size_t at, struct nlmsghdr *row)
{
	struct look *look = arg;
	struct qdisc qdisc;

	(void)at;
	if (!qdisc_take(row, &qdisc) || !qdisc.handle)	/* handle 0: the kernel's default */
		return;
	if (look->n_qdiscs == look->room) {
		look->room = look->room ? 2 * look->room : 256;
		look->qdiscs = vn_realloc_array(look->qdiscs, look->room, sizeof(*look->qdiscs));
	}
	look->qdiscs[look->n_qdiscs++] = (struct qdisc_row){
		((struct tcmsg *)nlmsg_data(row))->tcm_ifindex, qdisc };
}

static void
forget_qdiscs(void *arg)
{
	((struct look *)arg)->n_qdiscs = 0;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(const struct link *const *)a)->name, (*(const struct link *const *)b)->name);
}

static int
by_index(const void *a, const void *b)
{
	int one = (*(const struct link *const *)a)->index, other = (*(const struct link *const *)b)->index;

	return (one > other) - (one < other);
}

static int
by_device(const void *a, const void *b)
{
	int one = ((const struct qdisc_row *)a)->index, other = ((const struct qdisc_row *)b)->index;

	return (one > other) - (one < other);
}

static void
sort(struct look *look)
{
	look->by_name = vn_alloc_array(look->n_links + 1, sizeof(*look->by_name));
	look->by_index = vn_alloc_array(look->n_links + 1, sizeof(*look->by_index));
	look->claimed = vn_alloc_array(look->n_links + 1, sizeof(*look->claimed));
	for (size_t i = 0; i < look->n_links; i++)
		look->by_name[i] = look->by_index[i] = &look->links[i];
	qsort(look->by_name, look->n_links, sizeof(*look->by_name), by_name);
	qsort(look->by_index, look->n_links, sizeof(*look->by_index), by_index);
	if (look->n_qdiscs)
		qsort(look->qdiscs, look->n_qdiscs, sizeof(*look->qdiscs), by_device);
}

/* Without a fabric there is nothing to read, and everything is missing. */
static int
read_fabric(struct look *look, struct vn_error *err)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC };
	vn_autoclose int fd = -1;

	if (!netns_is_pinned(look->fabric->pin))
		return 0;
	fd = netns_open(look->fabric->pin, err);
	if (fd < 0 || netns_socket(fd, look->fabric->home, &look->sock, err) < 0 ||
	    links_read(look->sock, &look->links, &look->n_links, err) < 0)
		return -1;
	return table_read(look->sock, RTM_GETQDISC, &header, sizeof(header), 0, on_qdisc,
			  forget_qdiscs, look, err);
}

/* ---- what the checks share ------------------------------------------------------------------- */

const struct link *
look_at(const struct look *look, const char *name)
{
	struct link key = { .index = 0 };
	const struct link *at = &key, **found;

	snprintf(key.name, sizeof(key.name), "%s", name);
	found = bsearch(&at, look->by_name, look->n_links, sizeof(at), by_name);
	return found ? *found : NULL;
}

const struct link *
look_at_index(const struct look *look, int index)
{
	struct link key = { .index = index };
	const struct link *at = &key, **found;

	found = bsearch(&at, look->by_index, look->n_links, sizeof(at), by_index);
	return found ? *found : NULL;
}

const struct link *
look_claim(struct look *look, const char *name)
{
	const struct link *link = look_at(look, name);

	if (link)
		look->claimed[link - look->links] = true;
	return link;
}

bool
look_spares(const struct look *look, int64_t vmid)
{
	for (size_t i = 0; i < look->wanted->n_spared; i++)
		if (look->wanted->spared[i].vmid == vmid)
			return true;
	return false;
}

bool
look_spares_lan(const struct look *look, int64_t lan)
{
	for (size_t i = 0; i < look->wanted->n_spared_lans; i++)
		if (look->wanted->spared_lans[i] == lan)
			return true;
	return false;
}

const struct link *
look_for_ours(struct look *look, const struct difference_about *about, const char *uuid)
{
	const struct link *link = look_claim(look, about->object);
	struct difference_about foreign = *about;
	char tag[TAG_SIZE];

	if (!link) {
		difference_flag(look->ret, about, "exists", true, false);
		return NULL;
	}
	fabric_tag(look->fabric, uuid, tag);
	foreign.kind = "foreign";
	return difference_text(look->ret, &foreign, "tag", tag, *link->alias ? link->alias : NULL)
	       ? link : NULL;
}

void
look_chain(const struct look *look, int index, struct qdisc_chain *ret, bool *ret_ingress)
{
	struct qdisc_row key = { .index = index }, *at;
	const struct qdisc_row *end = look->qdiscs + look->n_qdiscs;

	*ret = (struct qdisc_chain){ 0 };
	if (ret_ingress)
		*ret_ingress = false;
	at = look->n_qdiscs ? bsearch(&key, look->qdiscs, look->n_qdiscs, sizeof(key), by_device) : NULL;
	while (at && at > look->qdiscs && at[-1].index == index)
		at--;
	for (; at && at < end && at->index == index; at++)
		if (at->qdisc.handle == INGRESS_HANDLE && ret_ingress)
			*ret_ingress = true;
		else if (at->qdisc.handle != INGRESS_HANDLE && ret->count < QDISC_CHAIN_MAX)
			ret->list[ret->count++] = at->qdisc;
	qdisc_chain_order(ret);
}

/* ---- what nobody asked for ------------------------------------------------------------------- */

/* What a device of ours is, by its name; kind NULL: it is none of its own, or is not spoken of now. */
static struct difference_about
classify(const struct look *look, const struct link *link)
{
	int64_t id;
	unsigned index;

	if (!*link->kind)		/* loopback */
		return difference_about(NULL, 0, PORT_ANY, -1, "%s", link->name);
	if (lan_name_parse(link->name, &id))
		return difference_about(look_spares_lan(look, id) ? NULL : "bridge", 0, PORT_ANY, id,
					"%s", link->name);
	if (port_name_parse(link->name, &id, &index))
		return difference_about(look_spares(look, id) ? NULL : "port", id, index, -1, "%s",
					link->name);
	if (ifb_name_parse(link->name, &id, &index))
		return difference_about(look_spares(look, id) ? NULL : "ifb", id, index, -1, "%s",
					link->name);
	return difference_about("device", 0, PORT_ANY, -1, "%s", link->name);
}

/* A stranger that switches frames into a LAN. */
static void
tell_stranger(struct look *look, const struct link *link)
{
	const struct link *bridge = link->master ? look_at_index(look, link->master) : NULL;
	struct difference_about about;
	int64_t lan;

	if (!bridge || !fabric_owns(look->fabric, bridge, NULL) || !lan_name_parse(bridge->name, &lan))
		return;
	about = difference_about("foreign", 0, PORT_ANY, lan, "%s", link->name);
	difference_text(look->ret, &about, "bridge", NULL, bridge->name);
}

static int
check_devices(struct look *look, struct vn_error *err)
{
	(void)err;
	for (size_t i = 0; look->wanted->whole && i < look->n_links; i++) {
		struct difference_about about;

		if (look->claimed[i])
			continue;
		if (!fabric_owns(look->fabric, &look->links[i], NULL)) {
			tell_stranger(look, &look->links[i]);
			continue;
		}
		if (check_stray_way(look, &look->links[i]))
			continue;
		about = classify(look, &look->links[i]);
		if (about.kind)
			difference_surplus(look->ret, &about);
	}
	return 0;
}

static bool
is_wanted(const struct look *look, int64_t vmid)
{
	for (size_t i = 0; i < look->wanted->n_vnodes; i++)
		if (look->wanted->vnodes[i].ns.vmid == vmid)
			return true;
	return look_spares(look, vmid);
}

static int
on_pin(void *arg, const char *path, int64_t vmid, struct vn_error *err)
{
	struct look *look = arg;
	struct difference_about about;

	(void)err;
	if (is_wanted(look, vmid) || !netns_is_pinned(path))
		return 0;
	about = difference_about("namespace", vmid, PORT_ANY, -1, "vnoded-%" PRId64, vmid);
	difference_surplus(look->ret, &about);
	return 0;
}

static int
check_pins(struct look *look, struct vn_error *err)
{
	if (!look->wanted->whole)
		return 0;
	if (inventory_pins(look->fabric->env->run_dir, "netns", on_pin, look, err) < 0)
		return -1;
	return inventory_pins(look->fabric->env->run_dir, "userns", on_pin, look, err);
}

/* Without a fabric there is no guard, which has been told. */
static int
check_guard(struct look *look, struct vn_error *err)
{
	return look->sock ? control_verify(look->fabric, look->wanted, look->ret, err) : 0;
}

static int
check_nat(struct look *look, struct vn_error *err)
{
	return nat_verify(look->fabric->nat, look->wanted, look->ret, err);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Those that claim devices stand before the one that tells of what is left. */
static int (*const checks[])(struct look *look, struct vn_error *err) = {
	check_host, check_bridges, check_ports, check_insides, check_devices, check_pins, check_guard,
	check_nat,
};

int
verify_net(struct net *net, const struct net_wanted *wanted, struct differences *ret, struct vn_error *err)
{
	struct look look = { .fabric = fabric_of(net), .wanted = wanted, .ret = ret };
	int result;

	reap_settle(look.fabric, -1);
	result = read_fabric(&look, err);
	sort(&look);
	for (size_t i = 0; result == 0 && i < VN_COUNT(checks); i++)
		result = checks[i](&look, err);
	if (look.sock)
		nl_socket_free(look.sock);
	free(look.links);
	free(look.by_name);
	free(look.by_index);
	free(look.claimed);
	free(look.qdiscs);
	return result;
}
