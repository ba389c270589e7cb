#pragma once
/* What this kernel cannot do, found by trying in a network namespace that is thrown away. */

#include "backends/backend.h"

int probe_missing(struct net *net, char ***ret, struct vn_error *err);
/* Of what probe_missing() found before; before it, everything is taken for possible. Does not block. */
int probe_shape_check(struct net *net, const struct shape *shape, struct vn_error *err);
