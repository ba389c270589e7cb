#pragma once
/*
 * Threads for work that blocks. Work of one kind runs in one lane, so that what is stuck in one cannot
 * starve another. A lane starts threads as work comes, at most `width`, and lets them end after ten
 * idle seconds (their libvirt connections end with them). Where `max` lies above `min`, the width
 * climbs or falls by what the lane got done per second lately.
 */

#include "daemon/loop.h"
#include "proto/base/list.h"

enum pool_lane {
	LANE_COMPUTE,		/* starting guests: bound by the processors */
	LANE_HALT,		/* ending guests: mostly waiting for them */
	LANE_NET, LANE_DISK,
	LANE_BULK,		/* unpacking */
	LANE_COUNT
};

struct pool;

/* Embedded in what is to be done; the pool owns it from pool_submit until `done` or `lost`. */
struct work {
	enum pool_lane lane;
	void (*run)(struct work *work);		/* on a worker */
	void (*done)(struct work *work);	/* on the loop, after run */
	void (*lost)(struct work *work);	/* on the loop, instead of done, once abandoned work came back */
	/* the pool's own */
	struct vn_list link;
	struct pool *pool;
	enum work_stage { WORK_IDLE, WORK_QUEUED, WORK_RUNNING, WORK_BACK } stage;
	bool abandoned;
};

struct pool_widths {
	unsigned min, max;		/* threads at a time; equal: fixed */
};

struct pool *pool_open(struct loop *loop, const struct pool_widths widths[static LANE_COUNT]);
/*
 * Waits for what is running, drops what is queued (neither done nor lost is called). NULL is fine.
 * Abandoned work is not waited for: returns how many threads are still inside such. Where that is not
 * 0 their memory stays, and the caller must leave alone what they use and end with _exit.
 */
unsigned pool_close(struct pool *pool);

/* loop: queues work; it runs in the lane's order. */
void pool_submit(struct pool *pool, struct work *work);
/*
 * loop: gives up on submitted work. If it has not begun it never will, and `lost` follows; if a
 * thread is inside `run`, another thread takes its place at once and `lost` follows whenever (if
 * ever) it returns. `done` is not called any more.
 */
void pool_abandon(struct work *work);

/* loop: work queued or running in a lane; for host.info and tests. */
unsigned pool_load(const struct pool *pool, enum pool_lane lane);
unsigned pool_width(const struct pool *pool, enum pool_lane lane);
