#pragma once
/* A root file system out of an archive: tar, plain or with gzip, xz, zstd or bzip2, and nothing else. */

#include "backends/backend.h"

struct unpacked {
	uint64_t bytes;			/* file contents; holes and zero entries count nothing */
	uint64_t entries;
	char format[64];		/* "GNU tar format, gzip" */
	bool is_opaque;			/* hides all of its base */
};

struct unpack_spec {
	const char *path;		/* the archive */
	const char *into;		/* an empty folder */
	const int *bases;		/* roots of the images that it is a layer on, the nearest first */
	size_t n_bases;
	void *arg;			/* as in image_spec */
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);
};

/*
 * Unpacks an archive into a folder; nothing is written anywhere else whatever the
 * archive holds. What was written stays on failure: the caller throws the folder away.
 *
 * limits, cancelled, progress_bytes: as in disk_ops.image_unpack.
 * Errors: VN_E_INVALID no archive, truncated, something behind its end, a limit, or an entry that an
 *         image may not hold (the text names it); VN_E_LIMIT disk full, or limits->storage_bytes;
 *         VN_E_CANCELLED.
 */
int unpack_archive(const struct unpack_spec *spec, const struct unpack_limits *limits,
		   const bool *cancelled, uint64_t *progress_bytes, struct unpacked *ret,
		   struct vn_error *err);
