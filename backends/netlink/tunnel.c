/*
 * Making and removing the tunnels of a LAN, whatever their form (tunnel_form.c). What is there and right
 * is left alone; what is otherwise goes before anything is made, since the kernel takes nothing twice.
 */
#include "backends/netlink/tunnel.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/netlink/namespace.h"
#include "backends/netlink/shape.h"

enum { PORT = TUNNEL_PORT, INNER = TUNNEL_INNER, GRE = TUNNEL_GRE_DEVICE, PARTS = TUNNEL_PARTS };

struct plan {				/* one tunnel */
	const struct tunnel_spec *spec;
	struct tunnel_form form;
	struct way found[PARTS];
	bool makes_way, makes_veth;
	int indexes[PARTS];
};

struct work {				/* one call of tunnels_settle */
	struct fabric *fabric;
	const struct lan_spec *lan;
	int bridge;
	struct plan *plans;
	size_t n_plans;
	unsigned mtu;
	char tag[TAG_SIZE];
};

static bool
is_wanted(const struct work *work, const char *name)
{
	for (size_t i = 0; i < work->n_plans; i++)
		if (strcmp(work->plans[i].form.names[PORT], name) == 0)
			return true;
	return false;
}

/* ---- what is there --------------------------------------------------------------------------- */

static bool
is_waiting(const struct work *work, const struct link *link)
{
	return fabric_owns(work->fabric, link, work->fabric->env->instance);
}

static int
check_owner(const struct work *work, const struct plan *plan, int part, struct vn_error *err)
{
	const struct link *link = &plan->found[part].link;

	if (!link->index || way_is_ours(work->fabric, link, work->lan->uuid) ||
	    (plan->form.kind == FORM_OWN && (part == INNER ? fabric_owns(work->fabric, link, NULL)
						      : is_waiting(work, link))))
		return 0;
	if (plan->form.kind == FORM_OWN && fabric_owns(work->fabric, link, NULL))
		return vn_fail(err, VN_E_EXISTS, "another LAN has this end of the link between LANs");
	return vn_fail(err, VN_E_EXISTS, "the fabric '%s' holds a foreign device '%s': remove it",
		       work->fabric->env->fabric, plan->form.names[part]);
}

static int
look(struct work *work, struct vn_error *err)
{
	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];
		int parts = (int)plan->form.n_parts;

		if (ways_find(work->fabric, (const char (*)[16])plan->form.names, (size_t)parts, plan->found,
			      err) < 0)
			return -1;
		for (int part = 0; part < parts; part++) {
			plan->indexes[part] = plan->found[part].link.index;
			if (check_owner(work, plan, part, err) < 0)
				return -1;
		}
	}
	return 0;
}

static bool
is_pair(const struct plan *plan)
{
	const struct link *port = &plan->found[PORT].link, *inner = &plan->found[INNER].link;

	return port->index && inner->index && port->peer == inner->index && inner->peer == port->index;
}

/* ---- removal --------------------------------------------------------------------------------- */

/* An own end goes back to waiting while the other LAN has the other one. */
static int
remove_own(struct fabric *fabric, struct batch *batch, const struct link *link, struct vn_error *err)
{
	char name[1][16], tag[TAG_SIZE];
	struct link other;
	struct nl_msg *message;

	memcpy(name[0], link->name, sizeof(name[0]));
	name[0][0] = *link->name == 'x' ? 'y' : 'x';
	if (fabric_links_get(fabric, (const char (*)[16])name, 1, &other, err) < 0)
		return -1;
	fabric_tag(fabric, fabric->env->instance, tag);
	if (!other.index || strcmp(other.alias, tag) == 0) {
		way_delete(batch, link->index, link->name);
		return 0;
	}
	message = link_change(batch, link->index, 0, "let '%s' go", link->name);
	attr_put_u32(message, IFLA_MASTER, 0);
	attr_put_text(message, IFLA_IFALIAS, tag);
	return 0;
}

