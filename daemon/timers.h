#pragma once
/*
 * Timers in the order in which they fall due: a heap, linear in nothing but the depth. Thread: the
 * owner's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in what waits. */
struct timer {
	uint64_t due_ns;
	uint64_t order;			/* breaks ties: first added, first due */
	size_t at;			/* place in the heap + 1; 0: not queued */
};

struct timers {
	struct timer **heap;
	size_t count, room;
	uint64_t last_order;
};

/* A zeroed struct timers is empty and ready. */
void timers_fini(struct timers *timers);
void timers_add(struct timers *timers, struct timer *timer, uint64_t due_ns);
/* Harmless for one that is not queued. */
void timers_remove(struct timers *timers, struct timer *timer);

/* The next one due; NULL when there is none. */
static inline struct timer *
timers_first(const struct timers *timers)
{
	return timers->count > 0 ? timers->heap[0] : NULL;
}
