#pragma once
/*
 * A small loop on poll(2) for tests of backends: the same struct watch_ops that the daemon hands out,
 * without libevent. Everything but post() belongs to the thread that runs the loop.
 */

#include <stdbool.h>
#include <stddef.h>

#include "backends/backend.h"

struct mini_loop;

struct mini_loop *mini_loop_new(void);
/* Posted calls that never ran are dropped; watches must have been removed (asserted). */
void mini_loop_free(struct mini_loop *loop);

/* What a backend is opened with; borrowed from the loop. */
const struct watch_ops *mini_loop_ops(struct mini_loop *loop);

/*
 * Runs callbacks until *done is true.
 *
 * limit_ms: gives up after so long without *done; a net for broken code, not a measure.
 * Returns:  whether *done became true.
 */
bool mini_loop_run(struct mini_loop *loop, const bool *done, unsigned limit_ms);

/* Descriptors and timers registered now; 0 when a backend has cleaned up after itself. */
size_t mini_loop_watches(const struct mini_loop *loop);
