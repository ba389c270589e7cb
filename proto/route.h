#pragma once
/* Routes of a vnode, as documents write them. */

#include "proto/base/ident.h"
#include "proto/schema.h"

struct doc_route {
	const char *to;			/* a network, or "default" */
	const char *via;		/* an address that one of the vnode's interfaces reaches */
	int64_t metric;			/* 0 = the kernel's */
};

extern const struct field doc_route_fields[];

/*
 * Reads one. Errors: VN_E_INVALID with the path below the route: families that differ, bits of a host in
 * a network.
 */
int doc_route_read(const struct doc_route *route, struct vn_cidr *ret_to, struct vn_cidr *ret_via,
		   struct vn_error *err);
