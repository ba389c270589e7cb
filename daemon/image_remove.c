/*
 * image.remove. The files go when the last name for their digest has gone; what another image is a layer
 * on stays as long as that does.
 */
#include "daemon/image_verbs.h"

#include <string.h>

#include "backends/digest.h"

struct remove_task {
	struct disk *disk;
	char sha256[DIGEST_TEXT];	/* whose files are to go; "" none */
};

static struct image *
job_image(const struct job *job)
{
	return image_find(job->daemon, json_string_value(json_object_get(job->params, "image")));
}

static void *
load_remove(struct job *job, struct vn_error *err)
{
	const char *name = json_string_value(json_object_get(job->params, "image"));
	struct image *image = image_find(job->daemon, name);
	vn_autofree char *what = vn_format("image '%s'", name);
	struct remove_task *task;

	if (!image) {
		vn_fail(err, VN_E_NOT_FOUND, "no %s", what);
		return NULL;
	}
	if (job_lock(job, &image->lock, what, err) < 0)
		return NULL;
	task = vn_alloc(sizeof(*task));
	task->disk = job->daemon->disk;
	return task;
}

/* Whether other names or vnodes have the same digest, or a download may bring it. */
static bool
is_shared(const struct image *image)
{
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other != image && (other->state == IMAGE_FETCHING ||
				       strcmp(other->sha256, image->sha256) == 0))
			return true;
	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link)
		if (strcmp(vnode->image_sha256, image->sha256) == 0)
			return true;
	return false;
}

/* From here on no vnode and no layer can be made from it. */
static enum verdict
step_hide(struct job *job, void *ctx, struct vn_error *err)
{
	struct remove_task *task = ctx;
	struct image *image = job_image(job);
	struct image *other = image_dependant(image);

	if (other) {
		vn_fail(err, VN_E_STATE, "image '%s' is a layer on it", other->name);
		return STEP_FAILED;
	}
	image_set_state(image, IMAGE_ABSENT, NULL);
	if (!is_shared(image))
		memcpy(task->sha256, image->sha256, sizeof(task->sha256));
	return STEP_DONE;
}

static enum verdict
step_remove(struct job *job, void *ctx, struct vn_error *err)
{
	struct remove_task *task = ctx;

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
		if (image->state == IMAGE_ABSENT)
			image_set_state(image, IMAGE_FAILED, job->err.text);
		return;
	}
	job_unlock(job, &image->lock);
	image_remove_object(image);
	image_recount(job->daemon);
}

const struct verb verb_image_remove = { "image.remove", 2, remove_steps, load_remove, free,
					ended_remove, .anew = true };
