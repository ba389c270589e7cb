#pragma once
/*
 * Calls that wait for their turn on the loop: those deferred by the loop's own callbacks, and those
 * posted by any thread. Thread: loop, but for mailbox_post.
 */

#include <pthread.h>
#include <stdbool.h>

#include "backends/backend.h"
#include "proto/base/list.h"

struct mailbox {
	int wake_fd;			/* readable while something posted waits */
	struct vn_list deferred;
	pthread_mutex_t lock;
	struct vn_list posted;		/* under lock */
	struct vn_list taken;		/* messages of either kind that are being run */
	uint64_t n_ran;			/* calls so far */
};

/* wake_fd: a non-blocking eventfd, closed by mailbox_fini. */
void mailbox_init(struct mailbox *mailbox, VN_TAKES int wake_fd);
void mailbox_fini(struct mailbox *mailbox);	/* what still waits is dropped */

void mailbox_defer(struct mailbox *mailbox, watch_fn *fn, void *arg);
void mailbox_post(struct mailbox *mailbox, watch_fn *fn, void *arg);	/* any thread */
/* Drops every call with this arg. */
void mailbox_forget(struct mailbox *mailbox, const void *arg);

/* Runs what is deferred now; what comes meanwhile waits for the next time. */
void mailbox_run_deferred(struct mailbox *mailbox);
/* Runs what is posted, for a slice of time; wake_fd stays readable when some is left. */
void mailbox_run_posted(struct mailbox *mailbox);
