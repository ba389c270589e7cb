/*
 * Many ports in three exchanges: what is there, what changes it, what is there now. A failure, or a kernel
 * that took something else than was asked, brings all of them back to what they were.
 *
 * What a guest sends is shaped where the fabric receives it: an ingress qdisc redirects every protocol to an
 * IFB of the port. The IFB stays when the shape goes, without the redirection, and ends with its port.
 */
#include "backends/netlink/shape.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/fabric.h"
#include "backends/netlink/port.h"
#include "backends/netlink/qdisc.h"
#include "backends/netlink/redirect.h"

#define MANY 12				/* ports, from which on the whole table is read */

struct target {				/* one port */
	const struct shape *out_shape, *in_shape;
	struct link port, ifb;
	char name[16], ifb_name[16];
	int ifb_index;			/* of the IFB that is there or is to be made; 0: none */
	bool redirected;		/* the port has its ingress qdisc */
	bool aimed;			/* and there the one filter that leads to the IFB */
	struct qdisc_chain out, in;	/* as found */
	struct qdisc_chain want_out, want_in;
};

struct shaping {
	struct fabric *fabric;
	struct target *targets;
	size_t count;
};

void
ifb_name(int64_t vmid, unsigned index, char name[static 16])
{
	snprintf(name, 16, "i%" PRId64 "e%u", vmid, index);
}

bool
ifb_name_parse(const char *name, int64_t *ret_vmid, unsigned *ret_index)
{
	char canonical[16];

	if (sscanf(name, "i%" SCNd64 "e%u", ret_vmid, ret_index) != 2)
		return false;
	ifb_name(*ret_vmid, *ret_index, canonical);
	return strcmp(name, canonical) == 0;
}

bool
shape_is_none(const struct shape *shape)
{
	struct qdisc_chain chain;

	qdisc_chain_make(shape, 0, &chain);
	return chain.count == 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

static int
look_up(struct shaping *shaping, struct vn_error *err)
{
	size_t n = shaping->count;
	vn_autofree char (*names)[16] = vn_alloc_array(2 * n, sizeof(*names));
	vn_autofree struct link *links = vn_alloc_array(2 * n, sizeof(*links));

	for (size_t i = 0; i < n; i++) {
		memcpy(names[i], shaping->targets[i].name, 16);
		memcpy(names[n + i], shaping->targets[i].ifb_name, 16);
	}
	if (fabric_links_get(shaping->fabric, (const char (*)[16])names, 2 * n, links, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct target *target = &shaping->targets[i];

		target->port = links[i];
		target->ifb = links[n + i];
		if (!target->port.index || !fabric_owns(shaping->fabric, &target->port, NULL))
			return vn_fail(err, VN_E_NOT_FOUND, "the fabric has no port '%s' of ours",
				       target->name);
		if (target->ifb.index && !fabric_owns(shaping->fabric, &target->ifb, NULL))
			return vn_fail(err, VN_E_EXISTS, "the fabric '%s' holds a foreign device '%s': "
				       "remove it", shaping->fabric->env->fabric, target->ifb_name);
		target->ifb_index = target->ifb.index;
	}
	return 0;
}

/* Questions of a target: its own chain, its ingress, its IFB's chain. */
enum { QUESTIONS = 2 * QDISC_QUESTIONS + 1 };

static void
take_qdisc(struct target *target, bool is_ifb, bool is_ingress, const struct qdisc *qdisc)
{
	struct qdisc_chain *chain = is_ifb ? &target->in : &target->out;

	if (is_ingress)
		target->redirected |= !is_ifb && qdisc->handle == INGRESS_HANDLE;
	else if (qdisc->handle && chain->count < QDISC_CHAIN_MAX)	/* handle 0: the kernel's default */
		chain->list[chain->count++] = *qdisc;
}

static void
on_qdisc(void *arg, size_t at, struct nlmsghdr *reply)
{
	size_t question = at % QUESTIONS;
	struct qdisc qdisc;

	if (qdisc_take(reply, &qdisc))
		take_qdisc(&((struct target *)arg)[at / QUESTIONS], question > QDISC_QUESTIONS,
			   question == QDISC_QUESTIONS, &qdisc);
}

static void
ask_ingress(struct batch *batch, const struct target *target)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = target->port.index,
				.tcm_parent = TC_H_INGRESS };

	batch_add(batch, RTM_GETQDISC, NLM_F_ECHO, &header, sizeof(header), "read the ingress of '%s'",
		  target->name);
}

