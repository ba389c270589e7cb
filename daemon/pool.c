/*
 * The worker threads: the only place where the daemon takes locks of its own. Work moves from a
 * lane's queue to a thread and then to `back`, which the loop empties; one message to the loop
 * covers all that is back. Loop and workers share nothing else.
 *
 * Surprising: a thread whose work was abandoned no longer counts. It may be stuck in a library for
 * ever, so another one takes its place, and it ends itself should it ever return. Threads that
 * ended are joined by the next one to end, or at close.
 */
#include "daemon/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/thread.h"
#include "daemon/width.h"
#include "proto/base/mem.h"

#define IDLE_S 10			/* a thread without work ends after so long */

struct lane {
	struct pool *pool;
	const char *name;		/* of its threads, for ps and gdb */
	pthread_cond_t arrived;
	struct vn_list queue;
	struct width width;
	unsigned n_queued, n_running;	/* work; abandoned work in a thread is not counted */
	unsigned n_threads, n_idle;	/* those that count */
	pthread_t ended;		/* waits to be joined */
	bool has_ended;
};

struct pool {
	struct loop *loop;
	pthread_mutex_t lock;		/* guards all below, and the pool's part of struct work */
	pthread_cond_t quiet;		/* n_threads of a lane fell while closing */
	struct lane lanes[LANE_COUNT];
	struct vn_list back;		/* work on its way to the loop, in the order of its end */
	unsigned n_stuck;		/* threads inside abandoned work */
	bool is_closing;
};

static void *run_thread(void *arg);

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- under the lock -------------------------------------------------------------------------- */

static bool
start_thread(struct lane *lane)
{
	pthread_t thread;

	if (!thread_start(&thread, lane->name, run_thread, lane))
		return false;
	lane->n_threads++;
	return true;
}

/* Starts threads while work waits that no idle one will take. */
static void
start_threads(struct lane *lane)
{
	while (!lane->pool->is_closing && lane->n_queued > lane->n_idle
	       && lane->n_threads < lane->width.now) {
		if (start_thread(lane))
			continue;
		if (lane->n_threads == 0) {
			vn_log_error("pool", "cannot start a thread %s: none is left; raise "
				     "TasksMax of the service", lane->name);
			abort();
		}
		return;				/* those that run take the work */
	}
}

static void
note_width(struct lane *lane, unsigned done)
{
	width_note(&lane->width, now_ns(), done, lane->n_queued > 0);
	start_threads(lane);
}

static void on_back(void *arg);

/* Hands work to the loop. */
static void
give_back(struct pool *pool, struct work *work)
{
	bool was_empty = vn_list_is_empty(&pool->back);

	work->stage = WORK_BACK;
	vn_list_append(&pool->back, &work->link);
	if (was_empty)
		loop_post(pool->loop, on_back, pool);
}

/* The next work of the lane; NULL when the thread shall end. */
static struct work *
await_work(struct lane *lane)
{
	struct pool *pool = lane->pool;
	struct timespec until;
	int failed = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	lane->n_idle++;
	while (!pool->is_closing && failed != ETIMEDOUT && lane->n_queued == 0
	       && lane->n_threads <= lane->width.now)
		failed = pthread_cond_timedwait(&lane->arrived, &pool->lock, &until);
	lane->n_idle--;
	if (pool->is_closing || lane->n_queued == 0 || lane->n_threads > lane->width.now)
		return NULL;
	return vn_container_of(lane->queue.next, struct work, link);
}

/* Whether the thread still counts afterwards. */
static bool
run_work(struct lane *lane, struct work *work)
{
	struct pool *pool = lane->pool;

	vn_list_remove(&work->link);
	work->stage = WORK_RUNNING;
	lane->n_queued--;
	lane->n_running++;
	note_width(lane, 0);
	pthread_mutex_unlock(&pool->lock);
	work->run(work);
	pthread_mutex_lock(&pool->lock);
	if (work->abandoned) {
		pool->n_stuck--;
		if (!pool->is_closing)
			give_back(pool, work);
		return false;
	}
	lane->n_running--;
	give_back(pool, work);
	note_width(lane, 1);
	return true;
}

/* Leaves itself to be joined by the next to end; joins the one before. Unlocks. */
static void
end_thread(struct lane *lane)
{
	pthread_t before = lane->ended;
	bool has_before = lane->has_ended;

	lane->ended = pthread_self();
	lane->has_ended = true;
	pthread_mutex_unlock(&lane->pool->lock);
	if (has_before)
		pthread_join(before, NULL);
}

