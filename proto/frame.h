#pragma once
/*
 * Splits a byte stream into lines, whatever the sizes of the pieces, with the descriptors that came
 * along: descriptors belong to the line that holds the byte they arrived with. Linear in the bytes
 * given, also for a line that arrives one byte at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/mem.h"
#include "proto/methods.h"

struct frame_fds {
	int fd[PROTOCOL_FDS_MAX];
	unsigned count;
};

struct frame;

/* line_max: bytes of a line with its LF. */
struct frame *frame_new(size_t line_max);
void frame_free(struct frame *frame); /* closes descriptors that nobody took; NULL is fine */

/* Appends bytes; `fds` (count may be 0) came with the first of them and are taken over. */
void frame_feed(struct frame *frame, const char *data, size_t size, VN_TAKES struct frame_fds *fds);

/*
 * Takes the next whole line. Returns 1 and *ret_line (without its LF, NUL-terminated, valid until
 * the next call on this frame) and its descriptors, which are the caller's; 0 when there is none
 * yet; -1 with VN_E_REQUEST when the line is too long or has too many descriptors: the stream is
 * lost.
 */
int frame_next(struct frame *frame, char **ret_line, size_t *ret_length, struct frame_fds *ret_fds,
	       struct vn_error *err);

/* Bytes held of a line that is not whole yet. */
size_t frame_pending(const struct frame *frame);

/*
 * recvmsg on a stream socket: reads once into the frame. Returns bytes read (> 0), 0 at end of
 * stream, -1 with err (VN_E_BUSY: nothing there now on a non-blocking socket).
 */
int frame_read(struct frame *frame, int fd, struct vn_error *err);

/*
 * sendmsg; returns bytes written or -1 (errno as from sendmsg). With descriptors, which must be
 * those of a line that begins here, only its first byte is sent along with them: call again for the
 * rest.
 */
long frame_write(int fd, const char *data, size_t size, const int *fds, unsigned n_fds);
