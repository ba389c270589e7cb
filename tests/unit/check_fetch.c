/*
 * Downloads from a small server in this process, on the loopback interface. Each connection is served
 * by a thread that does what its path says, and every wait ends by something the other side does.
 */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/digest.h"
#include "proto/base/mem.h"
#include "tests/mini_loop.h"

#define BODY_SIZE 300000

static char body[BODY_SIZE], folder[64], file[96];
static int listener;
static unsigned port;
static struct mini_loop *loop;
static struct fetcher *fetcher;
static struct fetch *fetch;
static struct vn_error err;

static struct outcome {
	bool done, cancel_on_progress;
	unsigned ends, progress_calls;
	uint64_t bytes, progress, total;
	char sha256[DIGEST_TEXT];
	struct vn_error err;
} outcome;

/* ---- the server ------------------------------------------------------------------------------ */

static bool
send_all(int fd, const void *data, size_t size)
{
	return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void
send_head(int fd, const char *status, const char *fields)
{
	char head[512];

	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nConnection: close\r\n%s\r\n", status, fields);
	send_all(fd, head, strlen(head));
}

static void
wait_for_client(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		;
}

static void
serve_ok(int fd)
{
	char length[64];

	snprintf(length, sizeof(length), "Content-Length: %d\r\n", BODY_SIZE);
	send_head(fd, "200 OK", length);
	send_all(fd, body, BODY_SIZE);
}

static void
serve_empty(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 0\r\n");
}

static void
serve_unknown_length(int fd)
{
	send_head(fd, "200 OK", "");
	send_all(fd, body, BODY_SIZE);
}

static void
serve_short(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 1000000\r\n");
	send_all(fd, body, BODY_SIZE);
}

static void
serve_endless(int fd)
{
	send_head(fd, "200 OK", "");
	while (send_all(fd, body, BODY_SIZE))
		;
}

static void
serve_huge(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 1000000000000\r\n");
	wait_for_client(fd);
}

static void
serve_stall(int fd)
{
	send_head(fd, "200 OK", "Content-Length: 1000000\r\n");
	send_all(fd, body, 1000);
	wait_for_client(fd);
}

static void
serve_silence(int fd)
{
	wait_for_client(fd);
}

static void
serve_nonsense(int fd)
{
	send_all(fd, "this is not HTTP\n", 17);
}

static void
serve_404(int fd)
{
	send_head(fd, "404 Not Found", "Content-Length: 4\r\n");
	send_all(fd, "gone", 4);
}

static void
serve_403(int fd)
{
	send_head(fd, "403 Forbidden", "Content-Length: 0\r\n");
}

static void
serve_500(int fd)
{
	send_head(fd, "500 Oops", "Content-Length: 0\r\n");
}

static void
serve_redirect(int fd)
{
	send_head(fd, "302 Found", "Location: /ok\r\nContent-Length: 0\r\n");
}

static void
serve_loop(int fd)
{
	send_head(fd, "302 Found", "Location: /loop\r\nContent-Length: 0\r\n");
}

static void
serve_to_file(int fd)
{
	send_head(fd, "302 Found", "Location: file:///etc/passwd\r\nContent-Length: 0\r\n");
}

static const struct {
	const char *path;
	void (*serve)(int fd);
} routes[] = {
	{ "/ok", serve_ok },
	{ "/empty", serve_empty },
	{ "/unknown-length", serve_unknown_length },
	{ "/short", serve_short },
	{ "/endless", serve_endless },
	{ "/huge", serve_huge },
	{ "/stall", serve_stall },
	{ "/silence", serve_silence },
	{ "/nonsense", serve_nonsense },
	{ "/404", serve_404 },
	{ "/403", serve_403 },
	{ "/500", serve_500 },
	{ "/redirect", serve_redirect },
	{ "/loop", serve_loop },
	{ "/to-file", serve_to_file },
};

/* One request: its head is read to the empty line, so that closing sends no reset. */
static void *
serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char head[4096] = "", path[128] = "";
	size_t size = 0;
	ssize_t got;

	while (!strstr(head, "\r\n\r\n") && size < sizeof(head) - 1) {
		got = recv(fd, head + size, sizeof(head) - 1 - size, 0);
		if (got <= 0)
			break;
		size += (size_t)got;
		head[size] = '\0';
	}
	sscanf(head, "GET %127[^ ?]", path);
	if (strstr(head, "Accept-Encoding"))
		path[0] = '\0';
	for (size_t i = 0; i < VN_COUNT(routes); i++)
		if (!strcmp(routes[i].path, path))
			routes[i].serve(fd);
	close(fd);
	return NULL;
}

static void *
accept_all(void *arg)
{
	pthread_t thread;
	int fd;

	(void)arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
		pthread_detach(thread);
	}
	return NULL;
}

