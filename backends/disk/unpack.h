#pragma once
/* A root file system out of an archive: tar, plain or with gzip, xz, zstd or bzip2, and nothing else. */

#include "backends/backend.h"

struct unpacked {
	uint64_t bytes;			/* file contents; holes and zero entries count nothing */
	uint64_t entries;
	char format[64];		/* "GNU tar format, gzip" */
};

/*
 * Unpacks the archive `path` into the folder `into`; nothing is written anywhere else whatever the
 * archive holds. What was written stays on failure: the caller throws the folder away.
 *
 * limits, cancelled, progress_bytes: as in disk_ops.image_unpack.
 * Errors: VN_E_INVALID no archive, truncated, something behind its end, a limit, or an entry that an
 *         image may not hold (the text names it); VN_E_LIMIT disk full; VN_E_CANCELLED.
 */
int unpack_archive(const char *path, const char *into, const struct unpack_limits *limits,
		   const bool *cancelled, uint64_t *progress_bytes, struct unpacked *ret,
		   struct vn_error *err);
