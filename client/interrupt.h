#pragma once
/*
 * ^C and SIGTERM, noticed only where the client waits: the signals stay blocked except inside
 * interrupt_poll, so no signal can fall between looking and sleeping.
 */

#include <poll.h>
#include <stdbool.h>

/* From now on SIGINT, SIGTERM and SIGHUP do not end the program but make interrupt_poll return. */
void interrupt_catch(void);

/* The signal that came, 0 for none. */
int interrupt_signal(void);

/* poll(2) that a caught signal ends: returns what poll returns, or -1 with errno EINTR. */
int interrupt_poll(struct pollfd *fds, unsigned n_fds, int timeout_ms);

/* Makes interrupt_poll return on SIGWINCH as well; `interrupt_resized` reads and clears the news.
 */
void interrupt_catch_resize(void);
bool interrupt_resized(void);
