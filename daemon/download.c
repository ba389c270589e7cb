/*
 * What surprises: a download that its last job has left is being cancelled for a moment, and someone may
 * join it meanwhile. It then begins again when the fetcher has let go.
 *
 * A part may be gone on with that is not what it seems: a server can give two files one validator, and a
 * power cut can spoil what lies on the disk. Where somebody knows the digest and it differs, the whole is
 * fetched once more before anyone is told.
 */
#include "daemon/download.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"
#include "daemon/log.h"
#include "daemon/model.h"

struct download {
	struct daemon *daemon;
	char *url, *path;
	uint64_t limit_bytes;
	const char *limit_name;
	struct fetch *fetch;		/* NULL: not under way */
	struct fetch_result result;	/* of a file that is there */
	bool is_there, is_cancelled, is_second;
	struct vn_list waits;		/* of struct download_wait */
	struct vn_list link;
};

static void
download_free(struct download *download)
{
	vn_list_remove(&download->link);
	free(download->url);
	free(download->path);
	free(download);
}

/* Nothing of it is to be used by a later fetch either. */
static void
remove_files(const struct download *download)
{
	vn_autofree char *origin = vn_format("%s.origin", download->path);

	unlink(download->path);
	unlink(origin);
}

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct download *download = arg;

	vn_list_each(struct download_wait, wait, &download->waits, link) {
		struct job *job = job_find(download->daemon, wait->job);
		bool is_shown = job && total && job->bytes_total == total
				&& done * 20 / total == job->bytes_done * 20 / total;

		if (!job)
			continue;
		job->bytes_done = done;
		job->bytes_total = total;
		if (!is_shown && total)
			job_announce(job);
	}
}

static void
on_retry(void *arg, const struct vn_error *why, unsigned after_ms)
{
	const struct download *download = arg;

	(void)download;
	vn_log_info("image", "%s; trying again in %u ms", why->text, after_ms);
}

static bool
is_wanted(const struct download *download, const char *sha256)
{
	bool is_known = false;

	vn_list_each(struct download_wait, wait, &download->waits, link) {
		if (strcmp(wait->sha256, sha256) == 0)
			return true;
		is_known = is_known || wait->sha256[0];
	}
	return !is_known;
}

static int begin(struct download *download, struct vn_error *err);

/* Everyone is told, and a download that failed is no more. */
static void
tell(struct download *download, const struct vn_error *err)
{
	struct daemon *daemon = download->daemon;

	vn_list_each_safe(struct download_wait, wait, &download->waits, link) {
		wait->result = download->result;
		if (err) {
			vn_list_remove(&wait->link);
			wait->download = NULL;
		}
		job_resume(daemon, wait->ticket, err);
	}
	if (err)
		download_free(download);
}

static void
begin_again(struct download *download)
{
	struct vn_error err;

	if (begin(download, &err) < 0)
		tell(download, &err);
}

static void
on_end(void *arg, const struct fetch_result *result, const struct vn_error *err)
{
	struct download *download = arg;

	download->fetch = NULL;
	if (vn_list_is_empty(&download->waits)) {
		if (!err)
			remove_files(download);
		download_free(download);
	} else if (download->is_cancelled) {
		begin_again(download);
	} else if (err) {
		tell(download, err);
	} else if (result->resumed && !download->is_second
		   && !is_wanted(download, result->sha256)) {
		vn_log_warning("image", "%s: what was gone on with has another digest than expected; "
			       "fetching it whole", download->path);
		remove_files(download);
		download->is_second = true;
		begin_again(download);
	} else {
		download->result = *result;
		download->is_there = true;
		tell(download, NULL);
	}
}

static int
begin(struct download *download, struct vn_error *err)
{
	const struct config *config = &download->daemon->config;
	struct fetcher *fetcher = download->daemon->fetcher;
	struct fetch_request request = {
		.url = download->url, .path = download->path,
		.limit_bytes = download->limit_bytes, .limit_name = download->limit_name,
		.is_checked = !is_wanted(download, "-"),
		.stall_ms = (unsigned)(config->image_stall_ns / 1000000),
		.slowest_bytes = config->image_slowest_bytes,
		.retries = (unsigned)config->image_retries,
		.retry_ms = (unsigned)(config->image_retry_wait_ns / 1000000),
		.arg = download, .on_progress = on_progress, .on_retry = on_retry, .on_end = on_end,
	};

	download->is_cancelled = false;
	return fetcher->ops->start(fetcher, &request, &download->fetch, err);
}

static struct download *
find(const struct daemon *daemon, const char *url)
{
	vn_list_each(struct download, download, &daemon->model->downloads, link)
		if (strcmp(download->url, url) == 0)
			return download;
	return NULL;
}

/* Under the name of its URL, so that whoever wants that later finds what has come. */
static char *
incoming_path(const struct daemon *daemon, const char *url)
{
	struct digest *digest = digest_new();
	char name[DIGEST_TEXT];

	digest_update(digest, url, strlen(url));
	digest_print(digest, name);
	digest_free(digest);
	return vn_format("%s/incoming/%.32s", daemon->config.state_dir, name);
}

static struct download *
download_new(struct daemon *daemon, const char *url)
{
	struct download *download = vn_alloc(sizeof(*download));

	download->daemon = daemon;
	download->url = vn_strdup(url);
	download->path = incoming_path(daemon, url);
	vn_list_init(&download->waits);
	vn_list_append(&daemon->model->downloads, &download->link);
	return download;
}

int
download_join(struct daemon *daemon, struct download_wait *wait, const char *url,
	      uint64_t limit_bytes, const char *limit_name, struct vn_error *err)
{
	struct download *download = find(daemon, url);

	wait->result = download && download->is_there ? download->result : (struct fetch_result){ 0 };
	if (download) {
		if (download->is_there)
			job_resume(daemon, wait->ticket, NULL);
	} else {
		download = download_new(daemon, url);
		download->limit_bytes = limit_bytes;
		download->limit_name = limit_name;
	}
	wait->download = download;
	vn_list_append(&download->waits, &wait->link);
	if (download->is_there || download->fetch || begin(download, err) == 0)
		return 0;
	download_forget(wait);
	return -1;
}

const char *
download_path(const struct download_wait *wait)
{
	return wait->download->path;
}

void
download_leave(struct download_wait *wait)
{
	struct download *download = wait->download;

	if (!download)
		return;
	vn_list_remove(&wait->link);
	wait->download = NULL;
	if (!vn_list_is_empty(&download->waits))
		return;
	if (download->fetch) {
		download->is_cancelled = true;
		download->daemon->fetcher->ops->cancel(download->daemon->fetcher, download->fetch);
	} else {
		remove_files(download);
		download_free(download);
	}
}

void
download_forget(struct download_wait *wait)
{
	struct download *download = wait->download;

	if (!download)
		return;
	vn_list_remove(&wait->link);
	wait->download = NULL;
	if (vn_list_is_empty(&download->waits) && !download->fetch)
		download_free(download);
}

void
downloads_close(struct model *model)
{
	vn_list_each_safe(struct download, download, &model->downloads, link)
		download_free(download);
}
