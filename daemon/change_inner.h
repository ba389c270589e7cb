#pragma once
/* What the files about vnode.set share: a change at work, and what it does with forwards and disks. */

#include "daemon/change.h"
#include "daemon/steps.h"

struct change {
	struct task task;		/* first: the steps know no other */
	struct doc_vnode before, after;
	struct vn_arena arena;
	json_t *members;		/* borrowed from the job; NULL: unchanged */
	bool was_running, restart, network_stood, reroutes;
	bool drops;			/* extra disks that its spec no longer names go, last of all */
	struct forward_spec *gone, *come;	/* forwards that go and that come */
	size_t n_gone, n_come;
	struct disk_spec extras_before, extras_after;	/* nothing but the extra disks */
	unsigned *cut, *fresh;		/* indexes of interfaces that go, and of those that have come */
	size_t n_cut, n_fresh;
};

/* Finds the forwards that go and that come. */
void change_load_forwards(struct change *change, const struct job *job, const struct vnode *vnode);
/*
 * At the end: the ports of the spec that the vnode does not have are given back.
 *
 * resumed: a restart in the middle has reserved what the row said then.
 */
void change_settle_forwards(struct change *change, struct vnode *vnode, const struct doc_vnode *other,
			    bool resumed);
step_fn change_step_reserve, change_undo_reserve, change_step_forwards, change_undo_forwards;

/* Finds the extra disks before and after, and whether any are to be dropped. */
void change_load_disks(struct change *change, const struct vnode *vnode);
step_fn change_step_make_disks, change_undo_make_disks, change_step_drop_disks, change_step_grow;
