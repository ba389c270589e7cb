#pragma once
/*
 * What the host has: topologies, vnodes, LANs with their members, images. The objects are loaded from
 * the database at start and changed only on the loop thread, each change with its row in the same
 * commit. Functions that change an object put its row; they do not wait for it.
 */

#include <stdio.h>

#include "daemon/job.h"
#include "daemon/table.h"
#include "proto/document.h"

struct topology {
	struct daemon *daemon;
	int64_t id;
	char *name;
	struct document document;	/* its own fields only (domain, dns); in arena */
	struct vn_arena arena;
	struct job_lock lock;
	struct vn_list vnodes, lans;	/* by `in_topology`, in the order they were made */
	struct table vnodes_by_name, lans_by_name;
	struct hosts_block *hosts;	/* NULL: to be built anew; daemon/hosts.h */
	struct vn_list link;
};

struct member {			/* one vnode's interface in a LAN */
	struct lan *lan;
	struct vnode *vnode;
	unsigned index;			/* n of v<vmid>e<n>; the control interface has 0 */
	char *ifname;			/* inside; fixed when the member is made */
	struct vn_mac mac;
	struct vn_cidr *addresses;
	unsigned n_addresses;
	bool up;			/* carrier wanted, unless the LAN is down */
	struct doc_port_shape shape;	/* its own; see daemon/shaping.h */
	json_t *spec;			/* the member's own fields of the document */
	struct vn_list in_lan, in_vnode;
};

struct lan {
	struct daemon *daemon;
	int64_t id;
	char uuid[VN_UUID_TEXT];
	char *name;
	struct topology *topology;
	unsigned mtu;			/* 0 = 1500 */
	bool up;
	struct doc_shape shape;
	bool is_link;			/* see daemon/shaping.h */
	struct schedule *schedule;	/* daemon/schedule.h; NULL: none */
	json_t *ways;			/* out of it; see daemon/ways.h */
	struct job_lock lock;
	struct job_lock probing;	/* of the one lan.probe at a time, which changes nothing */
	struct vn_list members;		/* by `in_lan` */
	struct vn_list in_topology, link;
};

/* What a running guest left behind for the next life of the daemon. */
struct vnode_runtime {
	struct guest_id id;
	char boot_id[VN_UUID_TEXT];	/* machine boot in which `id` and `network` hold */
	bool network;			/* namespaces and ports were made */
	bool surplus;			/* extra disks may be there that its spec no longer names */
	char injected[65];		/* digest of the files last written into the guest; "" none */
	unsigned mounts;		/* calls of vnode.mount that no vnode.unmount has taken back */
};

struct vnode_exit {
	struct guest_exit exit;
	int64_t at_us;			/* 0: has never ended */
};

struct vnode {
	/* set at birth */
	struct daemon *daemon;
	int64_t vmid;
	char uuid[VN_UUID_TEXT];
	char *name;
	struct topology *topology;
	char domain[64];		/* "vnoded-<8 of instance>-<vmid>" */
	uint32_t idmap_base;
	int64_t control_index;		/* n-th address of the control networks; 0 = none */

	/* replaced as one by vnode_set_spec */
	struct doc_vnode spec;
	json_t *spec_json;		/* canonical */
	char *row_text;			/* its row of vnode.list without the job; NULL: to be built anew */
	json_t *host_keys;		/* public lines; NULL: not asked for yet */
	struct vn_arena spec_arena;
	char image_sha256[65];		/* resolved when the disk was made; "" none yet */
	int disk_type;			/* likewise: enum disk_type; -1: none yet */

	enum vnode_state observed;	/* written by vnode_set_state only */
	enum vnode_state wanted;	/* RUNNING, STOPPED or ABSENT */
	int64_t since_us;
	struct vn_error error;		/* why it is failed; VN_OK */
	struct vnode_exit last_exit;
	struct vnode_runtime runtime;

	bool forwards_held;		/* its host ports are reserved in this life */
	bool halting;			/* an end that comes now was asked for */
	bool watched;			/* on_exit is to come */
	unsigned restarts;		/* within the window */
	uint64_t window_began_ms;
	struct watch *restart_timer;

