#pragma once
/*
 * The contracts between the daemon and what it steers: compute (guests), net (fabric, links, address
 * translation), disk (images and root file systems). Included by daemon code that holds a handle and
 * by the backends themselves. A backend includes nothing of daemon/.
 *
 * Common to all three:
 * Threads: `open` and `close` on the loop thread; what is marked "loop" on the loop thread, where it
 *   must not block; every other call on a worker, where it may block. Two calls never name the same
 *   vnode at once, but any number of workers may be inside one backend, so what calls share is
 *   guarded inside.
 * Repeats: each call is safe to repeat. Making what is there, and removing what is absent, succeed:
 *   jobs are replayed after a crash.
 * Whole or nothing: a call that fails has removed what it made.
 * Errors:  -1 with err set. VN_E_BACKEND carries the library's own text.
 * Memory:  arguments are borrowed for the call unless said otherwise; outputs are the caller's.
 * Ownership: objects carry the tag "vnoded:<instance>:<vnode or LAN uuid>". What does not carry the
 *   own instance's tag is never touched; a foreign object in the way is VN_E_EXISTS.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/disk_type.h"
#include "proto/base/error.h"
#include "proto/base/ident.h"

/* ---- the loop, as backends see it ------------------------------------------------------------ */

#define WATCH_READ  1u
#define WATCH_WRITE 2u

struct watch;			/* one registered descriptor or timer; opaque, owned by the loop */

typedef void watch_fd_fn(int fd, unsigned what, void *arg);
typedef void watch_fn(void *arg);

/* Handed to every backend at open; `loop` is the first argument of each call. */
struct watch_ops {
	void *loop;
	/* Calls fn on the loop thread each time fd is ready (level-triggered) until removed. */
	struct watch *(*add_fd)(void *loop, int fd, unsigned what, watch_fd_fn *fn, void *arg);
	/* Calls fn once, after_ms milliseconds from now. The watch must be removed, fired or not. */
	struct watch *(*add_timer)(void *loop, unsigned after_ms, watch_fn *fn, void *arg);
	/* Frees a watch of either kind; NULL is fine. May be called from its own callback. */
	void (*remove)(void *loop, struct watch *watch);
	/* From any thread: calls fn(arg) on the loop thread, in the order of posting. */
	void (*post)(void *loop, watch_fn *fn, void *arg);
};

/* What every backend is opened with. Borrowed until close. */
struct backend_env {
	const struct watch_ops *watch;
	const char *instance;		/* uuid of this installation */
	const char *state_dir;		/* /var/lib/vnoded: survives a reboot */
	const char *run_dir;		/* /run/vnoded: does not */
	const char *libexec_dir;	/* where vnode-init and vnode-helper are */
	const char *libvirt_uri;	/* "lxc:///system" */
	const char *fabric;		/* name of the fabric's network namespace */
	const char *nft_table;		/* name of our nftables table (family inet) */
	struct vn_cidr control4;	/* 198.18.0.0/16: network address; the gateway is the first host */
	struct vn_cidr control6;	/* fdxx:…::/64 likewise */
	bool control_isolation;		/* vnodes reach each other over the control network by forwards only */
	const struct vn_cidr *nat_except;	/* networks to which vnodes go with their own address */
	size_t n_nat_except;
	const char *lvm_group, *lvm_pool;	/* where disks of type lvm-thin are; NULL: nowhere */
};

/* ---- a vnode's pinned namespaces ------------------------------------------------------------- */

/*
 * Each vnode owns a user namespace and a network namespace owned by it, pinned by bind mounts under
 * run_dir. The names are derived, so that they are known without asking: <run_dir>/netns/vnoded-<vmid>
 * and <run_dir>/userns/vnoded-<vmid>. The fabric is <run_dir>/netns/<fabric>.
 */
