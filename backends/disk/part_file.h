#pragma once
/*
 * A file that appears under its name only when it is whole: written as <path>.part, digested on the
 * way, at last synced and renamed. Thread: loop.
 */

#include "backends/backend.h"
#include "backends/digest.h"

struct part_file;

/* Removes what is at `path` and begins anew. Errors: those of open(2). */
int part_file_open(const struct watch_ops *watch, const char *path, struct part_file **ret,
		   struct vn_error *err);

/* Removes the file, also one that is in place already, unless part_file_keep() was called. */
void part_file_free(struct part_file *file);

/* Errors: VN_E_LIMIT disk full. */
int part_file_write(struct part_file *file, const void *data, size_t size, struct vn_error *err);
uint64_t part_file_bytes(const struct part_file *file);

/*
 * Syncs the file and puts it in place without holding up the loop.
 *
 * on_done: called once from the loop, with NULL or what went wrong; may free the file.
 */
int part_file_finish(struct part_file *file, void (*on_done)(void *arg, const struct vn_error *err),
		     void *arg, struct vn_error *err);

/* After on_done: the file stays when `file` is freed. Writes its digest. */
void part_file_keep(struct part_file *file, char sha256[static DIGEST_TEXT]);
