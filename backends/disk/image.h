#pragma once
/*
 * The image store: <images>/<sha256>/root, or …/disk, with the finished marker
 * <images>/<sha256>/finished.
 * Unpacking goes on in <images>/<sha256>.partial-<random>, whose folder is locked (flock) as long as
 * someone works in it: a partial image without a lock is a left-over.
 */

#include "backends/backend.h"

struct image_info {			/* what the finished marker says */
	struct image_facts facts;
	bool is_opaque;			/* a layer that hides all of its base */
};

/* Whether `sha256` is 64 lower-case hexadecimal digits: also what makes it safe as a file name. */
int image_name_check(const char *sha256, struct vn_error *err);

/* Reads the marker; false when the image is absent or not finished. */
bool image_is_finished(const char *images, const char *sha256, struct image_info *ret);

/* disk_ops.image_unpack. */
int image_unpack(const char *images, const char *trash, const struct image_spec *spec,
		 const struct unpack_limits *limits, const bool *cancelled,
		 uint64_t *progress_bytes, struct image_facts *ret, struct vn_error *err);

/* Deletes every partial image that nobody is working on. */
int image_remove_partial(const char *images, const char *trash, struct vn_error *err);
