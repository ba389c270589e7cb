#pragma once
/*
 * Changes of the fabric by a foreign hand, as events. The backend tells that something may have changed; after
 * a quiet moment the fabric is compared with what is wanted, and what is newly different is told: once for each
 * port or LAN, as lan.change, else as host.warning. Nothing runs while nothing changes. Thread: loop.
 */

#include "daemon/daemon.h"

struct monitor *monitor_open(struct daemon *daemon);
void monitor_close(struct monitor *monitor);	/* NULL is fine */

/* Begins to listen, or again after host_up may have made another fabric. A failure is a warning. */
void monitor_watch(struct monitor *monitor);
/* Ends it: an open fabric cannot be taken down. */
void monitor_unwatch(struct monitor *monitor);
