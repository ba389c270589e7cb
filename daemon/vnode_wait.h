#pragma once
/* Calls of vnode.wait: answered when the vnode reaches one of the states asked for. Thread: loop. */

#include "daemon/model.h"

/* Defers the call; timeout_ms 0 = none. Answers at once when the state is there already. */
void vnode_wait_begin(struct vnode *vnode, struct call *call, const struct vnode_wait_params *params);
void vnode_waits_check(struct vnode *vnode);
/* The vnode is about to be freed: waits for "absent" are answered, others fail with VN_E_NOT_FOUND. */
void vnode_waits_drop(struct vnode *vnode);
