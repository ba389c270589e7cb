/*
 * The loop: order, time held by the test, removal from inside callbacks, messages of other
 * threads.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/unit/support.h"

/* What callbacks wrote, in order. */
struct trace {
	struct loop *loop;
	char text[256];
	struct watch *other;
	int n;
};

static void
mark(struct trace *trace, char letter)
{
	size_t at = strlen(trace->text);

	ck_assert(at + 1 < sizeof(trace->text));
	trace->text[at] = letter;
	trace->text[at + 1] = '\0';
}

static void mark_a(void *arg) { mark(arg, 'a'); }
static void mark_b(void *arg) { mark(arg, 'b'); }
static void mark_c(void *arg) { mark(arg, 'c'); }

static void
defer_again(void *arg)
{
	struct trace *trace = arg;

	mark(trace, '+');
	loop_defer(trace->loop, defer_again, trace);
}

static void
remove_other(void *arg)
{
	struct trace *trace = arg;

	mark(trace, 'r');
	loop_remove(vn_take_ptr(&trace->other));
}

START_TEST(deferred_calls_run_in_order_and_those_they_add_in_the_next_turn)
{
	struct trace trace = { .loop = test_loop() };

	loop_defer(trace.loop, mark_a, &trace);
	loop_defer(trace.loop, defer_again, &trace);
	loop_defer(trace.loop, mark_b, &trace);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "a+b");
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "a+b+");
	loop_close(trace.loop);
}
END_TEST

START_TEST(timers_run_when_the_held_clock_reaches_them)
{
	struct trace trace = { .loop = test_loop() };
	struct watch *watches[3];

	loop_clock_hold(trace.loop);
	watches[0] = loop_add_timer(trace.loop, 20, mark_b, &trace);
	watches[1] = loop_add_timer(trace.loop, 10, mark_a, &trace);
	watches[2] = loop_add_timer(trace.loop, 20, mark_c, &trace);
	ck_assert(!loop_run_once(trace.loop, false));
	loop_clock_advance(trace.loop, 9);
	ck_assert(!loop_run_once(trace.loop, false));
	loop_clock_advance(trace.loop, 1);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "a");
	loop_clock_advance(trace.loop, 1000);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "abc");
	ck_assert(!loop_run_once(trace.loop, false));
	for (size_t i = 0; i < VN_COUNT(watches); i++)
		loop_remove(watches[i]);
	loop_close(trace.loop);
}
END_TEST

/* An alarm is due by the wall clock alone, wherever that is set to; a timer by neither of its jumps. */
START_TEST(alarms_follow_the_wall_clock_and_timers_do_not)
{
	struct trace trace = { .loop = test_loop() };
	struct watch *watches[3];
	int64_t now_us;

	loop_clock_hold(trace.loop);
	now_us = loop_wall_us(trace.loop);
	watches[0] = loop_add_alarm(trace.loop, now_us + 10000, mark_a, &trace);
	watches[1] = loop_add_alarm(trace.loop, now_us + 3600000000, mark_b, &trace);
	watches[2] = loop_add_timer(trace.loop, 20, mark_c, &trace);
	loop_wall_set(trace.loop, now_us - 1000000);
	loop_clock_advance(trace.loop, 15);
	ck_assert(!loop_run_once(trace.loop, false));
	loop_wall_set(trace.loop, now_us + 10000);
	ck_assert(loop_run_once(trace.loop, false));
	ck_assert_str_eq(trace.text, "a");
	loop_wall_set(trace.loop, now_us + 3600000000);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "ab");
	loop_clock_advance(trace.loop, 5);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "abc");
	for (size_t i = 0; i < VN_COUNT(watches); i++)
		loop_remove(watches[i]);
	loop_close(trace.loop);
}
END_TEST

/* The real clock wakes a loop that waits; one in the past is due at once. */
START_TEST(alarms_wake_a_loop_that_waits)
{
	struct trace trace = { .loop = test_loop() };
	int64_t now_us = loop_wall_us(trace.loop);
	struct watch *soon = loop_add_alarm(trace.loop, now_us + 20000, mark_b, &trace);
	struct watch *past = loop_add_alarm(trace.loop, now_us - 20000, mark_a, &trace);

	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "a");
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "ab");
	ck_assert_int_ge(loop_wall_us(trace.loop), now_us + 20000);
	loop_remove(soon);
	loop_remove(past);
	loop_close(trace.loop);
}
END_TEST

START_TEST(a_timer_may_remove_one_that_is_due_in_the_same_turn)
{
	struct trace trace = { .loop = test_loop() };
	struct watch *first;

	loop_clock_hold(trace.loop);
	first = loop_add_timer(trace.loop, 1, remove_other, &trace);
	trace.other = loop_add_timer(trace.loop, 1, mark_b, &trace);
	loop_clock_advance(trace.loop, 1);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert(!loop_run_once(trace.loop, false));
	ck_assert_str_eq(trace.text, "r");
	loop_remove(first);
	loop_close(trace.loop);
}
END_TEST

