#pragma once
/* What the files of check_lxc share. */

#include "tests/host/lab.h"

#define FOREVER "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
#define DEAF	"trap '' TERM; while :; do sleep 1000 & wait $!; done"

extern struct lab lab;			/* opened for each test, closed after it */

/* Starts and watches a guest whose init is `sh -c script`. */
struct lab_guest *run(const char *script);

/* Adds the tests (NULL-terminated) with a fresh lab for each. */
void add_case(Suite *suite, const char *name, const TTest *const *tests);

void expect_same(const struct guest_id *a, const struct guest_id *b);

void add_inside_cases(Suite *suite);
void add_outside_cases(Suite *suite);
