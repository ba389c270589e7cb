#pragma once
/* Addresses and routes of one namespace. */

#include "backends/netlink/socket.h"
#include "proto/base/ident.h"

struct address {
	int index;			/* of its device */
	struct vn_cidr cidr;
	bool link_local;		/* fe80::/10, the kernel's own doing */
};

/* All addresses of the namespace; *ret to be freed. */
int addresses_read(struct nl_sock *sock, struct address **ret, size_t *ret_count,
		   struct vn_error *err);

/*
 * Appends what makes the device have exactly `wanted`, in that order, as `found` (of all devices) shows
 * what it has; link-local addresses stay. What comes does so before anything goes: a device without an
 * address loses its routes, the guest's own too. again: add all of them in any case.
 */
void addresses_settle(struct batch *batch, int index, const char *ifname,
		      const struct vn_cidr *wanted, size_t n_wanted, const struct address *found,
		      size_t n_found, bool again);

/* Appends one address; that it is there already is fine. */
void address_add(struct batch *batch, int index, const char *ifname, const struct vn_cidr *cidr);

/* Appends the default route of the gateway's family through the device, or its removal. */
void route_default(struct batch *batch, int index, const struct vn_cidr *gateway, bool wanted);
/* Whether the device has a default route of ours, IPv4 and IPv6. */
int route_default_read(struct nl_sock *sock, int index, bool ret[static 2], struct vn_error *err);

/*
 * Fails with VN_E_EXISTS when a route of the namespace other than one through `uplink` shares
 * addresses with `network`. Default routes and the kernel's own local table do not count.
 */
int route_check_free(struct nl_sock *sock, const struct vn_cidr *network, int uplink,
		     struct vn_error *err);
