/*
 * Downloads from a small server in this process, on the loopback interface: whole ones, failures, and limits.
 */
#include "tests/unit/check_fetch.h"

#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/mini_loop.h"
#include "tests/unit/fetch_client.h"
#include "tests/unit/fetch_server.h"

static const char *const good[] = { "/ok", "/unknown-length", "/redirect" };

START_TEST(fetches_and_digests)
{
	start(good[_i], BODY_SIZE, 10000);
	assert_fetched();
	ck_assert_uint_eq(outcome.total, _i == 1 ? 0 : BODY_SIZE);
}
END_TEST

START_TEST(fetches_an_empty_file)
{
	start("/empty", 0, 0);
	finish();
	ck_assert_msg(outcome.err.code == VN_OK, "%s", outcome.err.text);
	ck_assert_uint_eq(outcome.bytes, 0);
	ck_assert_uint_eq(count_files(), 1);
}
END_TEST

static const struct {
	const char *path;
	enum vn_code code;
	const char *text;
	uint64_t limit;
	unsigned stall_ms;
} bad[] = {
	{ "/404", VN_E_NOT_FOUND, "answered 404 for http://127.0.0.1", 0, 10000 },
	{ "/403", VN_E_DENIED, "answered 403", 0, 10000 },
	{ "/500", VN_E_BACKEND, "answered 500", 0, 10000 },
	{ "/loop", VN_E_BACKEND, "redirects", 0, 10000 },
	{ "/to-file", VN_E_BACKEND, "file", 0, 10000 },
	{ "/short", VN_E_BACKEND, "700000 bytes remaining", 0, 10000 },
	{ "/endless", VN_E_LIMIT, "larger than 1000000 bytes", 1000000, 10000 },
	{ "/huge", VN_E_LIMIT, "larger than 1000000 bytes", 1000000, 10000 },
	{ "/stall", VN_E_TIMEOUT, "nothing arrived", 0, 50 },
	{ "/silence", VN_E_TIMEOUT, "nothing arrived", 0, 50 },
	{ "/nonsense", VN_E_BACKEND, "fetch http://127.0.0.1", 0, 10000 },
	{ "/unknown-path", VN_E_BACKEND, "fetch http://127.0.0.1", 0, 10000 },
};

START_TEST(failures_are_told_and_leave_nothing)
{
	start(bad[_i].path, bad[_i].limit, bad[_i].stall_ms);
	assert_failed(bad[_i].code, bad[_i].text);
}
END_TEST

START_TEST(tells_a_refused_connection)
{
	unsigned closed_port;
	int fd = bind_loopback(&closed_port);
	vn_autofree char *url = vn_format("http://127.0.0.1:%u/ok", closed_port);

	ck_assert_int_eq(start_url(url, 0, 10000), 0);
	assert_failed(VN_E_BACKEND, "connect");
	close(fd);
}
END_TEST

START_TEST(refuses_other_urls_at_once)
{
	static const char *const urls[] = { "", "file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd",
					    "http://", "http://a b/", "gopher://x/", "javascript:x" };

	for (size_t i = 0; i < VN_COUNT(urls); i++) {
		ck_assert_msg(start_url(urls[i], 0, 0) == -1, "%s", urls[i]);
		ck_assert_msg(err.code == VN_E_INVALID, "%s: %s", urls[i], err.text);
	}
	ck_assert_uint_eq(outcome.ends, 0);
	ck_assert_uint_eq(count_files(), 0);
	snprintf(file, sizeof(file), "%s/no/such/folder", folder);
	ck_assert_int_eq(start_url("http://127.0.0.1/x", 0, 0), -1);
	ck_assert_int_eq(err.code, VN_E_NOT_FOUND);
}
END_TEST

START_TEST(cancel_ends_it_once)
{
	static const bool never;

	start("/stall", 0, 0);
	mini_loop_run(loop, &never, 20);
	fetcher->ops->cancel(fetcher, fetch);
	fetcher->ops->cancel(fetcher, fetch);
	ck_assert_uint_eq(outcome.ends, 0);
	assert_failed(VN_E_CANCELLED, "cancelled");
}
END_TEST

START_TEST(cancel_before_the_loop_turns)
{
	start("/ok", 0, 0);
	fetcher->ops->cancel(fetcher, fetch);
	assert_failed(VN_E_CANCELLED, "cancelled");
}
END_TEST

START_TEST(cancel_from_within_progress)
{
	outcome.cancel_on_progress = true;
	start("/endless", 0, 0);
	assert_failed(VN_E_CANCELLED, "cancelled");
	ck_assert_uint_eq(outcome.progress_calls, 1);
}
END_TEST

