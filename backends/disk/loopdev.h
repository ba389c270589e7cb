#pragma once
/* Loop devices: files as block devices. */

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* Whether this kernel has them: VN_E_UNSUPPORTED. Loads the module where it is one. */
int loopdev_check(struct vn_error *err);

/*
 * The device of a file: the one that it has, else a free one, which goes by itself after its last use
 * (autoclear).
 *
 * file: open for reading and writing.
 * name: at least 32 bytes; "/dev/loop3".
 * Returns: 0 and *ret_fd, to be closed when it is mounted.
 */
int loopdev_open(int file, char name[static 32], int *ret_fd, struct vn_error *err);

/* Whether a file has a device. */
int loopdev_is_used(int file, bool *ret, struct vn_error *err);

/* The file that a device (st_dev of what is mounted from it) shows; false: it is no loop device. */
bool loopdev_file(dev_t device, char path[static PATH_MAX]);
