/*
 * The loop on libevent. libevent only waits for descriptors and signals; everything with an order
 * is ours: timers (timers.c, woken by one timerfd), posted and deferred calls (mailbox.c, woken by one
 * eventfd). That way a test can hold the clock, and a loop with nothing to do sleeps without a single
 * wake-up.
 *
 * One turn runs ready descriptors and messages, then due timers, then deferred calls; each only as
 * they were when its part began, so that a callback which always asks again cannot starve the
 * others.
 */
#include "daemon/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "daemon/mailbox.h"
#include "daemon/timers.h"
#include "proto/base/mem.h"

#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u
#define AFTER_MAX_MS (100ull * 365 * 24 * 3600 * 1000)	/* what is later never comes */

struct watch {
	struct loop *loop;
	struct event *event;		/* descriptors and signals; NULL: a timer */
	int fd;
	unsigned what;
	struct timer timer;
	watch_fd_fn *on_fd;
	watch_fn *fn;
	void *arg;
};

struct loop {
	/* set at birth */
	struct watch_ops ops;
	struct event_base *base;
	struct event *wake_event, *timer_event;
	int timer_fd;

	struct timers timers;
	uint64_t armed_ns;		/* what timer_fd is set to; 0: nothing */

	struct mailbox mailbox;

	bool stopped;
	bool held;
	uint64_t held_ns;
	uint64_t n_ran;			/* callbacks so far, but for the mailbox's */
};

uint64_t
loop_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t
now_ns(const struct loop *loop)
{
	return loop->held ? loop->held_ns : loop_monotonic_ns();
}

static void
call(struct loop *loop, watch_fn *fn, void *arg)
{
	loop->n_ran++;
	fn(arg);
}

/* ---- descriptors of our own ------------------------------------------------------------------ */

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	(void)fd, (void)what;
	mailbox_run_posted(&loop->mailbox);
}

static void
on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t ignored;

	(void)what;
	if (read(fd, &ignored, sizeof(ignored)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
	loop->armed_ns = 0;
}

void
loop_defer(struct loop *loop, watch_fn *fn, void *arg)
{
	mailbox_defer(&loop->mailbox, fn, arg);
}

void
loop_post(struct loop *loop, watch_fn *fn, void *arg)
{
	mailbox_post(&loop->mailbox, fn, arg);
}

void
loop_forget(struct loop *loop, const void *arg)
{
	mailbox_forget(&loop->mailbox, arg);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void
run_timers(struct loop *loop)
{
	uint64_t now = now_ns(loop), newest = loop->timers.last_order;

	while (timers_first(&loop->timers)) {
		struct timer *first = timers_first(&loop->timers);
		struct watch *watch = vn_container_of(first, struct watch, timer);

		/* one added by a callback of this turn lies behind all that were due before */
		if (first->due_ns > now || first->order > newest)
			return;
		timers_remove(&loop->timers, first);
		call(loop, watch->fn, watch->arg);
	}
}

/* Sets the timerfd to the first timer; only when that changed. */
static void
arm_timer_fd(struct loop *loop)
{
	struct timer *first = timers_first(&loop->timers);
	uint64_t due_ns = first && !loop->held ? first->due_ns : 0;
	struct itimerspec at = {
		.it_value = { (time_t)(due_ns / NS_PER_S), (long)(due_ns % NS_PER_S) },
	};

	if (due_ns == loop->armed_ns)
		return;
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		assert(!"timerfd_settime refuses a time that the clock gave");
	loop->armed_ns = due_ns;
}

/* ---- watches --------------------------------------------------------------------------------- */

static struct watch *
watch_new(struct loop *loop, void *arg)
{
	struct watch *watch = vn_alloc(sizeof(*watch));

	watch->loop = loop;
	watch->fd = -1;
	watch->arg = arg;
	return watch;
}

/* The callback may free the watch: it is not touched afterwards. */
static void
on_fd_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	unsigned ready = (what & EV_READ ? WATCH_READ : 0) | (what & EV_WRITE ? WATCH_WRITE : 0);

	watch->loop->n_ran++;
	watch->on_fd(fd, ready, watch->arg);
}

static void
on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct watch *watch = arg;

	(void)signal, (void)what;
	call(watch->loop, watch->fn, watch->arg);
}

struct watch *
loop_add_fd(struct loop *loop, int fd, unsigned what, watch_fd_fn *fn, void *arg)
{
	struct watch *watch = watch_new(loop, arg);

	watch->fd = fd;
	watch->on_fd = fn;
	loop_change_fd(watch, what);
	return watch;
}

void
loop_change_fd(struct watch *watch, unsigned what)
{
	short events = (what & WATCH_READ ? EV_READ : 0) | (what & WATCH_WRITE ? EV_WRITE : 0);

	if (watch->what == what)
		return;
	watch->what = what;
	if (!watch->event)
		watch->event = event_new(watch->loop->base, watch->fd, events | EV_PERSIST,
					 on_fd_ready, watch);
	else
		event_del(watch->event);
	if (!watch->event)
		abort();		/* no memory */
	if (what == 0)
		return;
	event_assign(watch->event, watch->loop->base, watch->fd, events | EV_PERSIST, on_fd_ready,
		     watch);
	if (event_add(watch->event, NULL) < 0)
		assert(!"only sockets, pipes and the like can be watched");
}

