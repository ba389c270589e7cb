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
	unsigned ends, progress_calls, retries, waited_ms;
	uint64_t bytes, progress, total;
	bool resumed;
	char sha256[DIGEST_TEXT];
	struct vn_error err;
} outcome;

/* What fetches are started with; a test may change it. */
static struct fetch_request preset;

/* ---- the server ------------------------------------------------------------------------------ */

/* What was asked for; written by the connections' threads, one at a time. */
static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;
static struct asked {
	unsigned requests, ranges;
	char condition[64];		/* If-Range of the last one */
	unsigned long long first;	/* of its range */
} asked;

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

/* ---- servers that break off, and what they say to a request for the rest ---- */

#define CUT  100000
#define ETAG "ETag: \"one\"\r\n"

/* The head of an answer with the bytes from `first` on. */
static void
send_rest(int fd, const char *status, const char *fields, unsigned first)
{
	char text[400];

	snprintf(text, sizeof(text), "%sContent-Length: %u\r\n", fields, BODY_SIZE - first);
	send_head(fd, status, text);
	send_all(fd, body + first, BODY_SIZE - first);
}

static void
send_cut(int fd, const char *fields)
{
	char text[400];

	snprintf(text, sizeof(text), "%sContent-Length: %u\r\n", fields, BODY_SIZE);
	send_head(fd, "200 OK", text);
	send_all(fd, body, CUT);
}

static bool
is_first(void)
{
	return asked.ranges == 0 && asked.requests == 1;
}

static void
send_range(int fd, const char *fields)
{
	char text[400];

	snprintf(text, sizeof(text), "%sContent-Range: bytes %llu-%u/%u\r\n", fields, asked.first,
		 BODY_SIZE - 1, BODY_SIZE);
	send_rest(fd, "206 Partial Content", text, (unsigned)asked.first);
}

/* A server that knows ranges, once it has broken off. */
static void
serve_with(int fd, const char *fields)
{
	if (is_first())
		send_cut(fd, fields);
	else if (asked.ranges)
		send_range(fd, fields);
	else
		send_rest(fd, "200 OK", fields, 0);
}

static void
serve_cut(int fd)
{
	serve_with(fd, ETAG);
}

static void
serve_cut_dated(int fd)
{
	serve_with(fd, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		       "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\n");
}

static void
serve_cut_young(int fd)
{
	serve_with(fd, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		       "Date: Sun, 06 Nov 1994 08:49:57 GMT\r\n");
}

static void
serve_cut_weak(int fd)
{
	serve_with(fd, "ETag: W/\"one\"\r\n");
}

static void
serve_cut_plain(int fd)
{
	serve_with(fd, "");
}

/* How a lying or changed server answers a request for the rest. */
static const struct {
	const char *path, *status, *fields;
} liars[] = {
	{ "/ignores-range", "200 OK", ETAG },
	{ "/wrong-start", "206 Partial Content", ETAG "Content-Range: bytes 5-299999/300000\r\n" },
	{ "/wrong-total", "206 Partial Content", ETAG "Content-Range: bytes 100000-299999/300001\r\n" },
	{ "/wrong-tag", "206 Partial Content", "ETag: \"two\"\r\n"
	  "Content-Range: bytes 100000-299999/300000\r\n" },
	{ "/no-range", "206 Partial Content", ETAG },
	{ "/bad-range", "206 Partial Content", ETAG "Content-Range: bytes 100000-5/300000\r\n" },
	{ "/odd-range", "206 Partial Content", ETAG "Content-Range: lines 100000-299999/300000\r\n" },
	{ "/multipart", "206 Partial Content", ETAG
	  "Content-Type: multipart/byteranges; boundary=x\r\n" },
	{ "/too-short", "416 Range Not Satisfiable", ETAG "Content-Range: bytes */5000\r\n" },
};

static void
serve_liar(int fd, size_t which)
{
	bool whole = !strncmp(liars[which].status, "200", 3);

	if (is_first())
		send_cut(fd, ETAG);
	else if (asked.ranges == 1 && asked.first)
		send_rest(fd, liars[which].status, liars[which].fields, whole ? 0 : CUT);
	else
		send_rest(fd, "200 OK", ETAG, 0);
}

/* The file is another one by the time the rest is asked for. */
static void
serve_changed(int fd)
{
	if (is_first()) {
		send_head(fd, "200 OK", "ETag: \"old\"\r\nContent-Length: 250000\r\n");
		send_all(fd, body + 7, CUT);
	} else {
		send_rest(fd, "200 OK", ETAG, 0);
	}
}

static void
serve_more(int fd)
{
	if (is_first()) {
		send_cut(fd, ETAG);
	} else if (asked.ranges == 1 && asked.first) {
		send_head(fd, "206 Partial Content", ETAG
			  "Content-Range: bytes 100000-299999/300000\r\n");
		send_all(fd, body, BODY_SIZE);
	} else {
		send_rest(fd, "200 OK", ETAG, 0);
	}
}

static void
serve_unasked(int fd)
{
	send_head(fd, "206 Partial Content", "Content-Range: bytes 0-9/10\r\nContent-Length: 10\r\n");
	send_all(fd, body, 10);
}

