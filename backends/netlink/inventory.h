#pragma once
/* What of ours is there: one dump of the fabric and a look into the run folder. */

#include "backends/backend.h"

int inventory_read(struct net *net, struct net_found **ret, size_t *ret_count,
		   struct vn_error *err);
/* Calls fn with the path of every pin of a vnode below <run_dir>/<kind> ("netns", "userns"). */
int inventory_pins(const char *run_dir, const char *kind,
		   int (*fn)(void *arg, const char *path, int64_t vmid, struct vn_error *err),
		   void *arg, struct vn_error *err);
