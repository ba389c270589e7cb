#pragma once
/*
 * How many threads a lane may use: climbs towards the width at which most work gets done per
 * second. Pure: it is told the time and what happened, and holds no lock. Thread: whoever guards
 * it.
 */

#include <stdbool.h>
#include <stdint.h>

struct width {
	unsigned now, min, max;
	int direction;			/* of the last move: +1 or -1 */
	bool was_waiting;		/* work waited for a thread since last_ns */
	uint64_t last_ns;
	uint64_t busy_ns;		/* of this window: time in which work waited */
	unsigned done;			/* of this window: work that ended in that time */
	double rate;			/* of the last window, per second; 0: none yet */
};

/* 1 <= min <= max. Starts in the middle. */
void width_init(struct width *width, unsigned min, unsigned max);
/*
 * Tells what happened at now_ns: `done` pieces of work ended (0 or more), and whether from now on
 * work waits for a thread. Returns whether width->now changed.
 */
bool width_note(struct width *width, uint64_t now_ns, unsigned done, bool is_waiting);
