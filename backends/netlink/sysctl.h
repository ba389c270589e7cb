#pragma once
/* Kernel settings of the host's network namespace, and the memory of what they were before. */

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

struct fabric;

/* Reads /proc/sys/<path> without its newline. False where there is no such setting. */
bool sysctl_read(const char *path, char *value, size_t size);
/* Writes it; a setting that this kernel or namespace lacks is left out silently. */
int sysctl_write(const char *path, const char *value, struct vn_error *err);

/* Turns forwarding on and makes room for many neighbours, remembering what was before. */
int sysctl_up(struct fabric *fabric, struct vn_error *err);
/* Puts back what sysctl_up() changed, where nobody has changed it since. */
int sysctl_down(struct fabric *fabric, struct vn_error *err);
