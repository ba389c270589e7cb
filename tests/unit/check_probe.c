/*
 * lan.probe on the fake world: which directions, what is wanted of each, verdicts, and what happens to those
 * who change or cancel meanwhile. And the statistics below it, against known values.
 */
#include "tests/unit/lab.h"

#include <string.h>

#include "backends/expect.h"
#include "backends/statistics.h"

#define TWO "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}},\"lans\":{\"l\":{\"shape\":{\"rate\":\"10Mbit\"," \
	"\"loss\":\"1%\"},\"members\":{\"a\":{\"shape\":{\"to\":{\"rate\":\"2Mbit\",\"delay\":\"5ms\"}}},\"b\":{}}}}}"
#define THREE "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{},\"c\":{}},\"lans\":{\"l\":{\"members\":{\"a\":" \
	"{\"shape\":{\"to\":{\"delay\":\"5ms\"}}},\"b\":{\"shape\":{\"from\":{\"delay\":\"2ms\",\"rate\":\"1Mbit\"}}}," \
	"\"c\":{}}}}}"

static struct lab *
lab_with(const char *text)
{
	struct lab *lab = lab_new();
	json_t *document = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(document);
	lab_do(lab, "topology.apply", "{so sb}", "document", document, "wait", 1);
	ck_assert(lab_settle(lab));
	return lab;
}

static json_t *
probe(struct lab *lab)
{
	json_t *answer = lab_result(lab, "lan.probe", "{ss sb}", "lan", "l", "wait", 1);
	json_t *result = json_incref(json_object_get(answer, "result"));

	json_decref(answer);
	ck_assert(lab_settle(lab));
	return result;
}

static json_t *
direction(json_t *result, const char *from, const char *to)
{
	json_t *found;
	size_t i;

	json_array_foreach(json_object_get(result, "directions"), i, found)
		if (strcmp(json_string_value(json_object_get(found, "from")), from) == 0 &&
		    strcmp(json_string_value(json_object_get(found, "to")), to) == 0)
			return found;
	ck_abort_msg("no direction from %s to %s", from, to);
	return NULL;
}

static double
number(json_t *direction, const char *quantity, const char *key)
{
	json_t *value = json_object_get(json_object_get(direction, quantity), key);

	ck_assert_msg(json_is_number(value), "%s/%s is no number", quantity, key);
	return json_number_value(value);
}

static const char *
verdict(json_t *object, const char *quantity)
{
	return json_string_value(json_object_get(quantity ? json_object_get(object, quantity) : object,
						 "verdict"));
}

START_TEST(a_link_is_measured_both_ways)
{
	struct lab *lab = lab_with(TWO);
	json_t *result = probe(lab), *there = direction(result, "a", "b"), *back = direction(result, "b", "a");

	ck_assert_uint_eq(json_array_size(json_object_get(result, "directions")), 2);
	ck_assert_double_eq(number(there, "rate_bps", "wanted"), 2e6);
	ck_assert_double_eq(number(there, "delay_ns", "wanted"), 5e6);
	ck_assert_double_eq(number(there, "delay_ns", "measured"), 5e6);
	ck_assert_double_eq(number(there, "loss", "wanted"), 0);
	ck_assert_double_eq(number(back, "rate_bps", "wanted"), 10e6);
	ck_assert_double_eq_tol(number(back, "loss", "wanted"), 0.01, 1e-9);
	ck_assert_double_le(number(back, "loss", "low"), 0.01);
	ck_assert_double_ge(number(back, "loss", "high"), 0.01);
	ck_assert_str_eq(verdict(there, NULL), "ok");
	ck_assert_str_eq(verdict(back, NULL), "ok");
	ck_assert_str_eq(verdict(result, NULL), "ok");
	json_decref(result);
	lab_clean(lab, "link");
	lab_free(lab);
}
END_TEST

