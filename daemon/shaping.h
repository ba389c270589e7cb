#pragma once
/*
 * From what documents say to the two directions of each port. Thread: loop.
 *
 *   a LAN:   `to` is shaped where a member's frames enter the fabric (its port's ingress, through an IFB),
 *            `from` where they leave it (its port's egress)
 *   a link:  `to` is shaped where frames leave for the other member (the egress of the other's port), so that
 *            it needs no IFB
 *
 * A LAN is a link from its birth, with two members that were made with it, one of which may be a tunnel
 * (daemon/ways.h), until that changes: then it is treated as a LAN for good, where each port depends on its own member only. The traffic is the same.
 */

#include "daemon/model.h"

/* How the ports of a LAN are to be shaped: as they are in the model, or would be after a change. */
struct lan_shaping {
	struct doc_shape shape;
	bool is_link;
	json_t *members;		/* {vnode: port shape} in place of the model's; NULL: none; borrowed */
	json_t *ways;			/* in place of the model's; NULL: the model's; borrowed */
};

/* As it is now; borrows nothing. */
struct lan_shaping shaping_now(const struct lan *lan);
void shaping_port(const struct lan_shaping *shaping, const struct member *member, struct shape *ret_out,
		  struct shape *ret_in);
/* Of a tunnel's port: `out` leads to the other host. */
void shaping_tunnel(const struct lan_shaping *shaping, const struct lan *lan,
		    const struct doc_tunnel *tunnel, struct shape *ret_out, struct shape *ret_in);
/* In the direction of the names: what a member sends, and what it is sent. */
void shaping_effective(const struct lan *lan, const struct member *member, struct shape *ret_to,
		       struct shape *ret_from);
struct shape shaping_shape(const struct doc_shape *doc);
bool shaping_is_none(const struct shape *shape);

/*
 * {shape, link, members: {vnode: port shape}} for the journal and for jobs: of all members, or of those
 * that `members` names. New references.
 */
json_t *shaping_export(const struct lan *lan, json_t *members);
/* Reads such an object; `members` is borrowed from it. */
struct lan_shaping shaping_read(json_t *object);
/* Puts it into the model, with the rows. */
void shaping_adopt(struct lan *lan, json_t *object);

/*
 * The canonical shape that `change` (fields, null taking one away) makes of `now`; a new reference.
 * Errors: VN_E_INVALID, VN_E_UNSUPPORTED with the path below the shape.
 */
int shaping_merge(struct daemon *daemon, const struct doc_shape *now, json_t *change, json_t **ret,
		  struct vn_error *err);
/*
 * Puts a change {"shape", "members": {vnode: {"to", "from"}}} (with `below`, the two stand below that key of a
 * member) upon an object of shaping_export; null takes away. Errors: as shaping_merge, VN_E_NOT_FOUND a
 * member; paths begin at the change. `shaping` may be half changed then.
 */
int shaping_change(struct daemon *daemon, const char *lan, json_t *shaping, json_t *change,
		   const char *below, struct vn_error *err);
/* A shape from JSON of our own; NULL or null: none. */
struct doc_shape shaping_decode(json_t *object);
/* Whether this host can do what a document asks. Errors: VN_E_UNSUPPORTED; paths from the document on. */
int shaping_check(struct daemon *daemon, const struct doc_lan *lan, struct vn_error *err);
/* As answers show it; null where nothing is shaped. */
json_t *shaping_object(const struct shape *shape);
