#pragma once
/* What this kernel cannot do, found by trying in a network namespace that is thrown away. */

#include "backends/backend.h"

struct fabric;

int probe_missing(struct net *net, char ***ret, struct vn_error *err);
/* Of what probe_missing() found before; before it, everything is taken for possible. Does not block. */
/* VN_E_UNSUPPORTED at `path` where the kernel lacks a kind of device, qdisc or action. */
int probe_check(struct fabric *fabric, const char *kind, const char *path, struct vn_error *err);
int probe_shape_check(struct net *net, const struct shape *shape, struct vn_error *err);
