/*
 * What stands in the way of an entry: a job, the daemon's and the machine's end, another clock, a failure. It
 * waits, is made up for, missed or failed, and happens once wherever the daemon dies.
 */
#include "tests/unit/check_schedule.h"

#include <stdio.h>

#include "proto/base/mem.h"

#define ALL_AT_ONCE "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"},\"members\":{\"a\":{\"shape\":{\"to\":" \
	"{\"delay\":\"5ms\"}},\"up\":false}}}]"

START_TEST(an_entry_waits_for_the_job_that_holds_the_lan)
{
	struct lab *lab = star();
	json_t *late;

	set_schedule(lab, "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}},{\"after\":\"11s\",\"up\":false}]");
	world_hang(lab->world, "net.ports_shape", 1);
	lab_send(lab, "lan.set", "{ss s{ss}}", "lan", "l", "shape", "rate", "5Mbit");
	ck_assert(lab_await_hang(lab));
	lab_advance(lab, 12000);
	check_state(lab, 0, "pending");
	lab_release(lab);
	check_state(lab, 0, "done");
	check_state(lab, 1, "done");
	ck_assert_double_eq_tol(rate_of(lab, "a"), 1e6, 1);
	ck_assert(!is_up(lab, "a"));
	late = entry_field(lab, 0, "late_ms");
	ck_assert_double_eq_tol(json_number_value(late), 2000, 0.001);
	json_decref(late);
	lab_check_quiet(lab, "waited");
	lab_clean(lab, "waited");
	lab_free(lab);
}
END_TEST

/* Three became due while nobody was there; the machine's clock went on. */
START_TEST(what_became_due_meanwhile_is_made_up_for_in_order)
{
	static void (*const ends[])(struct lab *lab) = { lab_kill, lab_close, lab_reboot };

	for (size_t i = 0; i < VN_COUNT(ends); i++) {
		struct lab *lab = star();

		set_schedule(lab, "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}},{\"after\":\"20s\",\"shape\":{\"rate\":"
			     "\"2Mbit\"}},{\"after\":\"30s\",\"up\":false},{\"after\":\"60s\",\"up\":true}]");
		ends[i](lab);
		lab_advance(lab, 40000);
		ck_assert(lab_open(lab));
		check_state(lab, 1, "done");
		check_state(lab, 2, "done");
		check_state(lab, 3, "pending");
		lab_do(lab, "host.boot", "{sb}", "wait", 1);
		ck_assert(lab_settle(lab));
		ck_assert_double_eq_tol(rate_of(lab, "a"), 2e6, 1);
		ck_assert(!is_up(lab, "a"));
		pass(lab, 20000);
		ck_assert(is_up(lab, "a"));
		ck_assert_uint_eq(count_fired(lab), 4);
		lab_check_quiet(lab, "meanwhile");
		lab_clean(lab, "meanwhile");
		lab_free(lab);
	}
}
END_TEST

START_TEST(when_the_wall_clock_is_set_dates_move_with_it)
{
	struct lab *lab = star();
	int64_t now_us = loop_wall_us(lab->loop);

	set_schedule(lab, STEP);
	loop_wall_set(lab->loop, now_us - 3600000000);
	pass(lab, 11000);
	check_state(lab, 0, "pending");
	loop_wall_set(lab->loop, now_us + 10000000);
	ck_assert(lab_settle(lab));
	check_state(lab, 0, "done");
	lab_clean(lab, "set");
	lab_free(lab);
}
END_TEST

START_TEST(what_is_due_on_a_host_that_was_torn_down_is_missed)
{
	struct lab *lab = star();

	set_schedule(lab, STEP);
	lab_do(lab, "host.teardown", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	pass(lab, 10000);
	check_state(lab, 0, "missed");
	ck_assert_uint_eq(count_fired(lab), 0);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	check_state(lab, 0, "missed");
	lab_clean(lab, "torn down");
	lab_free(lab);
}
END_TEST

START_TEST(an_entry_whose_member_is_gone_fails_and_the_next_goes_on)
{
	struct lab *lab = star();

	set_schedule(lab, "[{\"after\":\"1s\",\"members\":{\"c\":{\"shape\":{\"to\":{\"rate\":\"1Mbit\"}}}}},"
		     "{\"after\":\"1s\",\"shape\":{\"rate\":\"3Mbit\"}}]");
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "c", "wait", 1);
	ck_assert(lab_settle(lab));
	pass(lab, 1000);
	check_state(lab, 0, "failed");
	check_state(lab, 1, "done");
	ck_assert_double_eq_tol(rate_of(lab, "a"), 3e6, 1);
	lab_clean(lab, "gone");
	lab_free(lab);
}
END_TEST

