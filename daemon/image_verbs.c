/*
 * An image comes from the network or from a passed descriptor into <state_dir>/incoming, its digest is
 * compared, it is unpacked under its digest, and only then its name is ready. An image that fails
 * leaves no row: the job says why.
 */
#include "daemon/image_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/digest.h"
#include "daemon/log.h"

#define COPY_BYTES (256u << 10)

struct image_task {
	struct daemon *daemon;		/* loop steps only */
	struct disk *disk;
	struct unpack_limits limits;
	uint64_t limit_bytes;
	char *path;			/* the archive in incoming/ */
	char *url;			/* NULL: from fd */
	int fd;
	char wanted[DIGEST_TEXT];	/* "" : any */
	char sha256[DIGEST_TEXT];	/* found */
	uint64_t progress, bytes;
	bool shared;			/* others have or are about to have this digest */
	bool cancelled;
	struct fetching *fetching;
};

struct fetching {			/* a download; outlives a cancelled job until curl has let go */
	struct daemon *daemon;
	int64_t job;
	uint64_t ticket;
	struct fetch *fetch;
	struct image_task *task;	/* NULL once the job is gone */
};

static struct image *
job_image(const struct job *job)
{
	return image_find(job->daemon, json_string_value(json_object_get(job->params, "image")));
}

struct given_fd {
	char *image;
	int fd;
};

/* One slot: the handler gives the descriptor and begins the job in one go. */
static struct given_fd given = { NULL, -1 };

void
image_give_fd(struct daemon *daemon, const char *image, VN_TAKES int fd)
{
	(void)daemon;
	if (given.fd >= 0)
		close(given.fd);
	free(given.image);
	given = (struct given_fd){ vn_strdup(image), fd };
}

static void
free_task(void *ctx)
{
	struct image_task *task = ctx;

	if (task->fd >= 0)
		close(task->fd);
	free(task->fetching);		/* the daemon ends: no word of it will come */
	unlink(task->path);
	free(task->path);
	free(task->url);
	free(task);
}

static void *
load(struct job *job, struct vn_error *err)
{
	const struct config *config = &job->daemon->config;
	const char *name = json_string_value(json_object_get(job->params, "image"));
	const char *sha256 = json_string_value(json_object_get(job->params, "sha256"));
	struct image *image = image_find(job->daemon, name);
	vn_autofree char *what = vn_format("image '%s'", name);
	struct image_task *task;

	if (!image) {
		vn_fail(err, VN_E_NOT_FOUND, "no %s", what);
		return NULL;
	}
	if (job_lock(job, &image->lock, what, err) < 0)
		return NULL;
	task = vn_alloc(sizeof(*task));
	task->daemon = job->daemon;
	task->disk = job->daemon->disk;
	task->limits = (struct unpack_limits){ config->image_unpacked_bytes,
					       (uint64_t)config->image_entries };
	task->limit_bytes = config->image_limit_bytes;
	task->path = vn_format("%s/incoming/%" PRId64, config->state_dir, job->id);
	task->url = vn_strdup(json_string_value(json_object_get(job->params, "url")));
	task->fd = -1;
	snprintf(task->wanted, sizeof(task->wanted), "%s", sha256 ? sha256 : "");
	if (given.image && strcmp(given.image, name) == 0)
		task->fd = vn_take_fd(&given.fd);
	job->abort_flag = &task->cancelled;
	return task;
}

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct fetching *fetching = arg;
	struct job *job = job_find(fetching->daemon, fetching->job);
	bool shown = job && total && done * 20 / total == job->bytes_done * 20 / total;

	if (!job)
		return;
	job->bytes_done = done;
	job->bytes_total = total;
	if (!shown && total)
		job_announce(job);
}

static void
on_fetched(void *arg, const char *sha256, uint64_t bytes, const struct vn_error *err)
{
	struct fetching *fetching = arg;

	(void)bytes;
	if (fetching->task) {
		fetching->task->fetching = NULL;
		snprintf(fetching->task->sha256, sizeof(fetching->task->sha256), "%s",
			 sha256 ? sha256 : "");
		job_resume(fetching->daemon, fetching->ticket, err && err->code ? err : NULL);
	}
	free(fetching);
}

