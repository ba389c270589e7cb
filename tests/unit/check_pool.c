/*
 * The pool: hand-over, lanes apart from each other, abandoned work, and the width's climb on
 * numbers.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/pool.h"
#include "daemon/width.h"
#include "proto/base/mem.h"
#include "tests/unit/support.h"

struct job {
	struct work work;
	sem_t begun, gate;		/* run tells that it began, and waits for the gate */
	bool is_gated, has_run, is_done, is_lost;
	unsigned number, *order;	/* of ends: order[0] counts */
	pthread_t thread;
};

static void
run_job(struct work *work)
{
	struct job *job = vn_container_of(work, struct job, work);

	job->has_run = true;
	job->thread = pthread_self();
	sem_post(&job->begun);
	while (job->is_gated && sem_wait(&job->gate) < 0)
		;
}

static void
job_done(struct work *work)
{
	struct job *job = vn_container_of(work, struct job, work);

	job->is_done = true;
	if (job->order)
		job->order[++job->order[0]] = job->number;
}

static void
job_lost(struct work *work)
{
	vn_container_of(work, struct job, work)->is_lost = true;
}

static void
job_init(struct job *job, enum pool_lane lane, bool is_gated)
{
	*job = (struct job){
		.work = { .lane = lane, .run = run_job, .done = job_done, .lost = job_lost },
		.is_gated = is_gated,
	};
	sem_init(&job->begun, 0, 0);
	sem_init(&job->gate, 0, 0);
}

static void
wait_begun(struct job *job)
{
	while (sem_wait(&job->begun) < 0)
		;
}

static struct pool *
pool_of(struct loop *loop, unsigned min, unsigned max)
{
	struct pool_widths widths[LANE_COUNT];

	for (unsigned i = 0; i < LANE_COUNT; i++)
		widths[i] = (struct pool_widths){ min, max };
	return pool_open(loop, widths);
}

START_TEST(work_runs_on_another_thread_and_is_done_on_the_loop)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 2, 2);
	struct job job;

	job_init(&job, LANE_NET, false);
	pool_submit(pool, &job.work);
	run_until(loop, &job.is_done);
	ck_assert(!pthread_equal(job.thread, pthread_self()));
	ck_assert(!job.is_lost);
	ck_assert_uint_eq(pool_load(pool, LANE_NET), 0);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(a_lane_of_one_thread_works_in_order)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	static struct job jobs[50];
	unsigned order[51] = { 0 };

	for (unsigned i = 0; i < 50; i++) {
		job_init(&jobs[i], LANE_DISK, false);
		jobs[i].number = i;
		jobs[i].order = order;
		pool_submit(pool, &jobs[i].work);
	}
	run_until(loop, &jobs[49].is_done);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_uint_eq(order[1 + i], i);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(a_full_lane_holds_up_no_other)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	struct job stuck, waiting, other;

	job_init(&stuck, LANE_COMPUTE, true);
	job_init(&waiting, LANE_COMPUTE, false);
	job_init(&other, LANE_NET, false);
	pool_submit(pool, &stuck.work);
	wait_begun(&stuck);
	pool_submit(pool, &waiting.work);
	pool_submit(pool, &other.work);
	run_until(loop, &other.is_done);
	ck_assert_uint_eq(pool_load(pool, LANE_COMPUTE), 2);
	ck_assert(!stuck.is_done && !waiting.is_done);
	sem_post(&stuck.gate);
	run_until(loop, &waiting.is_done);
	ck_assert(stuck.is_done);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(as_many_threads_run_as_the_lane_is_wide)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 3, 3);
	struct job jobs[4];

	for (unsigned i = 0; i < 4; i++) {
		job_init(&jobs[i], LANE_BULK, true);
		pool_submit(pool, &jobs[i].work);
	}
	for (unsigned i = 0; i < 3; i++)
		wait_begun(&jobs[i]);
	ck_assert_int_eq(sem_trywait(&jobs[3].begun), -1);
	for (unsigned i = 0; i < 4; i++)
		sem_post(&jobs[i].gate);
	run_until(loop, &jobs[3].is_done);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(abandoned_work_that_had_not_begun_never_runs)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	struct job first, second;

	job_init(&first, LANE_COMPUTE, true);
	job_init(&second, LANE_COMPUTE, false);
	pool_submit(pool, &first.work);
	wait_begun(&first);
	pool_submit(pool, &second.work);
	pool_abandon(&second.work);
	ck_assert(!second.is_lost);
	run_until(loop, &second.is_lost);
	sem_post(&first.gate);
	run_until(loop, &first.is_done);
	ck_assert(!second.has_run && !second.is_done);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(a_stuck_thread_is_replaced_at_once_and_its_work_lost_when_it_returns)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	struct job stuck, next, last;

	job_init(&stuck, LANE_COMPUTE, true);
	job_init(&next, LANE_COMPUTE, false);
	job_init(&last, LANE_COMPUTE, false);
	pool_submit(pool, &stuck.work);
	wait_begun(&stuck);
	pool_submit(pool, &next.work);
	pool_abandon(&stuck.work);
	pool_abandon(&stuck.work);
	run_until(loop, &next.is_done);
	ck_assert(!stuck.is_lost);
	ck_assert_uint_eq(pool_load(pool, LANE_COMPUTE), 0);
	sem_post(&stuck.gate);
	run_until(loop, &stuck.is_lost);
	pool_submit(pool, &last.work);
	run_until(loop, &last.is_done);
	ck_assert(!stuck.is_done);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(work_that_ended_but_was_not_told_yet_can_still_be_abandoned)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	struct job first, second;

	job_init(&first, LANE_COMPUTE, false);
	job_init(&second, LANE_COMPUTE, true);
	pool_submit(pool, &first.work);
	pool_submit(pool, &second.work);
	wait_begun(&second);			/* so the first has ended; the loop has not run */
	pool_abandon(&first.work);
	run_until(loop, &first.is_lost);
	ck_assert(first.has_run && !first.is_done);
	sem_post(&second.gate);
	run_until(loop, &second.is_done);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

