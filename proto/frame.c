/*
 * Lines out of a stream. The buffer holds [start, end); bytes before `scanned` are known to hold no
 * LF, so each byte is looked at once. Descriptors wait in a queue with the position of their byte
 * in the whole stream. Room is made by moving only when at least as much was taken as is left, else
 * by doubling: both cost a constant a byte.
 */
#include "proto/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum {
	READ_SIZE = 32768,
	KEPT_SIZE = 16384,	/* an empty buffer larger than this is given back */
	KERNEL_FDS_MAX = 253,	/* SCM_MAX_FD: as many can come with one byte */
};

struct arrival {
	uint64_t position;	/* of the byte they came with */
	struct frame_fds fds;
	bool is_broken;		/* some were too many, or got lost: their line is refused */
};

struct frame {
	size_t line_max;
	char *data;
	size_t start, scanned, end, size;
	uint64_t position;	/* of data[start] in the stream */
	struct arrival *arrivals;
	size_t n_arrivals, arrivals_size;
	bool is_lost;
};

static void
close_fds(struct frame_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		close(fds->fd[i]);
	fds->count = 0;
}

struct frame *
frame_new(size_t line_max)
{
	struct frame *frame = vn_alloc(sizeof(*frame));

	frame->line_max = line_max;
	return frame;
}

void
frame_free(struct frame *frame)
{
	if (!frame)
		return;
	for (size_t i = 0; i < frame->n_arrivals; i++)
		close_fds(&frame->arrivals[i].fds);
	free(frame->arrivals);
	free(frame->data);
	free(frame);
}

/* ---- bytes in ---- */

static void
release_empty(struct frame *frame)
{
	if (frame->start < frame->end)
		return;
	frame->start = frame->scanned = frame->end = 0;
	if (frame->size > KEPT_SIZE) {
		free(vn_take_ptr(&frame->data));
		frame->size = 0;
	}
}

static void
make_room(struct frame *frame, size_t size)
{
	size_t held = frame->end - frame->start;

	if (frame->size - frame->end >= size)
		return;
	if (frame->start >= held && frame->size - held >= size) {
		memmove(frame->data, frame->data + frame->start, held);
		frame->scanned -= frame->start;
		frame->end = held;
		frame->start = 0;
		return;
	}
	if (frame->size == 0)
		frame->size = 512;
	while (frame->size - frame->end < size)
		frame->size *= 2;
	frame->data = vn_realloc_array(frame->data, frame->size, 1);
}

static void
add_arrival(struct frame *frame, struct frame_fds *fds, bool is_broken)
{
	struct arrival *last = frame->n_arrivals ? &frame->arrivals[frame->n_arrivals - 1] : NULL;

	/* A line that has one set already and gets another: joined, to keep the queue short. */
	if (last && last->position >= frame->position && frame->scanned == frame->end) {
		is_broken = is_broken || last->fds.count + fds->count > PROTOCOL_FDS_MAX;
		if (!is_broken) {
			memcpy(last->fds.fd + last->fds.count, fds->fd, fds->count * sizeof(int));
			last->fds.count += fds->count;
			fds->count = 0;
		}
		last->is_broken |= is_broken;
		close_fds(fds);
		return;
	}
	if (frame->n_arrivals == frame->arrivals_size) {
		frame->arrivals_size = frame->arrivals_size ? frame->arrivals_size * 2 : 1;
		frame->arrivals = vn_realloc_array(frame->arrivals, frame->arrivals_size,
						   sizeof(*frame->arrivals));
	}
	frame->arrivals[frame->n_arrivals++] = (struct arrival){
		.position = frame->position + (frame->end - frame->start), .fds = *fds,
		.is_broken = is_broken,
	};
	fds->count = 0;
}

static void
feed(struct frame *frame, const char *data, size_t size, struct frame_fds *fds, bool is_broken)
{
	release_empty(frame);
	if (frame->is_lost) {
		close_fds(fds);
		return;
	}
	if (fds->count > 0 || is_broken)
		add_arrival(frame, fds, is_broken);
	if (size == 0)
		return;
	make_room(frame, size);
	memcpy(frame->data + frame->end, data, size);
	frame->end += size;
}

void
frame_feed(struct frame *frame, const char *data, size_t size, VN_TAKES struct frame_fds *fds)
{
	struct frame_fds none = { 0 };

	feed(frame, data, size, fds ? fds : &none, false);
}

/* ---- lines out ---- */

