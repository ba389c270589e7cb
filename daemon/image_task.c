/*
 * From an archive to an image. Several jobs may bring the same one under different names: the first to know
 * its digest unpacks it, the others wait and find it there.
 */
#include "daemon/image_task.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/loop.h"
#include "proto/params.h"

/* ---- the task -------------------------------------------------------------------------------- */

struct image *
image_task_image(const struct job *job)
{
	return image_find(job->daemon, json_string_value(json_object_get(job->params, "image")));
}

struct image *
image_task_lock(struct job *job, struct vn_error *err)
{
	const char *name = json_string_value(json_object_get(job->params, "image"));
	vn_autofree char *what = vn_format("image '%s'", name);
	struct image *image = image_task_image(job);

	if (!image) {
		vn_fail(err, VN_E_NOT_FOUND, "no %s", what);
		return NULL;
	}
	return job_lock(job, &image->lock, what, err) < 0 ? NULL : image;
}

void
image_task_free(void *ctx)
{
	struct image_task *task = ctx;

	loop_forget(task->loop, task);
	download_forget(&task->wait);
	if (task->fd >= 0)
		close(task->fd);
	unlink(task->path);
	free(task->path);
	free(task->url);
	incoming_fini(&task->incoming);
	free(task);
}

/* The smaller of what one archive may have and what all images may still take. */
static void
set_limits(struct image_task *task, struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	uint64_t left = image_storage_left(daemon);

	task->limits = (struct unpack_limits){ .bytes = config->image_unpacked_bytes,
					       .entries = (uint64_t)config->image_entries };
	task->limit_bytes = config->image_limit_bytes;
	if (left < task->limit_bytes) {
		task->limit_bytes = left ? left : 1;
		task->limit_name = "image_storage";
	}
	if (config->image_storage_bytes) {
		task->limits.storage_bytes = config->image_storage_bytes;
		task->limits.storage_used = &daemon->model->images_used;
	}
}

void
image_task_init(struct image_task *task, struct job *job)
{
	task->disk = job->daemon->disk;
	task->daemon = job->daemon;
	task->loop = job->daemon->loop;
	task->job = job->id;
	task->fd = -1;
	set_limits(task, job->daemon);
	incoming_init(&task->incoming, job->daemon);
	task->path = vn_format("%s/incoming/job-%" PRId64, job->daemon->config.state_dir, job->id);
	job->abort_flag = &task->cancelled;
}

/* ---- progress -------------------------------------------------------------------------------- */

static void
on_told(void *arg)
{
	struct image_task *task = arg;
	struct job *job = job_find(task->daemon, task->job);
	uint64_t before;

	if (job && task->total) {
		before = job->bytes_total ? job->bytes_done * 20 / job->bytes_total : 0;
		job->bytes_done = task->done;
		job->bytes_total = task->total;
		if (job->bytes_done * 20 / job->bytes_total != before)
			job_announce(job);
	}
	__atomic_store_n(&task->is_told, false, __ATOMIC_RELEASE);
}

void
image_task_progress(void *arg, uint64_t done, uint64_t total)
{
	struct image_task *task = arg;

	if (__atomic_load_n(&task->is_told, __ATOMIC_ACQUIRE))
		return;			/* the loop has not heard of the last yet */
	task->done = done;
	task->total = total;
	__atomic_store_n(&task->is_told, true, __ATOMIC_RELEASE);
	loop_post(task->loop, on_told, task);
}

/* ---- turn ------------------------------------------------------------------------------------ */

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

static void
on_other_end(void *arg, struct job *job)
{
	uint64_t *ticket = arg;

	if (job)
		job_resume(job->daemon, *ticket, NULL);
	free(ticket);
}

enum verdict
image_task_wait(struct job *job, struct job *other)
{
	uint64_t *ticket = vn_alloc(sizeof(*ticket));

	*ticket = job_ticket(job);
	job_watch(other, on_other_end, ticket);
	return STEP_WAIT;
}

static int
resolve_base(struct image_task *task, const struct image *image, struct vn_error *err)
{
	const struct image *base = image->base ? image_find(image->daemon, image->base) : NULL;

	if (!image->base)
		return 0;
	if (!base || base->state != IMAGE_READY)
		return vn_fail_at(err, "/base", VN_E_NOT_FOUND, "the base '%s' is %s%s%s", image->base,
				  base ? image_state_words[base->state] : "not there",
				  base && base->error ? ": " : "",
				  base && base->error ? base->error : "");
	snprintf(task->base, sizeof(task->base), "%s", base->sha256);
	return 0;
}

/* Waits for another job that unpacks the same archive: it is unpacked once. */
enum verdict
image_step_turn(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct image *image = image_task_image(job);

	job->bytes_done = job->bytes_total = 0;		/* those of the archive have come */
	if (resolve_base(task, image, err) < 0)
		return STEP_FAILED;
	task->shared = is_shared(image, task->sha256);
	vn_list_each(struct image, other, &job->daemon->model->images, link) {
		struct job *holder = job_find(job->daemon, other->lock.holder);

		if (other != image && holder && strcmp(other->coming, task->sha256) == 0)
			return image_task_wait(job, holder);
	}
	snprintf(image->coming, sizeof(image->coming), "%s", task->sha256);
	return STEP_DONE;
}

/* ---- unpack ---------------------------------------------------------------------------------- */

enum verdict
image_step_unpack(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	const struct image_spec spec = { .path = task->archive, .sha256 = task->sha256,
		.format = task->format, .base = task->base[0] ? task->base : NULL, .arg = task,
		.on_progress = image_task_progress };

	(void)job;
	if (task->disk->ops->image_unpack(task->disk, &spec, &task->limits, &task->cancelled,
					  &task->progress, &task->facts, err) == 0)
		return STEP_DONE;
	if (task->base[0] && !err->path[0] && err->code == VN_E_STATE)
		strcpy(err->path, "/base");
	return STEP_FAILED;
}

enum verdict
image_undo_unpack(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	(void)job;
	if (task->shared || !task->sha256[0])
		return STEP_DONE;
	return task->disk->ops->image_remove(task->disk, task->sha256, err) < 0 ? STEP_FAILED
										: STEP_DONE;
}

enum verdict
image_step_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct image *image = image_task_image(job);

	(void)err;
	snprintf(image->sha256, sizeof(image->sha256), "%s", task->sha256);
	image->bytes = task->facts.bytes;
	image->virtual_bytes = task->facts.virtual_bytes;
	image->archive_bytes = task->archive_bytes;
	image->format = task->facts.format;
	image_set_state(image, IMAGE_READY, NULL);
	return STEP_DONE;
}

void
image_ended_add(struct job *job, void *ctx)
{
	struct image *image = image_task_image(job);
	struct image_task *task = ctx;

	job->abort_flag = NULL;
	if (task)
		download_leave(&task->wait);
	if (!image)
		return;
	image->coming[0] = '\0';
	if (job->err.code == VN_OK) {
		job->result = image_object(image, true);
		image_recount(job->daemon);
		return;
	}
	image_set_state(image, IMAGE_FAILED, job->err.text);
	job_unlock(job, &image->lock);
	image_remove_object(image);
}