	struct job_lock lock;
	struct vn_list members;		/* by `in_vnode` */
	struct vn_list waits;		/* of struct vnode_wait: calls of vnode.wait */
	struct vn_list in_topology, link;
};

enum image_state { IMAGE_ABSENT, IMAGE_FETCHING, IMAGE_READY, IMAGE_FAILED };
extern const char *const image_state_words[];	/* absent fetching ready failed */

struct image {
	struct daemon *daemon;
	char *name;
	char sha256[65];		/* of the archive; "" not known yet */
	char *source;			/* where it came from, without credentials */
	enum image_state state;
	uint64_t bytes;			/* that it takes, unpacked */
	uint64_t archive_bytes, virtual_bytes;
	int format;			/* enum image_format; IMAGE_DETECT: not known yet */
	char *base;			/* name of the image that it is a layer on; NULL */
	char coming[65];		/* digest that its job is unpacking; "" none */
	int64_t added_us, used_us;
	char *error;			/* why it failed; NULL */
	struct job_lock lock;
	struct vn_list link;
};

struct model {
	struct daemon *daemon;
	struct vn_list topologies, vnodes, lans, images;
	struct vn_list downloads;	/* daemon/download.h */
	/* What counts against image_storage: all images, raised by workers, and extra disks. Atomically. */
	uint64_t images_used;
	uint64_t extras_used;		/* of it, extra disks as large as they may become */
	struct table vnodes_by_vmid, vnodes_by_uuid, lans_by_id, topologies_by_name, images_by_name;
	int64_t last_vmid, last_lan, last_topology;
};

int model_open(struct daemon *daemon, struct model **ret, struct vn_error *err);
void model_close(struct model *model);

/* ---- topologies (topology.c) ---- */
struct topology *topology_find(const struct daemon *daemon, const char *name);
/* Finds or makes; the row is put. */
struct topology *topology_need(struct daemon *daemon, const char *name);
/* Frees it and removes its row; it must be empty. */
void topology_remove(struct topology *topology);
/* Removes the topology if nothing is left in it and no job holds it. */
void topology_drop_if_empty(struct topology *topology);
/* Takes over domain and dns. */
void topology_set_fields(struct topology *topology, const struct document *document);
/* The topology as a document; a new reference. */
json_t *topology_export(const struct topology *topology);
json_t *topology_object(const struct topology *topology, bool full);

/* ---- vnodes (vnode.c, vnode_object.c) ---- */
#define CONTROL_VNODES_MAX (BRIDGE_PORTS_MAX - 1)	/* one port leads to the host */
/*
 * Makes the object and puts its rows: state ABSENT, wanted STOPPED. `spec` is a decoded doc_vnode.
 * Errors: VN_E_EXISTS the name; VN_E_LIMIT no control address or id range left.
 */
int vnode_new(struct daemon *daemon, struct topology *topology, const char *name,
	      const struct doc_vnode *spec, struct vnode **ret, struct vn_error *err);
/* Frees it and removes its rows. */
void vnode_remove(struct vnode *vnode);
/* By NAME or TOPOLOGY/NAME. Errors: VN_E_NOT_FOUND; VN_E_INVALID ambiguous: lists the candidates. */
int vnode_find(const struct daemon *daemon, const char *reference, struct vnode **ret,
	       struct vn_error *err);