struct ns_ref {
	int64_t vmid;
	const char *uuid;		/* of the vnode, for tags */
	const char *netns;		/* path of the pin */
	const char *userns;		/* path of the pin; NULL: privileged, no user namespace of its own */
	uint32_t idmap_base;		/* guest id 0 is this host id; 65,536 ids; unused when privileged */
};

/* ---- compute --------------------------------------------------------------------------------- */

struct guest_spec {
	const char *domain;		/* "vnoded-<8 of instance>-<vmid>" */
	const char *uuid;
	const char *title;		/* "<topology>/<name>", shown by virsh; never parsed */
	const char *hostname;
	const char *root;		/* mounted root directory, in the host's mount namespace, and all
					   that is mounted in it */
	struct ns_ref ns;
	uint64_t memory_bytes;		/* 0 = no limit */
	unsigned vcpus;			/* 0 = no limit; else that many processors' worth of time */
	unsigned pids;			/* 0 = no limit */
	const char *const *init;	/* argv of the guest's PID 1, NULL-terminated; NULL: /sbin/init */
	const char *dir;		/* <state_dir>/vnodes/<vmid>: status and console ring live here */
	uint64_t console_bytes;		/* size of the console ring */
};

/* Who is running, exact across reuse of pids. All zero: nobody. Survives vnoded as a database row. */
struct guest_id {
	pid_t controller;		/* libvirt_lxc, or QEMU */
	pid_t init;			/* vnode-init; its end is the guest's end */
	uint64_t init_start;		/* field 22 of /proc/PID/stat */
	pid_t guest;			/* the guest's own PID 1, in our PID namespace */
	uint64_t guest_start;
};

enum exit_cause {
	EXIT_UNKNOWN, EXIT_POWEROFF, EXIT_REBOOT, EXIT_EXITED, EXIT_SIGNALLED, EXIT_OOM, EXIT_KILLED,
	EXIT_HALTED,
};

struct guest_exit {
	enum exit_cause cause;		/* never EXIT_HALTED: only the daemon knows that it halted */
	int code;			/* EXIT_EXITED */
	int signal;			/* EXIT_SIGNALLED, EXIT_KILLED (SIGKILL from outside the guest) */
};

enum guest_state { GUEST_ABSENT, GUEST_RUNNING, GUEST_DEAD /* known to libvirt, nobody runs */ };

struct guest_status {
	enum guest_state state;
	struct guest_id id;
	uint64_t netns_inode;		/* of the running guest's init; compared with the pin */
};

struct guest_found {			/* one guest that carries our tag */
	char domain[64];
	char uuid[VN_UUID_TEXT];
	enum guest_state state;
};

struct exec_spec {
	const char *const *argv;	/* NULL-terminated, argv[0] looked up in the guest's PATH */
	const char *const *env;		/* "NAME=value", NULL-terminated; added to PATH, HOME, TERM; or NULL */
	const char *cwd;		/* NULL: the user's home, or / */
	const char *user;		/* name or number in the guest's passwd; NULL: root */
	bool tty;			/* make a terminal in the guest; *ret_master is its master */
	int fds[3];			/* stdin, stdout, stderr; borrowed; unused with tty */
};

struct exec;				/* a running command; owned by the backend until on_exec_end returned */

struct exec_result {
	int exit_code;			/* -1 when signalled */
	int signal;			/* 0 when exited */
};

/* How a compute backend tells what happened; all on the loop thread. */
struct compute_events {
	void *arg;
	/*
	 * A watched guest has ended; its processes may still be on their way out, `stop` waits for them.
	 * Once per watch; the watch is over.
	 */
	void (*on_exit)(void *arg, const char *uuid, const struct guest_exit *exit);
	/* The hypervisor's daemon went away (up = false) or is back (true). */
	void (*on_link)(void *arg, bool up, const char *text);
};

struct compute;
struct compute_ops {
	const char *name;		/* "lxc", "fake": the word in topology files */

	/* Succeeds without libvirtd: calls then fail until it is there, and on_link tells. */
	int (*open)(const struct backend_env *env, const struct compute_events *events,
		    struct compute **ret, struct vn_error *err);
	void (*close)(struct compute *self);	/* guests live on; NULL is fine */