static void *
run_thread(void *arg)
{
	struct lane *lane = arg;
	struct pool *pool = lane->pool;
	struct work *work;
	bool counts = true;

	thread_stand_back();
	pthread_mutex_lock(&pool->lock);
	while (counts && (work = await_work(lane)))
		counts = run_work(lane, work);
	if (counts) {
		lane->n_threads--;
		start_threads(lane);
		pthread_cond_signal(&lane->arrived);	/* this one's, if the width sent it away */
		pthread_cond_signal(&pool->quiet);
	}
	end_thread(lane);
	return NULL;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

/* What has not been called yet goes before what is back since; if there is such, on_back is on its way. */
static void
put_back(struct pool *pool, struct vn_list *due)
{
	pthread_mutex_lock(&pool->lock);
	if (vn_list_is_empty(&pool->back))
		loop_post(pool->loop, on_back, pool);
	vn_list_splice(due, &pool->back);
	vn_list_splice(&pool->back, due);
	pthread_mutex_unlock(&pool->lock);
}

/*
 * Calls done or lost of what was back when it began, for a slice of time only: fifty that come back at
 * once must not keep a client waiting.
 */
static void
on_back(void *arg)
{
	struct pool *pool = arg;
	uint64_t end = loop_monotonic_ns() + LOOP_SLICE_NS;
	struct vn_list due;

	vn_list_init(&due);
	pthread_mutex_lock(&pool->lock);
	vn_list_splice(&due, &pool->back);
	pthread_mutex_unlock(&pool->lock);
	while (!vn_list_is_empty(&due)) {
		struct work *work = vn_container_of(due.next, struct work, link);

		vn_list_remove(&work->link);
		work->stage = WORK_IDLE;
		if (work->abandoned)
			work->lost(work);
		else
			work->done(work);
		if (loop_monotonic_ns() > end && !vn_list_is_empty(&due)) {
			put_back(pool, &due);
			return;
		}
	}
}

void
pool_submit(struct pool *pool, struct work *work)
{
	struct lane *lane = &pool->lanes[work->lane];

	work->pool = pool;
	work->abandoned = false;
	pthread_mutex_lock(&pool->lock);
	work->stage = WORK_QUEUED;
	vn_list_append(&lane->queue, &work->link);
	lane->n_queued++;
	note_width(lane, 0);
	pthread_cond_signal(&lane->arrived);
	pthread_mutex_unlock(&pool->lock);
}

void
pool_abandon(struct work *work)
{
	struct pool *pool = work->pool;
	struct lane *lane = &pool->lanes[work->lane];

	pthread_mutex_lock(&pool->lock);
	assert(work->stage != WORK_IDLE);
	if (work->stage == WORK_QUEUED) {
		vn_list_remove(&work->link);
		lane->n_queued--;
		give_back(pool, work);
	} else if (work->stage == WORK_RUNNING && !work->abandoned) {
		lane->n_running--;
		lane->n_threads--;
		pool->n_stuck++;
	}
	work->abandoned = true;
	note_width(lane, 0);
	pthread_mutex_unlock(&pool->lock);
}

unsigned
pool_load(const struct pool *pool, enum pool_lane at)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&pool->lock;
	unsigned load;

	pthread_mutex_lock(lock);
	load = pool->lanes[at].n_queued + pool->lanes[at].n_running;
	pthread_mutex_unlock(lock);
	return load;
}

unsigned
pool_width(const struct pool *pool, enum pool_lane at)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&pool->lock;
	unsigned width;

	pthread_mutex_lock(lock);
	width = pool->lanes[at].width.now;
	pthread_mutex_unlock(lock);
	return width;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct pool *
pool_open(struct loop *loop, const struct pool_widths widths[static LANE_COUNT])
{
	static const char *const names[LANE_COUNT] = {
		[LANE_COMPUTE] = "vnoded-compute", [LANE_HALT] = "vnoded-halt",
		[LANE_NET] = "vnoded-net", [LANE_DISK] = "vnoded-disk", [LANE_BULK] = "vnoded-bulk",
	};
	struct pool *pool = vn_alloc(sizeof(*pool));
	pthread_condattr_t attr;

	pool->loop = loop;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->quiet, NULL);
	vn_list_init(&pool->back);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		struct lane *lane = &pool->lanes[i];

		assert(names[i] && widths[i].min >= 1 && widths[i].min <= widths[i].max);
		lane->pool = pool;
		lane->name = names[i];
		pthread_cond_init(&lane->arrived, &attr);
		vn_list_init(&lane->queue);
		width_init(&lane->width, widths[i].min, widths[i].max);
	}
	pthread_condattr_destroy(&attr);
	return pool;
}

/* Waits until the lane's threads are at their end. Under the lock, which it lets go meanwhile. */
static void
end_lane(struct lane *lane)
{
	pthread_cond_broadcast(&lane->arrived);
	while (lane->n_threads > 0)
		pthread_cond_wait(&lane->pool->quiet, &lane->pool->lock);
}

unsigned
pool_close(struct pool *pool)
{
	unsigned n_stuck;

	if (!pool)
		return 0;
	pthread_mutex_lock(&pool->lock);
	pool->is_closing = true;
	for (unsigned i = 0; i < LANE_COUNT; i++)
		end_lane(&pool->lanes[i]);
	n_stuck = pool->n_stuck;
	pthread_mutex_unlock(&pool->lock);
	loop_forget(pool->loop, pool);
	if (n_stuck > 0)
		return n_stuck;
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		if (pool->lanes[i].has_ended)
			pthread_join(pool->lanes[i].ended, NULL);
		pthread_cond_destroy(&pool->lanes[i].arrived);
	}
	pthread_cond_destroy(&pool->quiet);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return 0;
}