/* What belongs to a port by name: the IFB of its shape, and the parts of plain GRE. */
static int
remove_companions(struct fabric *fabric, struct batch *batch, const char *port, struct vn_error *err)
{
	char names[3][16];
	struct link links[3];

	tunnel_ifb_name(port, names[0]);
	snprintf(names[1], 16, "w%.14s", port + 1);
	snprintf(names[2], 16, "g%.14s", port + 1);
	if (fabric_links_get(fabric, (const char (*)[16])names, 3, links, err) < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		if (links[i].index && way_is_ours(fabric, &links[i], NULL))
			way_delete(batch, links[i].index, links[i].name);
	return 0;
}

int
tunnels_remove(struct fabric *fabric, const struct link *ports, size_t count, struct vn_error *err)
{
	auto_batch batch = { 0 };

	for (size_t i = 0; i < count; i++) {
		int64_t lan;
		unsigned index;

		if (!way_is_ours(fabric, &ports[i], NULL))
			continue;
		if (tunnel_name_is_own(ports[i].name)) {
			if (remove_own(fabric, &batch, &ports[i], err) < 0)
				return -1;
		} else if (tunnel_name_parse(ports[i].name, &lan, &index)) {
			way_delete(&batch, ports[i].index, ports[i].name);
		} else {
			continue;
		}
		if (remove_companions(fabric, &batch, ports[i].name, err) < 0)
			return -1;
	}
	return fabric_send(fabric, &batch, err);
}

/* Ports that no tunnel of the spec has. */
static int
remove_others(struct work *work, struct vn_error *err)
{
	vn_autofree struct link *ports = NULL;
	size_t count = 0, others = 0;

	if (fabric_ports_read(work->fabric, work->bridge, &ports, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!is_wanted(work, ports[i].name))
			ports[others++] = ports[i];
	return tunnels_remove(work->fabric, ports, others, err);
}

/* What has the right name and is otherwise wrong cannot be changed into what is wanted. */
static int
remove_wrong(struct work *work, struct vn_error *err)
{
	auto_batch batch = { 0 };

	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];
		int way = plan->form.way_part;

		plan->makes_veth = plan->form.kind != FORM_WAY && !is_pair(plan);
		plan->makes_way = plan->form.kind != FORM_OWN && !way_matches(&plan->found[way], &plan->form.way);
		if (plan->makes_veth)
			for (int part = PORT; part <= INNER; part++)
				if (plan->indexes[part])
					way_delete(&batch, plan->indexes[part], plan->form.names[part]);
		if (plan->makes_way && plan->indexes[way])
			way_delete(&batch, plan->indexes[way], plan->form.names[way]);
		if (plan->form.kind == FORM_WAY && plan->makes_way && plan->indexes[PORT] &&
		    remove_companions(work->fabric, &batch, plan->form.names[PORT], err) < 0)
			return -1;
	}
	return fabric_send(work->fabric, &batch, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void
append_veth(struct batch *batch, struct work *work, struct plan *plan)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC,
				    .ifi_index = fabric_new_index(work->fabric) };
	struct ifinfomsg other = { .ifi_family = AF_UNSPEC,
				   .ifi_index = fabric_new_index(work->fabric) };
	char waiting[TAG_SIZE];
	struct link_kind nest;
	struct nlattr *peer;
	struct nl_msg *message;

	plan->indexes[PORT] = header.ifi_index;
	plan->indexes[INNER] = other.ifi_index;
	fabric_tag(work->fabric, work->fabric->env->instance, waiting);
	message = batch_add(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header),
			    "create the tunnel's port '%s'", plan->form.names[PORT]);
	attr_put_text(message, IFLA_IFNAME, plan->form.names[PORT]);
	attr_put_u32(message, IFLA_MTU, work->mtu);
	link_kind_begin(message, "veth", &nest);
	peer = attr_begin(message, VETH_INFO_PEER);
	nlmsg_append(message, &other, sizeof(other), NLMSG_ALIGNTO);
	attr_put_text(message, IFLA_IFNAME, plan->form.names[INNER]);
	attr_put_u32(message, IFLA_MTU, work->mtu);
	attr_end(message, peer);
	link_kind_end(message, &nest);
	attr_put_text(link_change(batch, header.ifi_index, -1, "tag '%s'", plan->form.names[PORT]),
		      IFLA_IFALIAS, work->tag);
	batch_join(batch);
	attr_put_text(link_change(batch, other.ifi_index, -1, "tag '%s'", plan->form.names[INNER]),
		      IFLA_IFALIAS, plan->form.kind == FORM_OWN ? waiting : work->tag);
	batch_join(batch);
}

/* VXLAN is born in the fabric. */
static int
make_vxlans(struct work *work, struct vn_error *err)
{
	vn_autoclose int fd = netns_open(work->fabric->pin, err);
	struct nl_sock *host = NULL;
	auto_batch batch = { 0 };
	int result;

	if (fd < 0 || fabric_host_socket(work->fabric, &host, err) < 0)
		return -1;
	for (size_t i = 0; i < work->n_plans; i++)
		if (work->plans[i].makes_way && work->plans[i].spec->kind == TUNNEL_VXLAN)
			way_create(&batch, &work->plans[i].form.way, fd);
	result = batch_send(host, &batch, NULL, NULL, err);
	nl_socket_free(host);
	return result;
}

static int
make_gres(struct work *work, struct vn_error *err)
{
	auto_batch batch = { 0 };
	int nsid;

	if (way_host_nsid(work->fabric, &nsid, err) < 0)
		return -1;
	for (size_t i = 0; i < work->n_plans; i++)
		if (work->plans[i].makes_way && work->plans[i].spec->kind != TUNNEL_VXLAN)
			way_create_moved(&batch, &work->plans[i].form.way, nsid, work->tag);
	return fabric_send(work->fabric, &batch, err);
}

