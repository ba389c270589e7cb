#pragma once
/*
 * Listening to what the kernel tells of changes: all links and qdiscs of the fabric, and of the host's own
 * namespace the uplink alone. Thread: loop.
 */

#include "backends/backend.h"

struct fabric;

struct listener {
	struct fabric *fabric;
	int fds[2];			/* sockets: in the fabric, in the host's namespace; -1: none */
	struct watch *watches[2], *pause;
	watch_fn *on_change;		/* NULL: nobody listens */
	void *arg;
};

void listener_init(struct listener *listener, struct fabric *fabric);
void listener_fini(struct listener *listener);

/* As net_ops.watch. */
int listener_watch(struct net *net, watch_fn *on_change, void *arg, struct vn_error *err);
