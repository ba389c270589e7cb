#pragma once
/* The fabric, links and their shapes, address translation. See backends/backend.h. */

#include <stdbool.h>
#include <stdint.h>

#include "backends/env.h"
#include "proto/base/error.h"
#include "proto/base/ident.h"

#define NET_CONTROL 0			/* LAN id of the control network; experiment LANs count from 1 */

enum shape_distribution { SHAPE_UNIFORM, SHAPE_NORMAL, SHAPE_PARETO, SHAPE_PARETONORMAL };

/* What is done to the packets of one direction of one port. All zero: nothing. */
struct shape {
	uint64_t rate_bps;		/* layer-2 bits a second, headers included; 0 = unlimited */
	uint64_t delay_ns, jitter_ns;	/* one way */
	int distribution;		/* enum shape_distribution, of the jitter */
	double loss, loss_correlation;	/* 0…1, as all below; loss applies before rate */
	double duplicate, corrupt;
	double reorder, reorder_correlation;	/* share sent at once; needs a delay */
	uint64_t limit_bytes;		/* queue limit in bytes, or */
	uint64_t limit_packets;		/* in packets; both 0: derived from rate and delay */
};

/* Both directions, as the fabric sees them: a guest can change neither. */
struct port_shape {
	int64_t vmid;
	unsigned index;
	struct shape out;		/* fabric to guest: egress of the port in the fabric */
	struct shape in;		/* guest to fabric: ingress of that port, through an IFB */
};

/* One interface of a vnode: the veth "v<vmid>e<index>" in the fabric, `ifname` inside. */
struct port_spec {
	int64_t lan;			/* id of the LAN's bridge "l<lan>", or NET_CONTROL */
	unsigned index;			/* n of v<vmid>e<n>; unique and stable per vnode */
	const char *ifname;		/* inside the guest */
	struct vn_mac mac;
	const struct vn_cidr *addresses;
	unsigned n_addresses;
	unsigned mtu;			/* bytes; 0 = 1500 */
	bool up;			/* carrier: false after lan.down */
	struct shape out, in;		/* as in port_shape; in force before the first packet */
	/* NET_CONTROL gets default routes over both gateways as well, unless no_default_route. */
	bool no_default_route;
	/*
	 * The LAN's other end is a plain GRE tunnel: no ARP and no neighbour discovery inside, and what
	 * comes from the tunnel is addressed to this port.
	 */
	bool no_arp;
};

/* What the guest behind a control port ("v<vmid>e0") may send with; all else it sends is dropped. */
struct control_spec {
	int64_t vmid;
	struct vn_mac mac;
	struct vn_cidr own4, own6;	/* family 0 = none; beside own6 the link-local address of the MAC */
};

enum tunnel_kind { TUNNEL_GRE, TUNNEL_EGRE /* gretap */, TUNNEL_VXLAN };

/*
 * A LAN's way to another host: "t<lan>n<index>", encapsulated in the host's own namespace. Where
 * `remote` is an address of this host it is a veth that waits in the fabric for the LAN whose tunnel
 * has local and remote the other way round.
 */
struct tunnel_spec {
	unsigned index;			/* unique and stable per LAN */
	int kind;			/* enum tunnel_kind */
	struct vn_cidr local, remote;	/* host addresses; family 0 of local: the kernel chooses */
	uint32_t key;			/* GRE key or VXLAN network identifier */
	bool has_key;			/* always with VXLAN */
	uint16_t port;			/* VXLAN, UDP; 0 = 4789 */
	struct shape out, in;		/* out: towards the other host */
	struct vn_mac mac;		/* GRE: of the only member, see port_spec.no_arp; zero: none yet */
};

struct tunnel_route {			/* where a tunnel leads */
	bool own;			/* to an address of this host */
	unsigned mtu;			/* of the largest packet that is not fragmented; 0: any */
};

/* A port of the host that is lent to a LAN. */
struct uplink_spec {
	const char *device;		/* NULL: none */
	unsigned vlan;			/* 1…4094; 0: the device itself, untagged and whole */
	bool default_route;		/* may be the device of the host's default route */
};

struct lan_spec {
	int64_t id;			/* bridge "l<id>" */
	const char *uuid;		/* for its tag */
	unsigned mtu;			/* bytes; 0 = 1500 */
	bool no_learning;		/* each frame goes to every port */
	struct uplink_spec uplink;
	const struct tunnel_spec *tunnels;
	unsigned n_tunnels;
};

struct route_spec {
	struct vn_cidr to;		/* prefix 0: a default route */
	struct vn_cidr via;		/* family 0: on the link */
	unsigned index;			/* of the port it leaves by; PORT_ANY: the kernel finds it by `via` */
	uint32_t metric;		/* 0 = the kernel's */
};
#define PORT_ANY (~0u)
#define ROUTE_PROTOCOL 86		/* by which routes of vnodes are known; free in the kernel's list and in iproute2's */

struct forward_spec {
	int64_t vmid;
	int protocol;			/* IPPROTO_TCP or IPPROTO_UDP */
	struct vn_cidr address;		/* host address to listen on; family 0 = all of both families */
	uint16_t host, guest;		/* ports */
	struct vn_cidr to4, to6;	/* the vnode's control addresses; family 0 = none */
};

