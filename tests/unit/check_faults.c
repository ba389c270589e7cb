/*
 * The fault matrix: every call that a verb makes of a backend fails in turn, with and without its
 * effect. The job ends and says so, what was there before is there again or a retry goes on from
 * what is left, and in the end nothing is left over.
 */
#include "tests/unit/scenario.h"

#include <stdio.h>
#include <string.h>

struct reference {
	json_t *before, *after, *calls;
};

static const struct scenario *
picked(const struct scenario *scenario)
{
	const char *only = getenv("LAB_ONLY");

	return !only || strcmp(only, scenario->name) == 0 ? scenario : NULL;
}

static struct reference
run_undisturbed(const struct scenario *scenario)
{
	struct lab *lab = scenario_new(scenario);
	struct reference reference;

	reference.before = lab_picture(lab);
	world_log_clear(lab->world);
	ck_assert_msg(strcmp(scenario_run(scenario, lab), "ok") == 0, "%s", scenario->name);
	reference.calls = world_log(lab->world);
	reference.after = lab_picture(lab);
	lab_check_quiet(lab, scenario->name);
	if (strcmp(scenario->name, "host.teardown") != 0)
		lab_clean(lab, scenario->name);
	lab_free(lab);
	return reference;
}

/* How often this op was called up to the i-th call. */
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

static void
check_failure(const struct scenario *scenario, const struct reference *reference, struct lab *lab,
	      const char *what)
{
	json_t *now = lab_picture(lab);

	if (scenario->kind == WHOLE)
		lab_same(reference->before, now, what);
	else if (scenario->kind == WORLD_WHOLE)
		lab_same(json_object_get(reference->before, "world"), json_object_get(now, "world"),
			 what);
	json_decref(now);
}

static void
check_after(const struct reference *reference, struct lab *lab, bool is_retry, const char *what)
{
	json_t *now = lab_picture(lab);

	if (is_retry)
		lab_same_but_ids(reference->after, now, what);
	else
		lab_same(reference->after, now, what);
	json_decref(now);
}

static void
fail_call(const struct scenario *scenario, const struct reference *reference, size_t i,
	  enum world_action action)
{
	struct lab *lab = scenario_new(scenario);
	struct world_fault fault = { .action = action, .code = VN_E_BACKEND };
	char op[64], what[160];
	const char *word;

	fault.op = op;
	fault.nth = count_op(reference->calls, i, op);
	snprintf(what, sizeof(what), "%s: %s %s #%u", scenario->name,
		 action == WORLD_FAIL ? "fails" : "fails after", op, fault.nth);
	if (getenv("LAB_LOG"))
		fprintf(stderr, "== %s\n", what);
	world_fault_add(lab->world, &fault);
	word = scenario_run(scenario, lab);
	world_fault_clear(lab->world);
	lab_check_quiet(lab, what);
	if (strcmp(word, "ok") == 0) {
		check_after(reference, lab, false, what);
	} else {
		check_failure(scenario, reference, lab, what);
		word = scenario_run(scenario, lab);
		ck_assert_msg(strcmp(word, "ok") == 0 || strcmp(word, "not_found") == 0,
			      "%s: the retry: %s", what, word);
		check_after(reference, lab, true, what);
		lab_check_quiet(lab, what);
	}
	if (strcmp(scenario->name, "host.teardown") != 0)
		lab_clean(lab, what);
	lab_free(lab);
}

/* Calls on the loop are answered by the kernel at once: they did it or they did not. */
static bool
is_on_loop(json_t *calls, size_t i)
{
	static const char *const ops[] = { "net.forward_re", "compute.watch", "fetch." };
	const char *call = json_string_value(json_array_get(calls, i));

	for (size_t k = 0; k < VN_COUNT(ops); k++)
		if (strncmp(call, ops[k], strlen(ops[k])) == 0)
			return true;
	return false;
}

START_TEST(every_call_may_fail)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct reference reference;

		if (!picked(scenario))
			continue;
		reference = run_undisturbed(scenario);
		for (size_t i = 0; i < json_array_size(reference.calls); i += scenario_stride()) {
			fail_call(scenario, &reference, i, WORLD_FAIL);
			if (!is_on_loop(reference.calls, i))
				fail_call(scenario, &reference, i, WORLD_FAIL_AFTER);
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
	return run_suite("faults", (const TTest *const[]){ every_call_may_fail, NULL });
}