	/*
	 * Starts the guest and returns when its PID 1 has been executed. A guest of that domain that
	 * already runs with that uuid is left alone and reported. Before the guest's first
	 * instruction its network namespace is compared with the pin: a difference is VN_E_BACKEND
	 * and nothing runs. Dying in here leaves either nothing or a running guest that `probe` finds.
	 */
	int (*start)(struct compute *self, const struct guest_spec *spec, struct guest_id *ret,
		     struct vn_error *err);
	/*
	 * Ends the guest: asks politely, waits up to grace_ms (0: no asking) for its init to end, kills,
	 * and returns when neither the process nor the domain is there any more. Also cleans up after a
	 * guest that ended by itself. id may be NULL or zero. If libvirtd is unreachable the processes
	 * are ended by id and VN_E_BACKEND tells that the domain could not be removed.
	 */
	int (*stop)(struct compute *self, const char *domain, const char *uuid,
		    const struct guest_id *id, unsigned grace_ms, struct vn_error *err);
	int (*probe)(struct compute *self, const char *domain, const char *uuid,
		     struct guest_status *ret, struct vn_error *err);
	/* All guests with our tag; *ret to be freed. */
	int (*list)(struct compute *self, struct guest_found **ret, size_t *ret_count,
		    struct vn_error *err);
	/* Changes limits of a running guest at once; 0 = no limit. VN_E_UNSUPPORTED where it cannot. */
	int (*set_limits)(struct compute *self, const struct guest_spec *spec,
			  const struct guest_id *id, struct vn_error *err);
	/* What this machine lacks, a sentence each, NULL-terminated; *ret and its strings to be freed. */
	int (*missing)(struct compute *self, char ***ret, struct vn_error *err);

	/*
	 * loop: from now on `on_exit` tells the end of this guest. If it has ended already, on_exit is
	 * called soon (never from inside). dir: where its status file is (guest_spec.dir).
	 */
	int (*watch)(struct compute *self, const char *domain, const char *uuid, const char *dir,
		     const struct guest_id *id, struct vn_error *err);
	void (*unwatch)(struct compute *self, const char *uuid);	/* loop; unknown is fine */
	/* loop: whether exactly this process (pid and start time) lives; no libvirt involved. */
	bool (*is_alive)(struct compute *self, const struct guest_id *id);

	/*
	 * loop: runs a command inside, in all namespaces, the cgroup and the capability bounding set of
	 * the guest. Returns at once. on_end(arg, result or NULL, err) is called once, on the loop;
	 * a command that cannot be run ends with exit_code 126 or 127 as a shell would say it, anything
	 * that prevents even trying with result NULL and err. *ret_master (tty only) is the caller's.
	 */
	int (*exec)(struct compute *self, const struct guest_id *id, const struct exec_spec *spec,
		    void (*on_end)(void *arg, const struct exec_result *result,
				   const struct vn_error *err),
		    void *arg, struct exec **ret, int *ret_master, struct vn_error *err);
	/* loop: sends a signal to the command's session; on_end still follows. */
	void (*exec_signal)(struct compute *self, struct exec *exec, int signal);

	/* loop: a connected stream socket to the guest's console (recent output first, then live). */
	int (*console)(struct compute *self, const char *dir, int *ret_fd, struct vn_error *err);
};

struct compute {			/* first member of every backend's own struct */
	const struct compute_ops *ops;
};

/* ---- net ------------------------------------------------------------------------------------- */

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

/* ---- disk ------------------------------------------------------------------------------------ */

/* The types of disks are in proto/base/disk_type.h. */

struct disk_extra {			/* a disk beside a vnode's root: <state_dir>/extra/<vmid>/<name> */
	const char *name;		/* vn_name_check */
	uint64_t size_bytes;
	int filesystem;			/* enum disk_filesystem */
	const char *mount;		/* where the guest finds it, absolute; NULL: nowhere */
};