static int
bind_loopback(unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0
	    || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		abort();
	*ret_port = ntohs(address.sin_port);
	return fd;
}

/* ---- the client ------------------------------------------------------------------------------ */

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct outcome *seen = arg;

	ck_assert_uint_ge(done, seen->progress);
	seen->progress_calls++;
	seen->progress = done;
	seen->total = total;
	if (seen->cancel_on_progress)
		fetcher->ops->cancel(fetcher, fetch);
}

static void
on_end(void *arg, const char *sha256, uint64_t bytes, const struct vn_error *error)
{
	struct outcome *seen = arg;

	seen->done = true;
	seen->ends++;
	seen->bytes = bytes;
	snprintf(seen->sha256, sizeof(seen->sha256), "%s", sha256 ? sha256 : "");
	seen->err = error ? *error : (struct vn_error){ 0 };
	ck_assert(!sha256 == !!error);
}

static int
start_url(const char *url, uint64_t limit, unsigned stall_ms)
{
	struct fetch_request request = { .url = url, .path = file, .limit_bytes = limit,
					 .stall_ms = stall_ms, .arg = &outcome,
					 .on_progress = on_progress, .on_end = on_end };
	bool cancel = outcome.cancel_on_progress;

	memset(&outcome, 0, sizeof(outcome));
	outcome.cancel_on_progress = cancel;
	return fetcher->ops->start(fetcher, &request, &fetch, &err);
}

static void
start(const char *path, uint64_t limit, unsigned stall_ms)
{
	vn_autofree char *url = vn_format("http://user:secret@127.0.0.1:%u%s?token=hidden", port, path);

	ck_assert_msg(start_url(url, limit, stall_ms) == 0, "%s", err.text);
	ck_assert_uint_eq(outcome.ends, 0);
}

static size_t
count_files(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* Runs to the end, and nothing may come after it. */
static void
finish(void)
{
	static const bool never;

	ck_assert(mini_loop_run(loop, &outcome.done, 20000));
	mini_loop_run(loop, &never, 1);
	ck_assert_uint_eq(outcome.ends, 1);
}

static void
assert_failed(enum vn_code code, const char *text)
{
	finish();
	ck_assert_msg(outcome.err.code == code, "%s: %s", vn_code_word(outcome.err.code),
		      outcome.err.text);
	ck_assert_msg(strstr(outcome.err.text, text), "'%s' is not in '%s'", text,
		      outcome.err.text);
	ck_assert_msg(!strstr(outcome.err.text, "secret") && !strstr(outcome.err.text, "hidden"),
		      "%s", outcome.err.text);
	ck_assert_uint_eq(count_files(), 0);
}

static void
assert_fetched(void)
{
	char got[BODY_SIZE + 1], sha256[DIGEST_TEXT];
	struct digest *digest = digest_new();
	int fd;

	finish();
	ck_assert_msg(outcome.err.code == VN_OK, "%s", outcome.err.text);
	digest_update(digest, body, BODY_SIZE);
	digest_print(digest, sha256);
	digest_free(digest);
	ck_assert_str_eq(outcome.sha256, sha256);
	ck_assert_uint_eq(outcome.bytes, BODY_SIZE);
	ck_assert_uint_eq(outcome.progress, BODY_SIZE);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, got, sizeof(got)), BODY_SIZE);
	close(fd);
	ck_assert_mem_eq(got, body, BODY_SIZE);
	ck_assert_uint_eq(count_files(), 1);
}

static void
set_up(void)
{
	struct backend_env env = { 0 };

	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-fetch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/image", folder);
	memset(&outcome, 0, sizeof(outcome));
	memset(&err, 0, sizeof(err));
	loop = mini_loop_new();
	env.watch = mini_loop_ops(loop);
	ck_assert_msg(fetch_curl.open(&env, &fetcher, &err) == 0, "%s", err.text);
}

static void
tear_down(void)
{
	fetcher->ops->close(fetcher);
	ck_assert_uint_eq(mini_loop_watches(loop), 0);
	mini_loop_free(loop);
	unlink(file);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

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
add_tests(TCase *tcase)
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
	tcase_add_test(tcase, nothing_piles_up);
}

int
main(void)
{
	Suite *suite = suite_create("fetch");
	TCase *tcase = tcase_create("fetch");
	SRunner *runner = srunner_create(suite);
	pthread_t server;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	for (size_t i = 0; i < BODY_SIZE; i++)
		body[i] = (char)(i * 7 + i / 251);
	listener = bind_loopback(&port);
	if (listen(listener, 64) < 0)
		abort();
	pthread_create(&server, NULL, accept_all, NULL);
	pthread_detach(server);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	add_tests(tcase);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
