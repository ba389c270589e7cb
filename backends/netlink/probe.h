#pragma once
/* What this kernel cannot do, found by trying in a network namespace that is thrown away. */

#include "backends/backend.h"

int probe_missing(struct net *net, char ***ret, struct vn_error *err);
