/*
 * Exits. The pidfd of vnode-init tells, half a millisecond after the end, and vnode-init has written
 * the cause before; libvirt's event, 200 ms later, only makes us look again.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "backends/libvirt/lxc.h"
#include "backends/libvirt/process.h"
#include "backends/libvirt/vnode-init/wire.h"
#include "proto/base/mem.h"

static const struct {
	const char *word;
	enum exit_cause cause;
	bool has_code, has_signal;
} causes[] = {
	{ WIRE_STATUS_EXITED,	 EXIT_EXITED,	 true,	false },
	{ WIRE_STATUS_SIGNALLED, EXIT_SIGNALLED, false, true  },
	{ WIRE_STATUS_KILLED,	 EXIT_KILLED,	 false, true  },
	{ WIRE_STATUS_OOM,	 EXIT_OOM,	 false, false },
	{ WIRE_STATUS_REBOOT,	 EXIT_REBOOT,	 false, false },
	{ WIRE_STATUS_POWEROFF,	 EXIT_POWEROFF,	 false, false },
	/* vnode-init itself had no time to write: only SIGKILL does that to it. */
	{ WIRE_STATUS_RUNNING,	 EXIT_KILLED,	 false, true  },
};

static struct guest_exit
read_exit(const char *dir)
{
	vn_autofree char *path = vn_format("%s/status", dir);
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	char line[WIRE_STATUS_SIZE + 1] = "", word[WIRE_STATUS_SIZE + 1];
	int number;

	if (fd < 0 || read(fd, line, WIRE_STATUS_SIZE) <= 0 ||
	    sscanf(line, "%32s %d", word, &number) != 2)
		return (struct guest_exit){ .cause = EXIT_UNKNOWN };
	for (size_t i = 0; i < VN_COUNT(causes); i++)
		if (!strcmp(causes[i].word, word))
			return (struct guest_exit){
				.cause = causes[i].cause,
				.code = causes[i].has_code ? number : 0,
				.signal = !causes[i].has_signal ? 0 : number ? number : SIGKILL,
			};
	return (struct guest_exit){ .cause = EXIT_UNKNOWN };
}

static void
watch_free(struct lxc_watch *watch)
{
	const struct watch_ops *ops = watch->lxc->env->watch;

	ops->remove(ops->loop, watch->watch);
	vn_list_remove(&watch->link);
	if (watch->pidfd >= 0)
		close(watch->pidfd);
	free(watch->domain);
	free(watch->dir);
	free(watch);
}

/* The watch is over before the daemon hears of it: it may watch anew from inside. */
static void
settle(struct lxc_watch *watch)
{
	struct lxc *lxc = watch->lxc;
	struct guest_exit exit = read_exit(watch->dir);
	char uuid[VN_UUID_TEXT];

	memcpy(uuid, watch->uuid, sizeof(uuid));
	watch_free(watch);
	lxc->events.on_exit(lxc->events.arg, uuid, &exit);
}

static void
on_ended(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	settle(arg);
}

static void
on_late(void *arg)
{
	settle(arg);
}

static struct lxc_watch *
find(struct lxc *lxc, const char *uuid)
{
	vn_list_each(struct lxc_watch, watch, &lxc->watches, link)
		if (!strcmp(watch->uuid, uuid))
			return watch;
	return NULL;
}

struct lxc_watch *
lxc_watch_find(struct lxc *lxc, const struct guest_id *id)
{
	vn_list_each(struct lxc_watch, watch, &lxc->watches, link)
		if (watch->id.init == id->init && watch->id.init_start == id->init_start)
			return watch;
	return NULL;
}

int
lxc_watch(struct compute *self, const char *domain, const char *uuid, const char *dir,
	  const struct guest_id *id, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	const struct watch_ops *ops = lxc->env->watch;
	struct lxc_watch *watch;

	(void)err;
	lxc_unwatch(self, uuid);
	watch = vn_alloc(sizeof(*watch));
	watch->lxc = lxc;
	snprintf(watch->uuid, sizeof(watch->uuid), "%s", uuid);
	watch->domain = vn_strdup(domain);
	watch->dir = vn_strdup(dir);
	watch->id = *id;
	watch->pidfd = process_open(id->init, id->init_start);
	if (watch->pidfd >= 0)
		watch->watch = ops->add_fd(ops->loop, watch->pidfd, WATCH_READ, on_ended, watch);
	else
		watch->watch = ops->add_timer(ops->loop, 0, on_late, watch);
	vn_list_init(&watch->link);
	vn_list_append(&lxc->watches, &watch->link);
	return 0;
}

void
lxc_unwatch(struct compute *self, const char *uuid)
{
	struct lxc_watch *watch = find((struct lxc *)self, uuid);

	if (watch)
		watch_free(watch);
}

void
lxc_watch_on_stopped(void *arg, const char *uuid)
{
	struct lxc *lxc = arg;
	struct lxc_watch *watch = find(lxc, uuid);

	if (watch && !lxc_is_alive(&lxc->base, &watch->id))
		settle(watch);
}

void
lxc_watch_close(struct lxc *lxc)
{
	vn_list_each_safe(struct lxc_watch, watch, &lxc->watches, link)
		watch_free(watch);
}
