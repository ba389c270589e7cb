/*
 * Every call of every verb hangs in turn. Cancelled then, the job ends and all is as before; past its
 * deadline it ends by itself; and what the call does when it comes back at last is found and removed.
 */
#include "tests/unit/scenario.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_TURNS = 1 };		/* until the request is read and its job is there */

struct reference {
	json_t *before, *after, *calls;
};

static bool
is_picked(const struct scenario *scenario)
{
	const char *only = getenv("LAB_ONLY");

	return strcmp(scenario->name, "host.teardown") != 0 &&
	       (!only || strcmp(only, scenario->name) == 0);
}

static struct reference
run_undisturbed(const struct scenario *scenario)
{
	struct lab *lab = scenario_new(scenario);
	struct reference reference;

	reference.before = lab_picture(lab);
	world_log_clear(lab->world);
	ck_assert_str_eq(scenario_run(scenario, lab), "ok");
	reference.calls = world_log(lab->world);
	reference.after = lab_picture(lab);
	lab_free(lab);
	return reference;
}

static unsigned
count_op(json_t *calls, size_t i, char op[static 64])
{
	unsigned nth = 0;

	snprintf(op, 64, "%s", json_string_value(json_array_get(calls, i)));
	op[strcspn(op, " :")] = '\0';
	for (size_t k = 0; k <= i; k++) {
		const char *other = json_string_value(json_array_get(calls, k));

		nth += strncmp(other, op, strlen(op)) == 0 && strchr(" :", other[strlen(op)]);
	}
	return nth;
}

/* A lab in which the scenario's i-th call hangs; NULL: this one cannot. */
static struct lab *
hang_call(const struct scenario *scenario, const struct reference *reference, size_t i,
	  enum world_action action, int *ret_id, char what[static 160])
{
	struct lab *lab = scenario_new(scenario);
	struct world_fault fault = { .action = action };
	char op[64];

	fault.op = op;
	fault.nth = count_op(reference->calls, i, op);
	snprintf(what, 160, "%s: %s %s #%u", scenario->name,
		 action == WORLD_HANG ? "hangs" : "hangs after", op, fault.nth);
	if (getenv("LAB_LOG"))
		fprintf(stderr, "== %s\n", what);
	world_fault_add(lab->world, &fault);
	*ret_id = scenario_send(scenario, lab, true);
	if (lab_await_hang(lab))
		return lab;
	lab_free(lab);
	return NULL;
}

/* The outermost job that goes on. */
static int64_t
active_job(struct lab *lab)
{
	vn_list_each(struct job, job, jobs_list(lab->daemon->jobs), link)
		if (!job->parent)
			return job->id;
	return 0;
}

/*
 * What comes late after all and cannot be told from what was wanted: a guest that ended, a limit that was
 * set, an interface that was changed. The next verb puts it right.
 */
static bool
is_lasting(const struct scenario *scenario, const char *what)
{
	return strstr(what, "compute.stop") || strstr(what, "set_limits") ||
	       (scenario->prepare && strstr(what, " net."));
}

static void
check_end(const struct scenario *scenario, const struct reference *reference, struct lab *lab, int id,
	  const char *expected, const char *what)
{
	json_t *answer = lab_hear(lab, id), *now = lab_picture(lab);
	const char *word = lab_word(answer);

	lab_check_quiet(lab, what);
	if (strcmp(word, "ok") == 0) {
		lab_same(reference->after, now, what);
	} else {
		ck_assert_msg(strcmp(word, expected) == 0, "%s: %s", what, word);
		if (scenario->kind == WHOLE && !is_lasting(scenario, what))
			lab_same(reference->before, now, what);
	}
	json_decref(answer);
	json_decref(now);
	if (strcmp(word, "ok") != 0) {
		word = scenario_run(scenario, lab);
		ck_assert_msg(strcmp(word, "ok") == 0 || strcmp(word, "not_found") == 0,
			      "%s: the retry: %s", what, word);
		now = lab_picture(lab);
		if (!is_lasting(scenario, what))
			lab_same_but_ids(reference->after, now, what);
		json_decref(now);
	}
	lab_check_quiet(lab, what);
	lab_clean(lab, what);
	lab_free(lab);
}

