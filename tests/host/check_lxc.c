/* The container backend with real libvirt: run as tests/host/env build/tests/host/check_lxc. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/host/check_lxc.h"

struct lab lab;

static void
set_up(void)
{
	lab_open(&lab);
}

static void
tear_down(void)
{
	lab_close(&lab);
}

struct lab_guest *
run(const char *script)
{
	struct lab_guest *guest = lab_guest(&lab, script, false);

	lab_start(&lab, guest);
	return guest;
}

static struct lab_guest *
run_to_end(const char *script)
{
	struct lab_guest *guest = run(script);

	lab_await_exit(&lab, guest);
	ck_assert_uint_eq(guest->exits, 1);
	return guest;
}

/* Copies a program into the guest's root and makes it its init. */
static struct lab_guest *
run_program_to_end(const char *path)
{
	struct lab_guest *guest = lab_guest(&lab, "", false);
	vn_autofree char *command = vn_format("cp %s %s/init", path, guest->root);

	ck_assert_int_eq(lab_run(command), 0);
	guest->argv[0] = "/init";
	guest->argv[1] = NULL;
	lab_start(&lab, guest);
	lab_await_exit(&lab, guest);
	return guest;
}

void
expect_same(const struct guest_id *a, const struct guest_id *b)
{
	ck_assert_int_eq(a->controller, b->controller);
	ck_assert_int_eq(a->init, b->init);
	ck_assert_uint_eq(a->init_start, b->init_start);
	ck_assert_int_eq(a->guest, b->guest);
	ck_assert_uint_eq(a->guest_start, b->guest_start);
}

/* ---- how guests end -------------------------------------------------------------------------- */

START_TEST(exit_code_is_told)
{
	struct lab_guest *guest = run_to_end("exit 3");

	ck_assert_int_eq(guest->exit.cause, EXIT_EXITED);
	ck_assert_int_eq(guest->exit.code, 3);
}
END_TEST

START_TEST(crash_is_told)
{
	struct lab_guest *guest = run_program_to_end(LAB_CRASH);

	ck_assert_int_eq(guest->exit.cause, EXIT_SIGNALLED);
	ck_assert_int_eq(guest->exit.signal, SIGILL);
}
END_TEST

START_TEST(memory_limit_is_told)
{
	ck_assert_int_eq(run_program_to_end(LAB_EAT)->exit.cause, EXIT_OOM);
}
END_TEST

START_TEST(poweroff_and_reboot_are_told)
{
	ck_assert_int_eq(run_to_end("poweroff -f")->exit.cause, EXIT_POWEROFF);
	ck_assert_int_eq(run_to_end("reboot -f")->exit.cause, EXIT_REBOOT);
}
END_TEST

START_TEST(kill_from_outside_is_told)
{
	struct lab_guest *first = run(FOREVER), *second = run(FOREVER);

	ck_assert_int_eq(kill(first->id.guest, SIGKILL), 0);
	lab_await_exit(&lab, first);
	ck_assert_int_eq(first->exit.cause, EXIT_KILLED);
	ck_assert_int_eq(first->exit.signal, SIGKILL);
	ck_assert_int_eq(kill(second->id.init, SIGKILL), 0);
	lab_await_exit(&lab, second);
	ck_assert_int_eq(second->exit.cause, EXIT_KILLED);
}
END_TEST

START_TEST(end_is_told_after_a_restart)
{
	struct lab_guest *during = run("read x </tmp/fifo; exit 5"), *after = run(FOREVER);
	struct guest_status status;
	struct vn_error err;

	lab_stop(&lab, during, 0);		/* its root exists by now */
	ck_assert_int_eq(lab_run("mkfifo -m 666 /run/lab/root/1/tmp/fifo"), 0);
	lab_start(&lab, during);
	lab_reopen(&lab);
	ck_assert_int_eq(lab_run("echo >/run/lab/root/1/tmp/fifo"), 0);
	lab_watch(&lab, during);
	lab_watch(&lab, after);
	lab_await_exit(&lab, during);
	ck_assert_int_eq(during->exit.cause, EXIT_EXITED);
	ck_assert_int_eq(during->exit.code, 5);
	/* Watched only after its end: still told, once. */
	during->has_exited = false;
	lab_watch(&lab, during);
	lab_await_exit(&lab, during);
	ck_assert_int_eq(during->exit.code, 5);
	ck_assert_int_eq(lab.compute->ops->probe(lab.compute, after->domain, after->uuid, &status, &err), 0);
	ck_assert_int_eq(status.state, GUEST_RUNNING);
	expect_same(&status.id, &after->id);
	ck_assert(lab.compute->ops->is_alive(lab.compute, &after->id));
}
END_TEST

