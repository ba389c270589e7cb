#pragma once
/* The cgroup files of a running process, version 1 and 2, as the daemon sees them. Thread: any. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/base/error.h"

/*
 * Writes the directory of pid's group for `controller` into ret and whether it is version 2.
 * Returns 0, or -1 where the controller is not mounted or the process is gone.
 */
int cgroup_find(pid_t pid, const char *controller, char *ret, size_t size, bool *ret_v2);

/* Opens the file whose line "oom_kill N" counts kills in pid's group; -1 where there is none. */
int cgroup_open_oom(pid_t pid);

/*
 * Limits the processes of a guest; 0 = no limit. Version 1: libvirt uses no pids group, so one named
 * after the domain is made and the guest's first process moved there. Version 2: the limit is that
 * of the container's group (`init`'s, before vnode-init moved to its leaf).
 */
int cgroup_limit_pids(pid_t init, pid_t guest, const char *domain, unsigned pids,
		      struct vn_error *err);

/* Version 2: lets the guest use the controllers in its own group, below the container's limits. */
void cgroup_hand_down(pid_t init, pid_t controller);

/* Thaws what someone has frozen (virsh suspend), so that it can be killed; version 2 kills what is frozen. */
void cgroup_thaw(pid_t pid);

/* Removes the group that cgroup_limit_pids made, if any; its processes must have ended. */
void cgroup_remove(const char *domain);

/* Moves the calling process into every group of process `of`. */
int cgroup_join(pid_t of, struct vn_error *err);