static enum verdict
step_fetch(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct fetcher *fetcher = job->daemon->fetcher;
	struct fetching *fetching;
	struct fetch_request request;

	if (!task->url)
		return STEP_DONE;
	fetching = vn_alloc(sizeof(*fetching));
	*fetching = (struct fetching){ job->daemon, job->id, job_ticket(job), NULL, task };
	request = (struct fetch_request){ .url = task->url, .path = task->path,
		.limit_bytes = task->limit_bytes,
		.stall_ms = (unsigned)(job->daemon->config.image_stall_ns / 1000000),
		.arg = fetching, .on_progress = on_progress, .on_end = on_fetched };
	if (fetcher->ops->start(fetcher, &request, &fetching->fetch, err) < 0) {
		free(fetching);
		return STEP_FAILED;
	}
	task->fetching = fetching;
	return STEP_WAIT;
}

static int
check_room(struct image_task *task, struct vn_error *err)
{
	uint64_t bytes;

	if (task->disk->ops->free_bytes(task->disk, &bytes, err) < 0)
		return -1;
	return bytes >= DISK_KEEP_BYTES ? 0
	       : vn_fail(err, VN_E_LIMIT, "the disk of state_dir is full: %u MiB must stay free; make "
			 "room and try again", DISK_KEEP_BYTES >> 20);
}

/* Copies the passed file: what is checked must be what is unpacked, whatever its owner does to it. */
static enum verdict
step_import(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	vn_autofree char *buffer = vn_alloc(COPY_BYTES);
	vn_autoclose int out = -1;
	struct digest *sha;
	uint64_t total = 0;
	ssize_t n = 0;
	bool has_room = true;

	(void)job;
	if (task->url)
		return STEP_DONE;
	if (task->fd < 0) {
		vn_fail(err, VN_E_CANCELLED, "the file was passed to a vnoded that has ended since; "
			"add the image again");
		return STEP_FAILED;
	}
	out = open(task->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0) {
		vn_fail_errno(err, errno, "make '%s'", task->path);
		return STEP_FAILED;
	}
	sha = digest_new();
	while ((n = pread(task->fd, buffer, COPY_BYTES, (off_t)total)) > 0) {
		total += (uint64_t)n;
		if (total > task->limit_bytes ||
		    __atomic_load_n(&task->cancelled, __ATOMIC_RELAXED))
			break;
		digest_update(sha, buffer, (size_t)n);
		has_room = check_room(task, err) == 0;
		if (!has_room || write(out, buffer, (size_t)n) != n)
			break;
	}
	digest_print(sha, task->sha256);
	digest_free(sha);
	if (n == 0 && fsync(out) == 0)
		return STEP_DONE;
	if (!has_room)
		return STEP_FAILED;
	if (total > task->limit_bytes)
		vn_fail(err, VN_E_LIMIT, "the file is larger than image_limit_bytes (%" PRIu64 ")",
			task->limit_bytes);
	else if (task->cancelled)
		vn_fail(err, VN_E_CANCELLED, "cancelled");
	else
		vn_fail_errno(err, errno ? errno : EIO, "copy the file to '%s'", task->path);
	return STEP_FAILED;
}

/* Whether the digest is not this image's alone. Of a download nobody knows yet what it brings. */
static bool
is_shared(const struct image *image, const char *sha256)
{
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other != image && (other->state == IMAGE_FETCHING ||
				       strcmp(other->sha256, sha256) == 0))
			return true;
	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link)
		if (strcmp(vnode->image_sha256, sha256) == 0)
			return true;
	return false;
}

static enum verdict
step_verify(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	task->shared = is_shared(job_image(job), task->sha256);
	if (!task->wanted[0] || strcmp(task->wanted, task->sha256) == 0)
		return STEP_DONE;
	vn_fail_at(err, "/sha256", VN_E_INVALID, "the digest differs: expected %s, got %s",
		   task->wanted, task->sha256);
	return STEP_FAILED;
}

