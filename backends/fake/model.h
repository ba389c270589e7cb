#pragma once
/*
 * What a world is made of, shared by the files of this folder only. All of it is guarded by
 * world->lock; functions without a word on it expect the lock to be held.
 */

#include <pthread.h>

#include "backends/fake/world.h"
#include "proto/base/list.h"

struct bridge {
	struct vn_list link;
	int64_t id;
	char *uuid;
	unsigned mtu;
	bool no_learning;
	struct uplink_spec uplink;	/* its device is ours to free */
	struct tunnel_spec *tunnels;
	unsigned n_tunnels;
};

struct netns {
	struct vn_list link;
	int64_t vmid;
	char *uuid, *netns, *userns;	/* userns NULL: privileged */
	uint32_t idmap_base;
	uint64_t inode;
	struct route_spec *routes;
	size_t n_routes;
};

struct port {
	struct vn_list link;
	int64_t vmid, lan;		/* lan -1: its bridge is gone */
	unsigned index, mtu;
	char *uuid, *ifname;
	struct vn_mac mac;
	struct vn_cidr *addresses;
	unsigned n_addresses;
	bool up, no_arp;
	bool may_send;			/* false on a control port that control_sync left out */
	struct shape out, in;
};

struct rule {				/* a forward's translation, or the reservation of its port */
	struct vn_list link;
	struct forward_spec forward;
	struct handle *holder;		/* reservations only */
};

struct guest {
	struct vn_list link;
	char *domain, *uuid, *title, *hostname, *dir, *init;
	int64_t vmid;
	bool privileged, is_running;
	uint64_t memory_bytes, netns_inode;
	unsigned vcpus, pids;
	struct guest_id id;
	bool is_hidden;			/* list does not name it */
};

/* What is remembered of a vnode's guests when they are gone: the status file, and for tests. */
struct past {
	struct vn_list link;
	char *uuid, *dir, *boot_text;
	unsigned starts;
	bool ignores_term;
	struct guest_id id;		/* of the latest start */
	struct guest_exit exit;		/* its end, if it is not running */
};

struct guest_watch {
	struct vn_list link;
	struct handle *handle;
	char *uuid;
	struct guest_id id;
	uint64_t serial;		/* finds it again when its message arrives */
};

struct image {
	struct vn_list link;
	char *sha256;
	struct image_facts facts;
	bool is_partial;
};

struct injected {
	struct vn_list link;
	char *path, *text;
	unsigned mode;
};

struct vdisk {
	struct vn_list link;
	int64_t vmid;
	char *uuid, *image, *mount;	/* mount: path of the root; NULL: not mounted */
	bool privileged;
	int type;
	uint64_t size_bytes;
	uint32_t idmap_base;
	struct vn_list files;
};

struct vextra {				/* an extra disk */
	struct vn_list link;
	int64_t vmid;
	char *uuid, *name;
	uint64_t size_bytes;
	int filesystem;
	bool is_mounted;
};

struct word {				/* trash, foreign things, what is missing */
	struct vn_list link;
	char *kind;
	char *text;
};

struct fetch {
	struct vn_list link;
	struct handle *handle;
	struct fetch_request request;
	char *url, *path;
	uint64_t serial;
	bool is_cancelled, is_waiting, has_begun;
};

struct url {
	struct vn_list link;
	char *address;
	void *data;
	size_t size;
	enum vn_code code;
	bool is_held;
};

struct fault {
	struct vn_list link;
	struct world_fault what;
	char *op;
	unsigned seen;
};

struct delay {
	struct vn_list link;
	char *op;
	unsigned microseconds;
};

struct log_entry {
	const char *op;
	int64_t number;
	enum vn_code code;
};

struct world {
	pthread_mutex_t lock;
	pthread_cond_t changed;		/* hangs, releases, ends of lives and of calls */

	struct vn_list bridges, namespaces, ports, rules, reservations;
	struct vn_list guests, pasts, watches, execs, consoles, fetches;
	struct vn_list images, disks, extras, trash;
	struct vn_list foreign, lacks, urls;
	struct vn_cidr *routes;		/* of the host, foreign */
	size_t n_routes;
	double probe_error;		/* share by which rates and delays are measured too high */
	bool net_is_up, disk_is_up, link_is_up, is_full, uplink_is_down;
	char boot_id[VN_UUID_TEXT];
	uint64_t next_serial;		/* inodes, start times, watches */
	pid_t next_pid;

	struct vn_list handles, messages, faults, delays;
	unsigned life, hanging, releases, calls, wrong_orders;
	char *first_wrong_order;
	unsigned freeze_in;		/* changing calls until the freeze; 0: none planned */
	enum world_point freeze_point;
	bool is_frozen, is_private;
	void (*on_freeze)(void *arg);
	void *on_freeze_arg;
	struct log_entry *log;
	size_t n_log, log_room;
};