/* The kernel's words for "nothing there", which differ by what is missing above. */
static bool
is_absent(int sys)
{
	return sys == 0 || sys == ENOENT || sys == EINVAL || sys == ENODEV || sys == EOPNOTSUPP;
}

/* ---- by one table, where there are many ---- */

struct place {				/* a device of a target */
	int index;
	struct target *target;
	bool is_ifb;
};

struct places {
	struct place *list;
	size_t count;
};

static int
compare_places(const void *a, const void *b)
{
	int left = ((const struct place *)a)->index, right = ((const struct place *)b)->index;

	return (left > right) - (left < right);
}

static void
on_row(void *arg, size_t at, struct nlmsghdr *row)
{
	const struct places *places = arg;
	const struct tcmsg *header = nlmsg_data(row);
	struct place key = { .index = header->tcm_ifindex }, *place;
	struct qdisc qdisc;

	(void)at;
	place = bsearch(&key, places->list, places->count, sizeof(key), compare_places);
	if (place && qdisc_take(row, &qdisc))
		take_qdisc(place->target, place->is_ifb, header->tcm_parent == TC_H_INGRESS, &qdisc);
}

static void
forget_chains(void *arg)
{
	const struct places *places = arg;

	for (size_t i = 0; i < places->count; i++) {
		struct target *target = places->list[i].target;

		target->out.count = target->in.count = 0;
		target->redirected = false;
	}
}

/* Asking costs nine messages a port and as many answers; the table has about two rows of each. */
static int
read_table(struct shaping *shaping, struct vn_error *err)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC };
	vn_autofree struct place *list = vn_alloc_array(2 * shaping->count, sizeof(*list));
	struct places places = { list, 0 };

	for (size_t i = 0; i < shaping->count; i++) {
		struct target *target = &shaping->targets[i];

		list[places.count++] = (struct place){ target->port.index, target, false };
		if (target->ifb_index)
			list[places.count++] = (struct place){ target->ifb_index, target, true };
	}
	qsort(list, places.count, sizeof(*list), compare_places);
	return fabric_table_read(shaping->fabric, RTM_GETQDISC, &header, sizeof(header), on_row,
				 forget_chains, &places, err);
}

/* ---- or by questions ---- */

static int
ask_chains(struct shaping *shaping, struct vn_error *err)
{
	struct vn_error refusal = { 0 };
	auto_batch batch = { 0 };

	for (size_t i = 0; i < shaping->count; i++) {
		const struct target *target = &shaping->targets[i];

		qdisc_ask(&batch, target->port.index, target->name);
		ask_ingress(&batch, target);
		qdisc_ask(&batch, target->ifb_index ? target->ifb_index : INT32_MAX, target->ifb_name);
	}
	if (fabric_ask(shaping->fabric, &batch, on_qdisc, shaping->targets, &refusal) < 0)
		for (size_t i = 0; i < batch.n_items; i++)
			if (!is_absent(batch.items[i].sys)) {
				*err = refusal;
				return -1;
			}
	return 0;
}

static int
read_chains(struct shaping *shaping, struct vn_error *err)
{
	int result;

	for (size_t i = 0; i < shaping->count; i++) {
		shaping->targets[i].out.count = shaping->targets[i].in.count = 0;
		shaping->targets[i].redirected = false;
	}
	result = shaping->count < MANY ? ask_chains(shaping, err) : read_table(shaping, err);
	if (result < 0)
		return -1;
	for (size_t i = 0; i < shaping->count; i++) {
		struct target *target = &shaping->targets[i];
		struct redirect redirect;

		qdisc_chain_order(&target->out);
		qdisc_chain_order(&target->in);
		if (target->redirected &&
		    fabric_redirect_read(shaping->fabric, target->port.index, &redirect, err) < 0)
			return -1;
		target->aimed = target->redirected && redirect.filters == 1 && redirect.to > 0 &&
				redirect.to == target->ifb_index;
	}
	return 0;
}

/* ---- what to do ------------------------------------------------------------------------------ */