/* ---- starting and stopping ------------------------------------------------------------------- */

START_TEST(start_of_a_running_guest_reports_it)
{
	struct lab_guest *guest = run(FOREVER);
	struct guest_id again;
	struct vn_error err;

	ck_assert_int_eq(lab.compute->ops->start(lab.compute, &guest->spec, &again, &err), 0);
	expect_same(&again, &guest->id);
}
END_TEST

START_TEST(a_guest_starts_again_as_soon_as_it_has_ended)
{
	struct lab_guest *guest = run("exit 1");

	for (int i = 0; i < 5; i++) {
		lab_await_exit(&lab, guest);
		ck_assert_int_eq(guest->exit.code, 1);
		lab_start(&lab, guest);
	}
	lab_await_exit(&lab, guest);
	ck_assert_uint_eq(guest->exits, 6);
}
END_TEST

START_TEST(polite_stop_lets_the_guest_finish)
{
	struct lab_guest *guest = run("trap 'echo bye >/root/bye; exit 0' TERM; echo up; "
				      "while :; do sleep 1000 & wait $!; done");

	lab_console_expect(&lab, guest, "up");
	lab_stop(&lab, guest, LAB_WAIT_MS);
	ck_assert_int_eq(lab_run("grep -q bye /run/lab/root/1/root/bye"), 0);
	ck_assert(!lab.compute->ops->is_alive(lab.compute, &guest->id));
}
END_TEST

START_TEST(busybox_init_powers_off_when_asked)
{
	struct lab_guest *guest = lab_guest(&lab, NULL, false);
	struct vn_error err;

	lab_start(&lab, guest);
	lab_console_expect(&lab, guest, "init is up");
	ck_assert_int_eq(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, &guest->id,
						LAB_WAIT_MS, &err), 0);
	lab_await_exit(&lab, guest);
	ck_assert_int_eq(guest->exit.cause, EXIT_POWEROFF);
}
END_TEST

START_TEST(a_guest_that_will_not_is_killed)
{
	struct lab_guest *deaf = run("trap 'echo never' TERM; echo up; while :; do sleep 1000 & wait; done");

	lab_console_expect(&lab, deaf, "up");
	lab_stop(&lab, deaf, 300);
	ck_assert(!lab.compute->ops->is_alive(lab.compute, &deaf->id));
}
END_TEST

START_TEST(a_frozen_guest_can_be_ended)
{
	struct lab_guest *guest = run(FOREVER);
	vn_autofree char *freeze = vn_format("virsh -q -c lxc:///system suspend %s", guest->domain);

	ck_assert_int_eq(lab_run(freeze), 0);
	lab_stop(&lab, guest, 0);
	ck_assert(!lab.compute->ops->is_alive(lab.compute, &guest->id));
}
END_TEST

START_TEST(stop_of_what_is_not_there_succeeds)
{
	struct lab_guest *guest = lab_guest(&lab, FOREVER, false);
	struct vn_error err;

	ck_assert_int_eq(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, NULL, 1000, &err),
			 0);
	lab_start(&lab, guest);
	ck_assert_int_eq(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, NULL, 0, &err), 0);
	ck_assert_int_eq(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, NULL, 0, &err), 0);
}
END_TEST

static void
expect_refusal(struct lab_guest *guest, const char *word)
{
	struct guest_status status;
	struct guest_id id;
	struct vn_error err;

	ck_assert_int_eq(lab.compute->ops->start(lab.compute, &guest->spec, &id, &err), -1);
	ck_assert_msg(strstr(err.text, word) != NULL, "'%s' says nothing of '%s'", err.text, word);
	ck_assert_int_eq(lab.compute->ops->probe(lab.compute, guest->domain, guest->uuid, &status, &err), 0);
	ck_assert_int_eq(status.state, GUEST_ABSENT);
}

