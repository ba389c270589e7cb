#pragma once
/* Downloads. See backends/backend.h. */

#include <stdbool.h>
#include <stdint.h>

#include "backends/env.h"
#include "proto/base/error.h"

struct fetch;

struct fetch_result {
	char sha256[65];		/* of what was written; "" on failure */
	uint64_t bytes;
	bool resumed;			/* part of it came before, and the server vouched for it */
};

struct fetch_request {
	const char *url;		/* http:// or https:// */
	/*
	 * File to write; replaced if there, and there only when it is whole. Until then it is <path>.part,
	 * and <path>.origin says of what: where the server gave a validator they stay on failure, on
	 * cancel and when we are killed, and a later fetch of that URL to that path goes on from there.
	 */
	const char *path;
	uint64_t limit_bytes;
	const char *limit_name;		/* where the limit comes from, for the error; NULL: not told */
	bool is_checked;		/* the caller compares the digest */
	unsigned stall_ms;		/* an attempt fails when nothing arrives for so long, */
	uint64_t slowest_bytes;		/* … or fewer a second over such a time; 0 = no matter */
	unsigned retries;		/* attempts after a failed one that may pass */
	unsigned retry_ms;		/* before the first of them; doubles */
	void *arg;
	void (*on_progress)(void *arg, uint64_t done, uint64_t total);	/* total 0 = unknown */
	void (*on_retry)(void *arg, const struct vn_error *why, unsigned after_ms);	/* or NULL */
	/* Once, on the loop; err NULL: whole. */
	void (*on_end)(void *arg, const struct fetch_result *result, const struct vn_error *err);
};

struct fetcher;				/* all downloads of a daemon: one curl multi handle on the loop */
struct fetch_ops {
	int (*open)(const struct backend_env *env, struct fetcher **ret, struct vn_error *err);
	void (*close)(struct fetcher *self);
	/* loop. */
	int (*start)(struct fetcher *self, const struct fetch_request *request, struct fetch **ret,
		     struct vn_error *err);
	/* loop: on_end follows with VN_E_CANCELLED. */
	void (*cancel)(struct fetcher *self, struct fetch *fetch);
};

struct fetcher {
	const struct fetch_ops *ops;
};
