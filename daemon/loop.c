/*
 * The loop on libevent. libevent only waits for descriptors and signals; everything with an order
 * is ours: timers (clock.c, woken by one timerfd for each of two clocks), posted and deferred calls
 * (mailbox.c, woken by one eventfd). That way a test can hold the clocks, and a loop with nothing to do
 * sleeps without a single wake-up.
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
#include <time.h>

#include "daemon/clock.h"
#include "daemon/mailbox.h"
#include "proto/base/mem.h"

#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u
#define AFTER_MAX_MS (100ull * 365 * 24 * 3600 * 1000)	/* what is later never comes */

struct watch {
	struct loop *loop;
	struct event *event;		/* descriptors and signals; NULL: a timer */
	int fd;
	unsigned what;
	struct clock *clock;		/* of a timer */
	struct timer timer;
	watch_fd_fn *on_fd;
	watch_fn *fn;
	void *arg;
};

struct loop {
	/* set at birth */
	struct watch_ops ops;
	struct event_base *base;
	struct event *wake_event, *clock_events[CLOCK_COUNT];

	struct clock clocks[CLOCK_COUNT];
	struct mailbox mailbox;

	bool stopped;
	uint64_t n_ran;			/* callbacks so far, but for the mailbox's */
};

uint64_t
loop_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
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
on_clock(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	clock_rang(arg);
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
run_timers(struct loop *loop, struct clock *clock)
{
	uint64_t now = clock_now_ns(clock), newest = clock->timers.last_order;

	while (timers_first(&clock->timers)) {
		struct timer *first = timers_first(&clock->timers);
		struct watch *watch = vn_container_of(first, struct watch, timer);

		/* one added by a callback of this turn lies behind all that were due before */
		if (first->due_ns > now || first->order > newest)
			return;
		timers_remove(&clock->timers, first);
		call(loop, watch->fn, watch->arg);
	}
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

static struct watch *
add_timer(struct loop *loop, struct clock *clock, uint64_t due_ns, watch_fn *fn, void *arg)
{
	struct watch *watch = watch_new(loop, arg);

	watch->fn = fn;
	watch->clock = clock;
	timers_add(&clock->timers, &watch->timer, due_ns);
	return watch;
}

struct watch *
loop_add_timer(struct loop *loop, uint64_t after_ms, watch_fn *fn, void *arg)
{
	struct clock *steady = &loop->clocks[CLOCK_STEADY];
	uint64_t after_ns = (after_ms < AFTER_MAX_MS ? after_ms : AFTER_MAX_MS) * NS_PER_MS;

	return add_timer(loop, steady, clock_now_ns(steady) + after_ns, fn, arg);
}

struct watch *
loop_add_alarm(struct loop *loop, int64_t at_us, watch_fn *fn, void *arg)
{
	uint64_t due_ns = at_us > 0 ? (uint64_t)at_us * 1000 : 1;

	return add_timer(loop, &loop->clocks[CLOCK_WALL], due_ns, fn, arg);
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
	if (watch->clock)
		timers_remove(&watch->clock->timers, &watch->timer);
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
watch_own(struct event_base *base, int fd, event_callback_fn fn, void *arg)
{
	struct event *event = event_new(base, fd, EV_READ | EV_PERSIST, fn, arg);

	if (!event || event_add(event, NULL) < 0)
		abort();		/* no memory */
	return event;
}

int
loop_open(struct loop **ret, struct vn_error *err)
{
	vn_autoclose int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct loop *loop = vn_alloc(sizeof(*loop));

	if (clocks_open(loop->clocks) < 0 || wake_fd < 0 || !(loop->base = base_new())) {
		vn_fail_errno(err, errno, "cannot open the event loop's descriptors");
		clocks_close(loop->clocks);
		free(loop);
		return -1;
	}
	loop->ops = (struct watch_ops){ loop, ops_add_fd, ops_add_timer, ops_remove, ops_post };
	loop->wake_event = watch_own(loop->base, wake_fd, on_wake, loop);
	for (size_t i = 0; i < CLOCK_COUNT; i++)
		loop->clock_events[i] = watch_own(loop->base, loop->clocks[i].fd, on_clock,
						  &loop->clocks[i]);
	mailbox_init(&loop->mailbox, vn_take_fd(&wake_fd));
	*ret = loop;
	return 0;
}

void
loop_close(struct loop *loop)
{
	if (!loop)
		return;
	for (size_t i = 0; i < CLOCK_COUNT; i++)
		event_free(loop->clock_events[i]);
	event_free(loop->wake_event);
	event_base_free(loop->base);
	mailbox_fini(&loop->mailbox);
	clocks_close(loop->clocks);
	free(loop);
}

/* ---- running --------------------------------------------------------------------------------- */

uint64_t
loop_now_ms(const struct loop *loop)
{
	return clock_now_ns(&loop->clocks[CLOCK_STEADY]) / NS_PER_MS;
}

int64_t
loop_wall_us(const struct loop *loop)
{
	return (int64_t)(clock_now_ns(&loop->clocks[CLOCK_WALL]) / 1000);
}

/* Whether there is something to do without waiting; what was posted shows on its descriptor. */
static bool
has_work(const struct loop *loop)
{
	return !vn_list_is_empty(&loop->mailbox.deferred) || clock_is_due(&loop->clocks[CLOCK_STEADY]) ||
	       clock_is_due(&loop->clocks[CLOCK_WALL]);
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

		for (size_t i = 0; i < CLOCK_COUNT; i++)
			clock_arm(&loop->clocks[i]);
		event_base_loop(loop->base, EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK));
		for (size_t i = 0; i < CLOCK_COUNT; i++)
			run_timers(loop, &loop->clocks[i]);
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
	clocks_hold(loop->clocks);
}

void
loop_clock_advance(struct loop *loop, uint64_t ms)
{
	clocks_advance(loop->clocks, ms * NS_PER_MS);
}

void
loop_wall_set(struct loop *loop, int64_t us)
{
	assert(loop->clocks[CLOCK_WALL].held);
	loop->clocks[CLOCK_WALL].held_ns = (uint64_t)us * 1000;
}
