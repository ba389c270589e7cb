#pragma once
/* Vnode 7 and its disk, which the disk suites try; see disk_world.h for what is around it. */

#include <limits.h>

#include "backends/disk.h"

extern struct disk_spec spec, privileged;	/* the same, but without a user namespace */
extern char path[PATH_MAX];			/* its root, once it has been mounted */

/* A disk of that type from the image SHA, of which nothing is there yet. */
void describe_vnode(enum disk_type type);
/* Runs a shell command as the guest's root, in its root folder. */
void in_guest(const char *command);