static void
append_ifb(struct batch *batch, struct shaping *shaping, struct target *target)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct nl_msg *message;
	struct link_kind nest;

	target->ifb_index = header.ifi_index = fabric_new_index(shaping->fabric);
	header.ifi_flags = header.ifi_change = IFF_UP;
	message = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header),
			    "create the IFB '%s'", target->ifb_name);
	attr_put_text(message, IFLA_IFNAME, target->ifb_name);
	attr_put_u32(message, IFLA_MTU, target->port.mtu);
	attr_put_u32(message, IFLA_NUM_TX_QUEUES, 1);
	attr_put_u32(message, IFLA_NUM_RX_QUEUES, 1);
	link_kind_begin(message, "ifb", &nest);
	link_kind_end(message, &nest);
	attr_put_text(link_change(batch, target->ifb_index, -1, "tag the IFB '%s'", target->ifb_name),
		      IFLA_IFALIAS, target->port.alias);
	batch_join(batch);
}

/* An IFB follows its port's MTU. */
static void
append_mend_ifb(struct batch *batch, const struct target *target)
{
	if (target->ifb.flags & IFF_UP && target->ifb.mtu == target->port.mtu)
		return;
	attr_put_u32(link_change(batch, target->ifb_index, 1, "mend the IFB '%s'", target->ifb_name),
		     IFLA_MTU, target->port.mtu);
}

static void
append_ingress(struct batch *batch, const struct target *target, int type, int flags)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = target->port.index,
				.tcm_handle = INGRESS_HANDLE, .tcm_parent = TC_H_INGRESS };

	attr_put_text(batch_add(batch, type, flags, &header, sizeof(header), "%s the ingress of '%s'",
				type == RTM_NEWQDISC ? "make" : "remove", target->name),
		      TCA_KIND, "ingress");
}

static void
put_redirection(struct nl_msg *message, int ifb)
{
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR,
				    .ifindex = (uint32_t)ifb };
	struct nlattr *actions = attr_begin(message, TCA_U32_ACT), *first = attr_begin(message, 1);
	struct nlattr *options;

	attr_put_text(message, TCA_ACT_KIND, "mirred");
	options = attr_begin(message, TCA_ACT_OPTIONS);
	attr_put(message, TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
	attr_end(message, options);
	attr_end(message, first);
	attr_end(message, actions);
}

/* One u32 filter that matches every frame, since its only key masks all away. */
static void
append_redirection(struct batch *batch, const struct target *target)
{
	struct tcmsg header = { .tcm_family = AF_UNSPEC, .tcm_ifindex = target->port.index,
				.tcm_parent = INGRESS_HANDLE,
				.tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL)) };
	union {				/* a selector and its one key, all zero */
		unsigned char bytes[sizeof(struct tc_u32_sel) + sizeof(struct tc_u32_key)];
		struct tc_u32_sel sel;
	} select = { .bytes = { 0 } };
	struct nlattr *nest;
	struct nl_msg *message;

	select.sel.flags = TC_U32_TERMINAL;
	select.sel.nkeys = 1;
	append_ingress(batch, target, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
	message = batch_add(batch, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header),
			    "redirect the ingress of '%s'", target->name);
	attr_put_text(message, TCA_KIND, "u32");
	nest = attr_begin(message, TCA_OPTIONS);
	attr_put(message, TCA_U32_SEL, &select, sizeof(select));
	put_redirection(message, target->ifb_index);
	attr_end(message, nest);
	batch_join(batch);
}

/* Brings one port from what was found to what is wanted; what it wants goes into the target. */
static void
append_target(struct batch *batch, struct shaping *shaping, struct target *target)
{
	unsigned mtu = target->port.mtu;
	bool is_new = !target->ifb.index;

	qdisc_chain_make(target->out_shape, mtu, &target->want_out);
	qdisc_chain_make(target->in_shape, mtu, &target->want_in);
	if (target->want_in.count && is_new)
		append_ifb(batch, shaping, target);
	else if (!is_new)
		append_mend_ifb(batch, target);
	if (target->redirected && (!target->aimed || !target->want_in.count))
		append_ingress(batch, target, RTM_DELQDISC, 0);
	if (target->ifb_index)
		qdisc_settle(batch, target->ifb_index, target->ifb_name, &target->want_in, &target->in);
	if (target->want_in.count && !target->aimed)
		append_redirection(batch, target);
	qdisc_settle(batch, target->port.index, target->name, &target->want_out, &target->out);
}