/*
 * Images are unpacked once, to <state_dir>/images/<sha256>/root (a disk image: put to …/disk) with the
 * finished marker <state_dir>/images/<sha256>/finished, written and synced last. An image may be a layer
 * on another one, its base, which its marker names. A vnode's disk is
 * <state_dir>/disks/<vmid>/ (overlay: upper, work; reflink: root; qcow2: disk.qcow2;
 * lvm-thin: volume, which names it); its mounted root is <run_dir>/root/<vmid>.
 */
struct disk_spec {
	int64_t vmid;
	const char *uuid;		/* NULL, for destroy and unmount: whoever's it was */
	const char *image_sha256;
	int type;			/* enum disk_type; unused by destroy and unmount */
	uint64_t size_bytes;		/* of a type that knows one; 0: its image's */
	const char *userns;		/* as in ns_ref: NULL = privileged, ids not shifted */
	uint32_t idmap_base;
	const struct disk_extra *extras;	/* for extras_up, extras_keep and mount */
	size_t n_extras;
};

enum guest_file_how {
	GUEST_FILE_PUT,			/* takes the place of what is there, also of a link */
	GUEST_FILE_STRICT,		/* the same, but a link on the way or at the end is VN_E_INVALID */
	GUEST_FILE_LINK,		/* a symbolic link to `text`, which must lead to a file: VN_E_INVALID */
	GUEST_FILE_PASSWORD,		/* root's hash in a file as of shadow(5) becomes `text`; without the
					   file, or root in it, nothing */
	GUEST_FILE_REMOVE,		/* goes, if it begins with `text` */
	GUEST_FILE_PRUNE,		/* all go that have `path` and more as theirs, begin with `text`, and
					   are none of this call's */
};

struct guest_file {			/* a file written into a mounted root */
	const char *path;		/* absolute inside the guest */
	const char *text;
	unsigned mode;
	enum guest_file_how how;
	uint32_t uid, gid;		/* inside the guest */
	unsigned folder_mode;		/* of the folder it is in, where that has to be made; 0 = 0755 */
	const char *source;		/* a file of the host to copy, GUEST_FILE_BYTES at most; or NULL */
	const char *const *where;	/* only in a root that has one of these; NULL-terminated; NULL: in any */
	const char *field;		/* what asked for it, for errors: "/files/0"; or NULL */
};
#define GUEST_FILE_BYTES (1u << 20)

struct unpack_limits {
	uint64_t bytes;			/* unpacked size; of a disk, the size that a guest sees */
	uint64_t entries;
	/* What all images may take together; *storage_used is raised as this one is written (atomically),
	 * and falls again on failure. NULL: no such limit. */
	uint64_t storage_bytes;
	uint64_t *storage_used;
};

enum image_format { IMAGE_DETECT, IMAGE_TAR, IMAGE_RAW, IMAGE_QCOW2 };
#define IMAGE_LAYERS_MAX 32

struct image_spec {
	const char *path;		/* the archive or the disk; its digest has been checked */
	const char *sha256;
	int format;			/* enum image_format */
	const char *base;		/* sha256 of the image below; NULL: none */
	void *arg;
	/* So much of the file has been read; now and then, on any thread. NULL: nobody wants to know. */
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);
};

struct image_facts {
	uint64_t bytes;			/* that it takes, unpacked */
	uint64_t virtual_bytes;		/* of a disk, as a guest sees it; else 0 */
	int format;			/* enum image_format, never IMAGE_DETECT */
	char base[65];			/* "" none */
};

#define DISK_KEEP_BYTES (8u << 20)

