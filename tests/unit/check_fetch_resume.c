/* Downloads that broke off: gone on with where the file is proven to be the same, begun anew where not. */
#include "tests/unit/check_fetch.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/mini_loop.h"
#include "tests/unit/fetch_client.h"
#include "tests/unit/fetch_server.h"

static void
assert_fetched_rest(void)
{
	assert_fetched();
	ck_assert(outcome.resumed);
	ck_assert_uint_eq(asked.first, CUT);
}

static bool
part_has_bytes(void)
{
	struct stat st;

	return stat(beside(".part"), &st) == 0 && st.st_size == CUT;
}

static const struct {
	const char *path, *condition;
	bool resumed;
} cuts[] = {
	{ "/cut", "\"one\"", true },
	{ "/cut-dated", "Sun, 06 Nov 1994 08:49:37 GMT", true },
	{ "/cut-young", "", false },
	{ "/cut-weak", "", false },
	{ "/cut-plain", "", false },
};

START_TEST(goes_on_where_it_broke_off_if_the_file_is_proven_to_be_the_same)
{
	preset.retries = 1;
	start(cuts[_i].path, 0, 10000);
	assert_fetched();
	ck_assert_uint_eq(outcome.retries, 1);
	ck_assert(outcome.resumed == cuts[_i].resumed);
	ck_assert_uint_eq(asked.requests, 2);
	ck_assert_uint_eq(asked.first, cuts[_i].resumed ? CUT : 0);
	ck_assert_str_eq(asked.condition, cuts[_i].condition);
}
END_TEST

START_TEST(goes_on_in_another_life)
{
	struct backend_env env = { .watch = mini_loop_ops(loop) };

	start(cuts[_i].path, 0, 10000);
	finish();
	ck_assert_int_eq(outcome.err.code, VN_E_BACKEND);
	ck_assert_uint_eq(count_files(), cuts[_i].resumed ? 2 : 0);
	fetcher->ops->close(fetcher);
	ck_assert_int_eq(fetch_curl.open(&env, &fetcher, &err), 0);
	start(cuts[_i].path, 0, 10000);
	if (!cuts[_i].resumed)		/* that is the first request once more */
		return;
	assert_fetched();
	ck_assert(outcome.resumed);
	ck_assert_uint_eq(asked.first, CUT);
}
END_TEST

START_TEST(begins_anew_where_the_server_lies_about_the_rest)
{
	preset.retries = 2;
	start(liars[_i].path, 0, 10000);
	assert_fetched();
	ck_assert(!outcome.resumed);
	ck_assert_uint_le(asked.requests, 3);
}
END_TEST

START_TEST(takes_a_file_that_has_changed_meanwhile_as_a_whole)
{
	preset.retries = 1;
	start("/changed", 0, 10000);
	assert_fetched();
	ck_assert_uint_eq(asked.requests, 2);
}
END_TEST

START_TEST(begins_anew_where_more_comes_than_was_announced)
{
	preset.retries = 2;
	start("/more", 0, 10000);
	assert_fetched();
}
END_TEST

START_TEST(refuses_a_range_that_nobody_asked_for)
{
	start("/unasked", 0, 10000);
	assert_failed(VN_E_BACKEND, "nobody asked for");
}
END_TEST

START_TEST(tries_again_what_may_pass_and_waits_longer_each_time)
{
	preset.retries = 3;
	start("/flaky", 0, 10000);
	assert_fetched();
	ck_assert_uint_eq(outcome.retries, 2);
	ck_assert_uint_eq(outcome.waited_ms, 2);
	start("/500", 0, 10000);
	assert_failed(VN_E_BACKEND, "answered 500");
	ck_assert_uint_eq(outcome.retries, 3);
	ck_assert_uint_eq(outcome.waited_ms, 4);
	start("/404", 0, 10000);
	assert_failed(VN_E_NOT_FOUND, "answered 404");
	ck_assert_uint_eq(outcome.retries, 0);
}
END_TEST

