/*
 * A batch counts those who may still add to it: each member, and the line while it is being handed
 * on. Members are kept as text, so that a large batch is printed once and its size is known.
 */
#include <string.h>

#include "daemon/session_inner.h"

struct answers {
	unsigned held;
	char *text;			/* "[…,…" so far */
	size_t length, size;
	struct frame_fds fds;
};

struct answers *
answers_new(void)
{
	struct answers *batch = vn_alloc(sizeof(*batch));

	batch->held = 1;
	return batch;
}

void
answers_hold(struct answers *batch)
{
	batch->held++;
}

static void
append(struct answers *batch, const char *text, size_t length)
{
	if (batch->size - batch->length < length) {
		batch->size = 2 * batch->size + length + 256;
		batch->text = vn_realloc_array(batch->text, batch->size, 1);
	}
	memcpy(batch->text + batch->length, text, length);
	batch->length += length;
}

void
answers_release(struct answers *batch, struct session *session)
{
	if (--batch->held)
		return;
	if (session && batch->length) {
		append(batch, "]\n", 2);
		session_send(session, vn_take_ptr(&batch->text), batch->length, &batch->fds);
	}
	frame_fds_close(&batch->fds);
	free(batch->text);
	free(batch);
}

int
answers_add(struct answers *batch, VN_TAKES char *text, size_t length, VN_TAKES int fd,
	  size_t spare, struct vn_error *err)
{
	vn_autofree char *line = text;
	vn_autoclose int taken = fd;

	if (batch->length + length + 3 + spare > PROTOCOL_ANSWER_MAX)
		return vn_fail(err, VN_E_LIMIT, "the answers of this batch exceed %u bytes; send "
			       "its requests one by one", PROTOCOL_ANSWER_MAX);
	if (taken >= 0 && batch->fds.count == PROTOCOL_FDS_MAX)
		return vn_fail(err, VN_E_LIMIT, "the answers of this batch carry more than %d "
			       "descriptors; send its requests one by one", PROTOCOL_FDS_MAX);
	append(batch, batch->length ? "," : "[", 1);
	append(batch, line, line[length - 1] == '\n' ? length - 1 : length);
	if (taken >= 0)
		batch->fds.fd[batch->fds.count++] = vn_take_fd(&taken);
	return 0;
}
