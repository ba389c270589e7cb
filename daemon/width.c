/*
 * Hill climbing in windows. A window collects only the time in which work waited for a thread: with
 * an empty queue the rate says how much was asked for, not how much the width can do. It is over
 * after WINDOW_NS and max(WINDOW_DONE, 2 × width) pieces of work, so that threads of the former
 * width are out of the figure. With r the work per second of this window and r' of the one before:
 *
 *   r > r' × 1.05   the last move helped: move on in its direction
 *   r < r' × 0.95   it hurt: turn around
 *   else            no difference: fewer threads do as well, and the machine's others gain: down
 *
 * Each move is by one thread and stays within min and max; at a bound the direction turns inwards.
 * Near the knee of the curve the width swings by one around it.
 */
#include "daemon/width.h"

#define WINDOW_NS   250000000u
#define WINDOW_DONE 8

void
width_init(struct width *width, unsigned min, unsigned max)
{
	*width = (struct width){
		.now = (min + max) / 2, .min = min, .max = max, .direction = 1,
	};
}

static int
choose_direction(const struct width *width, double rate)
{
	if (width->rate == 0)
		return 1;
	if (rate > width->rate * 1.05)
		return width->direction;
	return rate < width->rate * 0.95 ? -width->direction : -1;
}

static void
move(struct width *width)
{
	double rate = (double)width->done * 1e9 / (double)width->busy_ns;

	width->direction = choose_direction(width, rate);
	if (width->direction > 0 ? width->now == width->max : width->now == width->min)
		width->direction = -width->direction;
	width->now = width->direction > 0 ? width->now + 1 : width->now - 1;
	width->rate = rate;
	width->busy_ns = 0;
	width->done = 0;
}

bool
width_note(struct width *width, uint64_t now_ns, unsigned done, bool is_waiting)
{
	unsigned enough = 2 * width->now > WINDOW_DONE ? 2 * width->now : WINDOW_DONE;

	if (width->min == width->max)
		return false;
	if (width->was_waiting) {
		width->busy_ns += now_ns - width->last_ns;
		width->done += done;
	}
	width->was_waiting = is_waiting;
	width->last_ns = now_ns;
	if (width->busy_ns < WINDOW_NS || width->done < enough)
		return false;
	move(width);
	return true;
}
