#pragma once
/*
 * The one idle connection and the thread that owns it: libvirt's own event loop, which libvirt needs
 * for keep-alive and events on every connection. The thread only posts to the daemon's loop.
 */

#include "backends/backend.h"

struct listener;

/* Called on the loop. */
struct listener_calls {
	void *arg;
	void (*on_link)(void *arg, bool up, const char *text);
	/* libvirt says that this domain has ended. */
	void (*on_stopped)(void *arg, const char *uuid);
};

/* Before any other libvirt call of the process. env is borrowed until listener_stop. */
struct listener *listener_start(const struct backend_env *env, const struct listener_calls *calls);
/* Returns when the thread has ended; what it had posted does nothing any more. NULL is fine. */
void listener_stop(struct listener *listener);
