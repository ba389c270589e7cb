/*
 * Tunnels and uplinks: each device that a LAN's ways are made of, in its bridge, with what the kernel was told
 * of it, and its shapes. What a LAN has beside them is the LAN's to mend: lan_up takes it away.
 */
#include "backends/netlink/verify.h"

#include <inttypes.h>
#include <net/if.h>
#include <string.h>

#include "backends/netlink/lan.h"
#include "backends/netlink/shape.h"
#include "backends/netlink/tunnel.h"
#include "backends/netlink/uplink.h"

/* What all these devices have in common; NULL: it is not there, or not ours, which has been told. */
static const struct link *
check_device(struct look *look, const struct lan_spec *lan, const struct difference_about *about,
	     const char *kind, bool is_port)
{
	const struct link *link = look_for_ours(look, about, lan->uuid), *master;
	char bridge[16];

	if (!link || !difference_text(look->ret, about, "type", kind, link->kind))
		return NULL;
	lan_name(lan->id, bridge);
	master = link->master ? look_at_index(look, link->master) : NULL;
	difference_text(look->ret, about, "bridge", is_port ? bridge : NULL, master ? master->name : NULL);
	difference_number(look->ret, about, "mtu", lan->mtu ? lan->mtu : 1500, link->mtu);
	difference_flag(look->ret, about, "up", true, (link->flags & IFF_UP) != 0);
	return link;
}

static void
check_shape(struct look *look, int64_t lan, const struct link *link, const struct shape *shape,
	    unsigned mtu)
{
	struct difference_about about = difference_about("qdisc", 0, PORT_ANY, lan, "%s", link->name);
	struct qdisc_chain want, have;

	qdisc_chain_make(shape, mtu, &want);
	look_chain(look, link->index, &have, NULL);
	qdisc_chain_differ(look->ret, &about, &want, &have);
}

/* The IFB may stay when what it was made for has gone. */
static void
check_shapes(struct look *look, const struct lan_spec *lan, const struct tunnel_spec *spec,
	     const struct link *port)
{
	struct difference_about about;
	const struct link *ifb;
	char name[16];

	check_shape(look, lan->id, port, &spec->out, port->mtu);
	tunnel_ifb_name(port->name, name);
	about = difference_about("ifb", 0, PORT_ANY, lan->id, "%s", name);
	ifb = !shape_is_none(&spec->in) || look_at(look, name) ? look_for_ours(look, &about, lan->uuid) : NULL;
	if (ifb)
		check_shape(look, lan->id, ifb, &spec->in, port->mtu);
}

/* Whether the kernel has of it what it was told: key, addresses, port. */
static int
check_parameters(struct look *look, const struct difference_about *about, const struct way_spec *spec,
		 struct vn_error *err)
{
	char name[1][16];
	struct way way;

	memcpy(name[0], spec->name, strlen(spec->name) + 1);
	if (ways_find(look->fabric, (const char (*)[16])name, 1, &way, err) < 0)
		return -1;
	if (way.link.index)
		difference_flag(look->ret, about, "parameters", true, way_matches(&way, spec));
	return 0;
}

static int
check_tunnel(struct look *look, const struct lan_spec *lan, const struct tunnel_spec *spec,
	     struct vn_error *err)
{
	struct tunnel_form form;

	tunnel_form_find(lan, spec, &form);
	for (unsigned part = 0; part < form.n_parts; part++) {
		struct difference_about about = difference_about("tunnel", 0, PORT_ANY, lan->id, "%s",
								 form.names[part]);
		bool is_way = form.kind != FORM_OWN && (int)part == form.way_part;
		const struct link *link;

		if (form.kind == FORM_OWN && part == TUNNEL_INNER) {
			look_claim(look, form.names[part]);	/* the other LAN's, or waiting */
			continue;
		}
		link = check_device(look, lan, &about, is_way ? form.way.kind : "veth",
				    part == TUNNEL_PORT);
		if (link && part == TUNNEL_PORT)
			check_shapes(look, lan, spec, link);
		if (link && is_way && check_parameters(look, &about, &form.way, err) < 0)
			return -1;
	}
	return 0;
}

int
check_ways(struct look *look, const struct lan_spec *lan, struct vn_error *err)
{
	struct difference_about about;
	char name[16];

	uplink_name(lan->id, name);
	about = difference_about("uplink", 0, PORT_ANY, lan->id, "%s", name);
	if (lan->uplink.device)
		check_device(look, lan, &about, uplink_kind_word(&lan->uplink), true);
	for (unsigned i = 0; i < lan->n_tunnels; i++)
		if (check_tunnel(look, lan, &lan->tunnels[i], err) < 0)
			return -1;
	return 0;
}

/* ---- what nobody asked for ------------------------------------------------------------------- */

static bool
is_wanted_lan(const struct look *look, int64_t lan)
{
	for (size_t i = 0; i < look->wanted->n_lans; i++)
		if (look->wanted->lans[i].id == lan)
			return true;
	return false;
}

/* Parts of a way go with its port, of which is told; an end of a link between LANs may wait. */
bool
check_stray_way(struct look *look, const struct link *link)
{
	struct difference_about about;
	const char *kind = "tunnel";
	unsigned index;
	int64_t lan;

	if (tunnel_ifb_name_is(link->name) || tunnel_name_is_own(link->name) ||
	    plain_name_parse(link->name, &lan, &index))
		return true;
	if (!tunnel_name_parse(link->name, &lan, &index)) {
		if (!uplink_name_parse(link->name, &lan))
			return false;
		kind = "uplink";
	}
	about = difference_about(kind, 0, PORT_ANY, lan, "%s", link->name);
	if (look_spares_lan(look, lan))
		return true;
	if (is_wanted_lan(look, lan))
		difference_flag(look->ret, &about, "exists", false, true);
	else
		difference_surplus(look->ret, &about);
	return true;
}
