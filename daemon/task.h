#pragma once
/*
 * What the steps of a vnode's job need, copied from the model: whoever runs the current step owns it,
 * so no step takes a lock and no worker sees a struct vnode.
 */

#include "daemon/guest_files.h"

#include <limits.h>

struct task {
	/* set at birth; handles of the backends */
	struct compute *compute;
	struct net *net;
	struct disk *disk;
	int64_t vmid;
	struct vn_arena arena;		/* everything the specs below point to */
	struct guest_spec guest;
	struct guest_id id;		/* of the guest that runs, or was seen last */
	struct disk_spec disk_spec;
	struct port_spec *control;	/* NULL: no control interface */
	struct port_spec *ports;	/* experiment interfaces */
	size_t n_ports;
	struct route_spec *routes;
	size_t n_routes;
	struct forward_spec *forwards;
	size_t n_forwards;
	struct guest_files files;
	unsigned grace_ms;

	/* what this job is to do */
	bool force;			/* no asking before killing */
	bool boot;			/* the boot steps are to run (reload, set) */
	bool halt;			/* the halt steps are to run (set) */
	bool network_stands;		/* made and checked in this boot of the machine */
	bool network_used;		/* a guest has had it, and may have changed what is its own */
	bool files_stand;		/* already in the guest as they are to be */

	/* set atomically from the loop: the job is cancelled, or has given up on the step that runs */
	bool stop;
};

/* Errors: VN_E_UNSUPPORTED no such backend (path /backend). */
int task_init(struct task *task, struct vnode *vnode, struct vn_error *err);
void task_fini(struct task *task);
/* A verb's free function: for contexts that begin with a struct task. */
void task_free(void *ctx);

/* Only what its network consists of: guest.ns, control, ports and routes, in the task's arena. */
void task_copy_network(struct task *task, const struct vnode *vnode);
/* The extra disks of a spec, in the arena. */
struct disk_extra *task_extras(struct vn_arena *arena, const struct doc_vnode *spec);
/* The forwards of a spec; items and count; in the arena. */
struct forward_spec *task_forwards(struct vn_arena *arena, const struct vnode *vnode,
				   const struct doc_vnode *spec, size_t *ret_count);
