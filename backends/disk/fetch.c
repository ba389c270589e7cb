/*
 * Downloads: a fetch is a row of attempts at one file. An attempt that breaks off for a reason that may
 * pass is followed by another, after a wait that doubles, which goes on where the part ends if the server
 * proves that the file is still the same (If-Range and a strong validator), and begins anew if not.
 *
 * on_end is called from the loop alone, never on a caller's stack, after a message from curl (on_done), a
 * fetch's own timer (on_wake) or the digest of an old part (on_prepared). The fetch is freed just before,
 * so on_end may start another one into the same file.
 */
#include "backends/backend.h"

#include <string.h>
#include <time.h>

#include "backends/disk/fetch_attempt.h"
#include "backends/disk/fetch_url.h"
#include "backends/disk/part_file.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"

#define PROGRESS_STEP 262144u		/* bytes between two calls of on_progress */
#define GAIN          (1u << 20)	/* an attempt that brings so much is no failed one */
#define MAX_WAIT_MS   60000u

struct curl_fetcher {
	struct fetcher base;
	const struct watch_ops *watch;
	struct fetch_loop *loop;
	struct vn_list fetches;
};

struct fetch {
	struct vn_list link;
	struct curl_fetcher *fetcher;
	struct fetch_request request;	/* its strings are copies, path NULL */
	char *url;
	char *shown_url;		/* without user, password and query */
	struct part_file *file;
	struct attempt attempt;
	uint64_t told;			/* bytes that on_progress knows of */
	uint64_t arrived_ms;		/* when something arrived last */
	uint64_t window_ms, window_bytes;	/* since when and from where speed is measured */
	struct watch *wake;		/* the cancel that is due, the next attempt, or a look at the clock */
	unsigned tries;			/* failed in a row */
	uint64_t furthest;		/* bytes that earlier attempts reached */
	bool cancelled;
};

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_wake(void *arg);

static void
wake_after(struct fetch *fetch, unsigned after_ms)
{
	const struct watch_ops *watch = fetch->fetcher->watch;

	watch->remove(watch->loop, fetch->wake);
	fetch->wake = watch->add_timer(watch->loop, after_ms, on_wake, fetch);
}

/* ---- the end of a fetch ---------------------------------------------------------------------- */

static void
drop_transfer(struct fetch *fetch)
{
	const struct watch_ops *watch = fetch->fetcher->watch;

	watch->remove(watch->loop, fetch->wake);
	fetch->wake = NULL;
	attempt_end(&fetch->attempt, fetch->fetcher->loop);
}

static void
fetch_free(struct fetch *fetch)
{
	vn_list_remove(&fetch->link);
	drop_transfer(fetch);
	part_file_free(fetch->file);
	free(fetch->url);
	free(fetch->shown_url);
	free(fetch);
}

/* What a server or a disk will not have now, a later fetch need not find here. */
static bool
is_for_good(enum vn_code code)
{
	return code == VN_E_LIMIT || code == VN_E_NOT_FOUND || code == VN_E_DENIED
	       || code == VN_E_INVALID;
}

static void
end_failed(struct fetch *fetch, const struct vn_error *err)
{
	struct fetch_request request = fetch->request;
	struct fetch_result result = { .bytes = part_file_bytes(fetch->file) };

	if (is_for_good(err->code))
		part_file_spoil(fetch->file);
	fetch_free(fetch);
	request.on_end(request.arg, &result, err);
}

static void
end_cancelled(struct fetch *fetch)
{
	struct vn_error err;

	vn_fail(&err, VN_E_CANCELLED, "fetching %s was cancelled", fetch->shown_url);
	end_failed(fetch, &err);
}

static void
end_done(struct fetch *fetch)
{
	struct fetch_request request = fetch->request;
	struct fetch_result result = { .bytes = part_file_bytes(fetch->file),
				       .resumed = fetch->attempt.resumed };
	struct vn_error err;

	if (part_file_finish(fetch->file, result.sha256, &err) < 0) {
		end_failed(fetch, &err);
		return;
	}
	fetch_free(fetch);
	request.on_end(request.arg, &result, NULL);
}

/* ---- trying again ---------------------------------------------------------------------------- */

