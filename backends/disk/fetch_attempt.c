/*
 * One transfer, and the judgement of what a server says. The surprise: nothing of a body is written
 * before accept_answer() has found out where it belongs. A server may answer a request for the rest with
 * the whole file, with another range, or with a range of another file; only the rest of the same file is
 * added to a part.
 */
#include "backends/disk/fetch_attempt.h"

#include <string.h>

#include "proto/base/mem.h"

#define MAX_REDIRECTS 5L
#define CONNECT_MS    30000L
#define CHUNK_SIZE    65536L		/* what part_file is given at once, at most */

/* ---- what curl's outcome means --------------------------------------------------------------- */

static const struct {
	long status;
	enum vn_code code;
	bool may_pass;
} statuses[] = {
	{ 401, VN_E_DENIED, false },    { 403, VN_E_DENIED, false },
	{ 404, VN_E_NOT_FOUND, false }, { 410, VN_E_NOT_FOUND, false },
	{ 408, VN_E_BACKEND, true },    { 425, VN_E_BACKEND, true },
	{ 429, VN_E_BACKEND, true },    { 500, VN_E_BACKEND, true },
	{ 502, VN_E_BACKEND, true },    { 503, VN_E_BACKEND, true },
	{ 504, VN_E_BACKEND, true },
};

static const CURLcode passing[] = {
	CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT,
	CURLE_PARTIAL_FILE, CURLE_OPERATION_TIMEDOUT, CURLE_SSL_CONNECT_ERROR, CURLE_GOT_NOTHING,
	CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_AGAIN, CURLE_HTTP2, CURLE_HTTP2_STREAM,
};

static bool
may_pass(CURLcode result)
{
	for (size_t i = 0; i < VN_COUNT(passing); i++)
		if (passing[i] == result)
			return true;
	return false;
}