static enum verdict
step_unpack(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct vn_error absent;

	(void)job;
	if (task->disk->ops->image_check(task->disk, task->sha256, &absent) == 0)
		return STEP_DONE;
	return task->disk->ops->image_unpack(task->disk, task->path, task->sha256, &task->limits,
					     &task->cancelled, &task->progress, &task->bytes,
					     err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
undo_unpack(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	(void)job;
	if (task->shared || !task->sha256[0])
		return STEP_DONE;
	return task->disk->ops->image_remove(task->disk, task->sha256, err) < 0 ? STEP_FAILED
										: STEP_DONE;
}

static enum verdict
step_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct image *image = job_image(job);

	(void)err;
	snprintf(image->sha256, sizeof(image->sha256), "%s", task->sha256);
	if (task->bytes)
		image->bytes = task->bytes;
	vn_list_each(struct image, other, &job->daemon->model->images, link)
		if (other != image && strcmp(other->sha256, image->sha256) == 0)
			image->bytes = other->bytes;
	image_set_state(image, IMAGE_READY, NULL);
	return STEP_DONE;
}

static const struct step add_steps[] = {
	{ "fetch",  ON_LOOP,   0,         step_fetch,  NULL },
	{ "import", ON_WORKER, LANE_BULK, step_import, NULL, STEP_LONG },
	{ "verify", ON_LOOP,   0,         step_verify, NULL },
	{ "unpack", ON_WORKER, LANE_BULK, step_unpack, undo_unpack, STEP_LONG },
	{ "adopt",  ON_LOOP,   0,         step_adopt,  NULL },
	{ 0 }
};

static void
ended_add(struct job *job, void *ctx)
{
	struct image *image = job_image(job);
	struct image_task *task = ctx;

	job->abort_flag = NULL;
	if (task && task->fetching) {
		task->fetching->task = NULL;
		job->daemon->fetcher->ops->cancel(job->daemon->fetcher, task->fetching->fetch);
		task->fetching = NULL;
	}
	if (!image)
		return;
	if (job->err.code == VN_OK) {
		job->result = image_object(image);
		return;
	}
	image_set_state(image, IMAGE_FAILED, job->err.text);
	job_unlock(job, &image->lock);
	image_remove_object(image);
}

/* ---- remove ---- */

/* From here on no vnode can be made from it. */
static enum verdict
step_hide(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct image *image = job_image(job);

	(void)err;
	image_set_state(image, IMAGE_ABSENT, NULL);
	if (!is_shared(image, image->sha256))
		snprintf(task->sha256, sizeof(task->sha256), "%s", image->sha256);
	return STEP_DONE;
}

static enum verdict
step_remove(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	(void)job;
	if (!task->sha256[0])
		return STEP_DONE;
	return task->disk->ops->image_remove(task->disk, task->sha256, err) < 0 ? STEP_FAILED
										: STEP_DONE;
}

static const struct step remove_steps[] = {
	{ "hide",   ON_LOOP,   0,         step_hide,   NULL },
	{ "remove", ON_WORKER, LANE_BULK, step_remove, NULL, STEP_LONG },
	{ 0 }
};

/* The row goes last, so that what could not be removed can be removed again. */
static void
ended_remove(struct job *job, void *ctx)
{
	struct image *image = job_image(job);

	(void)ctx;
	if (!image)
		return;
	if (job->err.code != VN_OK) {
		image_set_state(image, IMAGE_FAILED, job->err.text);
		return;
	}
	job_unlock(job, &image->lock);
	image_remove_object(image);
}

const struct verb verb_image_add = { "image.add", 1, add_steps, load, free_task, ended_add,
				     .anew = true };
const struct verb verb_image_remove = { "image.remove", 1, remove_steps, load, free_task,
					ended_remove, .anew = true };