/* ---- measuring ---- */

#define PROBE_HOPS_MAX 2
#define PROBE_UNBOUNDED UINT64_MAX	/* a rate that this host could not reach */

struct probe_end {			/* the port "v<vmid>e<index>" of a vnode */
	struct ns_ref ns;
	unsigned index;
};

/* One direction between two members of one LAN. */
struct probe_spec {
	struct probe_end from, to;
	struct shape hops[PROBE_HOPS_MAX];	/* what is wanted on the way, in its order */
	unsigned n_hops;
	unsigned phase_ms;		/* for each of delay, loss and rate */
};

/* `low` and `high` are the ends of the 99 % confidence interval. */
struct probe_result {
	struct {			/* one way; the interval is that of `measured` */
		uint64_t measured;	/* median less bare_median */
		uint64_t low, high;	/* by order statistics of both */
		uint64_t median, p99, bare_median, bare_p99;
		unsigned samples;	/* 0: none arrived, and all others are 0 */
	} delay_ns;
	struct {			/* layer-2 bits a second where the receiver has them */
		uint64_t measured;
		uint64_t low, high;	/* Student's t over slices; high may be PROBE_UNBOUNDED */
		uint64_t offered;	/* by the sender */
		uint64_t bare;		/* without a rate: what the same burst does on the bare path; else 0 */
		unsigned frames;	/* that arrived */
	} rate_bps;
	struct {
		double measured, low, high;	/* Wilson's score interval */
		unsigned sent, received;
	} loss;
};

/* Called now and then on the worker: `done` of `total` milliseconds. */
typedef void probe_progress_fn(void *arg, uint64_t done, uint64_t total);

enum net_kind { NET_BRIDGE, NET_PORT, NET_NETNS, NET_USERNS, NET_TUNNEL, NET_UPLINK };

struct net_found {			/* one object of ours, as the kernel shows it */
	enum net_kind kind;
	int64_t id;			/* LAN id or vmid */
	unsigned index;			/* NET_PORT, NET_TUNNEL */
	char uuid[VN_UUID_TEXT];	/* from its tag; "" for namespaces */
	int64_t lan;			/* but for NET_BRIDGE: bridge it is enslaved to, -1 none */
	bool up;
};

/* ---- what is to be there, for verify ---- */

struct net_vnode {
	struct ns_ref ns;
	const struct port_spec *ports;	/* the control interface's among them */
	size_t n_ports;
	const struct route_spec *routes;
	size_t n_routes;
};

struct net_spared {			/* a vnode of which nothing is said, neither missing nor surplus */
	int64_t vmid;
	struct vn_cidr to4, to6;	/* its control addresses; family 0 = none */
};

struct net_wanted {
	const struct lan_spec *lans;
	size_t n_lans;
	const struct net_vnode *vnodes;
	size_t n_vnodes;
	const struct forward_spec *forwards;
	size_t n_forwards;
	const struct net_spared *spared;
	size_t n_spared;
	const int64_t *spared_lans;
	size_t n_spared_lans;
	bool whole;			/* all there is: the host's own things are looked at too, and
					   what carries our tag and is not named here is a difference */
	bool inside;			/* the vnodes' namespaces are looked into */
};
struct differences;			/* backends/difference.h */

struct net;
struct net_ops {
	const char *name;

	int (*open)(const struct backend_env *env, struct net **ret, struct vn_error *err);
	void (*close)(struct net *self);	/* everything stays in the kernel; NULL is fine */

	/*
	 * root_pre_config_network: fabric namespace, control bridge and uplink with the gateway
	 * addresses, forwarding sysctls, nftables table. Verifies and repairs what is there.
	 * VN_E_EXISTS where control4 or control6 overlaps a route of the host: the text names it.
	 */
	int (*host_up)(struct net *self, struct vn_error *err);
	/* The inverse: everything with our tag goes, sysctls get their former values back. */
	int (*host_down)(struct net *self, struct vn_error *err);
	/* What this kernel lacks (netem, gre, vlan, …) or what stands in the way (a foreign forward
	 * chain with policy drop); sentences as compute.missing. */
	int (*missing)(struct net *self, char ***ret, struct vn_error *err);

	/*
	 * Makes or mends bridge, uplink and tunnels; tunnels and an uplink that the spec no longer names
	 * go, the uplink's device back to the host as it was. VN_E_NOT_FOUND: no such host device;
	 * VN_E_DENIED: it carries the host's default route; VN_E_BUSY: another LAN has it whole.
	 */
	int (*lan_up)(struct net *self, const struct lan_spec *lan, struct vn_error *err);
	int (*lan_down)(struct net *self, int64_t lan, struct vn_error *err);
	/*
	 * loop: where a tunnel would lead. VN_E_UNSUPPORTED: the kernel lacks what it needs (known after
	 * host_up); VN_E_INVALID: no route to remote, or local is no address of this host. The path is
	 * that of the field below the tunnel ("/remote").
	 */
	int (*tunnel_route)(struct net *self, const struct tunnel_spec *tunnel,
			    struct tunnel_route *ret, struct vn_error *err);
	/*
	 * loop: whether a device may be lent, whoever has it now; *ret_mtu: of the device. Errors as of
	 * lan_up, and VN_E_UNSUPPORTED, with the path below the uplink ("/device").
	 */
	int (*uplink_check)(struct net *self, const struct uplink_spec *uplink, unsigned *ret_mtu,
			    struct vn_error *err);

