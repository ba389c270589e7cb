#pragma once
/*
 * Comparing all that the daemon wants with what backends report. A *verification* is one look: what is wanted
 * is copied on the loop, each source looks on a worker, and what a job has changed meanwhile is taken out
 * again on the loop. Nothing is said of what a job is at work on.
 */

#include "backends/difference.h"
#include "daemon/model.h"

struct verification;

/* How far one looks. */
struct verify_scope {
	const char *topology;		/* NULL: all of the host */
	const struct job *job;		/* whose own locks do not count; NULL */
	bool fabric_only;		/* the network but for the insides of namespaces */
	bool once;			/* what jobs overtake is left out at once */
};

enum { VERIFY_NET, VERIFY_DISK, VERIFY_GUESTS, VERIFY_SOURCES };

/* loop. Errors: VN_E_NOT_FOUND no such topology (path /topology); VN_E_STATE the host is not set up. */
int verification_new(struct daemon *daemon, const struct verify_scope *scope,
		     struct verification **ret, struct vn_error *err);
void verification_free(struct verification *verification);	/* NULL is fine */

/* The sources: each appends its differences to its own list. */
extern const struct verify_source {
	enum pool_lane lane;
	int (*look)(struct verification *verification, struct vn_error *err);	/* on a worker */
	bool in_fabric_only;
} verify_sources[VERIFY_SOURCES];

/*
 * loop, once all sources have looked: takes out what jobs have overtaken. False: there was such, and looking
 * anew may tell more.
 */
bool verification_settle(struct verification *verification);
/* After it: all differences; borrowed. */
const struct differences *verification_found(const struct verification *verification);
/* Whether verification_settle took something out. */
bool verification_is_overtaken(const struct verification *verification);
/* Vnodes and LANs of which nothing is said since a job works on them; names; borrowed. */
json_t *verification_busy(const struct verification *verification);
/* The answer of host.verify; a new reference. */
json_t *verification_object(const struct verification *verification);
/* One difference as answers and events show it; a new reference. */
json_t *verify_difference_object(const struct daemon *daemon, const struct difference *difference);

/* ---- looking in the background (verify_run.c) ---- */

struct verifier;
struct verifier *verifier_open(struct daemon *daemon);
void verifier_close(struct verifier *verifier);	/* after the pool; NULL is fine */

/*
 * Looks, again where a job came between (but not with scope->once), and calls on_end(arg, verification, NULL) once, on the loop and never
 * from inside; the verification is borrowed for that call. (arg, NULL, err): it failed; (arg, NULL, NULL): the
 * daemon ends before.
 * Errors: as verification_new.
 */
typedef void verify_end_fn(void *arg, const struct verification *verification,
			   const struct vn_error *err);
int verify_begin(struct daemon *daemon, const struct verify_scope *scope, verify_end_fn *on_end, void *arg,
		 struct vn_error *err);

/* What mends what is found: host.repair and its inner parts (repair.c, mend.c). */
extern const struct verb verb_host_repair, verb_vnode_mend, verb_lan_mend;
