#pragma once
/* One attempt to fetch a file, or the rest of it: one transfer of curl's. Thread: loop. */

#include "backends/disk/fetch_answer.h"
#include "backends/disk/fetch_loop.h"
#include "backends/disk/part_file.h"

struct attempt {
	/* set by the caller, borrowed */
	const struct fetch_request *request;	/* its limits */
	const char *url, *shown_url;		/* the second without user, password and query */
	struct part_file *file;
	bool (*on_bytes)(void *arg);		/* some were written; false: that is enough */
	void *arg;			/* also what the transfer has as its CURLINFO_PRIVATE */

	/* what became of it */
	CURL *easy;			/* NULL between attempts */
	uint64_t offset;		/* where it begins in the file */
	uint64_t total;			/* bytes of the whole file; 0 = unknown */
	bool resumed;			/* the server said that the part is one of its file */
	bool is_stale;			/* … or that it is not: the next attempt must begin anew */

	/* its own */
	struct curl_slist *header;
	struct fetch_answer answer;
	bool is_accepted;		/* the answer's body may be written */
	struct vn_error err;		/* what was refused of the answer; code VN_OK: nothing */
	char reason[CURL_ERROR_SIZE];
};

/* Begins: asks for what is missing of a part whose origin is known, else for all. */
int attempt_begin(struct attempt *attempt, struct fetch_loop *loop, struct vn_error *err);

/* Ends it where it is; nothing to end is fine. */
void attempt_end(struct attempt *attempt, struct fetch_loop *loop);

/*
 * What curl's outcome means.
 *
 * Returns: 0 all of the file is there; -1 with err, *ret_passes whether another attempt may have more
 *          luck, and *ret_asked_s how long the server wants to be left alone before.
 */
int attempt_judge(struct attempt *attempt, CURLcode result, bool *ret_passes, uint64_t *ret_asked_s,
		  struct vn_error *err);
