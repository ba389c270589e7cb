/*
 * Monotonic time for deadlines, the wall clock for appointments. A timerfd set to an absolute time of
 * CLOCK_REALTIME follows that clock when somebody sets it: after a jump forwards it rings at once, after one
 * backwards it waits longer. What is due is decided by looking at the clock at each wake, never by the
 * ringing itself.
 */
#include "daemon/clock.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_S 1000000000u

int
clocks_open(struct clock clocks[])
{
	static const clockid_t ids[CLOCK_COUNT] = { CLOCK_MONOTONIC, CLOCK_REALTIME };
	int status = 0;

	for (size_t i = 0; i < CLOCK_COUNT; i++) {
		int fd = timerfd_create(ids[i], TFD_CLOEXEC | TFD_NONBLOCK);

		clocks[i] = (struct clock){ .id = ids[i], .fd = fd };
		if (fd < 0)
			status = -1;
	}
	return status;
}

void
clocks_close(struct clock clocks[])
{
	for (size_t i = 0; i < CLOCK_COUNT; i++) {
		if (clocks[i].fd >= 0)
			close(clocks[i].fd);
		timers_fini(&clocks[i].timers);
	}
}

void
clocks_hold(struct clock clocks[])
{
	for (size_t i = 0; i < CLOCK_COUNT; i++) {
		clocks[i].held_ns = clock_now_ns(&clocks[i]);
		clocks[i].held = true;
	}
}

void
clocks_advance(struct clock clocks[], uint64_t ns)
{
	for (size_t i = 0; i < CLOCK_COUNT; i++) {
		assert(clocks[i].held);
		clocks[i].held_ns += ns;
	}
}

uint64_t
clock_now_ns(const struct clock *clock)
{
	struct timespec now;

	if (clock->held)
		return clock->held_ns;
	clock_gettime(clock->id, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void
clock_arm(struct clock *clock)
{
	const struct timer *first = timers_first(&clock->timers);
	uint64_t due_ns = first && !clock->held ? first->due_ns : 0;
	struct itimerspec at = {
		.it_value = { (time_t)(due_ns / NS_PER_S), (long)(due_ns % NS_PER_S) },
	};

	if (due_ns == clock->armed_ns)
		return;
	if (timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		assert(!"timerfd_settime refuses a time that the clock gave");
	clock->armed_ns = due_ns;
}

void
clock_rang(struct clock *clock)
{
	uint64_t ignored;

	if (read(clock->fd, &ignored, sizeof(ignored)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
	clock->armed_ns = 0;
}

bool
clock_is_due(const struct clock *clock)
{
	const struct timer *first = timers_first(&clock->timers);

	return first && first->due_ns <= clock_now_ns(clock);
}