static int
make_ways(struct work *work, struct vn_error *err)
{
	size_t vxlans = 0, gres = 0;

	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];

		if (!plan->makes_way)
			continue;
		plan->form.way.index = fabric_new_index(work->fabric);
		plan->indexes[plan->form.way_part] = plan->form.way.index;
		vxlans += plan->spec->kind == TUNNEL_VXLAN;
		gres += plan->spec->kind != TUNNEL_VXLAN;
	}
	if (vxlans && make_vxlans(work, err) < 0)
		return -1;
	return gres ? make_gres(work, err) : 0;
}

static void
append_part(struct batch *batch, struct work *work, struct plan *plan, int part, bool is_made)
{
	struct way_spec spec = { .name = plan->form.names[part], .mtu = work->mtu,
				 .index = plan->indexes[part] };

	way_settle(batch, &spec, is_made ? NULL : &plan->found[part].link, work->tag,
		   part == PORT ? work->bridge : 0);
}

static int
settle_parts(struct work *work, struct vn_error *err)
{
	auto_batch batch = { 0 };

	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];

		append_part(&batch, work, plan, PORT,
			    plan->form.kind == FORM_WAY ? plan->makes_way : plan->makes_veth);
		if (plan->form.kind != FORM_PLAIN)
			continue;
		append_part(&batch, work, plan, INNER, plan->makes_veth);
		append_part(&batch, work, plan, GRE, plan->makes_way);
	}
	return fabric_send(work->fabric, &batch, err);
}

static int
join_plain(struct work *work, struct vn_error *err)
{
	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];
		struct link inner = { .index = plan->indexes[INNER] }, gre = { .index = plan->indexes[GRE] };

		if (plan->form.kind != FORM_PLAIN)
			continue;
		memcpy(inner.name, plan->form.names[INNER], sizeof(inner.name));
		memcpy(gre.name, plan->form.names[GRE], sizeof(gre.name));
		if (plain_join(work->fabric, &inner, &gre, &plan->spec->mac, err) < 0)
			return -1;
	}
	return 0;
}

static int
shape(struct work *work, struct vn_error *err)
{
	vn_autofree struct device_shape *shapes = vn_alloc_array(work->n_plans + 1, sizeof(*shapes));

	for (size_t i = 0; i < work->n_plans; i++) {
		memcpy(shapes[i].name, work->plans[i].form.names[PORT], sizeof(shapes[i].name));
		tunnel_ifb_name(work->plans[i].form.names[PORT], shapes[i].ifb);
		shapes[i].out = work->plans[i].spec->out;
		shapes[i].in = work->plans[i].spec->in;
	}
	return shape_devices(work->fabric, shapes, work->n_plans, err);
}

static void
undo(struct work *work)
{
	struct vn_error ignored;
	auto_batch batch = { 0 };

	for (size_t i = 0; i < work->n_plans; i++) {
		struct plan *plan = &work->plans[i];
		int way = plan->form.way_part;

		if (plan->makes_veth && plan->indexes[PORT])
			way_delete(&batch, plan->indexes[PORT], plan->form.names[PORT]);
		if (plan->makes_way && plan->form.way.index)
			way_delete(&batch, plan->form.way.index, plan->form.names[way]);
	}
	fabric_send(work->fabric, &batch, &ignored);
}

static int
carry_out(struct work *work, struct vn_error *err)
{
	auto_batch veths = { 0 };

	for (size_t i = 0; i < work->n_plans; i++)
		if (work->plans[i].makes_veth)
			append_veth(&veths, work, &work->plans[i]);
	if (fabric_send(work->fabric, &veths, err) == 0 && make_ways(work, err) == 0 &&
	    settle_parts(work, err) == 0 && join_plain(work, err) == 0 && shape(work, err) == 0)
		return 0;
	undo(work);
	return -1;
}

int
tunnels_settle(struct fabric *fabric, const struct lan_spec *lan, int bridge, bool is_new,
	       struct vn_error *err)
{
	struct work work = { .fabric = fabric, .lan = lan, .bridge = bridge, .n_plans = lan->n_tunnels,
			     .mtu = lan->mtu ? lan->mtu : 1500 };
	vn_autofree struct plan *plans = vn_alloc_array(lan->n_tunnels + 1, sizeof(*plans));

	if (is_new && !lan->n_tunnels)
		return 0;
	work.plans = plans;
	fabric_tag(fabric, lan->uuid, work.tag);
	for (size_t i = 0; i < lan->n_tunnels; i++) {
		plans[i].spec = &lan->tunnels[i];
		tunnel_form_find(lan, plans[i].spec, &plans[i].form);
	}
	if (!is_new && remove_others(&work, err) < 0)
		return -1;
	if (!lan->n_tunnels)
		return 0;
	if (look(&work, err) < 0 || remove_wrong(&work, err) < 0)
		return -1;
	return carry_out(&work, err);
}