struct vnode *vnode_by_vmid(const struct daemon *daemon, int64_t vmid);
struct vnode *vnode_by_uuid(const struct daemon *daemon, const char *uuid);
/* The only function that writes vnode->observed; puts the row and the event. */
void vnode_set_state(struct vnode *vnode, enum vnode_state state);
void vnode_set_wanted(struct vnode *vnode, enum vnode_state wanted);
void vnode_set_spec(struct vnode *vnode, const struct doc_vnode *spec);
/* Sets or (VN_OK) clears the error; recorded with the next vnode_set_state. */
void vnode_set_error(struct vnode *vnode, const struct vn_error *err);
void vnode_set_exit(struct vnode *vnode, const struct guest_exit *exit);
/* Puts the row after runtime, image_sha256 or last_exit changed. */
void vnode_record(struct vnode *vnode);
json_t *vnode_object(const struct vnode *vnode);
/* The row of vnode.list, with more fields of the object on request. */
json_t *vnode_row(const struct vnode *vnode, const struct field_array *fields);
/* The same row as text, appended to `out`; cheap: most of it is kept. */
void vnode_row_print(struct vnode *vnode, FILE *out);
/* {path, count}: where its file system is mounted on the host; null where it is not. */
json_t *vnode_mount_object(const struct vnode *vnode);
json_t *vnode_exit_object(const struct vnode_exit *exit);
/* The control addresses; family 0 where there is none. */
void vnode_control_addresses(const struct vnode *vnode, struct vn_cidr *ret4, struct vn_cidr *ret6);
/* The host's addresses in the control network, which a vnode's default routes lead to. */
void vnode_control_gateways(const struct vnode *vnode, struct vn_cidr *ret4, struct vn_cidr *ret6);
/* "topology/name", for people; valid until the next call on this thread. */
const char *vnode_title(const struct vnode *vnode);

/* ---- LANs (lan.c) ---- */
int lan_new(struct daemon *daemon, struct topology *topology, const char *name, unsigned mtu,
	    struct lan **ret, struct vn_error *err);
void lan_remove(struct lan *lan);	/* with its members */
int lan_find(const struct daemon *daemon, const char *reference, struct lan **ret,
	     struct vn_error *err);
struct lan *lan_by_id(const struct daemon *daemon, int64_t id);
/* Adds a vnode; interface names and indexes are chosen and stored. spec: doc_member fields. */
struct member *member_new(struct lan *lan, struct vnode *vnode, const struct doc_member *spec);
void member_remove(struct member *member);
void member_set_up(struct member *member, bool up);
void lan_set_up(struct lan *lan, bool up);
void lan_set_mtu(struct lan *lan, unsigned mtu);
void lan_set_shape(struct lan *lan, const struct doc_shape *shape, bool is_link);
/* Takes over the ways out of it; a reference is kept. */
void lan_set_ways(struct lan *lan, json_t *ways);
/* Takes over a port shape of the member's document. */
void member_set_shape(struct member *member, json_t *shape);
/* Takes the addresses of `spec` and nothing else of it. */
void member_set_addresses(struct member *member, const struct doc_member *spec);
json_t *lan_object(const struct lan *lan);
/* The member's fields as the document has them; a new reference. */
json_t *member_export(const struct member *member);
void lan_announce(struct lan *lan, const char *what);	/* a lan.change event */

/* ---- images (image.c) ---- */
struct image *image_find(const struct daemon *daemon, const char *name);
/* One that is ready and has that digest; NULL: none. */
struct image *image_find_digest(const struct daemon *daemon, const char *sha256);
struct image *image_new(struct daemon *daemon, const char *name, const char *source);
void image_remove_object(struct image *image);
void image_set_state(struct image *image, enum image_state state, const char *error);
/* full: with its layers and its users, for image.get. */
json_t *image_object(const struct image *image, bool full);
/* Number of vnodes that were made from it or name it. */
unsigned image_users(const struct image *image);
/* An image that is a layer on this one; NULL: none. */
struct image *image_dependant(const struct image *image);
/* A vnode is being made from it. */
void image_touch(struct image *image);
/* Whether a backend's guests can run from such an image: VN_E_UNSUPPORTED at /image if not. */
int image_check_kind(const struct image *image, const char *backend, struct vn_error *err);
/* Bytes that images and extra disks may still take by image_storage; UINT64_MAX without such a limit. */
uint64_t image_storage_left(const struct daemon *daemon);
/* Sums up anew what images take; while one is unpacked, its own count is what holds. */
void image_recount(struct daemon *daemon);
/* Whether a vnode's disk or an image in the table needs this digest. */
bool image_digest_is_used(const struct daemon *daemon, const char *sha256);

/* The list that event.subscribe sends as its snapshot: {vnodes: [rows]}. */
json_t *model_snapshot(struct daemon *daemon);

/* A reference split: *ret_topology is NULL or the text before the slash (copied into topology). */
const char *reference_split(const char *reference, char topology[static VN_NAME_MAX + 1],
			    const char **ret_topology);
