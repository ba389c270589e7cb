#pragma once
/*
 * The client side of vnode-helper: the one process that vnoded starts, for what a threaded daemon
 * cannot do itself (make user namespaces, enter a guest and run a command there). It is started at
 * first use and again when it has died. One helper serves the whole process, so these functions
 * keep its socket in a static; all are safe from any thread.
 */

#include <stddef.h>

#include "backends/backend.h"

/*
 * Makes and pins the vnode's user namespace (65,536 ids from ns->idmap_base) and the network
 * namespace it owns, loopback up; only a network namespace when ns->userns is NULL. Valid pins are
 * kept (then nothing is started), files that are no namespaces are replaced, folders are made.
 *
 * Thread:  a worker; blocks.
 * Returns: 0 with both pins in place, -1 and err with nothing left that was not there before.
 */
int helper_make_namespaces(const struct backend_env *env, const struct ns_ref *ns,
			   struct vn_error *err);

/*
 * Hands a request (helper-wire.h) with up to HELPER_MAX_FDS - 1 descriptors (borrowed) to the
 * helper. Does not wait for it.
 *
 * Returns: 0 and *ret_channel, a SOCK_SEQPACKET socket of this request alone on which the answers
 *          come; closing it ends what the request started. -1 and err otherwise (VN_E_BUSY: the
 *          helper does not keep up).
 */
int helper_send(const struct backend_env *env, const void *request, size_t size, const int *fds,
		size_t n_fds, int *ret_channel, struct vn_error *err);
