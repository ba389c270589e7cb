#pragma once
/* The jobs on images. Thread: loop. */

#include "daemon/model.h"

extern const struct verb verb_image_add, verb_image_capture, verb_image_remove,
	verb_image_prune;

/*
 * Params of image.add: {"image", "url" | nothing, "sha256" | "", "format"}; a local file's descriptor is
 * handed over apart, since it does not survive a restart: the job that needs it fails then.
 */
void image_give_fd(struct daemon *daemon, const char *image, VN_TAKES int fd);
