#pragma once
/*
 * What verifying finds: each thing that is not as it is wanted, in the words of host.verify. Kinds and fields
 * are words of the protocol; object is the name that the host's own tools show ("v12e1", "tcp 2201").
 * Threads: a list belongs to one thread at a time.
 */

#include <jansson.h>

#include "backends/backend.h"
#include "proto/base/mem.h"

/* What is counted, whether it is as wanted or not. */
enum checked {
	CHECKED_PORTS, CHECKED_QDISCS, CHECKED_ADDRESSES, CHECKED_ROUTES, CHECKED_FORWARDS,
	CHECKED_MOUNTS, CHECKED_DOMAINS, CHECKED_COUNT
};
extern const char *const checked_words[];	/* ports qdiscs … domains; ends with NULL */

/* What a difference is about. */
struct difference_about {
	const char *kind;		/* static */
	char object[64];
	int64_t vmid;			/* 0: of no vnode */
	unsigned index;			/* of a port; PORT_ANY: none */
	int64_t lan;			/* LAN id; -1: none */
};

struct difference {
	struct difference_about about;
	const char *field;		/* static */
	json_t *wanted, *found;		/* NULL: nothing */
	bool surplus;			/* ours, but nobody wants it */
	struct forward_spec forward;	/* kind "forward", surplus: what removes it */
};

/* Zero it to begin; differences_fini() ends it. */
struct differences {
	struct difference *items;
	size_t count, room;
	unsigned checked[CHECKED_COUNT];
};

void differences_fini(struct differences *list);
/* Moves all of `from` behind the others; its counts are added. */
void differences_move(struct differences *to, struct differences *from);

/* vmid 0, lan -1 and PORT_ANY for none; format: the object. */
struct difference_about difference_about(const char *kind, int64_t vmid, unsigned index, int64_t lan,
					 const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Appends one; valid until the next is appended. */
struct difference *difference_add(struct differences *list, const struct difference_about *about,
				  const char *field, VN_TAKES json_t *wanted, VN_TAKES json_t *found);
/* What is there and should not be: "exists", false, true. */
struct difference *difference_surplus(struct differences *list, const struct difference_about *about);
/* Each appends one where the two differ, and says whether they are the same. */
bool difference_number(struct differences *list, const struct difference_about *about, const char *field,
		       uint64_t wanted, uint64_t found);
bool difference_flag(struct differences *list, const struct difference_about *about, const char *field,
		     bool wanted, bool found);
/* NULL: nothing. */
bool difference_text(struct differences *list, const struct difference_about *about, const char *field,
		     const char *wanted, const char *found);
bool difference_mac(struct differences *list, const struct difference_about *about, const char *field,
		    const struct vn_mac *wanted, const struct vn_mac *found);
/* The addresses of one interface; link-local ones are the caller's business. Counts the wanted ones. */
void difference_addresses(struct differences *list, const struct difference_about *about,
			  const struct vn_cidr *wanted, size_t n_wanted, const struct vn_cidr *found,
			  size_t n_found);
