#pragma once
/*
 * The loop thread: descriptors through libevent, timers on a clock that tests can hold still, messages
 * from other threads, and work put off until the current callback has returned. All of it is also
 * offered to the backends as struct watch_ops. Thread: loop, but for loop_post.
 */

#include "backends/backend.h"

struct loop;

/* A loop on the machine's monotonic clock. Errors: VN_E_LIMIT no descriptor left. */
int loop_open(struct loop **ret, struct vn_error *err);
void loop_close(struct loop *loop);		/* what is still posted or deferred is dropped; NULL is fine */

/* The backends' view of this loop; valid until loop_close. */
const struct watch_ops *loop_watch_ops(struct loop *loop);

/* Calls fn(arg) after the current callback returned and before the loop waits again; in order. */
void loop_defer(struct loop *loop, watch_fn *fn, void *arg);
/* From any thread: calls fn(arg) on the loop thread. */
void loop_post(struct loop *loop, watch_fn *fn, void *arg);
/* Drops all that was deferred or posted with this arg; before an object is freed. */
void loop_forget(struct loop *loop, const void *arg);

/* As in struct watch_ops. */
struct watch *loop_add_fd(struct loop *loop, int fd, unsigned what, watch_fd_fn *fn, void *arg);
/* Changes what a descriptor's watch waits for; 0 = nothing for now. */
void loop_change_fd(struct watch *watch, unsigned what);
struct watch *loop_add_timer(struct loop *loop, uint64_t after_ms, watch_fn *fn, void *arg);
/*
 * Calls fn once when the machine's wall clock shows at_us (microseconds since 1970) or more. It follows the
 * clock when that is set, also over a suspend. The watch must be removed, fired or not.
 */
struct watch *loop_add_alarm(struct loop *loop, int64_t at_us, watch_fn *fn, void *arg);
void loop_remove(struct watch *watch);		/* NULL is fine */
/* Calls fn(signal as int in arg is not passed: one watch a signal) when the process gets the signal. */
struct watch *loop_add_signal(struct loop *loop, int signal, watch_fn *fn, void *arg);

/* The machine's monotonic clock, whatever a test holds: for slices of time. */
uint64_t loop_monotonic_ns(void);
/* For how long a callback with much to do may go on before others have their turn. */
#define LOOP_SLICE_NS 250000u

/* Milliseconds of the loop's clock; only differences mean anything. */
uint64_t loop_now_ms(const struct loop *loop);
/* Microseconds since 1970 on the wall clock of alarms. */
int64_t loop_wall_us(const struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/*
 * Runs deferred work, messages, ready descriptors and due timers once. wait: blocks until there is
 * something (for tests: until some thread posts); otherwise returns at once. Returns whether anything
 * ran.
 */
bool loop_run_once(struct loop *loop, bool wait);

/* For tests: from now on time stands still and only loop_clock_advance moves it, on both clocks. */
void loop_clock_hold(struct loop *loop);
void loop_clock_advance(struct loop *loop, uint64_t ms);
/* For tests, held: somebody sets the wall clock. */
void loop_wall_set(struct loop *loop, int64_t us);
