#pragma once
/* Making what stands whole again: for recovery, which does it at once, and for host.repair, by jobs. */

#include "daemon/task.h"

/* The vnode's ports with their shapes and addresses, and its routes. Thread: worker. */
int mend_network(struct task *task, struct vn_error *err);
