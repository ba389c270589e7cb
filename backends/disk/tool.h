#pragma once
/* Programs of Debian for which there is no library: mkfs, lvm, qemu-img. */

#include <stddef.h>

#include "proto/base/error.h"

/*
 * Runs a program and waits for its end, at most timeout_ms; then it is killed with all that it started.
 *
 * argv:    NULL-terminated; no shell sees it. The program is looked up in PATH, then in the folders of
 *          system programs.
 * ret_out: what it printed (NUL-terminated, at most 1 MiB), to be freed; NULL: of no interest.
 * Errors:  VN_E_UNSUPPORTED there is no such program; VN_E_TIMEOUT; VN_E_BACKEND it failed, with the end
 *          of what it said; err->sys is its exit status, 0 where a signal ended it.
 * Thread:  worker.
 */
int tool_run(const char *const *argv, unsigned timeout_ms, char **ret_out, struct vn_error *err);

/* Whether the program is there: VN_E_UNSUPPORTED with the package that has it. */
int tool_check(const char *name, const char *package, struct vn_error *err);
