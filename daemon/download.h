#pragma once
/*
 * Downloads that jobs share: a URL is fetched once, for any number of jobs that wait for it, to
 * <state_dir>/incoming/<name of the URL>. What broke off lies there until it is gone on with or
 * incoming_sweep() finds it too old. Thread: loop.
 */

#include "backends/backend.h"
#include "daemon/daemon.h"

struct download_wait {			/* of one job; embedded, zeroed before download_join() */
	struct download *download;	/* NULL: in none */
	const char *sha256;		/* that it wants, borrowed; "" any */
	int64_t job;			/* told of progress, */
	uint64_t ticket;		/* … and resumed at the end */
	struct fetch_result result;	/* of a download that succeeded */
	struct vn_list link;
};

/*
 * Joins the download of `url`, or begins it; job_resume(wait->ticket) follows unless download_leave()
 * comes first.
 *
 * limit_bytes, limit_name: as in fetch_request, of the one who begins.
 */
int download_join(struct daemon *daemon, struct download_wait *wait, const char *url,
		  uint64_t limit_bytes, const char *limit_name, struct vn_error *err);

/* The file, once the wait has ended well; until download_leave(). */
const char *download_path(const struct download_wait *wait);

/*
 * The job needs the file no more. With the last of its jobs the file goes, or the download is
 * cancelled: then what can be gone on with stays. In no download is fine.
 */
void download_leave(struct download_wait *wait);

/* The daemon ends: forgets it and leaves the files for the next life. */
void download_forget(struct download_wait *wait);

/* Frees what is left when the daemon ends. */
void downloads_close(struct model *model);
