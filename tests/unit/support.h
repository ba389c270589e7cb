#pragma once
/* What the unit tests share: a temporary folder, and a runner for a module's cases. */

#include <check.h>
#include <stdbool.h>

#include "daemon/loop.h"

/* A new empty folder under $TMPDIR (or /tmp); aborts where none can be made. To be freed. */
char *folder_new(void);
/* Removes it with all that is in it, and frees the name. NULL is fine. */
void folder_remove(char *folder);

/* A loop, or the test fails. */
struct loop *test_loop(void);
/* Runs turns of the loop, waiting, until *done is true. */
void run_until(struct loop *loop, const bool *done);
/* A watch_fn that sets the bool in arg. */
void set_true(void *arg);

/*
 * Runs all cases of a suite made of one test case and returns main's exit status. In one process
 * unless CK_FORK=yes is set, so that sanitizers see leaks and gdb sees the test.
 */
int run_suite(const char *name, const TTest *const *tests);

/* Adds the tests (NULL-terminated) of one file of a suite. */
void add_tests(TCase *tcase, const TTest *const *tests);
typedef void (*add_cases_fn)(TCase *tcase);
/* The same as run_suite() for a suite of several files (NULL-terminated). */
int run_files(const char *name, const add_cases_fn *files);
