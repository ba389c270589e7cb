#pragma once
/* Processes by pid and start time, which together are never reused. Thread: any. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* Field 22 of /proc/PID/stat; 0 when there is no such process, or only its corpse (errno: ESRCH), or when that
 * cannot be told (see process_is_unknown). */
uint64_t process_start_time(pid_t pid);

/* A pidfd of exactly this process; -1 when it is gone (errno: ESRCH), or as above. */
int process_open(pid_t pid, uint64_t start);

/* Whether the last of the above failed for want of descriptors or memory: the process may well live. */
bool process_is_unknown(void);

/* The inode of one of its namespaces ("net", "pid"); 0 when it cannot be told. */
uint64_t process_namespace(pid_t pid, const char *name);

/* Its only, or first, child; 0 when there is none. */
pid_t process_child(pid_t pid);

pid_t process_parent(pid_t pid);

/* Sets oom_score_adj; a process that is gone is fine. */
void process_spare(pid_t pid, int score);

/* Waits until the process of the pidfd has ended, at most timeout_ms; says whether it has. */
bool process_await(int pidfd, int timeout_ms);