START_TEST(a_lan_is_measured_round_with_both_shapes_of_the_way)
{
	struct lab *lab = lab_with(THREE);
	json_t *result = probe(lab), *there = direction(result, "a", "b");

	ck_assert_uint_eq(json_array_size(json_object_get(result, "directions")), 3);
	ck_assert_double_eq(number(there, "delay_ns", "wanted"), 7e6);
	ck_assert_double_eq(number(there, "rate_bps", "wanted"), 1e6);
	ck_assert_str_eq(verdict(direction(result, "b", "c"), NULL), "unlimited");
	ck_assert(json_is_null(json_object_get(json_object_get(direction(result, "c", "a"), "rate_bps"),
					       "wanted")));
	json_decref(result);
	lab_clean(lab, "lan");
	lab_free(lab);
}
END_TEST

START_TEST(what_differs_is_said_of_each_quantity)
{
	struct lab *lab = lab_with(TWO);
	json_t *result, *there;

	world_probe_error(lab->world, -0.02);
	result = probe(lab);
	ck_assert_str_eq(verdict(result, NULL), "ok");
	json_decref(result);
	world_probe_error(lab->world, 0.08);
	result = probe(lab);
	there = direction(result, "a", "b");
	ck_assert_str_eq(verdict(result, NULL), "differs");
	ck_assert_str_eq(verdict(there, NULL), "differs");
	ck_assert_str_eq(verdict(there, "rate_bps"), "differs");
	ck_assert_str_eq(verdict(there, "delay_ns"), "differs");
	ck_assert_str_eq(verdict(there, "loss"), "ok");
	json_decref(result);
	lab_clean(lab, "differs");
	lab_free(lab);
}
END_TEST

START_TEST(members_narrow_it_and_are_checked)
{
	struct lab *lab = lab_with(THREE);
	json_t *answer = lab_result(lab, "lan.probe", "{ss s[ss] si sb}", "lan", "l", "members", "c", "a",
				    "seconds", 1, "wait", 1), *error;

	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(answer, "result"), "directions")), 2);
	json_decref(answer);
	error = lab_error(lab, "not_found", "lan.probe", "{ss s[ss]}", "lan", "l", "members", "a", "z");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/members/1");
	json_decref(error);
	error = lab_error(lab, "invalid", "lan.probe", "{ss s[ss]}", "lan", "l", "members", "a", "a");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/members/1");
	json_decref(error);
	lab_do(lab, "lan.down", "{ss ss sb}", "lan", "l", "member", "a", "wait", 1);
	lab_refuse(lab, "state", "lan.probe", "{ss s[ss]}", "lan", "l", "members", "a", "b");
	lab_do(lab, "lan.down", "{ss sb}", "lan", "l", "wait", 1);
	lab_refuse(lab, "state", "lan.probe", "{ss}", "lan", "l");
	lab_clean(lab, "members");
	lab_free(lab);
}
END_TEST

/* Begins one that hangs; its job. */
static int64_t
begin_hanging(struct lab *lab)
{
	json_t *answer;
	int64_t job;

	world_hang(lab->world, "net.probe", 1);
	answer = lab_result(lab, "lan.probe", "{ss}", "lan", "l");
	job = json_integer_value(json_object_get(answer, "job"));
	json_decref(answer);
	ck_assert(lab_await_hang(lab));
	return job;
}

static void
check_end(struct lab *lab, int64_t job, const char *state, const char *code)
{
	json_t *object;

	world_fault_clear(lab->world);
	lab_release(lab);
	object = lab_result(lab, "job.get", "{sI}", "job", (json_int_t)job);
	ck_assert_str_eq(json_string_value(json_object_get(object, "state")), state);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(object, "error"), "code")), code);
	json_decref(object);
	lab_clean(lab, state);
	lab_free(lab);
}

START_TEST(nobody_has_to_wait_for_it_but_another_one)
{
	struct lab *lab = lab_with(TWO);
	int64_t job = begin_hanging(lab);
	json_t *error = lab_error(lab, "busy", "lan.probe", "{ss}", "lan", "l"), *object;

	ck_assert_int_eq(json_integer_value(json_object_get(error, "job")), job);
	json_decref(error);
	object = lab_result(lab, "job.get", "{sI}", "job", (json_int_t)job);
	ck_assert(json_is_integer(json_object_get(json_object_get(object, "progress"), "total")));
	json_decref(object);
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	lab_do(lab, "lan.set", "{ss s{ss} sb}", "lan", "l", "shape", "delay", "1ms", "wait", 1);
	check_end(lab, job, "failed", "state");
}
END_TEST

