#pragma once
/* The routes that vnoded gives a vnode, beside the kernel's own and the guest's. */

#include "backends/backend.h"
#include "backends/netlink/socket.h"

struct route_row {
	struct vn_cidr to, via;		/* via.family 0: on the link */
	int device;			/* 0: whichever reaches `via` */
	uint32_t metric;
	bool is_default;		/* not by vnoded.routes_set: a default route by hand or by port_up */
};

struct route_rows {			/* zero it to begin; free(rows.list) ends it */
	struct route_row *list;
	size_t count;
};

/* Those of routes_set, and static default routes, of the socket's namespace. */
int routes_read(struct nl_sock *sock, struct route_rows *rows, struct vn_error *err);
/* What the kernel shows for a route; device: by which it leaves, 0: whichever. */
struct route_row route_row_of(const struct route_spec *spec, int device);
bool route_is_same(const struct route_row *a, const struct route_row *b);
bool route_rows_have(const struct route_rows *rows, const struct route_row *one);
/* "10.9.0.0/16 via 10.1.0.2 metric 7". */
#define ROUTE_TEXT (2 * VN_CIDR_TEXT + 32)
void route_print(const struct route_row *row, char text[static ROUTE_TEXT]);

/* As net_ops.routes_set. */
int routes_set(struct net *net, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
	       struct vn_error *err);
