#pragma once
/* The routes that vnoded gives a vnode, beside the kernel's own and the guest's. */

#include "backends/backend.h"

/* As net_ops.routes_set. */
int routes_set(struct net *net, const struct ns_ref *ns, const struct route_spec *routes, size_t count,
	       struct vn_error *err);
