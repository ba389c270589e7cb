/*
 * A line with descriptors begins a chunk of its own, since frame_write sends them with the first
 * byte of what it is given. Nothing is appended to a chunk that was linked rather than copied.
 */
#include "daemon/output.h"

#include <errno.h>
#include <string.h>

#define CHUNK_BYTES 16384u
#define COPY_BYTES  4096u		/* lines up to this size are copied rather than linked */

struct chunk {
	struct vn_list link;
	char *data;
	size_t begin, end, size;	/* size 0: full by definition */
	struct frame_fds fds;
};

void
frame_fds_close(struct frame_fds *fds)
{
	while (fds->count)
		if (fds->fd[--fds->count] >= 0)
			close(fds->fd[fds->count]);
}

void
output_init(struct output *output, uint64_t *total)
{
	vn_list_init(&output->chunks);
	output->bytes = 0;
	output->total = total;
}

static void
count(struct output *output, size_t bytes)
{
	output->bytes += bytes;
	*output->total += bytes;
}

static void
discount(struct output *output, uint64_t bytes)
{
	output->bytes -= bytes;
	*output->total -= bytes;
}

static void
chunk_free(struct chunk *chunk)
{
	vn_list_remove(&chunk->link);
	frame_fds_close(&chunk->fds);
	free(chunk->data);
	free(chunk);
}

void
output_fini(struct output *output)
{
	vn_list_each_safe(struct chunk, chunk, &output->chunks, link)
		chunk_free(chunk);
	discount(output, output->bytes);
}

static struct chunk *
chunk_append(struct output *output, VN_TAKES char *data, size_t end, size_t size)
{
	struct chunk *chunk = vn_alloc(sizeof(*chunk));

	chunk->data = data;
	chunk->end = end;
	chunk->size = size;
	vn_list_init(&chunk->link);
	vn_list_append(&output->chunks, &chunk->link);
	return chunk;
}

/* The last chunk if `length` more bytes fit, else a new one. */
static struct chunk *
room_for(struct output *output, size_t length)
{
	struct chunk *last;
	size_t size = length > CHUNK_BYTES ? length : CHUNK_BYTES;

	if (!vn_list_is_empty(&output->chunks)) {
		last = vn_container_of(output->chunks.prev, struct chunk, link);
		if (last->size >= last->end && last->size - last->end >= length)
			return last;
	}
	return chunk_append(output, vn_realloc_array(NULL, size, 1), 0, size);
}

void
output_add(struct output *output, const char *text, size_t length)
{
	struct chunk *chunk = room_for(output, length);

	memcpy(chunk->data + chunk->end, text, length);
	chunk->end += length;
	count(output, length);
}

void
output_take(struct output *output, VN_TAKES char *text, size_t length,
	    VN_TAKES struct frame_fds *fds)
{
	bool bare = !fds || !fds->count;

	if (bare && length <= COPY_BYTES) {
		output_add(output, text, length);
		free(text);
		return;
	}
	count(output, length);
	struct chunk *chunk = chunk_append(output, text, length, 0);

	if (!bare) {
		chunk->fds = *fds;
		fds->count = 0;
	}
}

int
output_write(struct output *output, int fd)
{
	while (!vn_list_is_empty(&output->chunks)) {
		struct chunk *chunk = vn_container_of(output->chunks.next, struct chunk, link);
		long n = frame_write(fd, chunk->data + chunk->begin, chunk->end - chunk->begin,
				     chunk->fds.fd, chunk->fds.count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		frame_fds_close(&chunk->fds);
		chunk->begin += (size_t)n;
		discount(output, (uint64_t)n);
		if (chunk->begin == chunk->end)
			chunk_free(chunk);
	}
	return 1;
}
