#pragma once
/*
 * The `source`s of a document's files: read once, when the document comes, and kept by their digest in
 * <state_dir>/files, so that a boot or a reload later needs nobody's file.
 */

#include "daemon/model.h"

/* A handler's second half; document: with the digest of every source. Borrowed. */
typedef int sources_fn(struct call *call, const void *params, json_t *document, struct vn_error *err);

/*
 * Reads what the document names and is not here yet, then goes on with `then`, at once where there is
 * nothing to read. A handler returns what this returns.
 *
 * passed: names (const char *) of those whose descriptors came, in their order. Others lie below
 *         import_dir.
 * params: the handler's own.
 * Errors: VN_E_NOT_FOUND, VN_E_DENIED no such file; VN_E_INVALID not a file, too large, or not of the
 *         digest that the document gives it; each with the path in the params.
 */
int sources_collect(struct call *call, json_t *document, const struct field_array *passed,
		    sources_fn *then, const void *params, struct vn_error *err);

/* Whether all sources of a spec are here: VN_E_NOT_FOUND with a path below the spec. */
int sources_check(const struct daemon *daemon, const struct doc_vnode *spec, struct vn_error *err);

/* Removes what no vnode and no job names any more. */
void sources_sweep(struct daemon *daemon);

/* Opens a file below import_dir, whatever links lie there. path: for errors. Returns it, or -1. */
int import_open(const struct daemon *daemon, const char *name, const char *path, struct vn_error *err);
