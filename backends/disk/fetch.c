/*
 * Downloads by libcurl's multi interface, driven by the daemon's loop: curl says which sockets and
 * which one timer it waits for, the loop says when they are ready. No curl beyond this file.
 *
 * on_end is called from the loop alone, never on a caller's stack, after a message from curl
 * (finish_ready), a fetch's own timer (on_wake) or the end of its sync (on_synced). The fetch is freed
 * just before, so on_end may start another one into the same file.
 */
#include "backends/backend.h"

#include <curl/curl.h>
#include <string.h>
#include <time.h>

#include "backends/disk/part_file.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"

#define MAX_REDIRECTS 5L
#define CONNECT_MS    30000L
#define CHUNK_SIZE    65536L		/* what part_file is given at once, at most */
#define PROGRESS_STEP 262144u		/* bytes between two calls of on_progress */

struct curl_fetcher {
	struct fetcher base;
	const struct watch_ops *watch;
	CURLM *multi;
	struct watch *timer;		/* curl's one timer */
	struct vn_list fetches;
};

/* One socket that curl waits for. */
struct socket_watch {
	struct curl_fetcher *fetcher;
	struct watch *watch;
};

struct fetch {
	struct vn_list link;
	struct curl_fetcher *fetcher;
	struct fetch_request request;	/* without its strings, which were the caller's */
	char *shown_url;		/* without user, password and query */
	struct part_file *file;
	CURL *easy;			/* NULL once the transfer is over */
	char reason[CURL_ERROR_SIZE];
	uint64_t told;			/* bytes that on_progress knows of */
	uint64_t arrived_ms;		/* when something arrived last */
	struct watch *wake;		/* stall timer, or the cancel that is due */
	bool cancelled;
	struct vn_error err;		/* of a failed write; code VN_OK: none */
};

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static enum vn_code
status_code(long status)
{
	if (status == 404 || status == 410)
		return VN_E_NOT_FOUND;
	return status == 401 || status == 403 ? VN_E_DENIED : VN_E_BACKEND;
}

/* Sets *err from the outcome of a transfer. */
static int
vn_fail_curl(struct vn_error *err, const struct fetch *fetch, CURLcode result)
{
	const char *reason = fetch->reason[0] ? fetch->reason : curl_easy_strerror(result);
	long status = 0;

	curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	if (result == CURLE_HTTP_RETURNED_ERROR)
		return vn_fail(err, status_code(status), "the server answered %ld for %s", status,
			       fetch->shown_url);
	if (result == CURLE_FILESIZE_EXCEEDED)
		return vn_fail(err, VN_E_LIMIT, "%s is larger than %llu bytes", fetch->shown_url,
			       (unsigned long long)fetch->request.limit_bytes);
	if (result == CURLE_OPERATION_TIMEDOUT)
		return vn_fail(err, VN_E_TIMEOUT, "fetch %s: %s", fetch->shown_url, reason);
	vn_fail(err, VN_E_BACKEND, "fetch %s: %s", fetch->shown_url, reason);
	err->sys = (int)result;
	return -1;
}

/* ---- the end of a fetch ---------------------------------------------------------------------- */

static void
drop_transfer(struct fetch *fetch)
{
	if (!fetch->easy)
		return;
	curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
	curl_easy_cleanup(fetch->easy);
	fetch->easy = NULL;
}

static void
fetch_free(struct fetch *fetch)
{
	const struct watch_ops *watch = fetch->fetcher->watch;

	vn_list_remove(&fetch->link);
	drop_transfer(fetch);
	watch->remove(watch->loop, fetch->wake);
	part_file_free(fetch->file);
	free(fetch->shown_url);
	free(fetch);
}

static void
end_failed(struct fetch *fetch, const struct vn_error *err)
{
	struct fetch_request request = fetch->request;
	uint64_t bytes = part_file_bytes(fetch->file);

	fetch_free(fetch);
	request.on_end(request.arg, NULL, bytes, err);
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
	uint64_t bytes = part_file_bytes(fetch->file);
	char sha256[DIGEST_TEXT];

	part_file_keep(fetch->file, sha256);
	fetch_free(fetch);
	request.on_end(request.arg, sha256, bytes, NULL);
}

static void
on_synced(void *arg, const struct vn_error *err)
{
	struct fetch *fetch = arg;

	if (fetch->cancelled)
		end_cancelled(fetch);
	else if (err)
		end_failed(fetch, err);
	else
		end_done(fetch);
}

/* ---- what curl calls ------------------------------------------------------------------------- */

static void
tell_progress(struct fetch *fetch, uint64_t step)
{
	uint64_t bytes = part_file_bytes(fetch->file);
	curl_off_t total = -1;

	if (!fetch->request.on_progress || bytes < fetch->told + step)
		return;
	fetch->told = bytes;
	curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total);
	fetch->request.on_progress(fetch->request.arg, bytes, total > 0 ? (uint64_t)total : 0);
}

