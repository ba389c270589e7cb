#pragma once
/* One download at a time, into a folder of the test's own, and what was told of it. Shared by check_fetch*.c. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/digest.h"
#include "backends/fetch.h"

/* Each test has them afresh. */
extern char folder[64], file[96];	/* file: where the download goes to; its parts lie beside it */
extern struct mini_loop *loop;
extern struct fetcher *fetcher;
extern struct fetch *fetch;
extern struct vn_error err;		/* why a fetch could not be started */

/* What fetches are started with; a test may change it. */
extern struct fetch_request preset;

/* What was told of the last fetch. */
extern struct outcome {
	bool done, cancel_on_progress;
	unsigned ends, progress_calls, retries, waited_ms;
	uint64_t bytes, progress, total;
	bool resumed;
	char sha256[DIGEST_TEXT];
	struct vn_error err;
} outcome;

void set_up(void);
void tear_down(void);

/* Returns what the backend does, with `err`. */
int start_url(const char *url, uint64_t limit, unsigned stall_ms);
/* From the server, with a user, a password and a token, which must not be told. */
void start(const char *path, uint64_t limit, unsigned stall_ms);

/* Runs to the end, and nothing may come after it. */
void finish(void);
/* Runs to an end that is an error with that text, and leaves no file. */
void assert_failed(enum vn_code code, const char *text);
/* Runs to the end; the file is the whole body. */
void assert_fetched(void);

/* The path of the file with that ending; valid until the call after the next. */
const char *beside(const char *ending);
size_t count_files(void);