START_TEST(its_lan_may_go_meanwhile)
{
	struct lab *lab = lab_with(TWO);
	int64_t job = begin_hanging(lab);

	lab_do(lab, "topology.delete", "{ss sb}", "topology", "t", "wait", 1);
	check_end(lab, job, "failed", "not_found");
}
END_TEST

START_TEST(it_can_be_cancelled)
{
	struct lab *lab = lab_with(TWO);
	int64_t job = begin_hanging(lab);

	lab_do(lab, "job.cancel", "{sI}", "job", (json_int_t)job);
	check_end(lab, job, "cancelled", "cancelled");
}
END_TEST

/* ---- below ----------------------------------------------------------------------------------- */

/* Known values: Wilson's interval from its formula by hand, Student's from tables. */
START_TEST(intervals_are_those_of_the_books)
{
	double values[] = { 9, 10, 11 };
	uint64_t sorted[101];
	struct interval interval = statistics_share(10, 1000, 0);

	ck_assert_double_eq_tol(interval.low, 0.004530, 1e-6);
	ck_assert_double_eq_tol(interval.high, 0.021929, 1e-6);
	interval = statistics_share(0, 1000, 0);
	ck_assert_double_eq_tol(interval.low, 0, 1e-12);
	ck_assert_double_eq_tol(interval.high, 0.006591, 1e-6);
	ck_assert_double_gt(statistics_share(10, 1000, 0.5).high, 0.021929);
	interval = statistics_mean(values, 3);
	ck_assert_double_eq_tol(interval.low, 10 - 9.925 / 1.7320508, 1e-3);
	ck_assert_double_eq_tol(interval.high, 10 + 9.925 / 1.7320508, 1e-3);
	for (size_t i = 0; i < VN_COUNT(sorted); i++)
		sorted[i] = 100 - i;
	statistics_sort(sorted, VN_COUNT(sorted));
	ck_assert_uint_eq(statistics_quantile(sorted, VN_COUNT(sorted), 0.5), 50);
	interval = statistics_median(sorted, VN_COUNT(sorted));
	ck_assert_double_eq(interval.low, 37);
	ck_assert_double_eq(interval.high, 64);
}
END_TEST

START_TEST(a_path_is_as_narrow_as_its_narrowest_hop)
{
	struct shape hops[] = {
		{ .rate_bps = 10000000, .delay_ns = 3000000, .loss = 0.1 },
		{ .rate_bps = 20000000, .delay_ns = 4000000, .loss = 0.2, .corrupt = 0.5 },
	};
	struct expectation is;

	expect_path(hops, 2, &is);
	ck_assert_uint_eq(is.rate_bps, 8000000);	/* the second loses of what the first lets through */
	ck_assert_uint_ge(is.offer_bps, 11111111);	/* the first loses before its rate */
	ck_assert_uint_eq(is.delay_ns, 7000000);
	ck_assert_double_eq_tol(is.loss, 0.28, 1e-9);
	ck_assert_double_eq_tol(is.corrupt, 0.5, 1e-9);
	expect_path(hops, 1, &is);
	ck_assert_double_eq(is.loss, 0.1);
	expect_path(hops, 0, &is);
	ck_assert_uint_eq(is.rate_bps, 0);
}
END_TEST

int
main(void)
{
	return run_suite("probe", (const TTest *const[]){
		a_link_is_measured_both_ways,
		a_lan_is_measured_round_with_both_shapes_of_the_way,
		what_differs_is_said_of_each_quantity,
		members_narrow_it_and_are_checked,
		nobody_has_to_wait_for_it_but_another_one,
		its_lan_may_go_meanwhile,
		it_can_be_cancelled,
		intervals_are_those_of_the_books,
		a_path_is_as_narrow_as_its_narrowest_hop,
		NULL });
}