static void
cancel_call(const struct scenario *scenario, const struct reference *reference, size_t i)
{
	char what[160];
	int id;
	struct lab *lab = hang_call(scenario, reference, i, WORLD_HANG, &id, what);
	json_t *answer;
	const char *word;

	if (!lab)
		return;
	answer = lab_hear(lab, lab_send(lab, "job.cancel", "{sI}", "job", active_job(lab)));
	word = lab_word(answer);
	ck_assert_msg(strcmp(word, "ok") == 0 || strcmp(word, "state") == 0, "%s: %s", what, word);
	json_decref(answer);
	lab_release(lab);
	check_end(scenario, reference, lab, id, "cancelled", what);
}

static void
outlast_call(const struct scenario *scenario, const struct reference *reference, size_t i,
	     enum world_action action)
{
	char what[160];
	int id;
	struct lab *lab = hang_call(scenario, reference, i, action, &id, what);

	if (!lab)
		return;
	world_fault_clear(lab->world);
	/* And no longer: what is undone has a deadline too. Unpacking has none. */
	for (unsigned k = 0; k < 12 && !jobs_lost(lab->daemon->jobs); k++)
		lab_advance(lab, lab->daemon->config.step_timeout_ns / 4000000);
	if (!jobs_lost(lab->daemon->jobs))
		lab_release(lab);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, what);
	lab_release(lab);
	check_end(scenario, reference, lab, id, "timeout", what);
}

/* Cancels after so many turns of the loop. False: it had ended before. */
static bool
cancel_after(const struct scenario *scenario, const struct reference *reference, unsigned turns)
{
	struct lab *lab = scenario_new(scenario);
	char what[160];
	bool goes_on = true;
	int id;

	snprintf(what, 160, "%s: cancelled after %u turns", scenario->name, turns);
	id = scenario_send(scenario, lab, true);
	for (unsigned i = 0; i < turns && goes_on; i++) {
		lab_turn(lab);
		goes_on = i < FIRST_TURNS || jobs_active(lab->daemon->jobs);
	}
	if (goes_on)
		json_decref(lab_hear(lab, lab_send(lab, "job.cancel", "{sI}", "job", active_job(lab))));
	check_end(scenario, reference, lab, id, "cancelled", what);
	return goes_on;
}

START_TEST(a_job_cancelled_between_any_two_steps_is_undone)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!is_picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		for (unsigned turns = FIRST_TURNS; cancel_after(scenario, &reference, turns);)
			turns += (unsigned)scenario_stride();
		json_decref(reference.before);
		json_decref(reference.after);
		json_decref(reference.calls);
	}
}
END_TEST

START_TEST(a_job_cancelled_in_any_call_is_undone)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!is_picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		for (size_t i = 0; i < json_array_size(reference.calls); i += scenario_stride())
			cancel_call(scenario, &reference, i);
		json_decref(reference.before);
		json_decref(reference.after);
		json_decref(reference.calls);
	}
}
END_TEST

START_TEST(a_call_past_its_deadline_is_undone_and_its_late_effect_removed)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!is_picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		for (size_t i = 0; i < json_array_size(reference.calls); i += scenario_stride()) {
			outlast_call(scenario, &reference, i, WORLD_HANG);
			outlast_call(scenario, &reference, i, WORLD_HANG_AFTER);
		}
		json_decref(reference.before);
		json_decref(reference.after);
		json_decref(reference.calls);
	}
}
END_TEST

int
main(void)
{
	return run_suite("hangs", (const TTest *const[]){
		a_job_cancelled_between_any_two_steps_is_undone,
		a_job_cancelled_in_any_call_is_undone,
		a_call_past_its_deadline_is_undone_and_its_late_effect_removed,
		NULL });
}
