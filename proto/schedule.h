#pragma once
/* The schedule of a LAN: what changes when, as documents and calls write it. */

#include "proto/schema.h"

#define SCHEDULE_MAX 1000		/* entries of one LAN */

struct doc_entry_shape {		/* of a member: fields that change, as in lan.set */
	json_t *to, *from;
};

struct doc_entry_member {
	const char *key;		/* name of a vnode */
	struct doc_entry_shape shape;
	bool up;
};

/*
 * One change. What null and absence tell apart (a shape's null takes it away; `up` may be left out) is read
 * from the JSON itself, which everybody keeps as it was given.
 */
struct doc_entry {
	uint64_t after_ns;		/* from when the schedule came into force */
	const char *at;			/* or RFC 3339, UTC; NULL: after */
	json_t *shape;			/* of the LAN: fields that change */
	struct field_array members;	/* struct doc_entry_member */
	bool up;			/* of the LAN */
};

extern const struct field doc_entry_fields[];

/*
 * Checks a list (NULL: none) without regard to a host: what each entry may hold, exactly one of `after` and
 * `at`, some change, members among the keys of `members`, on a link no `from`.
 * Errors: VN_E_INVALID with the path below the list ("/3/at").
 */
int doc_schedule_check(json_t *list, json_t *members, bool is_link, struct vn_error *err);

/* Microseconds since 1970 at which a checked entry is due, when `now_us` is when it comes into force. */
int64_t doc_entry_due(json_t *entry, int64_t now_us);
