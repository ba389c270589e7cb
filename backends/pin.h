#pragma once
/* Pinned namespaces: files that must be namespaces of a kind before anyone trusts them. Thread: any. */

#include <stdint.h>

#include "proto/base/error.h"

/*
 * Opens the pin at `path` and checks that it is a namespace of that kind (CLONE_NEWNET,
 * CLONE_NEWUSER). Returns its descriptor; -1 and err: VN_E_NOT_FOUND no such file, VN_E_BACKEND it
 * is something else.
 */
int pin_open(const char *path, int kind, struct vn_error *err);

/* Whether the network namespace `net` belongs to the user namespace `user`. */
int pin_is_owned(int net, int user);

/* The inode that identifies an open namespace; 0 when it cannot be told. */
uint64_t pin_inode(int fd);