/* Collects the descriptors of the line that ends before `end`; false when some are missing. */
static bool
take_fds(struct frame *frame, uint64_t end, struct frame_fds *ret)
{
	bool is_whole = true;
	size_t n = 0;

	ret->count = 0;
	for (; n < frame->n_arrivals && frame->arrivals[n].position < end; n++) {
		struct frame_fds *fds = &frame->arrivals[n].fds;

		is_whole &= !frame->arrivals[n].is_broken &&
			    ret->count + fds->count <= PROTOCOL_FDS_MAX;
		if (is_whole) {
			memcpy(ret->fd + ret->count, fds->fd, fds->count * sizeof(int));
			ret->count += fds->count;
		} else {
			close_fds(fds);
		}
	}
	if (n == 0)
		return true;
	frame->n_arrivals -= n;
	memmove(frame->arrivals, frame->arrivals + n, frame->n_arrivals * sizeof(*frame->arrivals));
	if (!is_whole)
		close_fds(ret);
	return is_whole;
}

static int
lose(struct frame *frame, struct vn_error *err)
{
	for (size_t i = 0; i < frame->n_arrivals; i++)
		close_fds(&frame->arrivals[i].fds);
	frame->n_arrivals = 0;
	frame->start = frame->scanned = frame->end = 0;
	frame->is_lost = true;
	return vn_fail(err, VN_E_REQUEST, "a line may have at most %zu bytes", frame->line_max);
}

int
frame_next(struct frame *frame, char **ret_line, size_t *ret_length, struct frame_fds *ret_fds,
	   struct vn_error *err)
{
	struct frame_fds fds;
	char *line, *lf;
	size_t length;

	release_empty(frame);
	if (frame->is_lost)
		return lose(frame, err);
	if (frame->start == frame->end)
		return 0;
	lf = memchr(frame->data + frame->scanned, '\n', frame->end - frame->scanned);
	frame->scanned = lf ? (size_t)(lf - frame->data) : frame->end;
	length = frame->scanned - frame->start;
	if (length >= frame->line_max)
		return lose(frame, err);
	if (!lf)
		return 0;
	line = frame->data + frame->start;
	*lf = '\0';
	frame->position += length + 1;
	frame->start = ++frame->scanned;
	if (!take_fds(frame, frame->position, &fds)) {
		lose(frame, err);
		return vn_fail(err, VN_E_REQUEST,
			       "more than %d descriptors with one line, or some that could not be "
			       "received",
			       PROTOCOL_FDS_MAX);
	}
	*ret_line = line;
	*ret_length = length;
	*ret_fds = fds;
	return 1;
}

size_t
frame_pending(const struct frame *frame)
{
	return frame->end - frame->start;
}

/*
 * ---- sockets ----
 *
 * Linux ends a read after the piece that descriptors came with, but may put earlier pieces before
 * it: what is sure is that they belong to the last byte read. So that byte is sent alone, as the
 * first of its line.
 */

/* Takes all descriptors of a message; what does not fit is closed and told by *ret_broken. */
static void
receive_fds(struct msghdr *message, struct frame_fds *ret, bool *ret_broken)
{
	*ret_broken = message->msg_flags & MSG_CTRUNC;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (ret->count < PROTOCOL_FDS_MAX) {
				ret->fd[ret->count++] = fd;
			} else {
				close(fd);
				*ret_broken = true;
			}
		}
	}
}

int
frame_read(struct frame *frame, int fd, struct vn_error *err)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(KERNEL_FDS_MAX * sizeof(int))];
	} control;
	char data[READ_SIZE];
	struct iovec piece = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct frame_fds fds = { 0 }, none = { 0 };
	bool is_broken;
	ssize_t size;

	do
		size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return vn_fail(err, VN_E_BUSY, "nothing to read now");
	if (size < 0)
		return vn_fail_errno(err, errno, "read from the socket");
	receive_fds(&message, &fds, &is_broken);
	if (size > 1)
		feed(frame, data, (size_t)size - 1, &none, false);
	if (size > 0)
		feed(frame, data + size - 1, 1, &fds, is_broken);
	return (int)size;
}

long
frame_write(int fd, const char *data, size_t size, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PROTOCOL_FDS_MAX * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec piece = { .iov_base = (char *)(uintptr_t)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t written;

	assert(n_fds <= PROTOCOL_FDS_MAX);
	if (n_fds > 0) {
		piece.iov_len = 1;
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	do
		written = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (written < 0 && errno == EINTR);
	return written;
}
