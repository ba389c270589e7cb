#pragma once
/*
 * Work on a thread of its own. Working directory, root directory and umask belong to the process as a
 * whole, and mount namespace and file owner stay with the thread that changed them: so whatever
 * needs one of its own runs here, and ends with the thread whichever way it went.
 */

#include <sys/types.h>

#include "proto/base/error.h"

typedef int apart_fn(void *arg, struct vn_error *err);

/*
 * Runs fn(arg, err) on a new thread that shares neither directories nor umask (022 there) with the
 * process, and waits for it. Returns what fn returned.
 *
 * Errors: fn's own; VN_E_LIMIT no more threads.
 * Thread: any that may block.
 */
int apart_run(apart_fn *fn, void *arg, struct vn_error *err);

/*
 * From inside fn: what this thread makes from now on belongs to uid and gid. Its capabilities stay,
 * which a change of the file-system user would otherwise drop.
 */
int apart_become_owner(uid_t uid, gid_t gid, struct vn_error *err);
