/*
 * systemd's side: the only file that includes its library. The watchdog is fed by a timer of the
 * loop, so that a loop that hangs is not fed. The environment that systemd gave is left as it is:
 * the library unsets nothing here, and children that vnoded starts get an environment of their own.
 */
#include "daemon/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "proto/base/mem.h"

struct notify {
	struct loop *loop;
	struct watch *timer;		/* NULL: no watchdog */
	uint64_t feed_ms;
};

static void
feed(void *arg)
{
	struct notify *notify = arg;

	sd_notify(0, "WATCHDOG=1");
	loop_remove(notify->timer);
	notify->timer = loop_add_timer(notify->loop, notify->feed_ms, feed, notify);
}

struct notify *
notify_open(struct loop *loop)
{
	struct notify *notify = vn_alloc(sizeof(*notify));
	uint64_t limit_us = 0;

	notify->loop = loop;
	if (sd_watchdog_enabled(0, &limit_us) <= 0)
		return notify;
	notify->feed_ms = limit_us / 3000 > 0 ? limit_us / 3000 : 1;
	notify->timer = loop_add_timer(loop, notify->feed_ms, feed, notify);
	return notify;
}

void
notify_close(struct notify *notify)
{
	if (!notify)
		return;
	loop_remove(notify->timer);
	free(notify);
}

void
notify_ready(struct notify *notify)
{
	(void)notify;
	sd_notify(0, "READY=1");
}

void
notify_status(struct notify *notify, const char *format, ...)
{
	char text[512];
	va_list args;

	(void)notify;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sd_notifyf(0, "STATUS=%s", text);
}

/* systemd orders a reload by the monotonic time at which it began. */
void
notify_reloading(struct notify *notify)
{
	struct timespec now;

	(void)notify;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%ju",
		   (uintmax_t)now.tv_sec * 1000000 + (uintmax_t)now.tv_nsec / 1000);
}

void
notify_stopping(struct notify *notify)
{
	(void)notify;
	sd_notify(0, "STOPPING=1");
}

int
notify_listen_fd(void)
{
	int count = sd_listen_fds(0);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; fd++)
		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
			return fd;
	return -1;
}