struct watch *
loop_add_timer(struct loop *loop, uint64_t after_ms, watch_fn *fn, void *arg)
{
	struct watch *watch = watch_new(loop, arg);
	uint64_t after_ns = (after_ms < AFTER_MAX_MS ? after_ms : AFTER_MAX_MS) * NS_PER_MS;

	watch->fn = fn;
	timers_add(&loop->timers, &watch->timer, now_ns(loop) + after_ns);
	return watch;
}

struct watch *
loop_add_signal(struct loop *loop, int signal, watch_fn *fn, void *arg)
{
	struct watch *watch = watch_new(loop, arg);

	watch->fn = fn;
	watch->event = evsignal_new(loop->base, signal, on_signal, watch);
	if (!watch->event || event_add(watch->event, NULL) < 0)
		abort();		/* no memory, or no such signal */
	return watch;
}

void
loop_remove(struct watch *watch)
{
	if (!watch)
		return;
	timers_remove(&watch->loop->timers, &watch->timer);
	if (watch->event)
		event_free(watch->event);
	free(watch);
}

static struct watch *
ops_add_fd(void *loop, int fd, unsigned what, watch_fd_fn *fn, void *arg)
{
	return loop_add_fd(loop, fd, what, fn, arg);
}

static struct watch *
ops_add_timer(void *loop, unsigned after_ms, watch_fn *fn, void *arg)
{
	return loop_add_timer(loop, after_ms, fn, arg);
}

static void
ops_remove(void *loop, struct watch *watch)
{
	(void)loop;
	loop_remove(watch);
}

static void
ops_post(void *loop, watch_fn *fn, void *arg)
{
	loop_post(loop, fn, arg);
}

const struct watch_ops *
loop_watch_ops(struct loop *loop)
{
	return &loop->ops;
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct event_base *
base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (!config)
		return NULL;
	/* only the loop's thread calls libevent; no environment variable chooses how it waits */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static struct event *
watch_own(struct event_base *base, int fd, event_callback_fn fn, struct loop *loop)
{
	struct event *event = event_new(base, fd, EV_READ | EV_PERSIST, fn, loop);

	if (!event || event_add(event, NULL) < 0)
		abort();		/* no memory */
	return event;
}

int
loop_open(struct loop **ret, struct vn_error *err)
{
	vn_autoclose int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vn_autoclose int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct event_base *base = wake_fd < 0 || timer_fd < 0 ? NULL : base_new();
	struct loop *loop;

	if (!base)
		return vn_fail_errno(err, errno, "cannot open the event loop's descriptors");
	loop = vn_alloc(sizeof(*loop));
	loop->ops = (struct watch_ops){ loop, ops_add_fd, ops_add_timer, ops_remove, ops_post };
	loop->base = base;
	loop->wake_event = watch_own(base, wake_fd, on_wake, loop);
	loop->timer_event = watch_own(base, timer_fd, on_timer_fd, loop);
	loop->timer_fd = vn_take_fd(&timer_fd);
	mailbox_init(&loop->mailbox, vn_take_fd(&wake_fd));
	*ret = loop;
	return 0;
}

void
loop_close(struct loop *loop)
{
	if (!loop)
		return;
	event_free(loop->timer_event);
	event_free(loop->wake_event);
	event_base_free(loop->base);
	close(loop->timer_fd);
	mailbox_fini(&loop->mailbox);
	timers_fini(&loop->timers);
	free(loop);
}

/* ---- running --------------------------------------------------------------------------------- */

uint64_t
loop_now_ms(const struct loop *loop)
{
	return now_ns(loop) / NS_PER_MS;
}

/* Whether there is something to do without waiting; what was posted shows on its descriptor. */
static bool
has_work(const struct loop *loop)
{
	const struct timer *first = timers_first(&loop->timers);

	return !vn_list_is_empty(&loop->mailbox.deferred) || (first && first->due_ns <= now_ns(loop));
}

static uint64_t
count_ran(const struct loop *loop)
{
	return loop->n_ran + loop->mailbox.n_ran;
}

bool
loop_run_once(struct loop *loop, bool wait)
{
	uint64_t before = count_ran(loop);

	do {
		bool block = wait && !has_work(loop);

		arm_timer_fd(loop);
		event_base_loop(loop->base, EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK));
		run_timers(loop);
		mailbox_run_deferred(&loop->mailbox);
	} while (wait && count_ran(loop) == before);
	return count_ran(loop) != before;
}

void
loop_run(struct loop *loop)
{
	while (!loop->stopped)
		loop_run_once(loop, true);
	loop->stopped = false;
}

void
loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void
loop_clock_hold(struct loop *loop)
{
	loop->held_ns = now_ns(loop);
	loop->held = true;
}

void
loop_clock_advance(struct loop *loop, uint64_t ms)
{
	assert(loop->held);
	loop->held_ns += ms * NS_PER_MS;
}