/* ---- handles and messages (handle.c) --------------------------------------------------------- */

/* One open backend: the second member of each fake's own struct. */
struct handle {
	struct vn_list link;
	struct world *world;
	const struct watch_ops *watch;
	unsigned life, inside;		/* inside: calls that have not returned */
	bool is_closed, is_net;		/* is_net: it is a struct fake_net's */
	const struct compute_events *events;	/* of a compute backend; else NULL */
};

/* Without the lock. Finds the current world (or the private one) and joins it. */
void handle_open(struct handle *handle, const struct backend_env *env);
/* Without the lock. Ends hanging calls, waits until all have returned, drops undelivered messages. */
void handle_close(struct handle *handle);
bool handle_lives(const struct handle *handle);
/* Frees what was posted to a loop that never ran again; all handles are closed. */
void messages_free(struct world *world);

typedef void message_fn(struct handle *handle, void *arg);

/* Calls fn(handle, arg) without the lock on the loop thread, unless the handle or its life ended
 * before. arg is freed after it. */
void handle_post(struct handle *handle, message_fn *fn, VN_TAKES void *arg);

/* ---- calls (call.c) -------------------------------------------------------------------------- */

#define CALL_CHANGES 1u			/* counted; may be frozen at */
#define CALL_LOOP    2u			/* may not block: neither hangs nor is delayed */
#define CALL_SURE    8u			/* returns nothing, so no fault applies */
#define CALL_INSIDE  4u			/* looks at call->is_amid and then does half of its effect */

struct call {
	struct world *world;
	struct handle *handle;
	const char *op;
	int64_t number;			/* vmid, or id of the LAN */
	unsigned flags;
	size_t entry;			/* in the log */
	enum vn_code code;		/* reported after the effect; VN_OK: what it says itself */
	bool hangs_after, has_hung, is_amid, freezes_after;
};

/*
 * Enters an op: applies delays, faults and freezes. 0: the lock is held, do the effect and return
 * call_end(). -1 and err: the call is over.
 */
int call_begin(struct call *call, struct handle *handle, const char *op, int64_t number,
	       unsigned flags, struct vn_error *err);
/* Releases the lock; returns what the daemon is told. */
int call_end(struct call *call, int result, struct vn_error *err);
/* The whole of an op `missing`: the sentences of world_lacks. */
int call_missing(struct handle *handle, const char *op, const char *contract, char ***ret,
		 struct vn_error *err);
