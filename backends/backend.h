#pragma once
/*
 * The contracts between the daemon and what it steers, each in a header of its own. Included by daemon code
 * that holds a handle and by the backends themselves. A backend includes nothing of daemon/.
 *
 * Common to all:
 * Threads: `open` and `close` on the loop thread; what is marked "loop" on the loop thread, where it
 *   must not block; every other call on a worker, where it may block. Two calls never name the same
 *   vnode at once, but any number of workers may be inside one backend, so what calls share is
 *   guarded inside.
 * Repeats: each call is safe to repeat. Making what is there, and removing what is absent, succeed:
 *   jobs are replayed after a crash.
 * Whole or nothing: a call that fails has removed what it made.
 * Errors:  -1 with err set. VN_E_BACKEND carries the library's own text.
 * Memory:  arguments are borrowed for the call unless said otherwise; outputs are the caller's.
 * Ownership: objects carry the tag "vnoded:<instance>:<vnode or LAN uuid>". What does not carry the
 *   own instance's tag is never touched; a foreign object in the way is VN_E_EXISTS.
 */

#include "backends/compute.h"
#include "backends/disk.h"
#include "backends/env.h"
#include "backends/fetch.h"
#include "backends/net.h"

extern const struct compute_ops compute_lxc, compute_fake;
extern const struct net_ops net_linux, net_fake;
extern const struct disk_ops disk_local, disk_fake;
extern const struct fetch_ops fetch_curl, fetch_fake;