static long
status_of(const struct attempt *attempt)
{
	long status = 0;

	curl_easy_getinfo(attempt->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/* Sets *err for an HTTP status that is none of success. Returns: whether it may pass. */
static bool
fail_status(struct attempt *attempt, long status, struct vn_error *err)
{
	enum vn_code code = VN_E_BACKEND;
	bool passes = false;

	for (size_t i = 0; i < VN_COUNT(statuses); i++)
		if (statuses[i].status == status) {
			code = statuses[i].code;
			passes = statuses[i].may_pass;
		}
	/* "Range not satisfiable": the file has become shorter than our part. */
	attempt->is_stale = status == 416 && attempt->offset > 0;
	vn_fail(err, code, "the server answered %ld for %s", status, attempt->shown_url);
	return passes || attempt->is_stale;
}

static int
fail_size(const struct attempt *attempt, struct vn_error *err)
{
	return vn_fail(err, VN_E_LIMIT, "%s is larger than %llu bytes%s%s", attempt->shown_url,
		       (unsigned long long)attempt->request->limit_bytes,
		       attempt->request->limit_name ? ", which is all that is left of " : "",
		       attempt->request->limit_name ? attempt->request->limit_name : "");
}

/* Sets *err from the outcome of a transfer. Returns: whether it may pass. */
static bool
fail_curl(struct attempt *attempt, CURLcode result, struct vn_error *err)
{
	const char *reason = attempt->reason[0] ? attempt->reason : curl_easy_strerror(result);

	if (result == CURLE_HTTP_RETURNED_ERROR)
		return fail_status(attempt, status_of(attempt), err);
	if (result == CURLE_FILESIZE_EXCEEDED)
		return fail_size(attempt, err) == 0;
	vn_fail(err, result == CURLE_OPERATION_TIMEDOUT ? VN_E_TIMEOUT : VN_E_BACKEND, "fetch %s: %s",
		attempt->shown_url, reason);
	err->sys = (int)result;
	return may_pass(result);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* What was asked for, of the file that the part is of. */
static bool
is_right_range(const struct attempt *attempt)
{
	const struct part_origin *origin = part_file_origin(attempt->file);
	const struct fetch_answer *answer = &attempt->answer;

	return origin && answer->has_range && answer->first == attempt->offset
	       && (!origin->total || !answer->origin.total || origin->total == answer->origin.total)
	       && (!answer->origin.etag[0] || !origin->etag[0]
		   || !strcmp(answer->origin.etag, origin->etag));
}

static int
accept_range(struct attempt *attempt, struct vn_error *err)
{
	const struct part_origin *origin = part_file_origin(attempt->file);

	if (attempt->offset == 0)
		return vn_fail(err, VN_E_BACKEND, "the server sends a part of %s that nobody asked for",
			       attempt->shown_url);
	attempt->is_stale = !is_right_range(attempt);
	if (attempt->is_stale)
		return vn_fail(err, VN_E_BACKEND, "the server sends another part of %s than was asked "
			       "for", attempt->shown_url);
	attempt->total = origin->total ? origin->total : attempt->answer.origin.total;
	attempt->resumed = true;
	return 0;
}

static int
accept_whole(struct attempt *attempt, struct vn_error *err)
{
	struct part_origin origin = attempt->answer.origin;
	curl_off_t length = -1;

	curl_easy_getinfo(attempt->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	attempt->total = origin.total = length > 0 ? (uint64_t)length : 0;
	attempt->offset = 0;
	attempt->resumed = false;
	return part_file_restart(attempt->file, &origin, err);
}

/* Decides once, before the first byte of a body is written, where it belongs. */
static int
accept_answer(struct attempt *attempt, struct vn_error *err)
{
	uint64_t limit = attempt->request->limit_bytes;
	long status = status_of(attempt);

	attempt->is_accepted = true;
	fetch_answer_end(&attempt->answer);
	if (status != 200 && status != 206) {
		fail_status(attempt, status, err);
		return -1;
	}
	if ((status == 206 ? accept_range : accept_whole)(attempt, err) < 0)
		return -1;
	return limit && attempt->total > limit ? fail_size(attempt, err) : 0;
}

static size_t
on_header(char *line, size_t one, size_t size, void *arg)
{
	struct attempt *attempt = arg;

	(void)one;
	fetch_answer_line(&attempt->answer, line, size);
	return size;
}

static int
take_data(struct attempt *attempt, const char *data, size_t size, struct vn_error *err)
{
	uint64_t limit = attempt->request->limit_bytes, after;

	if (!attempt->is_accepted && accept_answer(attempt, err) < 0)
		return -1;
	after = part_file_bytes(attempt->file) + size;
	if (limit && after > limit)
		return fail_size(attempt, err);
	attempt->is_stale = attempt->total && after > attempt->total;
	if (attempt->is_stale)
		return vn_fail(err, VN_E_BACKEND, "the server sends more of %s than it announced",
			       attempt->shown_url);
	return part_file_write(attempt->file, data, size, err);
}

/* Anything but `size` makes curl end the transfer with CURLE_WRITE_ERROR. */
static size_t
on_data(char *data, size_t one, size_t size, void *arg)
{
	struct attempt *attempt = arg;

	(void)one;
	if (take_data(attempt, data, size, &attempt->err) < 0 || !attempt->on_bytes(attempt->arg))
		return CURL_WRITEFUNC_ERROR;
	return size;
}

/* ---- an attempt ------------------------------------------------------------------------------ */

int
attempt_judge(struct attempt *attempt, CURLcode result, bool *ret_passes, uint64_t *ret_asked_s,
	      struct vn_error *err)
{
	curl_off_t asked_s = 0;
	uint64_t bytes;

	curl_easy_getinfo(attempt->easy, CURLINFO_RETRY_AFTER, &asked_s);
	*ret_asked_s = asked_s > 0 ? (uint64_t)asked_s : 0;
	if (attempt->err.code == VN_OK && result == CURLE_OK && !attempt->is_accepted)
		accept_answer(attempt, &attempt->err);
	if (attempt->err.code != VN_OK) {
		*err = attempt->err;
		*ret_passes = attempt->is_stale;
		return -1;
	}
	bytes = part_file_bytes(attempt->file);
	if (attempt->total && bytes == attempt->total)
		return 0;
	if (result != CURLE_OK) {
		*ret_passes = fail_curl(attempt, result, err);
		return -1;
	}
	*ret_passes = true;
	return !attempt->total ? 0
	       : vn_fail(err, VN_E_BACKEND, "%s ended after %llu of %llu bytes", attempt->shown_url,
			 (unsigned long long)bytes, (unsigned long long)attempt->total);
}

/* Asks for what is missing of the same file, and for all of any other. */
static int
ask_for_rest(struct attempt *attempt)
{
	const struct part_origin *origin = part_file_origin(attempt->file);
	vn_autofree char *range = NULL, *condition = NULL;

	attempt->offset = origin ? part_file_bytes(attempt->file) : 0;
	if (!attempt->offset)
		return 0;
	range = vn_format("%llu-", (unsigned long long)attempt->offset);
	condition = vn_format("If-Range: %s", origin->etag[0] ? origin->etag : origin->modified);
	attempt->header = curl_slist_append(NULL, condition);
	if (!attempt->header)
		abort();
	return curl_easy_setopt(attempt->easy, CURLOPT_RANGE, range)
	       || curl_easy_setopt(attempt->easy, CURLOPT_HTTPHEADER, attempt->header) ? -1 : 0;
}

static int
set_options(struct attempt *attempt)
{
	CURL *easy = attempt->easy;
	curl_off_t limit = (curl_off_t)attempt->request->limit_bytes;

	if (curl_easy_setopt(easy, CURLOPT_URL, attempt->url)
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
	    || curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, attempt->reason)
	    || curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header)
	    || curl_easy_setopt(easy, CURLOPT_HEADERDATA, attempt)
	    || curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data)
	    || curl_easy_setopt(easy, CURLOPT_WRITEDATA, attempt)
	    || curl_easy_setopt(easy, CURLOPT_PRIVATE, attempt->arg))
		return -1;
	return ask_for_rest(attempt);
}

int
attempt_begin(struct attempt *attempt, struct fetch_loop *loop, struct vn_error *err)
{
	attempt->easy = curl_easy_init();
	if (!attempt->easy)
		abort();
	attempt->answer = (struct fetch_answer){ 0 };
	attempt->is_accepted = attempt->is_stale = false;
	attempt->total = 0;
	attempt->err.code = VN_OK;
	attempt->reason[0] = '\0';
	if (set_options(attempt) < 0)
		return vn_fail(err, VN_E_UNSUPPORTED, "this libcurl is too old or built without "
			       "http");
	return fetch_loop_add(loop, attempt->easy, err);
}

void
attempt_end(struct attempt *attempt, struct fetch_loop *loop)
{
	if (!attempt->easy)
		return;
	fetch_loop_remove(loop, attempt->easy);
	curl_easy_cleanup(attempt->easy);
	curl_slist_free_all(attempt->header);
	attempt->easy = NULL;
	attempt->header = NULL;
}