/* A dependency is violated. After a hang it is no fault of the daemon's: VN_E_BACKEND. */
int wrong_order(struct call *call, struct vn_error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends this life: nothing of it takes effect any more. */
void life_end(struct world *world);

/* ---- finding (objects.c); NULL when absent --------------------------------------------------- */

struct bridge *bridge_find(struct world *world, int64_t id);
struct netns *netns_find(struct world *world, int64_t vmid);
struct port *port_find(struct world *world, int64_t vmid, unsigned index);
struct guest *guest_find(struct world *world, const char *domain);
struct guest *guest_by_uuid(struct world *world, const char *uuid);
struct guest *guest_by_vmid(struct world *world, int64_t vmid);	/* a running one */
struct past *past_find(struct world *world, const char *uuid);
struct past *past_get(struct world *world, const char *uuid);	/* made if absent */
struct image *fake_image_find(struct world *world, const char *sha256);
struct vdisk *disk_find(struct world *world, int64_t vmid);
struct url *url_find(struct world *world, const char *address);
bool word_has(const struct vn_list *words, const char *kind, const char *text);
void word_add(struct vn_list *words, const char *kind, const char *text);
/* The sentences of one contract as `missing` returns them. */
char **words_copy(const struct vn_list *words, const char *kind);

/* Taking out of the world and freeing. */
void fetch_free(struct fetch *fetch);
void bridge_free(struct bridge *bridge);
void netns_free(struct netns *netns);
void port_free(struct port *port);
void guest_free(struct guest *guest);
void disk_free(struct vdisk *disk);
void injected_free(struct injected *file);
void extra_free(struct vextra *extra);
void fake_image_free(struct image *image);
void word_free(struct word *word);
void url_free(struct url *url);
void past_free(struct past *past);
/* All ports of a vnode. */
void ports_free(struct world *world, int64_t vmid);

/* The guest's init ends: status, watches, commands. The domain stays, dead. (guest.c) */
void guest_end(struct world *world, struct guest *guest, const struct guest_exit *exit);
void watch_free(struct guest_watch *watch);
/* The watch's on_exit is called soon. */
void watch_tell(struct guest_watch *watch, const struct guest_exit *exit);
/* on_link is called soon. */
void link_tell(struct handle *handle, bool up);
/* The guest that is exactly this process, running; NULL: none. */
struct guest *guest_by_id(struct world *world, const struct guest_id *id);

/* ---- commands and consoles (exec.c) ---------------------------------------------------------- */

/* Members of compute_ops. */
int fake_exec(struct compute *self, const struct guest_id *id, const struct exec_spec *spec,
	      void (*on_end)(void *arg, const struct exec_result *result, const struct vn_error *err),
	      void *arg, struct exec **ret, int *ret_master, struct vn_error *err);
void fake_exec_signal(struct compute *self, struct exec *exec, int signal);
int fake_console(struct compute *self, const char *dir, int *ret_fd, struct vn_error *err);
/* A guest has ended: so have its commands, and its consoles say end of file. */
void execs_kill(struct world *world, const struct guest_id *guest);
/* Forgets commands and consoles of a handle (NULL: all) without a word. */
void execs_drop(struct world *world, const struct handle *handle);

struct fake_compute {
	struct compute base;
	struct handle handle;
	struct compute_events events;
};

/* ---- forwards (rules.c): members of net_ops -------------------------------------------------- */

struct fake_net {
	struct net base;
	struct handle handle;
	struct vn_cidr control[2];	/* IPv4, IPv6 */
	watch_fn *on_change;
	void *on_change_arg;
	bool is_telling;		/* a message about changes is on its way */
};

int net_check_up(struct call *call, struct vn_error *err);
/* In probe.c. */
int fake_measure(struct net *self, const struct probe_spec *spec, const bool *cancelled,
	       probe_progress_fn *progress, void *arg, struct probe_result *ret, struct vn_error *err);
/* NULL: nothing is forwarded from there. (meddle.c) */
struct rule *rule_find(struct world *world, int protocol, uint16_t host);
/* Those who watch the network are told soon. (verify.c) */
void net_tell_change(struct world *world);
int fake_net_verify(struct net *self, const struct net_wanted *wanted, struct differences *ret,
		struct vn_error *err);
int fake_net_watch(struct net *self, watch_fn *on_change, void *arg, struct vn_error *err);

/* ---- namespaces and ports (port.c) ---- */

int fake_namespaces_up(struct net *self, const struct ns_ref *ns, struct vn_error *err);
int fake_namespaces_down(struct net *self, const struct ns_ref *ns, struct vn_error *err);
int fake_ports_up(struct net *self, const struct ns_ref *ns, const struct port_spec *ports,
		  size_t n_ports, struct vn_error *err);
int fake_ports_down(struct net *self, const struct ns_ref *ns, const unsigned *indexes,
		    size_t n_indexes, struct vn_error *err);
int fake_control_sync(struct net *self, const struct control_spec *specs, size_t count,
		      struct vn_error *err);
int fake_ports_carrier(struct net *self, const int64_t *vmids, const unsigned *indexes,
		       size_t count, bool up, struct vn_error *err);
int fake_ports_shape(struct net *self, const struct port_shape *ports, size_t count,
		     struct vn_error *err);
int fake_routes_set(struct net *self, const struct ns_ref *ns, const struct route_spec *routes,
		    size_t count, struct vn_error *err);
int fake_shape_check(struct net *self, const struct shape *shape, struct vn_error *err);

/* ---- ways out of LANs (ways.c) ---- */

int fake_tunnel_route(struct net *self, const struct tunnel_spec *tunnel, struct tunnel_route *ret,
		      struct vn_error *err);
int fake_uplink_check(struct net *self, const struct uplink_spec *uplink, unsigned *ret_mtu,
		      struct vn_error *err);
int ways_settle(struct call *call, struct bridge *bridge, const struct lan_spec *lan,
		struct vn_error *err);
void ways_free(struct bridge *bridge);
void ways_describe(const struct world *world, const struct bridge *bridge, json_t *object);
/* A direction that is shaped; an untouched one is not shown (describe.c). */
void describe_shape(json_t *object, const char *key, const struct shape *shape);

int fake_forward_reserve(struct net *self, const struct forward_spec *forward,
			 struct vn_error *err);
void fake_forward_release(struct net *self, const struct forward_spec *forward);
int fake_forwards_up(struct net *self, const struct forward_spec *forwards, size_t count,
		     struct vn_error *err);
int fake_forwards_down(struct net *self, const struct forward_spec *forwards, size_t count,
		       struct vn_error *err);
int fake_forwards_sync(struct net *self, const struct forward_spec *forwards, size_t count,
		       struct vn_error *err);