struct capture_spec {
	const char *path;		/* the archive to write; replaced if there */
	bool delta;			/* only what differs from the vnode's image */
	/*
	 * Absolute paths that vnoded writes into this guest, NULL-terminated; or NULL. They are its own and no
	 * image's: of such, and of what else makes a machine that machine (its ssh host keys, its machine-id),
	 * the archive has what the vnode's image has, or nothing.
	 */
	const char *const *own;
	uint64_t limit_bytes;		/* of all files' contents; 0 = none */
	uint64_t limit_entries;
	void *arg;
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);	/* bytes; on the caller's thread */
};

struct capture_facts {
	char sha256[65];
	uint64_t bytes;			/* of the archive */
};

enum disk_kind { DISK_IMAGE, DISK_IMAGE_PARTIAL, DISK_VNODE, DISK_MOUNT, DISK_TRASH, DISK_EXTRA };

struct disk_found {
	enum disk_kind kind;
	int64_t vmid;			/* DISK_VNODE, DISK_MOUNT, DISK_EXTRA */
	char name[80];			/* sha256, or name in the trash; of an extra disk, "" their folder */
	struct image_facts facts;	/* DISK_IMAGE, from its marker */
};

struct disk;
struct disk_ops {
	const char *name;		/* "local", "fake" */

	int (*open)(const struct backend_env *env, struct disk **ret, struct vn_error *err);
	void (*close)(struct disk *self);

	/* root_pre_config: folders, file system features, free space. */
	int (*host_up)(struct disk *self, struct vn_error *err);
	int (*host_down)(struct disk *self, struct vn_error *err);	/* unmounts all of ours */
	int (*missing)(struct disk *self, char ***ret, struct vn_error *err);
	/* loop: VN_E_UNSUPPORTED where this host cannot have disks of that type, the text saying why.
	 * Known after host_up. */
	int (*type_check)(struct disk *self, int type, struct vn_error *err);

	/*
	 * Unpacks an archive, or stores a disk, as image spec->sha256. There already is fine.
	 * *cancelled is read between entries (atomically): true ends with VN_E_CANCELLED.
	 * *progress_bytes is raised as archive bytes are read (atomically).
	 * VN_E_INVALID: no archive or disk, truncated, an entry outside the root, a limit;
	 * VN_E_LIMIT: disk full, or limits->storage_bytes; VN_E_NOT_FOUND: the base;
	 * VN_E_EXISTS: it is there as a layer on another base; VN_E_STATE: too long a chain, or a circle.
	 */
	int (*image_unpack)(struct disk *self, const struct image_spec *spec,
			    const struct unpack_limits *limits, const bool *cancelled,
			    uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err);
	/* VN_E_STATE: a disk or another image is built on it. */
	int (*image_remove)(struct disk *self, const char *sha256, struct vn_error *err);
	/* VN_E_NOT_FOUND unless the image is there and finished, with all that it is a layer on. */
	int (*image_check)(struct disk *self, const char *sha256, struct vn_error *err);

	/* VN_E_UNSUPPORTED: such an image is nothing for a disk of that type; or as type_check. */
	int (*create)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/*
	 * A fresh disk in the place of what is there, on whatever image it was. The new one is made
	 * first and takes the old one's place at once: a failure leaves the old one.
	 */
	int (*renew)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/*
	 * Makes the disk at least spec->size_bytes large; it is not in use. VN_E_UNSUPPORTED: of a type that
	 * knows no size.
	 */
	int (*grow)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* Renames the disk into the trash (atomic: the commit point), then deletes it; so extra disks. */
	int (*destroy)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* loop: VN_E_UNSUPPORTED where this host cannot have extra disks of that kind. Known after host_up. */
	int (*extra_check)(struct disk *self, int filesystem, struct vn_error *err);
	/* Makes those of spec->extras that are not there yet, all or none. */
	int (*extras_up)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* Removes the vnode's extra disks but those that the spec names. */
	int (*extras_keep)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/*
	 * Mounts at <run_dir>/root/<vmid>, and the spec's extra disks in there, after making those as large
	 * as they are to be. Mount points that are not there are made. path: at least PATH_MAX bytes,
	 * written on success.
	 */
	int (*mount)(struct disk *self, const struct disk_spec *spec, char *path,
		     struct vn_error *err);
	int (*unmount)(struct disk *self, const struct disk_spec *spec, struct vn_error *err);
	/* Writes files into the mounted root in this order, never outside whatever links the image holds. */
	int (*inject)(struct disk *self, const struct disk_spec *spec, const struct guest_file *files,
		      size_t n_files, struct vn_error *err);

