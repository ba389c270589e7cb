/* Running programs of the machine. */
#include "backends/disk/tool.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define PLENTY_MS 60000

static int
shell(const char *script, unsigned timeout_ms, char **ret_out, struct vn_error *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };

	return tool_run(argv, timeout_ms, ret_out, err);
}

START_TEST(a_program_gets_its_arguments_as_they_are)
{
	const char *const argv[] = { "printf", "%s|", "a b", "$HOME", "'", ";", NULL };
	vn_autofree char *out = NULL;
	struct vn_error err;

	ck_assert_int_eq(tool_run(argv, PLENTY_MS, &out, &err), 0);
	ck_assert_str_eq(out, "a b|$HOME|'|;|");
}
END_TEST

START_TEST(a_failure_is_told_in_the_programs_last_words)
{
	struct vn_error err;

	ck_assert_int_eq(shell("echo ignored; echo first >&2; echo no such pool >&2; exit 5", PLENTY_MS, NULL,
			       &err), -1);
	ck_assert_int_eq(err.code, VN_E_BACKEND);
	ck_assert_int_eq(err.sys, 5);
	ck_assert_msg(strstr(err.text, "status 5") && strstr(err.text, "first no such pool"), "%s", err.text);
	ck_assert_int_eq(shell("kill -9 $$", PLENTY_MS, NULL, &err), -1);
	ck_assert_msg(strstr(err.text, "signal 9") != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_program_that_hangs_is_killed_with_its_children)
{
	vn_autofree char *path = vn_format("/tmp/vnoded-tool-%d", (int)getpid());
	vn_autofree char *script = vn_format("sleep 1000 & echo $! >%s; sleep 1000", path);
	struct vn_error err;
	FILE *file;
	int pid;

	ck_assert_int_eq(shell(script, 300, NULL, &err), -1);
	ck_assert_int_eq(err.code, VN_E_TIMEOUT);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%d", &pid), 1);
	fclose(file);
	unlink(path);
	/* It is a zombie of nobody for an instant; a signal that it could act on finds no process. */
	while (kill(pid, 0) == 0)
		usleep(1000);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

START_TEST(what_a_program_leaves_behind_is_not_waited_for)
{
	vn_autofree char *out = NULL;
	struct vn_error err;

	ck_assert_int_eq(shell("echo done; trap '' HUP; (sleep 5) & exit 0", PLENTY_MS, &out, &err), 0);
	ck_assert_str_eq(out, "done\n");
}
END_TEST

START_TEST(no_end_of_output_is_kept)
{
	vn_autofree char *out = NULL;
	struct vn_error err;

	ck_assert_int_eq(shell("head -c 20000000 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero >&2",
			       PLENTY_MS, &out, &err), 0);
	ck_assert_uint_le(strlen(out), 1 << 20);
	ck_assert_uint_gt(strlen(out), 1 << 19);
}
END_TEST

START_TEST(nothing_of_ours_is_inherited)
{
	vn_autofree char *out = NULL;
	struct vn_error err;
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	setenv("VNODED_SECRET", "yes", 1);
	ck_assert_int_eq(shell("ls /proc/self/fd | wc -l; env | grep -c SECRET; readlink /proc/self/fd/0", PLENTY_MS,
			       &out, &err), 0);
	/* 0, 1, 2 and the folder that ls reads. */
	ck_assert_str_eq(out, "4\n0\n/dev/null\n");
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_named)
{
	const char *const argv[] = { "vnoded-no-such-program", NULL };
	struct vn_error err;

	ck_assert_int_eq(tool_run(argv, PLENTY_MS, NULL, &err), -1);
	ck_assert_int_eq(err.code, VN_E_UNSUPPORTED);
	ck_assert_int_eq(tool_check("vnoded-no-such-program", "the-package", &err), -1);
	ck_assert_int_eq(err.code, VN_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.text, "the-package") != NULL, "%s", err.text);
	ck_assert_int_eq(tool_check("sh", "dash", &err), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_program_gets_its_arguments_as_they_are, a_failure_is_told_in_the_programs_last_words,
		a_program_that_hangs_is_killed_with_its_children,
		what_a_program_leaves_behind_is_not_waited_for, no_end_of_output_is_kept,
		nothing_of_ours_is_inherited, a_program_that_is_not_there_is_named,
	};
	Suite *suite = suite_create("tool");
	TCase *tcase = tcase_create("tool");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 120);
	for (size_t i = 0; i < VN_COUNT(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
