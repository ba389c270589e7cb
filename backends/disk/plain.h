#pragma once
/* The plain stream of a compressed file, made by a thread of its own: decompressing costs as much as writing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct plain;

/*
 * Begins. The thread shares the caller's root directory.
 *
 * fd:             the file, borrowed until plain_close().
 * cancelled:      read atomically; true ends the stream with VN_E_CANCELLED.
 * progress_bytes: raised as bytes of the file are read (atomically).
 */
int plain_open(int fd, uint64_t size, const bool *cancelled, uint64_t *progress_bytes,
	       struct plain **ret, struct vn_error *err);

/* Ends the thread; NULL is fine. */
void plain_close(struct plain *plain);

/*
 * The next piece; valid until the next call.
 *
 * Returns: 1, 0 at the end of the stream, where the file has ended too and its check sum is right; -1 with
 *          err: VN_E_INVALID damaged, cut, or something behind it.
 */
int plain_next(struct plain *plain, const char **ret, size_t *ret_size, struct vn_error *err);

/* What the file was compressed with: "gzip", "none". */
const char *plain_filter(const struct plain *plain);
