#pragma once
/* The topology document (DESIGN section 8), as the schema decodes it. */

#include "proto/disk.h"
#include "proto/guest.h"
#include "proto/route.h"
#include "proto/schedule.h"
#include "proto/schema.h"
#include "proto/shape.h"
#include "proto/ways.h"

enum restart_policy { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };
enum default_route { DEFAULT_CONTROL, DEFAULT_NONE };
enum forward_protocol { FORWARD_TCP, FORWARD_UDP };

extern const char *const restart_words[];	/* never on-failure always */
extern const char *const protocol_words[];	/* tcp udp */
extern const char *const default_route_words[];	/* control none */

struct doc_forward {
	int64_t host, guest;		/* ports, 1…65535 */
	int protocol;			/* enum forward_protocol */
	const char *address;		/* host address; NULL: every one */
};

struct doc_vnode {
	const char *key;		/* its name */
	const char *backend;		/* NULL: the configuration's default_backend */
	const char *image;		/* NULL: the configuration's default_image */
	uint64_t memory_bytes;		/* 0 = no limit */
	int64_t vcpus;			/* 0 = no limit */
	int64_t pids;			/* 0 = the default limit */
	int restart;			/* enum restart_policy */
	bool control;			/* has eth0; preset true */
	bool privileged;		/* no user namespace; admin only */
	uint64_t grace_ns;		/* `grace`: time between asking and killing at halt; 0 = the configuration's */
	struct field_array init;	/* const char *: argv of PID 1; none: /sbin/init */
	struct field_array forwards;	/* struct doc_forward */
	struct field_array routes;	/* struct doc_route */
	int default_route;		/* enum default_route */
	struct doc_disk disk;
	struct doc_login login;
	struct field_array files;	/* struct doc_file */
	bool inject;			/* whether anything is written into it; preset true */
	struct field_array extras;	/* `disks`: struct doc_extra */
};

struct doc_member {
	const char *key;		/* name of a vnode of the topology */
	struct field_array addresses;	/* `address`: const char *, CIDR */
	const char *interface;		/* name inside; NULL: the lowest free ethN, N ≥ 1 */
	const char *mac;		/* NULL: derived */
	struct doc_port_shape shape;	/* on a link, `from` belongs to the other member */
};

struct doc_lan {
	const char *key;
	int64_t mtu;			/* 0 = 1500 */
	struct doc_shape shape;		/* `to` of each member that has none of its own */
	json_t *schedule;		/* as it was given: array of doc_entry; NULL: none */
	struct field_array members;	/* struct doc_member */
	struct doc_ways ways;		/* out of it; in the same object */
};

struct document {
	const char *topology;
	const char *domain;
	struct field_array dns;		/* const char *: addresses for the guests' resolv.conf */
	struct doc_login login;		/* of the vnodes that say nothing of their own */
	struct field_array vnodes;	/* struct doc_vnode */
	struct field_array lans;	/* struct doc_lan */
};

extern const struct field document_fields[];
extern const struct field doc_vnode_fields[];	/* without the key */
extern const struct field doc_lan_fields[];	/* without the key */
extern const struct field doc_member_fields[];	/* without the key */

/*
 * Decodes and checks all that can be known without a host: members exist, no vnode twice in a LAN's
 * map by construction, no address twice in a LAN, no two interfaces of a vnode with one name ("eth0"
 * is refused while `control` is true), no MAC twice, no host port twice, /32 and /128 only alone, no
 * shape that contradicts itself, no tunnel to oneself, nothing of the host lent twice.
 * Errors: VN_E_INVALID or VN_E_UNSUPPORTED with the path of the field.
 */
int document_decode(json_t *object, struct vn_arena *arena, struct document *ret,
		    struct vn_error *err);

/* What document_decode checks of a vnode alone; for one that came by itself. Paths begin at it. */
int doc_vnode_check(const struct doc_vnode *vnode, struct vn_error *err);