/* Anything but `size` makes curl end the transfer with CURLE_WRITE_ERROR. */
static size_t
on_data(char *data, size_t one, size_t size, void *arg)
{
	struct fetch *fetch = arg;
	uint64_t limit = fetch->request.limit_bytes;

	(void)one;
	fetch->arrived_ms = now_ms();
	if (fetch->cancelled)
		return CURL_WRITEFUNC_ERROR;
	if (limit && part_file_bytes(fetch->file) + size > limit) {
		vn_fail(&fetch->err, VN_E_LIMIT, "%s is larger than %llu bytes", fetch->shown_url,
			(unsigned long long)limit);
		return CURL_WRITEFUNC_ERROR;
	}
	if (part_file_write(fetch->file, data, size, &fetch->err) < 0)
		return CURL_WRITEFUNC_ERROR;
	tell_progress(fetch, PROGRESS_STEP);
	return size;
}

static void
finish_transfer(struct fetch *fetch, CURLcode result)
{
	const struct watch_ops *watch = fetch->fetcher->watch;
	struct vn_error err = fetch->err;

	if (fetch->cancelled) {
		end_cancelled(fetch);
	} else if (result != CURLE_OK) {
		if (err.code == VN_OK)
			vn_fail_curl(&err, fetch, result);
		end_failed(fetch, &err);
	} else {
		tell_progress(fetch, 1);
		drop_transfer(fetch);
		watch->remove(watch->loop, fetch->wake);
		fetch->wake = NULL;
		if (part_file_finish(fetch->file, on_synced, fetch, &err) < 0)
			end_failed(fetch, &err);
	}
}

/* Ends every transfer that curl is done with. */
static void
finish_ready(struct curl_fetcher *fetcher)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(fetcher->multi, &left))) {
		CURLcode result = message->data.result;
		char *fetch = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
		finish_transfer((struct fetch *)(void *)fetch, result);
	}
}

static void
on_ready(int fd, unsigned what, void *arg)
{
	struct socket_watch *socket_watch = arg;
	struct curl_fetcher *fetcher = socket_watch->fetcher;
	int ready = (what & WATCH_READ ? CURL_CSELECT_IN : 0)
		    | (what & WATCH_WRITE ? CURL_CSELECT_OUT : 0), running;

	curl_multi_socket_action(fetcher->multi, fd, ready, &running);
	finish_ready(fetcher);
}

static void
on_timer(void *arg)
{
	struct curl_fetcher *fetcher = arg;
	int running;

	fetcher->watch->remove(fetcher->watch->loop, fetcher->timer);
	fetcher->timer = NULL;
	curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_ready(fetcher);
}

/* curl wants to wait for other things on a socket: its old watch goes, a new one comes. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct curl_fetcher *fetcher = arg;
	struct socket_watch *socket_watch = socket_arg;
	const struct watch_ops *watch = fetcher->watch;
	unsigned wanted = (what & CURL_POLL_IN ? WATCH_READ : 0)
			  | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);

	(void)easy;
	if (socket_watch)
		watch->remove(watch->loop, socket_watch->watch);
	if (what == CURL_POLL_REMOVE) {
		free(socket_watch);
		curl_multi_assign(fetcher->multi, fd, NULL);
		return 0;
	}
	if (!socket_watch) {
		socket_watch = vn_alloc(sizeof(*socket_watch));
		socket_watch->fetcher = fetcher;
		curl_multi_assign(fetcher->multi, fd, socket_watch);
	}
	socket_watch->watch = watch->add_fd(watch->loop, fd, wanted, on_ready, socket_watch);
	return 0;
}

static int
on_timeout_change(CURLM *multi, long after_ms, void *arg)
{
	struct curl_fetcher *fetcher = arg;
	const struct watch_ops *watch = fetcher->watch;

	(void)multi;
	watch->remove(watch->loop, fetcher->timer);
	fetcher->timer = after_ms < 0 ? NULL
			 : watch->add_timer(watch->loop, (unsigned)after_ms, on_timer, fetcher);
	return 0;
}

/* ---- start, stall, cancel -------------------------------------------------------------------- */

static void on_wake(void *arg);

static void
wake_after(struct fetch *fetch, unsigned after_ms)
{
	const struct watch_ops *watch = fetch->fetcher->watch;

	watch->remove(watch->loop, fetch->wake);
	fetch->wake = watch->add_timer(watch->loop, after_ms, on_wake, fetch);
}

