#pragma once
/* systemd: readiness, status line, watchdog fed from the loop. All do nothing without systemd. */

#include "daemon/loop.h"

struct notify;

/* Reads WATCHDOG_USEC and arms a timer at a third of it: a loop that hangs is not fed. */
struct notify *notify_open(struct loop *loop);
void notify_close(struct notify *notify);
void notify_ready(struct notify *notify);
void notify_status(struct notify *notify, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify);
/*
 * The socket that systemd listens on for us (vnoded.socket), ours to close; -1 when there is none.
 */
int notify_listen_fd(void);
