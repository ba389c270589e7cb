/*
 * kill -9 at every point: before, amid and after each changing call of each verb, after each commit, in
 * the middle of recovery, with and without a reboot of the machine. Afterwards everything is as before
 * or as after the verb, as the job's record says, and a second start changes nothing.
 */
#include "tests/unit/scenario.h"

#include <stdio.h>
#include <string.h>

struct reference {
	json_t *before, *after;
	unsigned calls;			/* changing ones */
	uint64_t commits;
};

static struct reference
run_undisturbed(const struct scenario *scenario)
{
	struct lab *lab = scenario_new(scenario);
	struct reference reference;
	uint64_t commits;

	reference.before = lab_picture(lab);
	reference.calls = world_calls(lab->world);
	commits = store_commits(lab->daemon->store);
	ck_assert_msg(strcmp(scenario_run(scenario, lab), "ok") == 0, "%s", scenario->name);
	reference.calls = world_calls(lab->world) - reference.calls;
	reference.commits = store_commits(lab->daemon->store) - commits;
	reference.after = lab_picture(lab);
	lab_free(lab);
	return reference;
}

/* What the last prepared job of this method was, so that it is not taken for the one that crashed. */
static int64_t
newest_job(struct lab *lab)
{
	json_t *list = lab_result(lab, "job.list", "{sb si}", "all", 1, "limit", 1);
	json_t *job = json_array_get(json_object_get(list, "jobs"), 0);
	int64_t id = json_integer_value(json_object_get(job, "job"));

	json_decref(list);
	return id;
}

static json_t *
job_after(struct lab *lab, int64_t id, const char *method)
{
	json_t *list = lab_result(lab, "job.list", "{sb si}", "all", 1, "limit", 1000), *job;
	json_t *found = NULL;
	size_t i;

	json_array_foreach(json_object_get(list, "jobs"), i, job)
		if (json_integer_value(json_object_get(job, "job")) > id &&
		    strcmp(json_string_value(json_object_get(job, "method")), method) == 0)
			found = json_incref(job);
	json_decref(list);
	return found;
}

static void
check_outcome(const struct scenario *scenario, const struct reference *reference, struct lab *lab,
	      int64_t last, const char *what)
{
	json_t *job = job_after(lab, last, scenario->method);
	const char *state = json_string_value(json_object_get(job, "state"));
	json_t *now = lab_picture(lab);
	char text[200];

	snprintf(text, sizeof(text), "%s (%s)", what, state ? state : "no job");
	if (state && strcmp(state, "done") == 0)
		lab_same(reference->after, now, text);
	else if (!state || scenario->kind == WHOLE)
		lab_same(reference->before, now, text);
	json_decref(job);
	json_decref(now);
}

static void
reopen_twice(struct lab *lab, const char *what)
{
	json_t *first, *second;
	int64_t seq = lab->last_seq;

	first = lab_picture(lab);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	second = lab_picture(lab);
	lab_same(first, second, what);
	ck_assert_int_ge(event_last(lab->daemon->events), seq);
	json_decref(first);
	json_decref(second);
}

static void
survive(const struct scenario *scenario, const struct reference *reference, struct lab *lab,
	int64_t last, const char *what)
{
	int64_t seq = lab->last_seq;

	lab_kill(lab);
	ck_assert(lab_open(lab));
	ck_assert_msg(event_last(lab->daemon->events) >= seq, "%s: event numbers went back", what);
	lab_check_quiet(lab, what);
	check_outcome(scenario, reference, lab, last, what);
	reopen_twice(lab, what);
	lab_clean(lab, what);
	lab_free(lab);
}

static const char *const point_words[] = { "before", "amid", "after" };

/* Dies at the kth changing call; false: there were not so many. */
static bool
die_at_call(const struct scenario *scenario, const struct reference *reference, unsigned k,
	    enum world_point point)
{
	struct lab *lab = scenario_new(scenario);
	int64_t last = newest_job(lab);
	char what[160];

	snprintf(what, sizeof(what), "%s: dies %s call %u", scenario->name, point_words[point], k);
	if (getenv("LAB_LOG"))
		fprintf(stderr, "== %s\n", what);
	world_freeze_at(lab->world, k, point);
	if (strcmp(scenario_run(scenario, lab), "crash") == 0) {
		survive(scenario, reference, lab, last, what);
		return true;
	}
	lab_free(lab);
	return false;
}

static bool
die_at_commit(const struct scenario *scenario, const struct reference *reference, unsigned n)
{
	struct lab *lab = scenario_new(scenario);
	int64_t last = newest_job(lab);
	char what[160];

	snprintf(what, sizeof(what), "%s: dies after commit %u", scenario->name, n);
	if (getenv("LAB_LOG"))
		fprintf(stderr, "== %s\n", what);
	lab->crash_at = store_commits(lab->daemon->store) + n;
	if (strcmp(scenario_run(scenario, lab), "crash") == 0) {
		survive(scenario, reference, lab, last, what);
		return true;
	}
	lab_free(lab);
	return false;
}