static void
add_due_timer(void *arg)
{
	struct trace *trace = arg;

	mark(trace, 't');
	loop_remove(trace->other);
	trace->other = loop_add_timer(trace->loop, 0, add_due_timer, trace);
}

START_TEST(a_timer_that_always_adds_another_does_not_hold_up_the_turn)
{
	struct trace trace = { .loop = test_loop() };

	loop_clock_hold(trace.loop);
	trace.other = loop_add_timer(trace.loop, 0, add_due_timer, &trace);
	loop_run_once(trace.loop, true);
	ck_assert_str_eq(trace.text, "t");
	loop_run_once(trace.loop, true);
	ck_assert_str_eq(trace.text, "tt");
	loop_remove(trace.other);
	loop_close(trace.loop);
}
END_TEST

START_TEST(many_timers_run_in_the_order_of_their_time_whatever_is_removed)
{
	struct trace trace = { .loop = test_loop() };
	struct watch *watches[200];

	loop_clock_hold(trace.loop);
	for (unsigned i = 0; i < VN_COUNT(watches); i++)
		watches[i] = loop_add_timer(trace.loop, 1 + i * 7919 % 200,
					    i * 7919 % 200 < 100 ? mark_a : mark_b, &trace);
	for (unsigned i = 0; i < VN_COUNT(watches); i += 2)
		loop_remove(vn_take_ptr(&watches[i]));
	loop_clock_advance(trace.loop, 200);
	loop_run_once(trace.loop, true);
	ck_assert_uint_eq(strlen(trace.text), 100);
	ck_assert_uint_eq(strspn(trace.text, "a"), 50);
	for (unsigned i = 0; i < VN_COUNT(watches); i++)
		loop_remove(watches[i]);
	loop_close(trace.loop);
}
END_TEST

START_TEST(a_real_timer_wakes_the_loop_after_its_time)
{
	struct trace trace = { .loop = test_loop() };
	struct watch *watch = loop_add_timer(trace.loop, 5, mark_a, &trace);
	uint64_t before = loop_now_ms(trace.loop);

	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_uint_ge(loop_now_ms(trace.loop), before + 5);
	ck_assert_str_eq(trace.text, "a");
	loop_remove(watch);
	loop_close(trace.loop);
}
END_TEST

/* A pair of sockets, both watched. */
struct pair {
	int fd[2];
	struct watch *watch[2];
	unsigned seen[2];
	int n_calls;
};

static void
on_pair(int fd, unsigned what, void *arg)
{
	struct pair *pair = arg;
	unsigned at = fd == pair->fd[1];

	pair->seen[at] |= what;
	pair->n_calls++;
	loop_remove(vn_take_ptr(&pair->watch[0]));
	loop_remove(vn_take_ptr(&pair->watch[1]));
}

static void
pair_open(struct pair *pair, struct loop *loop, unsigned what)
{
	*pair = (struct pair){ .n_calls = 0 };
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
				    pair->fd), 0);
	for (unsigned i = 0; i < 2; i++)
		pair->watch[i] = loop_add_fd(loop, pair->fd[i], what, on_pair, pair);
}

static void
pair_close(struct pair *pair)
{
	for (unsigned i = 0; i < 2; i++) {
		loop_remove(pair->watch[i]);
		close(pair->fd[i]);
	}
}

START_TEST(a_callback_may_remove_every_watch_that_is_ready_with_it)
{
	struct loop *loop = test_loop();
	struct pair pair;

	pair_open(&pair, loop, WATCH_READ | WATCH_WRITE);
	ck_assert(loop_run_once(loop, true));
	ck_assert(!loop_run_once(loop, false));
	ck_assert_int_eq(pair.n_calls, 1);
	ck_assert_uint_eq(pair.seen[0] | pair.seen[1], WATCH_WRITE);
	pair_close(&pair);
	loop_close(loop);
}
END_TEST

START_TEST(a_watch_waits_only_for_what_it_was_last_told)
{
	struct loop *loop = test_loop();
	struct pair pair;

	pair_open(&pair, loop, 0);
	ck_assert(!loop_run_once(loop, false));
	loop_change_fd(pair.watch[0], WATCH_READ);
	ck_assert(!loop_run_once(loop, false));
	ck_assert_int_eq(write(pair.fd[1], "x", 1), 1);
	loop_change_fd(pair.watch[0], 0);
	ck_assert(!loop_run_once(loop, false));
	loop_change_fd(pair.watch[0], WATCH_READ | WATCH_WRITE);
	ck_assert(loop_run_once(loop, true));
	ck_assert_uint_eq(pair.seen[0], WATCH_READ | WATCH_WRITE);
	pair_close(&pair);
	loop_close(loop);
}
END_TEST