START_TEST(what_is_no_namespace_is_refused)
{
	struct lab_guest *guest = lab_guest(&lab, FOREVER, false), *other = lab_guest(&lab, FOREVER, false);

	ck_assert_int_eq(lab_run("touch /run/lab/file"), 0);
	guest->spec.ns.netns = "/run/lab/file";
	expect_refusal(guest, "/run/lab/file is not a pinned namespace");
	guest->spec.ns.netns = guest->userns;
	expect_refusal(guest, "another kind");
	guest->spec.ns.netns = other->netns;
	expect_refusal(guest, "does not belong");
	guest->spec.ns.netns = "/run/lab/absent";
	expect_refusal(guest, "/run/lab/absent");
}
END_TEST

START_TEST(a_root_without_init_is_refused)
{
	struct lab_guest *guest = lab_guest(&lab, "", false);

	guest->argv[0] = "/no/such/init";
	expect_refusal(guest, "/no/such/init");
	guest->spec.root = "/run/lab/none";
	expect_refusal(guest, "/run/lab/none");
}
END_TEST

START_TEST(list_has_our_guests_only)
{
	struct lab_guest *guest = run(FOREVER);
	struct guest_found *found;
	struct vn_error err;
	size_t count;

	ck_assert_int_eq(lab_run("virsh -q -c lxc:///system create /dev/stdin >/dev/null <<'X'\n"
				 "<domain type='lxc'><name>vnoded-5f0c2a9e-77</name><memory>65536</memory><os>"
				 "<type>exe</type><init>/bin/sh</init></os><features><privnet/></features>"
				 "<devices><console type='pty'/></devices></domain>\nX"), 0);
	ck_assert_int_eq(lab.compute->ops->list(lab.compute, &found, &count, &err), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(found[0].uuid, guest->uuid);
	ck_assert_str_eq(found[0].domain, guest->domain);
	ck_assert_int_eq(found[0].state, GUEST_RUNNING);
	free(found);
	ck_assert_int_eq(lab_run("virsh -q -c lxc:///system destroy vnoded-5f0c2a9e-77 >/dev/null"), 0);
}
END_TEST

START_TEST(limits_change_while_it_runs)
{
	struct lab_guest *guest = run(FOREVER);
	struct exec_result result;
	struct vn_error err;
	char *text;

	guest->spec.pids = 12;
	guest->spec.memory_bytes = 32 << 20;
	guest->spec.vcpus = 2;
	ck_assert_msg(lab.compute->ops->set_limits(lab.compute, &guest->spec, &guest->id, &err) == 0, "%s",
		      err.text);
	text = lab_exec(&lab, guest, NULL, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do sleep 99 >/dev/null 2>&1 & done; wait",
			&result);
	ck_assert_msg(strstr(text, "can't fork") != NULL, "%s", text);
	free(text);
	guest->spec.memory_bytes = 0;
	guest->spec.vcpus = 0;
	guest->spec.pids = 0;
	ck_assert_msg(lab.compute->ops->set_limits(lab.compute, &guest->spec, &guest->id, &err) == 0, "%s",
		      err.text);
}
END_TEST

void
add_case(Suite *suite, const char *name, const TTest *const *tests)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 300);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
	suite_add_tcase(suite, tcase);
}

static Suite *
make_suite(void)
{
	const TTest *const exits[] = { exit_code_is_told, crash_is_told, memory_limit_is_told,
		poweroff_and_reboot_are_told, kill_from_outside_is_told, end_is_told_after_a_restart, NULL };
	const TTest *const life[] = { start_of_a_running_guest_reports_it,
		a_guest_starts_again_as_soon_as_it_has_ended, polite_stop_lets_the_guest_finish,
		busybox_init_powers_off_when_asked, a_guest_that_will_not_is_killed,
		a_frozen_guest_can_be_ended, stop_of_what_is_not_there_succeeds, what_is_no_namespace_is_refused,
		a_root_without_init_is_refused, list_has_our_guests_only, limits_change_while_it_runs, NULL };
	Suite *suite = suite_create("lxc");

	add_case(suite, "exits", exits);
	add_case(suite, "life", life);
	add_inside_cases(suite);
	add_outside_cases(suite);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(make_suite());
	int failed;

	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
