#pragma once
/* All transfers of a fetcher on the daemon's loop. Thread: loop. */

#include <curl/curl.h>

#include "backends/backend.h"

struct fetch_loop;
/* A transfer has ended; it may be removed and freed in here. */
typedef void fetch_done_fn(CURL *easy, CURLcode result);

struct fetch_loop *fetch_loop_new(const struct watch_ops *watch, fetch_done_fn *on_done);
void fetch_loop_free(struct fetch_loop *loop);	/* all transfers have been removed */

int fetch_loop_add(struct fetch_loop *loop, CURL *easy, struct vn_error *err);
void fetch_loop_remove(struct fetch_loop *loop, CURL *easy);