/* The last progress is told when all has arrived: what is cancelled then is already being synced. */
START_TEST(cancel_at_the_very_end)
{
	outcome.cancel_on_progress = true;
	start("/unknown-length", 0, 0);
	assert_failed(VN_E_CANCELLED, "cancelled");
}
END_TEST

START_TEST(replaces_what_is_there)
{
	FILE *old = fopen(file, "we");

	ck_assert_int_gt(fprintf(old, "old"), 0);
	fclose(old);
	start("/ok", 0, 0);
	assert_fetched();
	start("/ok", 0, 0);
	assert_fetched();
	start("/404", 0, 0);
	assert_failed(VN_E_NOT_FOUND, "404");
}
END_TEST

START_TEST(does_not_write_through_a_link)
{
	vn_autofree char *part = vn_format("%s.part", file), *target = vn_format("%s/t", folder);

	ck_assert_int_eq(symlink(target, part) | symlink(target, file), 0);
	start("/ok", 0, 0);
	assert_fetched();
	ck_assert_int_eq(access(target, F_OK), -1);
}
END_TEST

START_TEST(close_drops_what_is_under_way)
{
	struct backend_env env = { .watch = mini_loop_ops(loop) };
	static const bool never;

	start("/stall", 0, 10000);
	mini_loop_run(loop, &never, 20);
	fetcher->ops->close(fetcher);
	ck_assert_uint_eq(mini_loop_watches(loop), 0);
	ck_assert_uint_eq(outcome.ends, 0);
	ck_assert_uint_eq(count_files(), 0);
	ck_assert_int_eq(fetch_curl.open(&env, &fetcher, &err), 0);
}
END_TEST

START_TEST(too_slow_a_server_is_given_up)
{
	preset.slowest_bytes = 1ull << 50;
	start("/endless", 0, 50);
	assert_failed(VN_E_TIMEOUT, "bytes arrived from");
}
END_TEST

START_TEST(too_large_a_file_is_refused_before_anything_is_written)
{
	preset.limit_name = "image_storage";
	start("/ok", BODY_SIZE - 1, 10000);
	assert_failed(VN_E_LIMIT, "all that is left of image_storage");
	ck_assert_uint_eq(outcome.bytes, 0);
}
END_TEST

static size_t
count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

START_TEST(nothing_piles_up)
{
	size_t memory = 0, descriptors = 0;

	for (int i = 0; i < 220; i++) {
		const size_t at = (size_t)i % VN_COUNT(bad);

		if (i == 20) {
			memory = mallinfo2().uordblks;
			descriptors = count_descriptors();
		}
		start(i % 2 ? "/ok" : bad[at].path, bad[at].limit, i % 2 ? 0 : bad[at].stall_ms);
		finish();
	}
	ck_assert_uint_lt(mallinfo2().uordblks, memory + 65536);
	ck_assert_uint_le(count_descriptors(), descriptors + 4);
}
END_TEST

static void
add_basic_cases(TCase *tcase)
{
	tcase_add_loop_test(tcase, fetches_and_digests, 0, VN_COUNT(good));
	tcase_add_test(tcase, fetches_an_empty_file);
	tcase_add_loop_test(tcase, failures_are_told_and_leave_nothing, 0, VN_COUNT(bad));
	tcase_add_test(tcase, tells_a_refused_connection);
	tcase_add_test(tcase, refuses_other_urls_at_once);
	tcase_add_test(tcase, cancel_ends_it_once);
	tcase_add_test(tcase, cancel_before_the_loop_turns);
	tcase_add_test(tcase, cancel_from_within_progress);
	tcase_add_test(tcase, cancel_at_the_very_end);
	tcase_add_test(tcase, replaces_what_is_there);
	tcase_add_test(tcase, does_not_write_through_a_link);
	tcase_add_test(tcase, close_drops_what_is_under_way);
}

static void
add_limit_cases(TCase *tcase)
{
	tcase_add_test(tcase, too_slow_a_server_is_given_up);
	tcase_add_test(tcase, too_large_a_file_is_refused_before_anything_is_written);
	tcase_add_test(tcase, nothing_piles_up);
}

int
main(void)
{
	Suite *suite = suite_create("fetch");
	TCase *tcase = tcase_create("fetch");
	SRunner *runner = srunner_create(suite);
	int failed;

	signal(SIGPIPE, SIG_IGN);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	server_start();
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	add_basic_cases(tcase);
	add_resume_cases(tcase);
	add_limit_cases(tcase);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
