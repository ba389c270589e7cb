/* The digest and the bytes are compared with what the server has, and the folder is to hold nothing else. */
#include "tests/unit/fetch_client.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "proto/base/mem.h"
#include "tests/mini_loop.h"
#include "tests/unit/fetch_server.h"

char folder[64], file[96];
struct mini_loop *loop;
struct fetcher *fetcher;
struct fetch *fetch;
struct vn_error err;
struct fetch_request preset;
struct outcome outcome;

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

int
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
	server_forget();
	return fetcher->ops->start(fetcher, &request, &fetch, &err);
}

void
start(const char *path, uint64_t limit, unsigned stall_ms)
{
	vn_autofree char *url = vn_format("http://user:secret@127.0.0.1:%u%s?token=hidden", port, path);

	ck_assert_msg(start_url(url, limit, stall_ms) == 0, "%s", err.text);
	ck_assert_uint_eq(outcome.ends, 0);
}

const char *
beside(const char *ending)
{
	static char path[2][128];
	static unsigned turn;

	snprintf(path[++turn % 2], sizeof(path[0]), "%s%s", file, ending);
	return path[turn % 2];
}

size_t
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

void
finish(void)
{
	static const bool never;

	ck_assert(mini_loop_run(loop, &outcome.done, 20000));
	mini_loop_run(loop, &never, 1);
	ck_assert_uint_eq(outcome.ends, 1);
}

void
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

void
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

void
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

void
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
