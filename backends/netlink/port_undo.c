/*
 * The way back of port_up. Every message leads to what was found, whether or not the message that it takes
 * back was carried out: nobody knows after an answer that was lost. What a guest had broken (a renamed device,
 * a pair without its other end) is not broken again.
 */
#include "backends/netlink/port_inner.h"

#include <net/if.h>
#include <linux/if_link.h>
#include <string.h>

#include "backends/netlink/control.h"
#include "backends/netlink/shape.h"

static void
restore_outer(struct batch *batch, const struct plan *plan)
{
	struct nl_msg *message = link_change(batch, plan->outer.index, (plan->outer.flags & IFF_UP) != 0,
					     "restore port '%s'", plan->name);

	attr_put_u32(message, IFLA_MTU, plan->outer.mtu);
	attr_put_u32(message, IFLA_MASTER, (uint32_t)plan->outer.master);
	attr_put_u32(message, IFLA_GROUP, plan->outer.group);
}

/* The addresses that the device had, in their order, from what is there now. */
static void
restore_addresses(struct batch *batch, const struct work *work, const struct plan *plan)
{
	vn_autofree struct vn_cidr *had = vn_alloc_array(work->n_addresses + 1, sizeof(*had));
	vn_autofree struct address *now = NULL;
	size_t n_had = 0, n_now = 0;
	struct vn_error ignored;

	if (addresses_read(work->sock, &now, &n_now, &ignored) < 0)
		return;
	for (size_t i = 0; i < work->n_addresses; i++)
		if (work->addresses[i].index == plan->inner_index && !work->addresses[i].link_local)
			had[n_had++] = work->addresses[i].cidr;
	addresses_settle(batch, plan->inner_index, plan->spec->ifname, had, n_had, now, n_now, false);
}

static void
restore_inner(struct batch *batch, const struct work *work, const struct plan *plan)
{
	const struct link *was = plan->inner;
	struct nl_msg *message = link_change(batch, was->index, (was->flags & IFF_UP) != 0, "restore '%s'",
					     was->name);

	attr_put(message, IFLA_ADDRESS, was->mac.byte, sizeof(was->mac.byte));
	attr_put_u32(message, IFLA_MTU, was->mtu);
	restore_addresses(batch, work, plan);
	if (plan->spec->lan != NET_CONTROL)
		return;
	route_default(batch, was->index, &work->fabric->gateway4, plan->had_default[0]);
	route_default(batch, was->index, &work->fabric->gateway6, plan->had_default[1]);
}

/* What new ports were shaped with; an IFB outlives its port unless it is removed. */
static void
remove_ifbs(struct batch *batch, const struct work *work)
{
	size_t n = work->n_plans;
	vn_autofree char (*names)[16] = vn_alloc_array(n, sizeof(*names));
	vn_autofree struct link *links = vn_alloc_array(n, sizeof(*links));
	struct vn_error ignored;

	for (size_t i = 0; i < n; i++)
		ifb_name(work->ns->vmid, work->plans[i].spec->index, names[i]);
	if (fabric_links_get(work->fabric, (const char (*)[16])names, n, links, &ignored) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!work->plans[i].inner && links[i].index &&
		    fabric_owns(work->fabric, &links[i], work->ns->uuid))
			port_append_delete(batch, links[i].index, names[i]);
}

void
port_undo(struct work *work)
{
	vn_autofree char (*names)[16] = vn_alloc_array(work->n_plans, sizeof(*names));
	auto_batch outer = { 0 };
	auto_batch inner = { 0 };
	struct vn_error ignored;
	size_t n_new = 0;

	for (size_t i = 0; i < work->n_plans; i++) {
		const struct plan *plan = &work->plans[i];

		if (!plan->inner) {
			port_append_delete(&outer, plan->outer_index, plan->name);
			memcpy(names[n_new++], plan->name, sizeof(*names));
			continue;
		}
		restore_outer(&outer, plan);
		if (!plan->renamed)
			restore_inner(&inner, work, plan);
	}
	remove_ifbs(&outer, work);
	fabric_send(work->fabric, &outer, &ignored);
	control_forget(work->fabric, (const char (*)[16])names, n_new, &ignored);
	batch_send(work->sock, &inner, NULL, NULL, &ignored);
}