/* How long to wait before the next attempt: doubles, or what the server asked for. */
static unsigned
wait_ms(const struct fetch *fetch, uint64_t asked_s)
{
	uint64_t ms = fetch->request.retry_ms;

	if (fetch->attempt.is_stale)
		return 0;
	for (unsigned i = 1; i < fetch->tries && ms < MAX_WAIT_MS; i++)
		ms *= 2;
	if (ms < asked_s * 1000)
		ms = asked_s * 1000;
	return ms < MAX_WAIT_MS ? (unsigned)ms : MAX_WAIT_MS;
}

/* An attempt failed for a reason that may pass; asked_s: how long the server wants to be left alone. */
static void
try_again(struct fetch *fetch, uint64_t asked_s, const struct vn_error *err)
{
	const struct part_origin none = { 0 };
	uint64_t bytes = part_file_bytes(fetch->file);
	struct vn_error why = *err;
	unsigned after_ms;

	drop_transfer(fetch);
	if (bytes >= fetch->furthest + GAIN) {
		fetch->furthest = bytes;
		fetch->tries = 0;
	}
	if (++fetch->tries > fetch->request.retries) {
		end_failed(fetch, &why);
		return;
	}
	if ((fetch->attempt.is_stale || !part_file_origin(fetch->file))
	    && part_file_restart(fetch->file, &none, &why) < 0) {
		end_failed(fetch, &why);
		return;
	}
	after_ms = wait_ms(fetch, asked_s);
	wake_after(fetch, after_ms);		/* first: what is told may cancel */
	if (fetch->request.on_retry)
		fetch->request.on_retry(fetch->request.arg, &why, after_ms);
}

static void
tell_progress(struct fetch *fetch, uint64_t step)
{
	uint64_t bytes = part_file_bytes(fetch->file);

	if (!fetch->request.on_progress || bytes < fetch->told + step)
		return;
	fetch->told = bytes;
	fetch->request.on_progress(fetch->request.arg, bytes, fetch->attempt.total);
}

static bool
on_bytes(void *arg)
{
	struct fetch *fetch = arg;

	fetch->arrived_ms = now_ms();
	if (fetch->told > part_file_bytes(fetch->file))		/* it began anew */
		fetch->told = fetch->window_bytes = 0;
	if (!fetch->cancelled)
		tell_progress(fetch, PROGRESS_STEP);
	return !fetch->cancelled;
}

/* ---- the end of an attempt ------------------------------------------------------------------- */

static void
finish_attempt(struct fetch *fetch, CURLcode result)
{
	struct vn_error err;
	uint64_t asked_s;
	bool passes;

	if (fetch->cancelled) {
		end_cancelled(fetch);
	} else if (attempt_judge(&fetch->attempt, result, &passes, &asked_s, &err) < 0) {
		if (passes)
			try_again(fetch, asked_s, &err);
		else
			end_failed(fetch, &err);
	} else {
		tell_progress(fetch, 1);
		drop_transfer(fetch);
		if (fetch->cancelled)		/* from within the progress */
			end_cancelled(fetch);
		else
			end_done(fetch);
	}
}

static void
on_done(CURL *easy, CURLcode result)
{
	char *fetch = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &fetch);
	finish_attempt((struct fetch *)(void *)fetch, result);
}

/* ---- an attempt ------------------------------------------------------------------------------ */

static int
begin_attempt(struct fetch *fetch, struct vn_error *err)
{
	fetch->arrived_ms = fetch->window_ms = now_ms();
	fetch->window_bytes = part_file_bytes(fetch->file);
	if (attempt_begin(&fetch->attempt, fetch->fetcher->loop, err) < 0)
		return -1;
	if (fetch->request.stall_ms)
		wake_after(fetch, fetch->request.stall_ms);
	return 0;
}

/* ---- the clock ------------------------------------------------------------------------------- */

/* Whether too little has come since the clock was looked at last. */
static bool
is_too_slow(const struct fetch *fetch, uint64_t now, struct vn_error *err)
{
	const struct fetch_request *request = &fetch->request;
	uint64_t came = part_file_bytes(fetch->file) - fetch->window_bytes;

	if (now - fetch->arrived_ms >= request->stall_ms)
		return vn_fail(err, VN_E_TIMEOUT, "nothing arrived from %s for %u ms",
			       fetch->shown_url, request->stall_ms);
	if (now - fetch->window_ms >= request->stall_ms
	    && came < request->slowest_bytes * request->stall_ms / 1000)
		return vn_fail(err, VN_E_TIMEOUT, "only %llu bytes arrived from %s in %u ms",
			       (unsigned long long)came, fetch->shown_url, request->stall_ms);
	return false;
}

