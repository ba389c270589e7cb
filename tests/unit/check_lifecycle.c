/*
 * What guests do by themselves: every end under every restart policy, back-off and limit, ends that come
 * while a job is at work, while no daemon runs, or while it halts them.
 */
#include "tests/unit/lab.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/lifecycle.h"

#define MINUTE 60000u

static void
boot(struct lab *lab, const char *policy)
{
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "a", "restart", policy, "wait", 1);
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert(lab_settle(lab));
}

static void
end_guest(struct lab *lab, enum exit_cause cause, int code, int signal)
{
	struct guest_exit exit = { cause, code, signal };

	ck_assert(world_guest_exit(lab->world, lab_vnode(lab, "a")->uuid, &exit));
	ck_assert(lab_settle(lab));
}

static unsigned
starts(struct lab *lab)
{
	return world_guest_starts(lab->world, lab_vnode(lab, "a")->uuid);
}

static void
advance(struct lab *lab, uint64_t ms)
{
	lab_advance(lab, ms);
	ck_assert(lab_settle(lab));
}

/* The cause in the newest vnode.exit event, and how many there are. */
static unsigned
count_exits(struct lab *lab, const char *cause)
{
	json_t *list = lab_result(lab, "event.list", "{s[s]}", "types", "vnode.exit"), *event;
	unsigned count = 0;
	size_t i;

	json_array_foreach(json_object_get(list, "events"), i, event) {
		json_t *data = json_object_get(event, "data");

		ck_assert_str_eq(json_string_value(json_object_get(data, "cause")), cause);
		count++;
	}
	json_decref(list);
	return count;
}

/* ---- policies ------------------------------------------------------------------------------- */

static const struct {
	struct guest_exit exit;
	const char *word;
	bool restarts[3];		/* never on-failure always */
} cases[] = {
	{ { EXIT_UNKNOWN, 0, 0 },   "unknown",   { false, true,  true } },
	{ { EXIT_POWEROFF, 0, 0 },  "poweroff",  { false, false, true } },
	{ { EXIT_REBOOT, 0, 0 },    "reboot",    { true,  true,  true } },
	{ { EXIT_EXITED, 0, 0 },    "exited",    { false, false, true } },
	{ { EXIT_EXITED, 3, 0 },    "exited",    { false, true,  true } },
	{ { EXIT_SIGNALLED, 0, 11 }, "signalled", { false, true, true } },
	{ { EXIT_OOM, 0, 9 },       "oom",       { false, true,  true } },
	{ { EXIT_KILLED, 0, 9 },    "killed",    { false, true,  true } },
};

static void
check_case(size_t i, int policy)
{
	struct lab *lab = lab_new();
	vn_autofree char *what = vn_format("%s under %s", cases[i].word, restart_words[policy]);

	boot(lab, restart_words[policy]);
	end_guest(lab, cases[i].exit.cause, cases[i].exit.code, cases[i].exit.signal);
	ck_assert_uint_eq(count_exits(lab, cases[i].word), 1);
	advance(lab, MINUTE);
	lab_check_quiet(lab, what);
	ck_assert_msg(starts(lab) == (cases[i].restarts[policy] ? 2 : 1), "%s", what);
	ck_assert_str_eq(lab_observed(lab, "a"), cases[i].restarts[policy] ? "running" : "stopped");
	ck_assert_int_eq(lab_vnode(lab, "a")->wanted, VNODE_RUNNING);
	lab_clean(lab, what);
	lab_free(lab);
}

START_TEST(every_end_under_every_policy)
{
	for (size_t i = 0; i < VN_COUNT(cases); i++)
		for (int policy = RESTART_NEVER; policy <= RESTART_ALWAYS; policy++)
			check_case(i, policy);
}
END_TEST

