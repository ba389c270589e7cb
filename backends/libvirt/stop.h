#pragma once
/* Ending what belongs to a guest. Thread: a worker. */

#include <libvirt/libvirt.h>

#include "backends/backend.h"
#include "backends/libvirt/lxc.h"

/* Kills guest and vnode-init and waits for them. -1: VN_E_TIMEOUT the kernel does not let go. */
int stop_processes(const struct guest_id *id, struct vn_error *err);

/* Makes libvirt forget the domain, whatever it believes of it; its processes should have ended. */
int stop_domain(virConnectPtr conn, const char *uuid, struct vn_error *err);

/* Removes what a guest leaves outside of libvirt: the console's socket, the pids group. */
void stop_leftovers(struct lxc *lxc, const char *domain);