START_TEST(cancel_leaves_nothing_but_a_part_to_go_on_with)
{
	static const bool never;

	start("/hold", 0, 0);
	while (!part_has_bytes())
		mini_loop_run(loop, &never, 5);
	fetcher->ops->cancel(fetcher, fetch);
	finish();
	ck_assert_int_eq(outcome.err.code, VN_E_CANCELLED);
	ck_assert_uint_eq(count_files(), 2);
	start("/hold", 0, 10000);
	assert_fetched_rest();
}
END_TEST

START_TEST(cancel_before_an_old_part_has_been_digested)
{
	start("/cut", 0, 10000);
	finish();
	start("/cut", 0, 10000);
	fetcher->ops->cancel(fetcher, fetch);
	finish();
	ck_assert_int_eq(outcome.err.code, VN_E_CANCELLED);
	ck_assert_uint_eq(asked.requests, 0);
	ck_assert_uint_eq(count_files(), 2);
}
END_TEST

/* Killed between the last byte and the use of the file: one byte is asked for, as a proof. */
START_TEST(a_whole_file_is_not_fetched_twice)
{
	preset.retries = 1;
	start("/cut", 0, 10000);
	assert_fetched();
	start("/cut", 0, 10000);
	asked.requests = 1;
	assert_fetched();
	ck_assert_uint_eq(asked.first, BODY_SIZE - 1);
}
END_TEST

/* Each makes a part worthless: nothing of it is used. */
static const char *const spoilers[] = {
	"sed -i 's/\"boot\":\"[^\"]*/\"boot\":\"x/' $F.origin", "echo '{}' >$F.origin",
	"echo nonsense >$F.origin", ": >$F.origin", "rm $F.origin", ": >$F.part", "rm $F.part",
	"sed -i 's/\"key\":\"[^\"]*/\"key\":\"x/' $F.origin",
	"sed -i 's/\"total\":[0-9]*/\"total\":-5/' $F.origin",
	"rm $F.part; ln -s /etc/passwd $F.part",
};

START_TEST(a_part_that_cannot_be_trusted_is_thrown_away)
{
	start("/cut", 0, 10000);
	finish();
	ck_assert_int_eq(system(spoilers[_i]), 0);
	start("/cut", 0, 10000);
	asked.requests = 1;		/* so that it answers with all */
	assert_fetched();
	ck_assert_uint_eq(asked.ranges, 0);
}
END_TEST

START_TEST(a_part_from_before_a_reboot_is_good_enough_where_the_digest_is_known)
{
	start("/cut", 0, 10000);
	finish();
	ck_assert_int_eq(system(spoilers[0]), 0);
	preset.is_checked = true;
	start("/cut", 0, 10000);
	assert_fetched();
	ck_assert_uint_eq(asked.first, CUT);
}
END_TEST

void
add_resume_cases(TCase *tcase)
{
	tcase_add_loop_test(tcase, goes_on_where_it_broke_off_if_the_file_is_proven_to_be_the_same, 0,
			    VN_COUNT(cuts));
	tcase_add_loop_test(tcase, goes_on_in_another_life, 0, VN_COUNT(cuts));
	tcase_add_loop_test(tcase, begins_anew_where_the_server_lies_about_the_rest, 0,
			    LIARS);
	tcase_add_test(tcase, takes_a_file_that_has_changed_meanwhile_as_a_whole);
	tcase_add_test(tcase, begins_anew_where_more_comes_than_was_announced);
	tcase_add_test(tcase, refuses_a_range_that_nobody_asked_for);
	tcase_add_test(tcase, tries_again_what_may_pass_and_waits_longer_each_time);
	tcase_add_test(tcase, cancel_leaves_nothing_but_a_part_to_go_on_with);
	tcase_add_test(tcase, cancel_before_an_old_part_has_been_digested);
	tcase_add_test(tcase, a_whole_file_is_not_fetched_twice);
	tcase_add_loop_test(tcase, a_part_that_cannot_be_trusted_is_thrown_away, 0,
			    VN_COUNT(spoilers));
	tcase_add_test(tcase, a_part_from_before_a_reboot_is_good_enough_where_the_digest_is_known);
}