START_TEST(the_back_off_doubles_and_ends_in_failed)
{
	struct lab *lab = lab_new();
	uint64_t delay = lab->daemon->config.restart_delay_ns / 1000000;
	int64_t limit = lab->daemon->config.restart_limit;

	boot(lab, "on-failure");
	for (int64_t i = 0; i < limit; i++) {
		end_guest(lab, EXIT_EXITED, 1, 0);
		advance(lab, (delay < 30000 ? delay : 30000) - 1);
		ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
		advance(lab, 1);
		ck_assert_str_eq(lab_observed(lab, "a"), "running");
		delay *= 2;
	}
	end_guest(lab, EXIT_EXITED, 1, 0);
	ck_assert_str_eq(lab_observed(lab, "a"), "failed");
	ck_assert_int_eq(lab_vnode(lab, "a")->error.code, VN_E_LIMIT);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "failed");

	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	end_guest(lab, EXIT_EXITED, 1, 0);	/* who boots it by hand gives it all its tries again */
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_clean(lab, "back-off");
	lab_free(lab);
}
END_TEST

START_TEST(ends_far_apart_are_not_counted_together)
{
	struct lab *lab = lab_new();
	uint64_t window = lab->daemon->config.restart_window_ns / 1000000;

	boot(lab, "on-failure");
	for (int64_t i = 0; i < 2 * lab->daemon->config.restart_limit; i++) {
		end_guest(lab, EXIT_SIGNALLED, 0, 11);
		advance(lab, lab->daemon->config.restart_delay_ns / 1000000);
		ck_assert_str_eq(lab_observed(lab, "a"), "running");
		advance(lab, window + 1);
	}
	lab_free(lab);
}
END_TEST

START_TEST(a_guests_own_reboot_restarts_at_once_and_not_for_ever)
{
	struct lab *lab = lab_new();
	unsigned n = 0;

	boot(lab, "never");
	end_guest(lab, EXIT_REBOOT, 0, 0);
	advance(lab, 0);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	while (strcmp(lab_observed(lab, "a"), "running") == 0 && n++ < 100) {
		end_guest(lab, EXIT_REBOOT, 0, 0);
		advance(lab, 30000);
	}
	ck_assert_str_eq(lab_observed(lab, "a"), "failed");
	lab_free(lab);
}
END_TEST

START_TEST(a_halt_before_the_restart_is_due_wins)
{
	struct lab *lab = lab_new();

	boot(lab, "always");
	end_guest(lab, EXIT_POWEROFF, 0, 0);
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	ck_assert_uint_eq(starts(lab), 1);
	lab_clean(lab, "halt");
	lab_free(lab);
}
END_TEST

START_TEST(a_destroy_before_the_restart_is_due_wins)
{
	struct lab *lab = lab_new();

	boot(lab, "always");
	end_guest(lab, EXIT_POWEROFF, 0, 0);
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "a", "wait", 1);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "none");
	lab_clean(lab, "destroy");
	lab_free(lab);
}
END_TEST

/* ---- ends at a bad time --------------------------------------------------------------------- */

START_TEST(an_end_that_was_asked_for_is_a_halt)
{
	struct lab *lab = lab_new();

	boot(lab, "always");
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert_uint_eq(count_exits(lab, "halted"), 1);
	advance(lab, MINUTE);
	ck_assert_uint_eq(starts(lab), 1);
	lab_free(lab);
}
END_TEST

