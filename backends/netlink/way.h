#pragma once
/*
 * What tunnels and uplinks share: devices that are made over a socket in the host's namespace, where
 * their outer side stays, and born in the fabric. Their alias can only be set over another socket; what
 * a crash leaves between the two is known by its device group.
 */

#include "backends/netlink/fabric.h"

#define WAY_GROUP 0x766e0000u		/* of everything that is made so */
#define WAY_WAS_DOWN 1u			/* added to it: the host's device was down before it was lent */

struct way {
	struct link link;
	size_t size;			/* of `data`, what the kind tells of itself (IFLA_INFO_DATA) */
	_Alignas(4) unsigned char data[640];
};

/* Looks up by name in the fabric; absent ones get index 0. */
int ways_find(struct fabric *fabric, const char (*names)[16], size_t count, struct way *ret,
	      struct vn_error *err);
/* Whether the device is of this instance, and of this LAN; uuid NULL: of any. */
bool way_is_ours(const struct fabric *fabric, const struct link *link, const char *uuid);

/* Puts the attributes of a kind into its data. */
typedef void way_put_fn(struct nl_msg *message, const void *spec);

/* What is to be made, or to be there. */
struct way_spec {
	const char *name, *kind;
	way_put_fn *put;
	const void *spec;
	unsigned mtu;
	uint32_t flags;			/* beside WAY_GROUP */
	int lower;			/* index of the host's device below it; 0: none */
	int flags_attr;			/* data to which the kernel adds bits of its own; 0: none */
	int index;			/* chosen by whoever makes it */
};

/* Whether the device is of that kind, over that device, with that data. */
bool way_matches(const struct way *way, const struct way_spec *spec);
/* Appends the creation to a batch for the host's socket. fabric_fd: the fabric's namespace. */
void way_create(struct batch *batch, const struct way_spec *spec, int fabric_fd);
/*
 * The same, with its tag, for the fabric's socket. Until Linux 6.15 devices of ip_tunnel (GRE) take the
 * namespace in which they are made for their outer side: the kernel makes them in the host's, `nsid`, and
 * moves them here, all within one message.
 */
void way_create_moved(struct batch *batch, const struct way_spec *spec, int nsid, const char *tag);
/* The number by which the fabric knows the host's namespace. */
int way_host_nsid(struct fabric *fabric, int *ret, struct vn_error *err);
/* Appends the tag, the MTU, the bridge (0: none) and up to a batch for the fabric, where they differ. */
void way_settle(struct batch *batch, const struct way_spec *spec, const struct link *found,
		const char *tag, int bridge);
/* Appends the removal to a batch for the fabric. */
void way_delete(struct batch *batch, int index, const char *name);
