#pragma once
/* The ways out of a LAN, as documents write them: a port of the host, and tunnels to other hosts. */

#include "proto/base/ident.h"
#include "proto/schema.h"
#include "proto/shape.h"

enum tunnel_word { WAY_GRE, WAY_EGRE, WAY_VXLAN };	/* in the order of backends' enum tunnel_kind */
extern const char *const tunnel_words[];	/* gre egre vxlan */

#define VXLAN_PORT 4789			/* UDP, unless another is given */
#define BRIDGE_PORTS_MAX 1023		/* the kernel's bound: members, tunnels and the uplink together */

struct doc_tunnel {
	const char *name;		/* unique among the LAN's members and tunnels */
	int kind;			/* enum tunnel_word */
	const char *remote;		/* address of the other host */
	const char *local;		/* of this one; NULL: the kernel chooses */
	int64_t key;			/* GRE key or VXLAN network identifier; -1: none */
	int64_t port;			/* 0 = VXLAN_PORT */
	struct doc_port_shape shape;	/* as of a member: `to` is what comes from the other host */
};

struct doc_uplink {
	bool given;
	const char *device;
	int64_t vlan;			/* 0: the device as a whole */
	bool default_route;		/* may be the device of the host's default route */
};

struct doc_ways {
	bool learning;			/* preset true */
	struct doc_uplink uplink;
	struct field_array tunnels;	/* struct doc_tunnel */
};

struct doc_lan;

extern const struct field doc_ways_fields[];	/* stand inline in the LAN */

/* Whether the LAN joins just two, one of them a vnode: what one sends is what the other is sent. */
bool doc_lan_is_link(const struct doc_lan *lan);
/* Whether it leads over plain GRE, which has no Ethernet header. */
bool doc_ways_is_plain(const struct doc_ways *ways);

/* The addresses and the UDP port as they are used; *ret_local: family 0 where the kernel chooses. */
void doc_tunnel_read(const struct doc_tunnel *tunnel, struct vn_cidr *ret_local,
		     struct vn_cidr *ret_remote);
unsigned doc_tunnel_port(const struct doc_tunnel *tunnel);

/* Whether each is the other's far end: what one sends to `remote` the other receives. */
bool doc_tunnel_mirrors(const struct doc_tunnel *a, const struct doc_tunnel *b);
/*
 * What a tunnel takes of its host: two with the same claim get along only where they mirror each other.
 * VXLAN tells its networks apart by their identifiers alone, GRE by the sender's address as well.
 */
#define WAY_CLAIM 96
void doc_tunnel_claim(const struct doc_tunnel *tunnel, char ret[static WAY_CLAIM]);
/* Whether a device cannot be lent to both. */
bool doc_uplink_collides(const struct doc_uplink *a, const struct doc_uplink *b);

/*
 * What a LAN's ways tell by themselves. Errors: VN_E_INVALID, VN_E_LIMIT with the path below the LAN
 * ("/tunnels/west/remote").
 */
int doc_ways_check(const struct doc_lan *lan, struct vn_error *err);
/* What only the LANs of a document together tell. Paths begin at the document. */
int doc_ways_check_all(const struct doc_lan *lans, size_t count, struct vn_error *err);
