#pragma once
/* The descriptors that a container's first process is started with. Thread: a worker. */

#include "backends/backend.h"
#include "backends/libvirt/lxc.h"
#include "backends/libvirt/vnode-init/wire.h"

struct parcel {
	int fds[WIRE_N_FDS];		/* fds[n] becomes descriptor WIRE_FD_PROGRAM + n */
	unsigned n_fds;
	int control;			/* our end of the control socket */
};

void parcel_close(struct parcel *parcel);
#define PARCEL_EMPTY { .fds = { -1, -1, -1, -1, -1, -1, -1, -1 }, .control = -1 }

/*
 * Opens and checks everything and queues the setup message. Empties the status file and binds the
 * console's socket anew, so no guest of that vnode may run.
 */
int parcel_open(struct lxc *lxc, const struct guest_spec *spec, struct parcel *ret, struct vn_error *err);

static inline int
parcel_fd(const struct parcel *parcel, enum wire_fd fd)
{
	return parcel->fds[fd - WIRE_FD_PROGRAM];
}