static void
serve_flaky(int fd)
{
	if (asked.requests < 3)
		send_head(fd, "503 Busy", "Retry-After: 0\r\nContent-Length: 0\r\n");
	else
		serve_ok(fd);
}

static void
serve_hold(int fd)
{
	if (is_first()) {
		send_cut(fd, ETAG);
		wait_for_client(fd);
	} else {
		serve_with(fd, ETAG);
	}
}

static const struct {
	const char *path;
	void (*serve)(int fd);
} routes[] = {
	{ "/cut", serve_cut },
	{ "/cut-dated", serve_cut_dated },
	{ "/cut-young", serve_cut_young },
	{ "/cut-weak", serve_cut_weak },
	{ "/cut-plain", serve_cut_plain },
	{ "/changed", serve_changed },
	{ "/more", serve_more },
	{ "/unasked", serve_unasked },
	{ "/flaky", serve_flaky },
	{ "/hold", serve_hold },
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

static void
note_request(const char *head)
{
	const char *range = strstr(head, "\nRange: bytes="), *condition = strstr(head, "\nIf-Range: ");

	pthread_mutex_lock(&asked_lock);
	asked.requests++;
	asked.ranges += range != NULL;
	asked.first = range ? strtoull(range + 14, NULL, 10) : 0;
	asked.condition[0] = '\0';
	if (condition)
		sscanf(condition, "\nIf-Range: %63[^\r]", asked.condition);
	pthread_mutex_unlock(&asked_lock);
}

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
	note_request(head);
	if (strstr(head, "Accept-Encoding"))
		path[0] = '\0';
	for (size_t i = 0; i < VN_COUNT(routes); i++)
		if (!strcmp(routes[i].path, path))
			routes[i].serve(fd);
	for (size_t i = 0; i < VN_COUNT(liars); i++)
		if (!strcmp(liars[i].path, path))
			serve_liar(fd, i);
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

	if (!seen->retries)
		ck_assert_uint_ge(done, seen->progress);
	seen->progress_calls++;
	seen->progress = done;
	seen->total = total;
	if (seen->cancel_on_progress)
		fetcher->ops->cancel(fetcher, fetch);
}

static void
on_retry(void *arg, const struct vn_error *why, unsigned after_ms)
{
	struct outcome *seen = arg;

	ck_assert_int_ne(why->code, VN_OK);
	seen->retries++;
	seen->waited_ms = after_ms;
}

static void
on_end(void *arg, const struct fetch_result *result, const struct vn_error *error)
{
	struct outcome *seen = arg;

	seen->done = true;
	seen->ends++;
	seen->bytes = result->bytes;
	seen->resumed = result->resumed;
	snprintf(seen->sha256, sizeof(seen->sha256), "%s", result->sha256);
	seen->err = error ? *error : (struct vn_error){ 0 };
	ck_assert(!result->sha256[0] == !!error);
}

static int
start_url(const char *url, uint64_t limit, unsigned stall_ms)
{
	struct fetch_request request = preset;
	bool cancel = outcome.cancel_on_progress;

	request.url = url;
	request.path = file;
	request.limit_bytes = limit;
	request.stall_ms = stall_ms;

	memset(&outcome, 0, sizeof(outcome));
	outcome.cancel_on_progress = cancel;
	pthread_mutex_lock(&asked_lock);	/* the server's thread may be at an earlier request */
	asked = (struct asked){ 0 };
	pthread_mutex_unlock(&asked_lock);
	return fetcher->ops->start(fetcher, &request, &fetch, &err);
}

static void
start(const char *path, uint64_t limit, unsigned stall_ms)
{
	vn_autofree char *url = vn_format("http://user:secret@127.0.0.1:%u%s?token=hidden", port, path);

	ck_assert_msg(start_url(url, limit, stall_ms) == 0, "%s", err.text);
	ck_assert_uint_eq(outcome.ends, 0);
}

static const char *
beside(const char *ending)
{
	static char path[2][128];
	static unsigned turn;

	snprintf(path[++turn % 2], sizeof(path[0]), "%s%s", file, ending);
	return path[turn % 2];
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
	ck_assert_uint_eq(count_files(), access(beside(".origin"), F_OK) == 0 ? 2 : 1);
	ck_assert_int_ne(access(beside(".part"), F_OK), 0);
}

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

static void
set_up(void)
{
	struct backend_env env = { 0 };

	snprintf(folder, sizeof(folder), "/var/tmp/vnoded-fetch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/image", folder);
	setenv("F", file, 1);
	memset(&outcome, 0, sizeof(outcome));
	memset(&err, 0, sizeof(err));
	preset = (struct fetch_request){ .retry_ms = 1, .arg = &outcome, .on_progress = on_progress,
					 .on_retry = on_retry, .on_end = on_end };
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
	unlink(beside(".part"));
	unlink(beside(".origin"));
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

/* ---- going on -------------------------------------------------------------------------------- */

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
	tcase_add_loop_test(tcase, goes_on_where_it_broke_off_if_the_file_is_proven_to_be_the_same,
			    0, VN_COUNT(cuts));
	tcase_add_loop_test(tcase, goes_on_in_another_life, 0, VN_COUNT(cuts));
	tcase_add_loop_test(tcase, begins_anew_where_the_server_lies_about_the_rest, 0,
			    VN_COUNT(liars));
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