START_TEST(close_waits_for_what_runs_and_drops_the_rest)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	struct job running, queued;

	job_init(&running, LANE_DISK, true);
	job_init(&queued, LANE_DISK, false);
	pool_submit(pool, &running.work);
	pool_submit(pool, &queued.work);
	wait_begun(&running);
	sem_post(&running.gate);
	ck_assert_uint_eq(pool_close(pool), 0);
	while (loop_run_once(loop, false))
		;
	ck_assert(running.has_run);
	ck_assert(!running.is_done && !running.is_lost && !queued.is_done && !queued.is_lost);
	loop_close(loop);
}
END_TEST

static void
note_signals(struct work *work)
{
	sigset_t blocked;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	vn_container_of(work, struct job, work)->has_run =
		sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGCHLD);
}

START_TEST(workers_get_no_signals)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 1);
	struct job job;

	job_init(&job, LANE_NET, false);
	job.work.run = note_signals;
	pool_submit(pool, &job.work);
	run_until(loop, &job.is_done);
	ck_assert(job.has_run);
	ck_assert_uint_eq(pool_close(pool), 0);
	loop_close(loop);
}
END_TEST

#define N_MANY 2000

START_TEST(thousands_pass_through_a_lane_that_changes_its_width)
{
	struct loop *loop = test_loop();
	struct pool *pool = pool_of(loop, 1, 8);
	struct job *jobs = vn_alloc_array(N_MANY, sizeof(*jobs));
	unsigned *order = vn_alloc_array(N_MANY + 1, sizeof(*order));

	for (unsigned i = 0; i < N_MANY; i++) {
		job_init(&jobs[i], LANE_COMPUTE, false);
		jobs[i].order = order;
		pool_submit(pool, &jobs[i].work);
		if (i % 7 == 0)
			pool_abandon(&jobs[i].work);
	}
	for (unsigned i = 0; i < N_MANY; i++)
		run_until(loop, i % 7 == 0 ? &jobs[i].is_lost : &jobs[i].is_done);
	ck_assert_uint_eq(order[0], N_MANY - (N_MANY + 6) / 7);
	ck_assert_uint_ge(pool_width(pool, LANE_COMPUTE), 1);
	ck_assert_uint_le(pool_width(pool, LANE_COMPUTE), 8);
	ck_assert_uint_eq(pool_close(pool), 0);
	free(order);
	free(jobs);
	loop_close(loop);
}
END_TEST

/* Work per second of a made-up machine at each width, from 1; the last goes on. */
struct curve {
	const double *rates;
	unsigned count;
};

/*
 * Drives the width along the curve for so many pieces of work; returns the mean of the second
 * half.
 */
static double
drive(struct width *width, const struct curve *curve, unsigned n)
{
	double now_ns = 0, sum = 0;

	width_note(width, 0, 0, true);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = width->now < curve->count ? width->now : curve->count;

		now_ns += 1e9 / curve->rates[at - 1];
		width_note(width, (uint64_t)now_ns, 1, true);
		ck_assert_uint_ge(width->now, width->min);
		ck_assert_uint_le(width->now, width->max);
		if (i >= n / 2)
			sum += width->now;
	}
	return sum / (n - n / 2);
}

START_TEST(the_width_climbs_to_the_knee_and_stays_around_it)
{
	static const double knee_at_6[] = { 10, 20, 30, 40, 50, 60, 60, 60 };
	static const double worse_after_3[] = { 10, 20, 30, 25, 20, 15, 12 };
	static const double never_better[] = { 50 };
	struct width width;
	double mean;

	width_init(&width, 1, 16);
	mean = drive(&width, &(struct curve){ knee_at_6, 8 }, 5000);
	ck_assert_double_ge(mean, 5);
	ck_assert_double_le(mean, 7);
	width_init(&width, 1, 16);
	mean = drive(&width, &(struct curve){ worse_after_3, 7 }, 5000);
	ck_assert_double_ge(mean, 2);
	ck_assert_double_le(mean, 4);
	width_init(&width, 1, 16);
	mean = drive(&width, &(struct curve){ never_better, 1 }, 5000);
	ck_assert_double_le(mean, 2);
}
END_TEST

START_TEST(time_in_which_nothing_waits_says_nothing)
{
	struct width width;

	width_init(&width, 1, 8);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(!width_note(&width, i * 1000000000ull, 1, false));
	ck_assert_uint_eq(width.now, 4);
	ck_assert_uint_eq(width.busy_ns, 0);
	width_init(&width, 3, 3);
	ck_assert(!width_note(&width, 0, 0, true));
	ck_assert(!width_note(&width, 1ull << 40, 100, true));
	ck_assert_uint_eq(width.now, 3);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		work_runs_on_another_thread_and_is_done_on_the_loop,
		a_lane_of_one_thread_works_in_order,
		a_full_lane_holds_up_no_other,
		as_many_threads_run_as_the_lane_is_wide,
		abandoned_work_that_had_not_begun_never_runs,
		a_stuck_thread_is_replaced_at_once_and_its_work_lost_when_it_returns,
		work_that_ended_but_was_not_told_yet_can_still_be_abandoned,
		close_waits_for_what_runs_and_drops_the_rest,
		workers_get_no_signals,
		thousands_pass_through_a_lane_that_changes_its_width,
		the_width_climbs_to_the_knee_and_stays_around_it,
		time_in_which_nothing_waits_says_nothing,
		NULL
	};

	return run_suite("pool", tests);
}
