#pragma once
/*
 * One comparison of what is wanted with what the kernel has. Each table of the fabric is read once, by a
 * socket of the comparison's own, so that no change waits for it; then each row of `checks` in verify.c looks
 * at its kind of thing. Threads: one, but for the vnodes' namespaces, see verify_inside.c.
 */

#include "backends/difference.h"
#include "backends/netlink/fabric.h"
#include "backends/netlink/qdisc.h"

struct qdisc_row {
	int index;			/* of its device */
	struct qdisc qdisc;
};

struct look {
	struct fabric *fabric;
	const struct net_wanted *wanted;
	struct differences *ret;
	struct nl_sock *sock;		/* in the fabric; NULL: there is none */
	struct link *links;
	size_t n_links;
	const struct link **by_name, **by_index;	/* the same, in order */
	bool *claimed;			/* links that someone wants, by their place in `links` */
	struct qdisc_row *qdiscs;	/* by index */
	size_t n_qdiscs, room;
};

/* As net_ops.verify. */
int verify_net(struct net *net, const struct net_wanted *wanted, struct differences *ret,
	       struct vn_error *err);

/* ---- what the checks share ---- */

/* NULL: there is no such device in the fabric. */
const struct link *look_at(const struct look *look, const char *name);
const struct link *look_at_index(const struct look *look, int index);
/* The same; whatever has that name is accounted for. */
const struct link *look_claim(struct look *look, const char *name);
bool look_spares(const struct look *look, int64_t vmid);
bool look_spares_lan(const struct look *look, int64_t lan);
/*
 * A device that must be there and be ours, with the tag of this uuid. NULL: a difference has been told.
 */
const struct link *look_for_ours(struct look *look, const struct difference_about *about,
				 const char *uuid);
/* The chain of a device, and (may be NULL) whether it has an ingress. */
void look_chain(const struct look *look, int index, struct qdisc_chain *ret, bool *ret_ingress);

/* ---- the checks: each tells its differences; -1 and err: it could not look ---- */

int check_host(struct look *look, struct vn_error *err);	/* verify_host.c */
void check_bridge(struct look *look, const struct lan_spec *lan);	/* verify_port.c */
int check_bridges(struct look *look, struct vn_error *err);
int check_ways(struct look *look, const struct lan_spec *lan, struct vn_error *err);	/* verify_ways.c */
/* A way of a LAN, or a part of one, that its spec does not have; false: the device is none. */
bool check_stray_way(struct look *look, const struct link *link);
int check_ports(struct look *look, struct vn_error *err);
int check_insides(struct look *look, struct vn_error *err);	/* verify_inside.c */