/* From whatever is there now (`now`) back to what was found. */
static void
append_undo(struct batch *batch, const struct target *now, const struct target *was)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = now->ifb_index };

	if (now->redirected && !was->redirected)
		append_ingress(batch, now, RTM_DELQDISC, 0);
	qdisc_settle(batch, now->port.index, now->name, &was->out, &now->out);
	if (was->ifb.index) {
		attr_put_u32(link_change(batch, was->ifb.index, (was->ifb.flags & IFF_UP) != 0,
					 "restore the IFB '%s'", was->ifb_name), IFLA_MTU, was->ifb.mtu);
		qdisc_settle(batch, now->ifb_index, now->ifb_name, &was->in, &now->in);
	}
	if (was->redirected && !now->redirected && was->ifb.index)
		append_redirection(batch, was);
	if (!was->ifb.index && now->ifb_index) {
		batch_add(batch, RTM_DELLINK, 0, &header, sizeof(header), "remove the IFB '%s'",
			  now->ifb_name);
		batch_allow(batch, ENODEV);
	}
}

static void
undo(struct shaping *shaping)
{
	vn_autofree struct target *was = vn_alloc_array(shaping->count, sizeof(*was));
	struct vn_error ignored = { 0 };
	auto_batch batch = { 0 };

	memcpy(was, shaping->targets, shaping->count * sizeof(*was));
	if (read_chains(shaping, &ignored) < 0)
		return;
	for (size_t i = 0; i < shaping->count; i++)
		append_undo(&batch, &shaping->targets[i], &was[i]);
	fabric_send(shaping->fabric, &batch, &ignored);
}

/* Whether the kernel took what it was told. */
static int
compare(const struct shaping *shaping, struct vn_error *err)
{
	char text[128];

	for (size_t i = 0; i < shaping->count; i++) {
		const struct target *target = &shaping->targets[i];
		bool is_out = !qdisc_chain_equal(&target->want_out, &target->out, text, sizeof(text));

		if (is_out || (target->ifb_index && !qdisc_chain_equal(&target->want_in, &target->in,
								       text, sizeof(text))))
			return vn_fail(err, VN_E_BACKEND, "the kernel shapes '%s' otherwise than it was told: %s",
				       is_out ? target->name : target->ifb_name, text);
		if (target->want_in.count && !target->aimed)
			return vn_fail(err, VN_E_BACKEND, "the ingress of '%s' is not redirected",
				       target->name);
	}
	return 0;
}

int
shape_devices(struct fabric *fabric, const struct device_shape *devices, size_t count,
	      struct vn_error *err)
{
	struct shaping shaping = { .fabric = fabric, .count = count };
	vn_autofree struct target *targets = vn_alloc_array(count + 1, sizeof(*targets));
	vn_autofree struct target *was = vn_alloc_array(count + 1, sizeof(*was));
	auto_batch batch = { 0 };

	shaping.targets = targets;
	for (size_t i = 0; i < count; i++) {
		targets[i].out_shape = &devices[i].out;
		targets[i].in_shape = &devices[i].in;
		memcpy(targets[i].name, devices[i].name, sizeof(targets[i].name));
		memcpy(targets[i].ifb_name, devices[i].ifb, sizeof(targets[i].ifb_name));
	}
	if (count == 0)
		return 0;
	if (look_up(&shaping, err) < 0 || read_chains(&shaping, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		append_target(&batch, &shaping, &targets[i]);
	if (batch.n_items == 0)
		return 0;
	memcpy(was, targets, count * sizeof(*was));
	if (fabric_send(shaping.fabric, &batch, err) == 0) {
		if (read_chains(&shaping, err) == 0 && compare(&shaping, err) == 0)
			return 0;
	}
	memcpy(targets, was, count * sizeof(*was));
	undo(&shaping);
	return -1;
}

int
shape_ports(struct net *net, const struct port_shape *ports, size_t count, struct vn_error *err)
{
	vn_autofree struct device_shape *devices = vn_alloc_array(count + 1, sizeof(*devices));

	for (size_t i = 0; i < count; i++) {
		port_name(ports[i].vmid, ports[i].index, devices[i].name);
		ifb_name(ports[i].vmid, ports[i].index, devices[i].ifb);
		devices[i].out = ports[i].out;
		devices[i].in = ports[i].in;
	}
	return shape_devices(fabric_of(net), devices, count, err);
}
