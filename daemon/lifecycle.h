#pragma once
/*
 * The life of a vnode: the verbs' step tables with libvnode's names, and what a guest's end leads to.
 * Thread: loop.
 */

#include "daemon/model.h"

extern const struct verb verb_vnode_create, verb_vnode_boot, verb_vnode_halt, verb_vnode_reboot,
	verb_vnode_reload, verb_vnode_destroy, verb_vnode_mount, verb_vnode_unmount,
	verb_vnode_cleanup;

/* What a verb does in a state; the table is in verb_state.c and printed into docs/states.md. */
enum verb_action {
	VERB_RUN,		/* the job runs */
	VERB_NOTHING,		/* done already: answered at once */
	VERB_REFUSE,		/* VN_E_STATE, the text says what to do first */
	VERB_HELD,		/* a job holds a vnode in such a state: VN_E_BUSY; on its own: as RUN */
};
enum vnode_verb { VERB_BOOT, VERB_HALT, VERB_REBOOT, VERB_RELOAD, VERB_DESTROY, VERB_SET, VERB_MOUNT,
	VERB_UNMOUNT, VERB_CAPTURE, VERB_EXEC, VERB_CONSOLE };
#define VNODE_VERB_COUNT 11
extern const char *const vnode_verb_words[];
enum verb_action verb_action(enum vnode_verb verb, enum vnode_state state);
/* The table as Markdown; to be freed. */
char *verb_state_document(void);

/*
 * Asks the table. Returns the action; VERB_REFUSE has set err.
 */
enum verb_action vnode_may(const struct vnode *vnode, enum vnode_verb verb, struct vn_error *err);

/* Params of every vnode verb: {"vmid": n, …}; a new reference. */
json_t *vnode_job_params(const struct vnode *vnode);

/* A watched guest has ended. */
void lifecycle_on_exit(struct vnode *vnode, const struct guest_exit *exit);
/*
 * The guest was ended by us and stop has returned: an end that its watch has not told yet is told now, so
 * that it is not taken for its own later.
 */
void lifecycle_settle_halt(struct vnode *vnode);
/* Whether exactly the guest of `runtime` lives. */
bool lifecycle_is_alive(const struct vnode *vnode);
/* Starts watching a running guest; what it was is in runtime.id. */
int lifecycle_watch(struct vnode *vnode, struct vn_error *err);
/* Boots again what its restart policy says, now or after its back-off. For exits and for start-up. */
void lifecycle_consider_restart(struct vnode *vnode);
/* Whether the policy wants a restart after this exit. */
bool lifecycle_restarts_after(enum restart_policy policy, const struct guest_exit *exit);

/*
 * Checks what a spec asks of this host: backend, image, disks, forwards of others, privileged (admin only).
 *
 * self: NULL for a vnode to be made. extras: bytes of extra disks that were asked for before in the same call,
 * raised by this spec's. Errors carry paths below the spec.
 */
int lifecycle_check_spec(struct daemon *daemon, const struct doc_vnode *spec, const struct vnode *self,
			 enum role role, uint64_t *extras, struct vn_error *err);
/* Whether the caller may change who may log in to all of a topology's vnodes; paths as in a document. */
int lifecycle_check_logins(const struct topology *topology, json_t *fields, json_t *before, enum role role,
			   struct vn_error *err);
/*
 * Whether the next hop of each route is in the control network or in one of these networks.
 * Errors: VN_E_INVALID with a path below the spec.
 */
int lifecycle_check_routes(struct daemon *daemon, const struct doc_vnode *spec,
			   const struct vn_cidr *addresses, size_t count, struct vn_error *err);
/* The same with the networks that the vnode has now. */
int lifecycle_check_own_routes(const struct vnode *vnode, const struct doc_vnode *spec,
			       struct vn_error *err);