	/*
	 * Writes a disk that is mounted nowhere as a tar archive that can be an image: the same contents are
	 * the same bytes, also of another vnode. What was written goes on failure.
	 * VN_E_INVALID: a file that no image may hold, the text names it; VN_E_LIMIT: a limit, or disk full;
	 * VN_E_STATE: it is mounted; VN_E_UNSUPPORTED: of such a disk there is no archive, or no delta;
	 * VN_E_CANCELLED.
	 */
	int (*capture)(struct disk *self, const struct disk_spec *spec,
		       const struct capture_spec *capture, const bool *cancelled,
		       struct capture_facts *ret, struct vn_error *err);

	/*
	 * Bytes free for unprivileged use where disks and images live. Whoever writes images leaves
	 * DISK_KEEP_BYTES of them: the database lies there too and must be able to commit.
	 */
	int (*free_bytes)(struct disk *self, uint64_t *ret, struct vn_error *err);
	int (*inventory)(struct disk *self, struct disk_found **ret, size_t *ret_count,
			 struct vn_error *err);
	/* Deletes everything in the trash and every partial image. */
	int (*empty_trash)(struct disk *self, struct vn_error *err);
};

struct disk {
	const struct disk_ops *ops;
};

/* ---- fetch ----------------------------------------------------------------------------------- */

struct fetch;

struct fetch_result {
	char sha256[65];		/* of what was written; "" on failure */
	uint64_t bytes;
	bool resumed;			/* part of it came before, and the server vouched for it */
};

struct fetch_request {
	const char *url;		/* http:// or https:// */
	/*
	 * File to write; replaced if there, and there only when it is whole. Until then it is <path>.part,
	 * and <path>.origin says of what: where the server gave a validator they stay on failure, on
	 * cancel and when we are killed, and a later fetch of that URL to that path goes on from there.
	 */
	const char *path;
	uint64_t limit_bytes;
	const char *limit_name;		/* where the limit comes from, for the error; NULL: not told */
	bool is_checked;		/* the caller compares the digest */
	unsigned stall_ms;		/* an attempt fails when nothing arrives for so long, */
	uint64_t slowest_bytes;		/* … or fewer a second over such a time; 0 = no matter */
	unsigned retries;		/* attempts after a failed one that may pass */
	unsigned retry_ms;		/* before the first of them; doubles */
	void *arg;
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);	/* total 0 = unknown */
	void (*on_retry)(void *arg, const struct vn_error *why, unsigned after_ms);	/* or NULL */
	/* Once, on the loop; err NULL: whole. */
	void (*on_end)(void *arg, const struct fetch_result *result, const struct vn_error *err);
};

struct fetcher;				/* all downloads of a daemon: one curl multi handle on the loop */
struct fetch_ops {
	int (*open)(const struct backend_env *env, struct fetcher **ret, struct vn_error *err);
	void (*close)(struct fetcher *self);
	/* loop. */
	int (*start)(struct fetcher *self, const struct fetch_request *request, struct fetch **ret,
		     struct vn_error *err);
	/* loop: on_end follows with VN_E_CANCELLED. */
	void (*cancel)(struct fetcher *self, struct fetch *fetch);
};

struct fetcher {
	const struct fetch_ops *ops;
};

extern const struct compute_ops compute_lxc, compute_fake;
extern const struct net_ops net_linux, net_fake;
extern const struct disk_ops disk_local, disk_fake;
extern const struct fetch_ops fetch_curl, fetch_fake;

/* Frees what `missing` returns; NULL is fine. */
void backend_free_strings(char **strings);
