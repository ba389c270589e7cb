#pragma once
/*
 * Deleting trees: first a rename into the trash folder, which is atomic, then the slow part, which
 * may be cut off at any point and taken up again by trash_empty().
 */

#include "proto/base/error.h"

/*
 * Renames `path` into the trash as `label`-<random>/0 and deletes it there. An absent path is fine.
 *
 * Errors: VN_E_BUSY something is mounted below it (the rest of the tree stays in the trash).
 */
int trash_away(const char *trash, const char *path, const char *label, struct vn_error *err);

/* Deletes all that is in the trash. Several threads may do so at once. */
int trash_empty(const char *trash, struct vn_error *err);
