#pragma once
/* An lvm in PATH whose volumes are files on loop devices (fake_lvm.py), for machines without a device mapper. */

#include "backends/backend.h"

/* A volume of others, whose name could be ours. */
#define FAKE_LVM_THEIRS "vnoded-11111111-7-0"

/*
 * Puts it into PATH and names its group and pool in `env`.
 *
 * folder: of the test; borrowed until the end. <folder>/lvm/log has a line for each call.
 */
void fake_lvm_begin(const char *folder, struct backend_env *env);

/* Detaches all volumes, whatever is left of them. Without a beginning: nothing. */
void fake_lvm_end(void);