/* Dies in the verb, then at the kth call of the recovery from that; false: it took fewer. */
static bool
die_twice(const struct scenario *scenario, const struct reference *reference, unsigned first,
	  unsigned k)
{
	struct lab *lab = scenario_new(scenario);
	int64_t last = newest_job(lab);
	bool crashed;
	char what[160];

	snprintf(what, sizeof(what), "%s: dies after call %u and at call %u of the next life",
		 scenario->name, first, k);
	if (getenv("LAB_LOG"))
		fprintf(stderr, "== %s\n", what);
	world_freeze_at(lab->world, first, WORLD_AFTER);
	ck_assert_str_eq(scenario_run(scenario, lab), "crash");
	lab_kill(lab);
	world_freeze_at(lab->world, k, WORLD_AFTER);
	crashed = !lab_open(lab);
	if (crashed)
		survive(scenario, reference, lab, last, what);
	else
		lab_free(lab);
	return crashed;
}

/* A teardown goes on in the next life, or was never begun; the life after that sets the host up again. */
static bool
die_in_teardown(const struct scenario *scenario, unsigned k)
{
	struct lab *lab = scenario_new(scenario);
	bool crashed;
	char what[160];

	snprintf(what, sizeof(what), "teardown: dies after call %u", k);
	world_freeze_at(lab->world, k, WORLD_AFTER);
	crashed = strcmp(scenario_run(scenario, lab), "crash") == 0;
	lab_kill(lab);
	ck_assert(lab_open(lab));
	lab_check_quiet(lab, what);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	lab_check_quiet(lab, what);
	ck_assert(!lab->daemon->refusal);
	lab_do(lab, "host.boot", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, what);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_clean(lab, what);
	lab_free(lab);
	return crashed;
}

/* The power goes at the kth call. What was wanted running comes up whole with host.boot. */
static bool
lose_power(const struct scenario *scenario, unsigned k)
{
	struct lab *lab = scenario_new(scenario);
	bool crashed;
	char what[160];

	snprintf(what, sizeof(what), "%s: power off at call %u", scenario->name, k);
	if (getenv("LAB_LOG"))
		fprintf(stderr, "== %s\n", what);
	world_freeze_at(lab->world, k, WORLD_AFTER);
	crashed = strcmp(scenario_run(scenario, lab), "crash") == 0;
	lab_reboot(lab);
	ck_assert(lab_open(lab));
	lab_check_quiet(lab, what);
	lab_do(lab, "host.boot", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, what);
	vn_list_each(struct vnode, vnode, &lab->daemon->model->vnodes, link)
		ck_assert_msg(vnode->wanted != VNODE_RUNNING || vnode->observed == VNODE_RUNNING,
			      "%s: %s is %s", what, vnode->name, vnode_state_words[vnode->observed]);
	reopen_twice(lab, what);
	lab_clean(lab, what);
	lab_free(lab);
	return crashed;
}

static bool
is_picked(const struct scenario *scenario)
{
	const char *only = getenv("LAB_ONLY");

	/* A teardown takes what a start sets up again: its crash is the next test but one. */
	return strcmp(scenario->name, "host.teardown") != 0 &&
	       (!only || strcmp(only, scenario->name) == 0);
}

static void
free_reference(struct reference *reference)
{
	json_decref(reference->before);
	json_decref(reference->after);
}

START_TEST(a_crash_at_any_call_loses_nothing)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!is_picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		/* Before a call is what a death after the commit before it is as well: see below. */
		for (enum world_point point = reference.calls > 12 ? WORLD_AMID : WORLD_BEFORE;
		     point <= WORLD_AFTER; point++)
			for (unsigned k = 1; die_at_call(scenario, &reference, k, point);
			     k += scenario_stride())
				;
		free_reference(&reference);
	}
}
END_TEST

START_TEST(a_crash_after_any_commit_loses_nothing)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!is_picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		for (unsigned n = 1; die_at_commit(scenario, &reference, n);
		     n += scenario_stride())
			;
		free_reference(&reference);
	}
}
END_TEST

START_TEST(a_crash_in_the_recovery_loses_nothing)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!is_picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		for (unsigned first = 1; first <= reference.calls; first += 1 + reference.calls / 4)
			for (unsigned k = 1; die_twice(scenario, &reference, first, k);
			     k += 3 * scenario_stride())
				;
		free_reference(&reference);
	}
}
END_TEST

START_TEST(a_power_cut_at_any_call_leaves_what_can_be_booted)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
		if (is_picked(scenario))
			for (unsigned k = 1; lose_power(scenario, k); k += scenario_stride())
				;
}
END_TEST

START_TEST(a_crash_in_a_teardown_loses_nothing)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
		if (strcmp(scenario->name, "host.teardown") == 0)
			for (unsigned k = 1; die_in_teardown(scenario, k); k++)
				;
}
END_TEST

int
main(void)
{
	return run_suite("crash", (const TTest *const[]){
		a_crash_at_any_call_loses_nothing,
		a_crash_after_any_commit_loses_nothing,
		a_crash_in_the_recovery_loses_nothing,
		a_power_cut_at_any_call_leaves_what_can_be_booted,
		a_crash_in_a_teardown_loses_nothing,
		NULL });
}
