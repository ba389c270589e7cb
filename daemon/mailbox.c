/*
 * Calls that wait: a list for those deferred, and one under a lock for those posted, woken by an
 * eventfd. They are taken out before they run, one by one, because a callback may make mailbox_forget
 * drop those behind it.
 */
#include "daemon/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/loop.h"
#include "proto/base/mem.h"

struct message {			/* a posted or deferred call */
	struct vn_list link;
	watch_fn *fn;
	void *arg;
};

void
mailbox_init(struct mailbox *mailbox, VN_TAKES int wake_fd)
{
	mailbox->wake_fd = wake_fd;
	vn_list_init(&mailbox->deferred);
	vn_list_init(&mailbox->posted);
	vn_list_init(&mailbox->taken);
	pthread_mutex_init(&mailbox->lock, NULL);
}

static void
drop_messages(struct vn_list *queue, const void *arg, bool all)
{
	vn_list_each_safe(struct message, message, queue, link) {
		if (!all && message->arg != arg)
			continue;
		vn_list_remove(&message->link);
		free(message);
	}
}

void
mailbox_fini(struct mailbox *mailbox)
{
	drop_messages(&mailbox->deferred, NULL, true);
	drop_messages(&mailbox->taken, NULL, true);
	drop_messages(&mailbox->posted, NULL, true);
	pthread_mutex_destroy(&mailbox->lock);
	close(mailbox->wake_fd);
}

static struct message *
message_new(watch_fn *fn, void *arg)
{
	struct message *message = vn_alloc(sizeof(*message));

	message->fn = fn;
	message->arg = arg;
	return message;
}

/* Full is fine: then it is readable already. */
static void
wake(struct mailbox *mailbox)
{
	uint64_t one = 1;

	if (write(mailbox->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

void
mailbox_defer(struct mailbox *mailbox, watch_fn *fn, void *arg)
{
	vn_list_append(&mailbox->deferred, &message_new(fn, arg)->link);
}

void
mailbox_post(struct mailbox *mailbox, watch_fn *fn, void *arg)
{
	struct message *message = message_new(fn, arg);
	bool was_empty;

	pthread_mutex_lock(&mailbox->lock);
	was_empty = vn_list_is_empty(&mailbox->posted);
	vn_list_append(&mailbox->posted, &message->link);
	if (was_empty)
		wake(mailbox);
	pthread_mutex_unlock(&mailbox->lock);
}

void
mailbox_forget(struct mailbox *mailbox, const void *arg)
{
	drop_messages(&mailbox->deferred, arg, false);
	drop_messages(&mailbox->taken, arg, false);
	pthread_mutex_lock(&mailbox->lock);
	drop_messages(&mailbox->posted, arg, false);
	pthread_mutex_unlock(&mailbox->lock);
}

static void
run_message(struct mailbox *mailbox)
{
	struct message *first = vn_container_of(mailbox->taken.next, struct message, link);

	vn_list_remove(&first->link);
	mailbox->n_ran++;
	first->fn(first->arg);
	free(first);
}

void
mailbox_run_deferred(struct mailbox *mailbox)
{
	vn_list_splice(&mailbox->taken, &mailbox->deferred);
	while (!vn_list_is_empty(&mailbox->taken))
		run_message(mailbox);
}

/* What is left goes before what has come since. */
static void
put_back(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	vn_list_splice(&mailbox->taken, &mailbox->posted);
	vn_list_splice(&mailbox->posted, &mailbox->taken);
	pthread_mutex_unlock(&mailbox->lock);
	wake(mailbox);
}

/* For a slice of time only: what fifty workers have finished at once must not keep a client waiting. */
void
mailbox_run_posted(struct mailbox *mailbox)
{
	uint64_t ignored, end = loop_monotonic_ns() + LOOP_SLICE_NS;

	if (read(mailbox->wake_fd, &ignored, sizeof(ignored)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
	pthread_mutex_lock(&mailbox->lock);
	vn_list_splice(&mailbox->taken, &mailbox->posted);
	pthread_mutex_unlock(&mailbox->lock);
	while (!vn_list_is_empty(&mailbox->taken)) {
		run_message(mailbox);
		if (loop_monotonic_ns() > end && !vn_list_is_empty(&mailbox->taken)) {
			put_back(mailbox);
			return;
		}
	}
}
