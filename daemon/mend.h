#pragma once
/* Making what stands whole again: for recovery, which does it at once, and for host.repair, by jobs. */

#include "daemon/task.h"

/*
 * The bridges that LANs have lost, of which no job holds the LAN: *ret, in the arena, and how many. Ports that
 * belong to them come after. Thread: loop.
 */
size_t mend_lost_bridges(const struct daemon *daemon, const struct net_found *found, size_t n_found,
			 struct vn_arena *arena, struct lan_spec **ret);

/* The vnode's ports with their shapes and addresses, and its routes. Thread: worker. */
int mend_network(struct task *task, struct vn_error *err);
