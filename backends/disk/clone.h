#pragma once
/* Copies of trees, that share the contents of their files with the original or not. */

#include <stdbool.h>

#include "proto/base/error.h"

/*
 * Puts an image's layer over what `to` holds: nothing, or the layers below. Whiteouts are carried out, so
 * that the result is what an overlay of all layers would show. Owners, modes, times, attributes, hard
 * links, links and holes are kept; mounts below `from` are not entered.
 *
 * from:   root folder of the layer; nobody changes it meanwhile.
 * to:     a folder reached by nobody else; where contents are shared, of the same file system.
 * trash:  where what a layer hides goes; of the file system of `to`.
 * shares: contents are shared, not copied.
 * Errors: VN_E_UNSUPPORTED the file system cannot clone; VN_E_LIMIT it is full. What is half there is the
 *         caller's to remove.
 */
int clone_layer(const char *from, const char *to, const char *trash, bool shares,
		struct vn_error *err);
