#pragma once
/*
 * The ways out of a LAN, in the model: uplink and tunnels. Thread: loop.
 *
 * They are JSON, as plan, journal and row have them: {fields, indexes: {tunnel: n of t<lan>n<n>}, mtu: of a
 * LAN whose document gives none, 0 = 1500}; fields as documents have them (doc_ways_fields). NULL or
 * null stands for a LAN without any.
 */

#include "daemon/shaping.h"

/* Decodes the fields; strings live in the arena. */
struct doc_ways ways_read(json_t *ways, struct vn_arena *arena);
/* Whether the LAN is a vnode and a tunnel of plain GRE. */
bool ways_is_plain(json_t *ways);
/* Makes them of a document; tunnels that the LAN (NULL: new) has already keep their indexes. */
json_t *ways_make(const struct doc_ways *doc, const struct lan *lan, unsigned mtu);
/* The MTU in force with a document's `mtu` (0: none); 0 = 1500. */
unsigned ways_mtu(json_t *ways, unsigned mtu);
/* That of a LAN as it is. */
unsigned lan_mtu(const struct lan *lan);

/*
 * What the backend is to make of a LAN with these ways, MTU and shapes; its memory is the arena's. One whose
 * ports cannot be told apart without Ethernet headers does not learn.
 */
struct lan_spec ways_spec(const struct lan *lan, json_t *ways, unsigned mtu,
			  const struct lan_shaping *shaping, struct vn_arena *arena);
/* Of a LAN as it is. */
struct lan_spec lan_spec_now(const struct lan *lan, struct vn_arena *arena);

/* What all LANs have taken of the host; for ways_check, a new reference. */
json_t *ways_claims(const struct daemon *daemon);
/*
 * Checks a LAN of a document against the host and the other LANs; self: what is there already, or NULL.
 * *ret_mtu: as `mtu` above. Errors: VN_E_DENIED an uplink needs an admin, or is the host's default
 * route; VN_E_NOT_FOUND no such device; VN_E_BUSY another LAN has it; VN_E_EXISTS another LAN has the
 * tunnel; VN_E_UNSUPPORTED, VN_E_INVALID. Paths from the document on.
 */
int ways_check(struct daemon *daemon, const struct doc_lan *doc, const struct lan *self, enum role role,
	       json_t *claims, unsigned *ret_mtu, struct vn_error *err);
/* Whether a living LAN's ways carry packets of `mtu` bytes. Errors: VN_E_INVALID with path "/mtu". */
int ways_check_mtu(const struct lan *lan, unsigned mtu, struct vn_error *err);

/* Adds the names of the LAN's fields that differ. */
void ways_fields(json_t *before, json_t *after, json_t *names);
/* What differs, for people: calls fn(arg, "create", "change" or "destroy", "tunnel" or "uplink", name, fields). */
typedef void ways_fn(void *arg, const char *action, const char *kind, const char *name,
		     json_t *fields);
void ways_compare(const char *lan, json_t *before, json_t *after, ways_fn *fn, void *arg);

/* Adds the fields to a LAN of a document. */
void ways_export(const struct lan *lan, json_t *object);
/* Adds `learning`, `uplink` and `tunnels` to the LAN object. */
void ways_show(const struct lan *lan, json_t *object);
