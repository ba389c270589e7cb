#pragma once
/*
 * What a start does with what the last life left: marks what a reboot of the machine took, adopts what
 * runs, removes what no one owns any more, lets interrupted jobs go on. Thread: loop.
 */

#include "daemon/model.h"

extern const struct verb verb_host_recover;

/* Compares boot ids and marks what a reboot took; before jobs_load. Returns whether it was one. */
bool recovery_mark_reboot(struct daemon *daemon);
/* Begins: host.setup, then adoption and host.recover, then the interrupted jobs; on_end(arg, NULL) when
 * the daemon is ready, or with why it cannot start. */
int recovery_begin(struct daemon *daemon, void (*on_end)(void *arg, const struct vn_error *err),
		   void *arg, struct vn_error *err);
/* Compares what is with the rows once more: for what a call given up on may have done late. */
void recovery_sweep(struct daemon *daemon);
/* The hypervisor's daemon is back: what it lost or forgot meanwhile is looked at again. */
void recovery_on_link(struct daemon *daemon, bool up, const char *text);
