#pragma once
/* What the host's own network says, for the loop as well: nothing here waits for the kernel's lock. */

#include <stdbool.h>

#include "backends/netlink/socket.h"
#include "proto/base/ident.h"

struct host_route {
	bool own;			/* the address is one of the host's */
	unsigned mtu;			/* of the way there */
};

/*
 * Where the host sends packets to `to`, from `from` (family 0: whichever). The calling thread is in the
 * host's namespace. Errors: VN_E_NOT_FOUND no route.
 */
int host_route(const struct vn_cidr *from, const struct vn_cidr *to, struct host_route *ret,
	       struct vn_error *err);
/* Errors: VN_E_NOT_FOUND no such device. */
int host_device_mtu(const char *device, unsigned *ret, struct vn_error *err);
/* Whether a default route of either family leads through the device. */
bool host_has_default_route(const char *device);
