/*
 * A binary heap whose items know their place, so that removing one from the middle (the usual end
 * of a deadline) costs no search.
 */
#include "daemon/timers.h"

#include "proto/base/mem.h"

static bool
is_before(const struct timer *a, const struct timer *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void
place(struct timers *timers, size_t at, struct timer *timer)
{
	timers->heap[at] = timer;
	timer->at = at + 1;
}

/* Finds the place of `timer`, starting from the hole at `at`. */
static void
sift(struct timers *timers, size_t at, struct timer *timer)
{
	while (at > 0 && is_before(timer, timers->heap[(at - 1) / 2])) {
		place(timers, at, timers->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < timers->count
		    && is_before(timers->heap[child + 1], timers->heap[child]))
			child++;
		if (child >= timers->count || !is_before(timers->heap[child], timer))
			break;
		place(timers, at, timers->heap[child]);
		at = child;
	}
	place(timers, at, timer);
}

void
timers_add(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
	if (timers->count == timers->room) {
		timers->room = timers->room ? 2 * timers->room : 16;
		timers->heap = vn_realloc_array(timers->heap, timers->room, sizeof(struct timer *));
	}
	timer->due_ns = due_ns;
	timer->order = ++timers->last_order;
	sift(timers, timers->count++, timer);
}

void
timers_remove(struct timers *timers, struct timer *timer)
{
	size_t at = timer->at - 1;
	struct timer *last;

	if (timer->at == 0)
		return;
	timer->at = 0;
	last = timers->heap[--timers->count];
	if (last != timer)
		sift(timers, at, last);
}

void
timers_fini(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){ 0 };
}