static void
look_at_clock(struct fetch *fetch)
{
	uint64_t now = now_ms(), since;
	struct vn_error err;

	if (is_too_slow(fetch, now, &err)) {
		try_again(fetch, 0, &err);
		return;
	}
	if (now - fetch->window_ms >= fetch->request.stall_ms) {
		fetch->window_ms = now;
		fetch->window_bytes = part_file_bytes(fetch->file);
	}
	since = fetch->arrived_ms < fetch->window_ms ? fetch->arrived_ms : fetch->window_ms;
	wake_after(fetch, fetch->request.stall_ms - (unsigned)(now - since));
}

static void
on_wake(void *arg)
{
	struct fetch *fetch = arg;
	struct vn_error err;

	if (fetch->cancelled)
		end_cancelled(fetch);
	else if (fetch->attempt.easy)
		look_at_clock(fetch);
	else if (begin_attempt(fetch, &err) < 0)
		end_failed(fetch, &err);
}

/* ---- start, cancel --------------------------------------------------------------------------- */

static void
on_prepared(void *arg, const struct vn_error *err)
{
	struct fetch *fetch = arg;
	struct vn_error why;

	if (fetch->cancelled)
		end_cancelled(fetch);
	else if (err)
		end_failed(fetch, err);
	else if (begin_attempt(fetch, &why) < 0)
		end_failed(fetch, &why);
}

static int
begin(struct fetch *fetch, const char *path, struct vn_error *err)
{
	char key[DIGEST_TEXT];

	if (fetch_url_check(fetch->url, &fetch->shown_url, key, err) < 0
	    || part_file_open(fetch->fetcher->watch, path, key, fetch->request.is_checked,
			      &fetch->file, err) < 0)
		return -1;
	fetch->attempt.file = fetch->file;
	fetch->attempt.shown_url = fetch->shown_url;
	if (part_file_bytes(fetch->file) > 0)
		return part_file_prepare(fetch->file, on_prepared, fetch, err);
	return begin_attempt(fetch, err);
}

static int
curl_start(struct fetcher *self, const struct fetch_request *request, struct fetch **ret,
	   struct vn_error *err)
{
	struct fetch *fetch = vn_alloc(sizeof(*fetch));

	fetch->fetcher = vn_container_of(self, struct curl_fetcher, base);
	fetch->request = *request;
	fetch->request.url = fetch->request.path = NULL;
	fetch->url = vn_strdup(request->url);
	fetch->attempt = (struct attempt){ .request = &fetch->request, .url = fetch->url,
					   .on_bytes = on_bytes, .arg = fetch };
	vn_list_append(&fetch->fetcher->fetches, &fetch->link);
	if (begin(fetch, request->path, err) < 0) {
		fetch_free(fetch);
		return -1;
	}
	*ret = fetch;
	return 0;
}

static void
curl_cancel(struct fetcher *self, struct fetch *fetch)
{
	(void)self;
	fetch->cancelled = true;
	if (fetch->wake || fetch->attempt.easy)
		wake_after(fetch, 0);
	else
		part_file_hurry(fetch->file);	/* on_prepared sees to it */
}

/* ---- open, close ----------------------------------------------------------------------------- */

static int
curl_open(const struct backend_env *env, struct fetcher **ret, struct vn_error *err)
{
	struct curl_fetcher *fetcher;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return vn_fail(err, VN_E_BACKEND, "libcurl cannot be initialised");
	fetcher = vn_alloc(sizeof(*fetcher));
	fetcher->base.ops = &fetch_curl;
	fetcher->watch = env->watch;
	vn_list_init(&fetcher->fetches);
	fetcher->loop = fetch_loop_new(env->watch, on_done);
	*ret = &fetcher->base;
	return 0;
}

/* Downloads under way are dropped without on_end: the loop has ended. Their parts stay. */
static void
curl_close(struct fetcher *self)
{
	struct curl_fetcher *fetcher;

	if (!self)
		return;
	fetcher = vn_container_of(self, struct curl_fetcher, base);
	vn_list_each_safe(struct fetch, fetch, &fetcher->fetches, link)
		fetch_free(fetch);
	fetch_loop_free(fetcher->loop);
	free(fetcher);
	curl_global_cleanup();
}

const struct fetch_ops fetch_curl = {
	.open = curl_open,
	.close = curl_close,
	.start = curl_start,
	.cancel = curl_cancel,
};
