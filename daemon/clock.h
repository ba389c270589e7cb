#pragma once
/*
 * The loop's clocks: for each the timers that fall due on it and the timerfd that wakes the loop for the
 * first of them. A test can hold them still. Thread: the loop's.
 */

#include <time.h>

#include "daemon/timers.h"

struct clock {
	clockid_t id;			/* CLOCK_MONOTONIC or CLOCK_REALTIME */
	int fd;
	struct timers timers;
	uint64_t armed_ns;		/* what fd is set to; 0: nothing */
	bool held;
	uint64_t held_ns;
};

enum { CLOCK_STEADY, CLOCK_WALL, CLOCK_COUNT };	/* the loop's: monotonic, and of the day */

/* Of arrays of CLOCK_COUNT. Returns 0, or -1 with errno; close takes what open left. */
int clocks_open(struct clock clocks[]);
void clocks_close(struct clock clocks[]);
/* For tests: time stands still, and goes on by so much. */
void clocks_hold(struct clock clocks[]);
void clocks_advance(struct clock clocks[], uint64_t ns);

/* Nanoseconds since the clock's own beginning: 1970 for CLOCK_REALTIME. */
uint64_t clock_now_ns(const struct clock *clock);
/* Sets fd to the first timer; only when that changed. */
void clock_arm(struct clock *clock);
/* Takes what made fd readable. */
void clock_rang(struct clock *clock);
/* Whether a timer is due. */
bool clock_is_due(const struct clock *clock);
