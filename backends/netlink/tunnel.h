#pragma once
/* Tunnels of LANs: made, mended and removed with their bridge. */

#include "backends/netlink/way.h"

/* "t<lan>n<index>": the tunnel's port of the bridge, unless it leads to this host. */
void tunnel_name(int64_t lan, unsigned index, char name[static 16]);
bool tunnel_name_parse(const char *name, int64_t *ret_lan, unsigned *ret_index);
/* "w<lan>n<index>" and "g<lan>n<index>": what stands behind the port of plain GRE. */
bool plain_name_parse(const char *name, int64_t *ret_lan, unsigned *ret_index);
/* Whether the name is that of an end of a link between two LANs of this host. */
bool tunnel_name_is_own(const char *name);

/* "i" and the name of a tunnel's port: its IFB, if what it brings is or was shaped. */
void tunnel_ifb_name(const char *port, char name[static 16]);
bool tunnel_ifb_name_is(const char *name);

enum tunnel_part { TUNNEL_PORT, TUNNEL_INNER /* the veth's other end */, TUNNEL_GRE_DEVICE, TUNNEL_PARTS };

struct tunnel_form {
	enum { FORM_WAY, FORM_PLAIN, FORM_OWN } kind;
	unsigned n_parts;		/* the first of enum tunnel_part */
	char names[TUNNEL_PARTS][16];
	struct way_spec way;		/* of an own one: nothing */
	int way_part;			/* which part that is */
};

/* Of what form a tunnel is to be, now; *ret is not to be moved. Thread: in the host's namespace. */
void tunnel_form_find(const struct lan_spec *lan, const struct tunnel_spec *spec,
		      struct tunnel_form *ret);

/* Members of net_ops. */
int tunnel_route(struct net *net, const struct tunnel_spec *tunnel, struct tunnel_route *ret,
		 struct vn_error *err);

/*
 * Makes the tunnels of a LAN those of the spec, whole or not at all but for those that went. Called
 * with ways_lock held. bridge: its index; is_new: it has no ports yet.
 */
int tunnels_settle(struct fabric *fabric, const struct lan_spec *lan, int bridge, bool is_new,
		   struct vn_error *err);
/* Appends the removal of those of `ports` that are tunnels of ours. */
int tunnels_remove(struct fabric *fabric, const struct link *ports, size_t count,
		   struct vn_error *err);

/* ---- the kinds (tunnel_kind.c) ---- */

/* The kernel's word for a tunnel's kind over that family of addresses. */
const char *tunnel_kind_word(const struct tunnel_spec *tunnel);
/* way_put_fn of each; spec: a struct tunnel_spec. */
void tunnel_put_data(struct nl_msg *message, const void *spec);
/* way_spec.flags_attr of each. */
int tunnel_flags_attr(const struct tunnel_spec *tunnel);

/* ---- plain GRE (plain.c) ---- */

/*
 * Leads what enters `inner` (a veth's end) into the GRE device and back, where it gets an Ethernet
 * header for `mac`. Repeats settle what is there.
 */
int plain_join(struct fabric *fabric, const struct link *inner, const struct link *gre,
	       const struct vn_mac *mac, struct vn_error *err);
/* After the LAN's port was made: what comes from its tunnel is addressed to it from now on. */
int plain_aim(struct fabric *fabric, int64_t lan, const struct vn_mac *mac, struct vn_error *err);
/* Whether the kernel can do it; appended to a batch of attempts. */
void plain_try(struct batch *batch);
