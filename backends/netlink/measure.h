#pragma once
/* What one direction of a LAN does to frames: delay, loss and rate as an end sees them. */

#include "backends/backend.h"

/* As net_ops.probe. */
int measure_path(struct net *net, const struct probe_spec *spec, const bool *cancelled,
		 probe_progress_fn *progress, void *arg, struct probe_result *ret, struct vn_error *err);
