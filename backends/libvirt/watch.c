/*
 * Exits. vnode-init writes the cause as soon as the guest has ended, and inotify tells of the writing;
 * its own end, which its pidfd tells, takes some milliseconds more, since its mounts end before. libvirt's
 * event, 200 ms later, only makes us look again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "backends/libvirt/lxc.h"
#include "backends/libvirt/process.h"
#include "backends/libvirt/vnode-init/wire.h"
#include "proto/base/mem.h"

#define AGAIN_MS 1000			/* until one that cannot be watched just now is looked at again */

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

static char *
status_path(const char *dir)
{
	return vn_format("%s/status", dir);
}

/* Reads the status file. Returns false when there is none that can be read. */
static bool
read_status(const char *dir, char word[static WIRE_STATUS_SIZE + 1], int *ret_number)
{
	vn_autofree char *path = status_path(dir);
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	char line[WIRE_STATUS_SIZE + 1] = "";

	return fd >= 0 && read(fd, line, WIRE_STATUS_SIZE) > 0 &&
	       sscanf(line, "%32s %d", word, ret_number) == 2;
}

/* Whether vnode-init has written how the guest ended. */
static bool
has_ended(const char *dir)
{
	char word[WIRE_STATUS_SIZE + 1];
	int number;

	return read_status(dir, word, &number) && strcmp(word, WIRE_STATUS_RUNNING) != 0;
}

static struct guest_exit
read_exit(const char *dir)
{
	char word[WIRE_STATUS_SIZE + 1];
	int number;

	if (!read_status(dir, word, &number))
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
	if (watch->status >= 0)
		inotify_rm_watch(watch->lxc->inotify, watch->status);
	vn_list_remove(&watch->link);
	if (watch->pidfd >= 0)
		close(watch->pidfd);
	free(watch->domain);
	free(watch->dir);
	free(watch);
}

static void on_again(void *arg);

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

/* A watch of another guest may end in on_exit, so each is looked up anew. */
static struct lxc_watch *
find_ended(struct lxc *lxc, int status)
{
	vn_list_each(struct lxc_watch, watch, &lxc->watches, link)
		if (watch->status == status && has_ended(watch->dir))
			return watch;
	return NULL;
}

static void
on_written(int fd, unsigned what, void *arg)
{
	_Alignas(struct inotify_event) char buffer[4096];
	ssize_t size = read(fd, buffer, sizeof(buffer));
	struct lxc_watch *watch;

	(void)what;
	for (ssize_t at = 0; at < size;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		at += (ssize_t)(sizeof(*event) + event->len);
		watch = find_ended(arg, event->wd);
		if (watch)
			settle(watch);
	}
}

int
lxc_watch_open(struct lxc *lxc, struct vn_error *err)
{
	const struct watch_ops *ops = lxc->env->watch;

	vn_list_init(&lxc->watches);
	lxc->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (lxc->inotify < 0)
		return vn_fail_errno(err, errno, "watch the ends of guests (inotify; see "
				     "fs.inotify.max_user_instances)");
	lxc->written = ops->add_fd(ops->loop, lxc->inotify, WATCH_READ, on_written, lxc);
	return 0;
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

/* A guest that there is no descriptor for may well live: it is not told as ended, but looked at again. */
static void
await_end(struct lxc_watch *watch)
{
	const struct watch_ops *ops = watch->lxc->env->watch;

	watch->pidfd = process_open(watch->id.init, watch->id.init_start);
	if (watch->pidfd < 0 && process_is_unknown())
		watch->watch = ops->add_timer(ops->loop, AGAIN_MS, on_again, watch);
	else if (watch->pidfd >= 0 && !has_ended(watch->dir))
		watch->watch = ops->add_fd(ops->loop, watch->pidfd, WATCH_READ, on_ended, watch);
	else
		watch->watch = ops->add_timer(ops->loop, 0, on_late, watch);
}

static void
on_again(void *arg)
{
	struct lxc_watch *watch = arg;
	const struct watch_ops *ops = watch->lxc->env->watch;

	ops->remove(ops->loop, watch->watch);
	await_end(watch);
}

int
lxc_watch(struct compute *self, const char *domain, const char *uuid, const char *dir,
	  const struct guest_id *id, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	vn_autofree char *path = status_path(dir);
	struct lxc_watch *watch;

	(void)err;
	lxc_unwatch(self, uuid);
	watch = vn_alloc(sizeof(*watch));
	watch->lxc = lxc;
	snprintf(watch->uuid, sizeof(watch->uuid), "%s", uuid);
	watch->domain = vn_strdup(domain);
	watch->dir = vn_strdup(dir);
	watch->id = *id;
	/* Where it fails, the pidfd tells all the same, only later. */
	watch->status = inotify_add_watch(lxc->inotify, path, IN_MODIFY);
	await_end(watch);
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
	const struct watch_ops *ops = lxc->env->watch;

	vn_list_each_safe(struct lxc_watch, watch, &lxc->watches, link)
		watch_free(watch);
	ops->remove(ops->loop, lxc->written);
	if (lxc->inotify >= 0)
		close(lxc->inotify);
}