	/* Makes and pins the namespaces, with loopback up. Existing pins are checked to be namespaces. */
	int (*namespaces_up)(struct net *self, const struct ns_ref *ns, struct vn_error *err);
	/* Unpins; the kernel removes all ports with them. Ports still in the fabric go too. */
	int (*namespaces_down)(struct net *self, const struct ns_ref *ns, struct vn_error *err);

	/*
	 * Makes or mends these ports; other ports of the vnode are left alone. One batch. From before a
	 * control port is there it sends with its own MAC and addresses only.
	 */
	int (*ports_up)(struct net *self, const struct ns_ref *ns, const struct port_spec *ports,
			size_t n_ports, struct vn_error *err);
	/*
	 * Makes the routes in a vnode's namespace that came from here exactly these; the kernel's own
	 * and the guest's stay. VN_E_INVALID: a `via` that no address of the vnode reaches.
	 */
	int (*routes_set)(struct net *self, const struct ns_ref *ns, const struct route_spec *routes,
			  size_t count, struct vn_error *err);
	int (*ports_down)(struct net *self, const struct ns_ref *ns, const unsigned *indexes,
			  size_t n_indexes, struct vn_error *err);
	/* Lets exactly these control ports send, each with what is its own; for start-up. */
	int (*control_sync)(struct net *self, const struct control_spec *ports, size_t count,
			    struct vn_error *err);
	/* Sets the carrier of ports (lan.up, lan.down), all or none, without touching the guests. */
	int (*ports_carrier)(struct net *self, const int64_t *vmids, const unsigned *indexes,
			     size_t count, bool up, struct vn_error *err);
	/*
	 * Gives live ports these shapes, all or none, without rebuilding them: what a shape keeps goes on
	 * undisturbed. VN_E_NOT_FOUND: a port is not there; VN_E_UNSUPPORTED: the kernel lacks what a
	 * shape needs, the text names the module.
	 */
	int (*ports_shape)(struct net *self, const struct port_shape *ports, size_t count,
			   struct vn_error *err);
	/*
	 * loop: VN_E_UNSUPPORTED where this kernel cannot do what is asked, the text naming the module;
	 * the path is that of the field below the shape ("/delay"). Known after host_up.
	 */
	int (*shape_check)(struct net *self, const struct shape *shape, struct vn_error *err);

	/*
	 * loop: holds the host port with a bound, non-listening socket until released. VN_E_EXISTS:
	 * another program has it (the text names the port).
	 */
	int (*forward_reserve)(struct net *self, const struct forward_spec *forward,
			       struct vn_error *err);
	void (*forward_release)(struct net *self, const struct forward_spec *forward);
	/* Adds or removes rules of forwards in one nftables transaction. */
	int (*forwards_up)(struct net *self, const struct forward_spec *forwards, size_t count,
			   struct vn_error *err);
	int (*forwards_down)(struct net *self, const struct forward_spec *forwards, size_t count,
			     struct vn_error *err);
	/* Makes the table hold exactly these; for start-up. */
	int (*forwards_sync)(struct net *self, const struct forward_spec *forwards, size_t count,
			     struct vn_error *err);

	/* All objects of ours in the fabric and the run folder, from one dump; *ret to be freed. */
	int (*inventory)(struct net *self, struct net_found **ret, size_t *ret_count,
			 struct vn_error *err);

	/*
	 * Measures one direction with frames of its own between the two interfaces; their guests need
	 * not run. The bare path, of the same make without shapes, is measured in the same run.
	 * *cancelled is read (atomically) at least ten times a second: true ends with VN_E_CANCELLED.
	 * VN_E_NOT_FOUND: a port is not there; VN_E_STATE: one is down, or went away meanwhile.
	 */
	int (*probe)(struct net *self, const struct probe_spec *spec, const bool *cancelled,
		     probe_progress_fn *progress, void *arg, struct probe_result *ret,
		     struct vn_error *err);
	/*
	 * Compares all that is wanted with what the kernel has and appends each difference to *ret, also
	 * when it fails. Changes nothing, and takes no lock that a change would wait for long.
	 */
	int (*verify)(struct net *self, const struct net_wanted *wanted, struct differences *ret,
		      struct vn_error *err);
	/*
	 * loop: from now on on_change(arg) is called on the loop, never from inside, after something in
	 * the fabric or of the uplink may have changed by a foreign hand; also after own changes that
	 * cannot be told from such. To be called again after host_up, and with on_change NULL before
	 * host_down; both end what was before.
	 */
	int (*watch)(struct net *self, watch_fn *on_change, void *arg, struct vn_error *err);
};

struct net {
	const struct net_ops *ops;
};
