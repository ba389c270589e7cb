/* Helpers of the unit tests; see support.h. */
#include "tests/unit/support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

char *
folder_new(void)
{
	const char *base = getenv("TMPDIR");
	char *folder = vn_format("%s/vnoded-test-XXXXXX", base && *base ? base : "/tmp");

	if (!mkdtemp(folder)) {
		perror(folder);
		abort();
	}
	return folder;
}

static int
remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
	(void)stat, (void)kind, (void)at;
	return remove(path);
}

void
folder_remove(char *folder)
{
	if (!folder)
		return;
	nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(folder);
}

struct loop *
test_loop(void)
{
	struct loop *loop = NULL;
	struct vn_error err = { .code = VN_OK };

	ck_assert_msg(loop_open(&loop, &err) == 0, "%s", err.text);
	return loop;
}

void
run_until(struct loop *loop, const bool *done)
{
	while (!*done)
		loop_run_once(loop, true);
}

void
set_true(void *arg)
{
	*(bool *)arg = true;
}

void
add_tests(TCase *tcase, const TTest *const *tests)
{
	for (; *tests; tests++)
		tcase_add_test(tcase, *tests);
}

static int
run_tcase(const char *name, TCase *tcase)
{
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int n_failed;

	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	if (!getenv("CK_FORK"))
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
run_suite(const char *name, const TTest *const *tests)
{
	TCase *tcase = tcase_create(name);

	add_tests(tcase, tests);
	return run_tcase(name, tcase);
}

int
run_files(const char *name, const add_cases_fn *files)
{
	TCase *tcase = tcase_create(name);

	for (; *files; files++)
		(*files)(tcase);
	return run_tcase(name, tcase);
}