/* Shape, carrier: whichever call fails, all of the entry is as before and the entry says so. */
START_TEST(an_entry_happens_whole_or_not_at_all)
{
	static const char *const ops[] = { "net.ports_shape", "net.ports_carrier" };

	for (size_t i = 0; i < 2 * VN_COUNT(ops); i++) {
		struct lab *lab = star();
		json_t *error;

		set_schedule(lab, ALL_AT_ONCE);
		(i & 1 ? world_fail_after : world_fail)(lab->world, ops[i / 2], 1, VN_E_BACKEND);
		pass(lab, 10000);
		world_fault_clear(lab->world);
		check_state(lab, 0, "failed");
		error = entry_field(lab, 0, "error");
		ck_assert(json_is_string(error));
		ck_assert_double_eq_tol(rate_of(lab, "a"), 10e6, 1);
		ck_assert_double_eq_tol(rate_of(lab, "b"), 10e6, 1);
		ck_assert(is_up(lab, "a"));
		ck_assert(lab_vnode(lab, "a") && is_up(lab, "b"));
		lab_check_quiet(lab, ops[i / 2]);
		lab_clean(lab, ops[i / 2]);
		json_decref(error);
		lab_free(lab);
	}
}
END_TEST

/* ---- kill -9 at any point of a firing -------------------------------------------------------- */

enum death { DEATH_CALL, DEATH_COMMIT };

static void
check_once(struct lab *lab, json_t *wanted, const char *what)
{
	json_t *got;

	lab_check_quiet(lab, what);
	got = lab_picture(lab);
	lab_same(wanted, got, what);
	ck_assert_msg(count_fired(lab) == 1, "%s: fired %u times", what, count_fired(lab));
	json_decref(got);
}

/* Dies at the kth point; false: there were not so many. Afterwards the entry has happened once. */
static bool
die(enum death death, unsigned k, enum world_point point, json_t *wanted)
{
	struct lab *lab = star();
	bool crashed;
	char what[80];

	snprintf(what, sizeof(what), "dies %s %u, %d", death == DEATH_CALL ? "at call" : "after commit", k,
		 (int)point);
	set_schedule(lab, ALL_AT_ONCE);
	if (death == DEATH_CALL)
		world_freeze_at(lab->world, k, point);
	else
		lab->crash_at = store_commits(lab->daemon->store) + k;
	loop_clock_advance(lab->loop, 10000);
	crashed = !lab_settle(lab);
	if (crashed) {
		lab_kill(lab);
		ck_assert(lab_open(lab));
		check_once(lab, wanted, what);
		lab_kill(lab);
		ck_assert(lab_open(lab));
		check_once(lab, wanted, what);
		lab_clean(lab, what);
	}
	lab_free(lab);
	return crashed;
}

static json_t *
picture_after(void)
{
	struct lab *lab = star();
	json_t *picture;

	set_schedule(lab, ALL_AT_ONCE);
	pass(lab, 10000);
	picture = lab_picture(lab);
	lab_free(lab);
	return picture;
}

START_TEST(kill_at_any_point_of_a_firing_neither_loses_nor_repeats_it)
{
	json_t *wanted = picture_after();
	unsigned calls = 0, commits = 0;

	for (enum world_point point = WORLD_BEFORE; point <= WORLD_AFTER; point++)
		for (unsigned k = 1; die(DEATH_CALL, k, point, wanted); k++)
			calls++;
	for (unsigned k = 1; die(DEATH_COMMIT, k, WORLD_AFTER, wanted); k++)
		commits++;
	ck_assert_uint_ge(calls, 6);		/* the shapes and the carrier, at three points each */
	ck_assert_uint_ge(commits, 2);		/* that it begins, and that it ended */
	json_decref(wanted);
}
END_TEST

void
add_end_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		an_entry_waits_for_the_job_that_holds_the_lan,
		what_became_due_meanwhile_is_made_up_for_in_order,
		when_the_wall_clock_is_set_dates_move_with_it,
		what_is_due_on_a_host_that_was_torn_down_is_missed,
		an_entry_whose_member_is_gone_fails_and_the_next_goes_on,
		an_entry_happens_whole_or_not_at_all,
		kill_at_any_point_of_a_firing_neither_loses_nor_repeats_it,
		NULL });
}
