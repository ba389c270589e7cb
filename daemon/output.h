#pragma once
/*
 * What a client has not read yet: chunks in order, each with the descriptors that leave with its
 * first byte. Small lines are copied into the last chunk, so that many answers leave in one system
 * call. Thread: loop.
 */

#include "proto/base/list.h"
#include "proto/frame.h"

struct output {
	struct vn_list chunks;
	uint64_t bytes;			/* not written yet */
	uint64_t *total;		/* of all outputs that share it */
};

void output_init(struct output *output, uint64_t *total);
void output_fini(struct output *output);	/* closes descriptors that never left */

/* Copies. */
void output_add(struct output *output, const char *text, size_t length);
/* Takes a malloc'ed line; `fds` (NULL: none) are taken over. */
void output_take(struct output *output, VN_TAKES char *text, size_t length,
		 VN_TAKES struct frame_fds *fds);

/* Writes what the socket takes. Returns 1 when nothing is left, 0 when the socket is full, -1 when
 * the reader is gone (errno). */
int output_write(struct output *output, int fd);

/* Closes those that are not -1 (taken); count is 0 afterwards. */
void frame_fds_close(struct frame_fds *fds);
