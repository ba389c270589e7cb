/*
 * Takes away what nothing uses: images by age, until all take no more than asked for, and old parts of
 * downloads. All in one job, since a base can only go when its layers have gone.
 *
 * It chooses anew after a restart: what an earlier life has hidden is still unused, and goes.
 */
#include "daemon/image_verbs.h"

#include <string.h>

#include "daemon/incoming.h"

struct chosen {
	char *name;
	char sha256[65];		/* whose files go with it; "" none: another name keeps them */
	uint64_t bytes;
	enum image_state before;
	bool is_gone, is_broken;	/* broken: it could not be removed */
};

struct prune_task {
	struct disk *disk;
	struct incoming incoming;
	bool dry_run;
	struct chosen *chosen;		/* in the order in which they can go */
	size_t count;
	uint64_t part_bytes;
	struct vn_error err;		/* why one could not be removed; then the rest stays */
};

static void *
load(struct job *job, struct vn_error *err)
{
	struct prune_task *task = vn_alloc(sizeof(*task));

	(void)err;
	task->disk = job->daemon->disk;
	incoming_init(&task->incoming, job->daemon);
	task->dry_run = json_is_true(json_object_get(job->params, "dry_run"));
	return task;
}

static void
free_task(void *ctx)
{
	struct prune_task *task = ctx;

	for (size_t i = 0; i < task->count; i++)
		free(task->chosen[i].name);
	free(task->chosen);
	incoming_fini(&task->incoming);
	free(task);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool
is_chosen(const struct prune_task *task, const struct image *image)
{
	for (size_t i = 0; i < task->count; i++)
		if (strcmp(task->chosen[i].name, image->name) == 0)
			return true;
	return false;
}

/* Whether nothing uses it, or nothing but what goes as well. */
static bool
may_go(const struct prune_task *task, const struct image *image, int64_t before_us)
{
	if (image->lock.holder || is_chosen(task, image) || image->used_us > before_us
	    || image_users(image) > 0)
		return false;
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other->base && strcmp(other->base, image->name) == 0 && !is_chosen(task, other))
			return false;
	return true;
}

static struct image *
find_oldest(const struct prune_task *task, const struct model *model, int64_t before_us)
{
	struct image *oldest = NULL;

	vn_list_each(struct image, image, &model->images, link)
		if (may_go(task, image, before_us) && (!oldest || image->used_us < oldest->used_us))
			oldest = image;
	return oldest;
}

/* Whether no name that stays, and no vnode, has the same digest. */
static bool
frees_files(const struct prune_task *task, const struct image *image)
{
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other != image && !is_chosen(task, other)
		    && (other->state == IMAGE_FETCHING || !strcmp(other->sha256, image->sha256)))
			return false;
	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link)
		if (strcmp(vnode->image_sha256, image->sha256) == 0)
			return false;
	return image->sha256[0];
}

static void
choose(struct prune_task *task, const struct image *image)
{
	struct chosen *chosen;

	task->chosen = vn_realloc_array(task->chosen, task->count + 1, sizeof(*task->chosen));
	chosen = &task->chosen[task->count];
	*chosen = (struct chosen){ .name = vn_strdup(image->name), .before = image->state };
	if (frees_files(task, image)) {
		memcpy(chosen->sha256, image->sha256, sizeof(chosen->sha256));
		chosen->bytes = image->bytes;
	}
	task->count++;
}

static uint64_t
bytes_freed(const struct prune_task *task)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < task->count; i++)
		bytes += task->dry_run || task->chosen[i].is_gone ? task->chosen[i].bytes : 0;
	return bytes;
}

/* What is chosen is locked and hidden at once: nothing can be made from it any more. */
static enum verdict
step_choose(struct job *job, void *ctx, struct vn_error *err)
{
	struct prune_task *task = ctx;
	int64_t older_us = json_integer_value(json_object_get(job->params, "older_than_us"));
	uint64_t keep = (uint64_t)json_integer_value(json_object_get(job->params, "keep_bytes"));
	uint64_t left = __atomic_load_n(&job->daemon->model->images_used, __ATOMIC_RELAXED)
			- job->daemon->model->extras_used;
	int64_t before_us = event_time_now() - older_us;
	struct image *image;

	while ((!keep || left > keep)
	       && (image = find_oldest(task, job->daemon->model, before_us))) {
		if (!task->dry_run && job_lock(job, &image->lock, "the image", err) < 0)
			return STEP_FAILED;
		choose(task, image);
		left -= task->chosen[task->count - 1].bytes;
		if (!task->dry_run)
			image_set_state(image, IMAGE_ABSENT, NULL);
	}
	return STEP_DONE;
}

/* ---- removing -------------------------------------------------------------------------------- */

static enum verdict
step_remove(struct job *job, void *ctx, struct vn_error *err)
{
	struct prune_task *task = ctx;

	(void)job;
	(void)err;
	if (task->dry_run)
		return STEP_DONE;
	task->part_bytes = incoming_sweep(&task->incoming);
	for (size_t i = 0; i < task->count && task->err.code == VN_OK; i++) {
		struct chosen *chosen = &task->chosen[i];

		chosen->is_broken = chosen->sha256[0]
			&& task->disk->ops->image_remove(task->disk, chosen->sha256, &task->err) < 0;
		chosen->is_gone = !chosen->is_broken;
	}
	return STEP_DONE;
}

static const struct step steps[] = {
	{ "choose", ON_LOOP,   0,         step_choose, NULL },
	{ "remove", ON_WORKER, LANE_BULK, step_remove, NULL, STEP_LONG },
	{ 0 }
};

static void
forget_chosen(struct job *job, struct prune_task *task)
{
	for (size_t i = 0; i < task->count; i++) {
		const struct chosen *chosen = &task->chosen[i];
		struct image *image = image_find(job->daemon, chosen->name);

		if (!image || task->dry_run)
			continue;
		job_unlock(job, &image->lock);
		if (chosen->is_gone)
			image_remove_object(image);
		else if (chosen->is_broken)
			image_set_state(image, IMAGE_FAILED, task->err.text);
		else
			image_set_state(image, chosen->before == IMAGE_ABSENT ? IMAGE_READY
					: chosen->before, NULL);
	}
	image_recount(job->daemon);
}

static void
ended(struct job *job, void *ctx)
{
	struct prune_task *task = ctx;
	json_t *removed = json_array();

	for (size_t i = 0; task && i < task->count; i++)
		if (task->dry_run || task->chosen[i].is_gone)
			json_array_append_new(removed, json_string(task->chosen[i].name));
	if (task)
		forget_chosen(job, task);
	job->result = json_pack("{so sI sI sb}", "removed", removed, "bytes",
				(json_int_t)(task ? bytes_freed(task) : 0), "part_bytes",
				(json_int_t)(task ? task->part_bytes : 0), "dry_run",
				task && task->dry_run);
	if (task && task->err.code != VN_OK && job->err.code == VN_OK)
		job->err = task->err;
}

const struct verb verb_image_prune = { "image.prune", 1, steps, load, free_task, ended,
				       .anew = true };