START_TEST(an_end_while_halting_is_a_halt)
{
	struct guest_exit exit = { EXIT_EXITED, 1, 0 };
	struct lab *lab = lab_new();

	boot(lab, "always");
	world_hang(lab->world, "compute.stop", 1);
	lab_send(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert(lab_await_hang(lab));
	world_guest_exit(lab->world, lab_vnode(lab, "a")->uuid, &exit);
	lab_release(lab);
	ck_assert_uint_eq(count_exits(lab, "halted"), 1);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_check_quiet(lab, "halting");
	lab_free(lab);
}
END_TEST

/* A guest that is on its way up would run on without a network. */
START_TEST(a_teardown_is_refused_while_a_vnode_boots)
{
	struct lab *lab = lab_new();
	json_t *data;

	lab_do(lab, "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	world_hang(lab->world, "compute.start", 1);
	lab_do(lab, "vnode.boot", "{ss}", "vnode", "a");
	ck_assert(lab_await_hang(lab));
	data = lab_error(lab, "busy", "host.teardown", "{sb}", "wait", 1);
	ck_assert_int_gt(json_integer_value(json_object_get(data, "job")), 0);
	lab_release(lab);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_do(lab, "host.teardown", "{sb}", "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	json_decref(data);
	lab_free(lab);
}
END_TEST

START_TEST(host_halt_leaves_what_is_wanted_and_restarts_nothing)
{
	struct lab *lab = lab_new();

	boot(lab, "always");
	lab_do(lab, "host.halt", "{sb}", "wait", 1);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	ck_assert_int_eq(lab_vnode(lab, "a")->wanted, VNODE_RUNNING);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_do(lab, "host.boot", "{sb}", "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_free(lab);
}
END_TEST

/* A boot of vnode a that hangs until lab_release; its request's id. */
static int
hang_a_boot(struct lab *lab)
{
	struct world_fault fault = { .op = "compute.start", .nth = 1, .action = WORLD_HANG };
	int booting;

	boot(lab, "never");
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	world_fault_add(lab->world, &fault);
	booting = lab_send(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert(lab_await_hang(lab));
	return booting;
}

START_TEST(host_halt_waits_for_what_is_booting)
{
	struct lab *lab = lab_new();
	json_t *answer;
	int booting, halting;

	booting = hang_a_boot(lab);
	halting = lab_send(lab, "host.halt", "{sb}", "wait", 1);
	while (loop_run_once(lab->loop, false))
		;
	lab_release(lab);
	answer = lab_hear(lab, booting);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	answer = lab_hear(lab, halting);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_check_quiet(lab, "host.halt");
	lab_free(lab);
}
END_TEST

/* The host goes down: half of the budget is all that others get. What they do goes on. */
START_TEST(host_halt_waits_for_others_half_of_its_budget)
{
	struct lab *lab = lab_new();
	json_t *answer;
	int booting, halting;

	booting = hang_a_boot(lab);
	halting = lab_send(lab, "host.halt", "{sb sI}", "wait", 1, "budget_ms", (json_int_t)10000);
	while (loop_run_once(lab->loop, false))
		;
	lab_advance(lab, 5000);
	answer = lab_hear(lab, halting);
	ck_assert_str_eq(lab_word(answer), "busy");
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json_object_get(answer, "error"),
								       "message")), "vnode.boot"));
	json_decref(answer);
	lab_release(lab);
	answer = lab_hear(lab, booting);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_free(lab);
}
END_TEST

START_TEST(an_end_while_a_job_holds_the_vnode_waits_for_it)
{
	struct guest_exit exit = { EXIT_SIGNALLED, 0, 11 };
	struct lab *lab = lab_new();
	int id;

	boot(lab, "on-failure");
	world_hang(lab->world, "compute.set_limits", 1);
	id = lab_send(lab, "vnode.set", "{ss s{ss} sb}", "vnode", "a", "set", "memory", "64MiB",
		      "wait", 1);
	ck_assert(lab_await_hang(lab));
	world_guest_exit(lab->world, lab_vnode(lab, "a")->uuid, &exit);
	lab_release(lab);
	json_decref(lab_hear(lab, id));
	ck_assert_uint_eq(count_exits(lab, "signalled"), 1);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	ck_assert_uint_eq(starts(lab), 2);
	lab_check_quiet(lab, "held");
	lab_clean(lab, "held");
	lab_free(lab);
}
END_TEST

START_TEST(an_end_before_the_boot_is_over_is_noticed)
{
	struct guest_exit exit = { EXIT_EXITED, 1, 0 };
	struct world_fault fault = { .op = "compute.start", .nth = 1, .action = WORLD_HANG_AFTER };
	struct lab *lab = lab_new();

	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "a", "restart", "on-failure", "wait", 1);
	world_fault_add(lab->world, &fault);
	lab_send(lab, "vnode.boot", "{ss}", "vnode", "a");
	ck_assert(lab_await_hang(lab));
	ck_assert(world_guest_exit(lab->world, lab_vnode(lab, "a")->uuid, &exit));
	lab_release(lab);
	ck_assert_uint_eq(count_exits(lab, "exited"), 1);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_check_quiet(lab, "early");
	lab_free(lab);
}
END_TEST

