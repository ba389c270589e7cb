/* The container backend with real libvirt: run as tests/host/env build/tests/host/check_lxc. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/host/lab.h"

static struct lab lab;

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

static struct lab_guest *
run_to_end(const char *script)
{
	struct lab_guest *guest = lab_guest(&lab, script, false);

	lab_start(&lab, guest);
	lab_await_exit(&lab, guest);
	ck_assert_uint_eq(guest->exits, 1);
	return guest;
}

START_TEST(exit_code_is_told)
{
	struct lab_guest *guest = run_to_end("exit 3");

	ck_assert_int_eq(guest->exit.cause, EXIT_EXITED);
	ck_assert_int_eq(guest->exit.code, 3);
}
END_TEST

START_TEST(crash_is_told)
{
	struct lab_guest *guest = run_to_end("trap 'echo' SEGV; exec sh -c 'trap - SEGV; kill -SEGV $$; "
					     "ulimit -c 0; exit 9'");

	/* The first process of a pid namespace ignores its own signals: only a real fault ends it. */
	ck_assert_int_eq(guest->exit.cause, EXIT_EXITED);
	ck_assert_int_eq(guest->exit.code, 9);
}
END_TEST

START_TEST(poweroff_and_reboot_are_told)
{
	ck_assert_int_eq(run_to_end("poweroff -f")->exit.cause, EXIT_POWEROFF);
	ck_assert_int_eq(run_to_end("reboot -f")->exit.cause, EXIT_REBOOT);
}
END_TEST

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("lxc");
	TCase *exits = tcase_create("exits");

	tcase_set_timeout(exits, 120);
	tcase_add_checked_fixture(exits, set_up, tear_down);
	tcase_add_test(exits, exit_code_is_told);
	tcase_add_test(exits, crash_is_told);
	tcase_add_test(exits, poweroff_and_reboot_are_told);
	suite_add_tcase(suite, exits);
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