/* A cancel is due, or it is time to see whether anything has arrived lately. */
static void
on_wake(void *arg)
{
	struct fetch *fetch = arg;
	uint64_t silent_ms = now_ms() - fetch->arrived_ms;
	struct vn_error err;

	if (fetch->cancelled) {
		end_cancelled(fetch);
	} else if (silent_ms >= fetch->request.stall_ms) {
		vn_fail(&err, VN_E_TIMEOUT, "nothing arrived from %s for %u ms", fetch->shown_url,
			fetch->request.stall_ms);
		end_failed(fetch, &err);
	} else {
		wake_after(fetch, fetch->request.stall_ms - (unsigned)silent_ms);
	}
}

/* Writes the URL as it may be shown and logged: without user, password, query and fragment. */
static int
check_url(const char *text, char **ret_shown, struct vn_error *err)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *shown = NULL;
	bool is_good;

	if (!url)
		abort();
	is_good = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK
		  && curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
		  && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
	curl_url_set(url, CURLUPART_USER, NULL, 0);
	curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
	curl_url_set(url, CURLUPART_QUERY, NULL, 0);
	curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
	if (is_good && curl_url_get(url, CURLUPART_URL, &shown, 0) == CURLUE_OK)
		*ret_shown = vn_strdup(shown);
	is_good = is_good && shown;
	curl_free(scheme);
	curl_free(shown);
	curl_url_cleanup(url);
	return is_good ? 0 : vn_fail(err, VN_E_INVALID, "the URL is not of the form "
				     "http://host/path or https://host/path");
}

static int
set_options(struct fetch *fetch, const char *url)
{
	CURL *easy = fetch->easy;
	curl_off_t limit = (curl_off_t)fetch->request.limit_bytes;

	if (curl_easy_setopt(easy, CURLOPT_URL, url)
	    || curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, limit)
	    || curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https")
	    || curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
	    || curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L)
	    || curl_easy_setopt(easy, CURLOPT_MAXREDIRS, MAX_REDIRECTS)
	    || curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L)
	    || curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L)
	    || curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS)
	    || curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, CHUNK_SIZE)
	    || curl_easy_setopt(easy, CURLOPT_USERAGENT, "vnoded")
	    || curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->reason)
	    || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data)
	    || curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch)
	    || curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch))
		return -1;
	return 0;
}

static struct fetch *
fetch_new(struct curl_fetcher *fetcher, const struct fetch_request *request)
{
	struct fetch *fetch = vn_alloc(sizeof(*fetch));

	fetch->fetcher = fetcher;
	fetch->request = *request;
	fetch->request.url = fetch->request.path = NULL;
	fetch->arrived_ms = now_ms();
	vn_list_append(&fetcher->fetches, &fetch->link);
	return fetch;
}

static int
begin(struct fetch *fetch, const struct fetch_request *request, struct vn_error *err)
{
	if (check_url(request->url, &fetch->shown_url, err) < 0
	    || part_file_open(fetch->fetcher->watch, request->path, &fetch->file, err) < 0)
		return -1;
	fetch->easy = curl_easy_init();
	if (!fetch->easy)
		abort();
	if (set_options(fetch, request->url) < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "this libcurl is too old or built without "
			       "http");
	/* Only sets curl's timer: nothing happens before the loop turns. */
	if (curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) != CURLM_OK)
		return vn_fail(err, VN_E_BACKEND, "libcurl takes no more transfers");
	if (request->stall_ms)
		wake_after(fetch, request->stall_ms);
	return 0;
}

static int
curl_start(struct fetcher *self, const struct fetch_request *request, struct fetch **ret,
	   struct vn_error *err)
{
	struct fetch *fetch = fetch_new(vn_container_of(self, struct curl_fetcher, base), request);

	if (begin(fetch, request, err) < 0) {
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
	/* Once the transfer is over the end of the sync is near, and sees to it. */
	if (fetch->easy)
		wake_after(fetch, 0);
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
	fetcher->multi = curl_multi_init();
	if (!fetcher->multi)
		abort();
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
	*ret = &fetcher->base;
	return 0;
}

/* Downloads under way are dropped with their files, and without on_end: the loop has ended. */
static void
curl_close(struct fetcher *self)
{
	struct curl_fetcher *fetcher;

	if (!self)
		return;
	fetcher = vn_container_of(self, struct curl_fetcher, base);
	vn_list_each_safe(struct fetch, fetch, &fetcher->fetches, link)
		fetch_free(fetch);
	curl_multi_cleanup(fetcher->multi);
	fetcher->watch->remove(fetcher->watch->loop, fetcher->timer);
	free(fetcher);
	curl_global_cleanup();
}

const struct fetch_ops fetch_curl = {
	.open = curl_open,
	.close = curl_close,
	.start = curl_start,
	.cancel = curl_cancel,
};
