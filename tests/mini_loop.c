/*
 * The test loop. A watch that is removed while callbacks run is only marked and freed after the
 * round, so that a callback may remove itself or another watch that is due in the same round.
 */
#include "tests/mini_loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "proto/base/list.h"
#include "proto/base/mem.h"

struct watch {
	struct vn_list link;
	int fd;				/* -1: a timer */
	unsigned what;
	uint64_t due_ms;
	bool fired, removed;
	watch_fd_fn *on_fd;
	watch_fn *on_timer;
	void *arg;
};

struct posted {
	struct vn_list link;
	watch_fn *fn;
	void *arg;
};

struct mini_loop {
	struct watch_ops ops;
	struct vn_list watches;
	pthread_mutex_t lock;		/* guards posted */
	struct vn_list posted;
	int wake_fd;
};

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct watch *
add_watch(struct mini_loop *loop, int fd, void *arg)
{
	struct watch *watch = vn_alloc(sizeof(*watch));

	watch->fd = fd;
	watch->arg = arg;
	vn_list_append(&loop->watches, &watch->link);
	return watch;
}

static struct watch *
add_fd(void *self, int fd, unsigned what, watch_fd_fn *fn, void *arg)
{
	struct watch *watch = add_watch(self, fd, arg);

	assert(fd >= 0);
	watch->what = what;
	watch->on_fd = fn;
	return watch;
}

static struct watch *
add_timer(void *self, unsigned after_ms, watch_fn *fn, void *arg)
{
	struct watch *watch = add_watch(self, -1, arg);

	watch->due_ms = now_ms() + after_ms;
	watch->on_timer = fn;
	return watch;
}

static void
remove_watch(void *self, struct watch *watch)
{
	(void)self;
	if (watch)
		watch->removed = true;
}

static void
post(void *self, watch_fn *fn, void *arg)
{
	struct mini_loop *loop = self;
	struct posted *posted = vn_alloc(sizeof(*posted));
	uint64_t one = 1;

	posted->fn = fn;
	posted->arg = arg;
	pthread_mutex_lock(&loop->lock);
	vn_list_append(&loop->posted, &posted->link);
	pthread_mutex_unlock(&loop->lock);
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

struct mini_loop *
mini_loop_new(void)
{
	struct mini_loop *loop = vn_alloc(sizeof(*loop));

	loop->ops = (struct watch_ops){ loop, add_fd, add_timer, remove_watch, post };
	vn_list_init(&loop->watches);
	vn_list_init(&loop->posted);
	pthread_mutex_init(&loop->lock, NULL);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(loop->wake_fd >= 0);
	return loop;
}

static void
sweep(struct mini_loop *loop)
{
	vn_list_each_safe(struct watch, watch, &loop->watches, link) {
		if (!watch->removed)
			continue;
		vn_list_remove(&watch->link);
		free(watch);
	}
}

void
mini_loop_free(struct mini_loop *loop)
{
	if (!loop)
		return;
	sweep(loop);
	assert(vn_list_is_empty(&loop->watches));
	vn_list_each_safe(struct posted, posted, &loop->posted, link)
		free(posted);
	pthread_mutex_destroy(&loop->lock);
	close(loop->wake_fd);
	free(loop);
}

const struct watch_ops *
mini_loop_ops(struct mini_loop *loop)
{
	return &loop->ops;
}

size_t
mini_loop_watches(const struct mini_loop *loop)
{
	size_t count = 0;

	vn_list_each(const struct watch, watch, &loop->watches, link)
		count += !watch->removed;
	return count;
}

static void
run_posted(struct mini_loop *loop)
{
	struct vn_list due;
	uint64_t ignored;

	vn_list_init(&due);
	if (read(loop->wake_fd, &ignored, sizeof(ignored)) < 0)
		assert(errno == EAGAIN);
	pthread_mutex_lock(&loop->lock);
	vn_list_splice(&due, &loop->posted);
	pthread_mutex_unlock(&loop->lock);
	vn_list_each_safe(struct posted, posted, &due, link) {
		posted->fn(posted->arg);
		free(posted);
	}
}

/* Milliseconds until the next timer is due, at most until `end_ms`. */
static int
wait_ms(const struct mini_loop *loop, uint64_t end_ms)
{
	uint64_t now = now_ms(), next = end_ms;

	vn_list_each(const struct watch, watch, &loop->watches, link)
		if (watch->fd < 0 && !watch->fired && !watch->removed && watch->due_ms < next)
			next = watch->due_ms;
	return next > now ? (int)(next - now) : 0;
}

static short
poll_events(unsigned what)
{
	return (short)((what & WATCH_READ ? POLLIN : 0) | (what & WATCH_WRITE ? POLLOUT : 0));
}

static unsigned
ready_events(const struct watch *watch, short revents)
{
	unsigned ready = 0;

	if (revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL))
		ready |= WATCH_READ;
	if (revents & (POLLOUT | POLLHUP | POLLERR | POLLNVAL))
		ready |= WATCH_WRITE;
	return ready & watch->what;
}

static void
run_timers(struct mini_loop *loop)
{
	uint64_t now = now_ms();

	vn_list_each(struct watch, watch, &loop->watches, link) {
		if (watch->fd >= 0 || watch->fired || watch->removed || watch->due_ms > now)
			continue;
		watch->fired = true;
		watch->on_timer(watch->arg);
	}
}

/* One poll and the callbacks it leads to. fds[0] is the wake-up; watches[i] belongs to fds[i]. */
static void
run_round(struct mini_loop *loop, uint64_t end_ms)
{
	size_t count = 1, at = 1;
	vn_autofree struct pollfd *fds = NULL;
	vn_autofree struct watch **watches = NULL;

	sweep(loop);
	vn_list_each(struct watch, counted, &loop->watches, link)
		count += counted->fd >= 0;
	fds = vn_alloc_array(count, sizeof(*fds));
	watches = vn_alloc_array(count, sizeof(*watches));
	fds[0] = (struct pollfd){ .fd = loop->wake_fd, .events = POLLIN };
	vn_list_each(struct watch, watch, &loop->watches, link) {
		if (watch->fd < 0)
			continue;
		watches[at] = watch;
		fds[at++] = (struct pollfd){ .fd = watch->fd, .events = poll_events(watch->what) };
	}
	if (poll(fds, count, wait_ms(loop, end_ms)) < 0)
		assert(errno == EINTR);
	for (at = 1; at < count; at++) {
		unsigned ready = ready_events(watches[at], fds[at].revents);

		if (ready && !watches[at]->removed)
			watches[at]->on_fd(watches[at]->fd, ready, watches[at]->arg);
	}
	run_timers(loop);
	run_posted(loop);
}

bool
mini_loop_run(struct mini_loop *loop, const bool *done, unsigned limit_ms)
{
	uint64_t end_ms = now_ms() + limit_ms;

	if (!*done)
		do		/* once more where the time is over: what came meanwhile has come in time */
			run_round(loop, end_ms);
		while (!*done && now_ms() < end_ms);
	sweep(loop);
	return *done;
}