START_TEST(an_end_while_no_daemon_runs_is_told_by_the_next)
{
	struct guest_exit exit = { EXIT_EXITED, 7, 0 };
	struct lab *lab = lab_new();
	vn_autofree char *uuid = NULL;

	boot(lab, "on-failure");
	uuid = vn_strdup(lab_vnode(lab, "a")->uuid);
	lab_kill(lab);
	ck_assert(world_guest_exit(lab->world, uuid, &exit));
	ck_assert(lab_open(lab));
	ck_assert_uint_eq(count_exits(lab, "exited"), 1);
	ck_assert_int_eq(lab_vnode(lab, "a")->last_exit.exit.code, 7);
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_check_quiet(lab, "absent daemon");
	lab_free(lab);
}
END_TEST

START_TEST(a_restart_that_was_due_is_made_up_for_by_the_next_life)
{
	struct lab *lab = lab_new();

	boot(lab, "always");
	end_guest(lab, EXIT_POWEROFF, 0, 0);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_kill(lab);
	ck_assert(lab_open(lab));
	advance(lab, MINUTE);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_free(lab);
}
END_TEST

START_TEST(a_guest_outlives_its_daemon)
{
	struct lab *lab = lab_new();
	json_t *before, *after;

	boot(lab, "never");
	before = lab_picture(lab);
	lab_close(lab);
	ck_assert(lab_open(lab));
	after = lab_picture(lab);
	lab_same(before, after, "restart");
	ck_assert_uint_eq(starts(lab), 1);
	end_guest(lab, EXIT_OOM, 0, 9);
	ck_assert_uint_eq(count_exits(lab, "oom"), 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

/* ---- the hypervisor's daemon away ----------------------------------------------------------- */

START_TEST(without_libvirtd_guests_live_and_calls_fail_with_its_words)
{
	struct lab *lab = lab_new();

	boot(lab, "never");
	world_link(lab->world, false);
	lab_refuse(lab, "backend", "vnode.reboot", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert(lab_settle(lab));
	world_link(lab->world, true);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "link");
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_clean(lab, "link");
	lab_free(lab);
}
END_TEST

START_TEST(a_start_without_libvirtd_becomes_ready_and_looks_again_later)
{
	struct lab *lab = lab_new();
	json_t *before, *after;

	boot(lab, "never");
	before = lab_picture(lab);
	lab_kill(lab);
	world_link(lab->world, false);
	ck_assert(lab_open(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	world_link(lab->world, true);
	ck_assert(lab_settle(lab));
	after = lab_picture(lab);
	lab_same(before, after, "link");
	lab_check_quiet(lab, "link");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("lifecycle", (const TTest *const[]){
		every_end_under_every_policy,
		the_back_off_doubles_and_ends_in_failed,
		ends_far_apart_are_not_counted_together,
		a_guests_own_reboot_restarts_at_once_and_not_for_ever,
		a_halt_before_the_restart_is_due_wins,
		a_destroy_before_the_restart_is_due_wins,
		an_end_that_was_asked_for_is_a_halt,
		an_end_while_halting_is_a_halt,
		a_teardown_is_refused_while_a_vnode_boots,
		host_halt_leaves_what_is_wanted_and_restarts_nothing, host_halt_waits_for_what_is_booting,
		host_halt_waits_for_others_half_of_its_budget,
		an_end_while_a_job_holds_the_vnode_waits_for_it,
		an_end_before_the_boot_is_over_is_noticed,
		an_end_while_no_daemon_runs_is_told_by_the_next,
		a_restart_that_was_due_is_made_up_for_by_the_next_life,
		a_guest_outlives_its_daemon,
		without_libvirtd_guests_live_and_calls_fail_with_its_words,
		a_start_without_libvirtd_becomes_ready_and_looks_again_later,
		NULL });
}
