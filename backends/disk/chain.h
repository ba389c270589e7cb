#pragma once
/* Chains of images: which layers an image consists of, as their finished markers say. */

#include "backends/disk/image.h"

struct chain {
	char sha256[IMAGE_LAYERS_MAX][65];	/* the image itself first, then its base, … */
	size_t count;
};

/*
 * Follows the bases of an image.
 *
 * Errors: VN_E_NOT_FOUND one is missing or not finished; VN_E_STATE a circle, or too many;
 *         VN_E_UNSUPPORTED one is a disk.
 */
int chain_read(const char *images, const char *sha256, struct chain *ret, struct vn_error *err);

/* Fails with VN_E_STATE where another image is a layer on this one. */
int chain_check_unused(const char *images, const char *sha256, struct vn_error *err);