/* Posts from threads: each message carries its thread and number. */
#define N_POSTERS 4
#define N_POSTS   500

struct poster {
	struct loop *loop;
	unsigned next, n_wrong;
	pthread_t thread;
	struct post {
		struct poster *poster;
		unsigned number;
	} posts[N_POSTS];
};

static void
on_posted(void *arg)
{
	struct post *post = arg;

	post->poster->n_wrong += post->number != post->poster->next++;
}

static void *
run_poster(void *arg)
{
	struct poster *poster = arg;

	for (unsigned i = 0; i < N_POSTS; i++) {
		poster->posts[i] = (struct post){ poster, i };
		loop_post(poster->loop, on_posted, &poster->posts[i]);
	}
	return NULL;
}

START_TEST(posts_of_several_threads_all_arrive_each_in_its_order)
{
	struct loop *loop = test_loop();
	struct poster *posters = vn_alloc_array(N_POSTERS, sizeof(*posters));
	unsigned n_seen;

	for (unsigned i = 0; i < N_POSTERS; i++) {
		posters[i].loop = loop;
		ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, run_poster, &posters[i]),
				 0);
	}
	do {
		loop_run_once(loop, true);
		n_seen = 0;
		for (unsigned i = 0; i < N_POSTERS; i++)
			n_seen += posters[i].next;
	} while (n_seen < N_POSTERS * N_POSTS);
	for (unsigned i = 0; i < N_POSTERS; i++) {
		ck_assert_uint_eq(posters[i].n_wrong, 0);
		pthread_join(posters[i].thread, NULL);
	}
	free(posters);
	loop_close(loop);
}
END_TEST

struct forgetter {
	struct trace trace, dead;
};

static void
forget_dead(void *arg)
{
	struct forgetter *all = arg;

	mark(&all->trace, 'f');
	loop_forget(all->trace.loop, &all->dead);
}

START_TEST(what_is_forgotten_is_never_called_even_in_the_same_turn)
{
	struct forgetter all = { .trace.loop = test_loop() };

	loop_post(all.trace.loop, forget_dead, &all);
	loop_post(all.trace.loop, mark_a, &all.dead);
	loop_post(all.trace.loop, mark_a, &all.trace);
	loop_defer(all.trace.loop, mark_b, &all.dead);
	loop_defer(all.trace.loop, mark_b, &all.trace);
	while (loop_run_once(all.trace.loop, false))
		;
	ck_assert_str_eq(all.trace.text, "fab");
	ck_assert_str_eq(all.dead.text, "");
	loop_post(all.trace.loop, mark_a, &all.trace);
	loop_defer(all.trace.loop, mark_a, &all.trace);
	loop_close(all.trace.loop);
	ck_assert_str_eq(all.trace.text, "fab");
}
END_TEST

START_TEST(a_signal_arrives_as_a_call)
{
	struct trace trace = { .loop = test_loop() };
	struct watch *watch = loop_add_signal(trace.loop, SIGUSR1, mark_a, &trace);

	ck_assert(!loop_run_once(trace.loop, false));
	raise(SIGUSR1);
	ck_assert(loop_run_once(trace.loop, true));
	ck_assert_str_eq(trace.text, "a");
	loop_remove(watch);
	loop_close(trace.loop);
}
END_TEST

static void
stop_at_three(void *arg)
{
	struct trace *trace = arg;

	if (++trace->n == 3)
		loop_stop(trace->loop);
	else
		loop_defer(trace->loop, stop_at_three, trace);
}

START_TEST(run_goes_on_until_it_is_stopped)
{
	struct trace trace = { .loop = test_loop() };

	loop_defer(trace.loop, stop_at_three, &trace);
	loop_run(trace.loop);
	ck_assert_int_eq(trace.n, 3);
	loop_close(trace.loop);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		deferred_calls_run_in_order_and_those_they_add_in_the_next_turn,
		timers_run_when_the_held_clock_reaches_them,
		alarms_follow_the_wall_clock_and_timers_do_not,
		alarms_wake_a_loop_that_waits,
		a_timer_may_remove_one_that_is_due_in_the_same_turn,
		a_timer_that_always_adds_another_does_not_hold_up_the_turn,
		many_timers_run_in_the_order_of_their_time_whatever_is_removed,
		a_real_timer_wakes_the_loop_after_its_time,
		a_callback_may_remove_every_watch_that_is_ready_with_it,
		a_watch_waits_only_for_what_it_was_last_told,
		posts_of_several_threads_all_arrive_each_in_its_order,
		what_is_forgotten_is_never_called_even_in_the_same_turn,
		a_signal_arrives_as_a_call,
		run_goes_on_until_it_is_stopped,
		NULL
	};

	return run_suite("loop", tests);
}
