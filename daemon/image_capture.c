/*
 * image.capture: a halted vnode's disk is packed into an archive, and that becomes an image like any that
 * was fetched. The vnode is held meanwhile and stays as it is: nothing is mounted where others see it.
 *
 * After a restart it is packed anew.
 */
#include "daemon/image_task.h"

#include <string.h>
#include <unistd.h>

#include "daemon/task.h"

struct capture_task {
	struct image_task image;	/* first: its steps know no other */
	struct task vnode;
	struct capture_spec spec;
	const char **own;
};

/* ---- the task -------------------------------------------------------------------------------- */

static void
free_capture(void *ctx)
{
	struct capture_task *task = ctx;

	task_fini(&task->vnode);
	free(task->own);
	image_task_free(ctx);
}

static struct vnode *
lock_vnode(struct job *job, struct vn_error *err)
{
	struct vnode *vnode = vnode_by_vmid(job->daemon,
		json_integer_value(json_object_get(job->params, "vmid")));
	vn_autofree char *what = NULL;

	if (!vnode) {
		vn_fail(err, VN_E_NOT_FOUND, "the vnode is gone");
		return NULL;
	}
	what = vn_format("vnode '%s'", vnode_title(vnode));
	if (job_lock(job, &vnode->lock, what, err) < 0)
		return NULL;
	if (!json_array_size(job->about))
		json_array_append_new(job->about, json_string(vnode_title(vnode)));
	return vnode;
}

/* Of some files only a part is ours, and of others what we wrote once: those are the guest's. */
static bool
is_own(const struct guest_file *file)
{
	return file->how != GUEST_FILE_PASSWORD && file->how != GUEST_FILE_REMOVE;
}

/* What is packed, and which of its files are ours. */
static void
set_spec(struct capture_task *task, const struct job *job)
{
	const struct guest_files *files = &task->vnode.files;
	size_t n = 0;

	task->own = vn_alloc_array(files->count + 1, sizeof(*task->own));
	for (size_t i = 0; i < files->count; i++)
		if (is_own(&files->list[i]))
			task->own[n++] = files->list[i].path;
	task->spec = (struct capture_spec){ .path = task->image.path, .own = task->own,
		.delta = json_is_true(json_object_get(job->params, "delta")),
		.limit_bytes = task->image.limits.bytes, .limit_entries = task->image.limits.entries,
		.arg = &task->image, .on_progress = image_task_progress };
}

static void *
load_capture(struct job *job, struct vn_error *err)
{
	struct image *image = image_task_lock(job, err);
	struct vnode *vnode = image ? lock_vnode(job, err) : NULL;
	struct capture_task *task;

	if (!vnode)
		return NULL;
	task = vn_alloc(sizeof(*task));
	image_task_init(&task->image, job);
	if (task_init(&task->vnode, vnode, err) < 0) {
		free_capture(task);
		return NULL;
	}
	task->image.format = IMAGE_TAR;
	set_spec(task, job);
	return task;
}

/* ---- pack ------------------------------------------------------------------------------------ */

static enum verdict
step_pack(struct job *job, void *ctx, struct vn_error *err)
{
	struct capture_task *task = ctx;
	struct image_task *image = &task->image;
	struct capture_facts facts;

	(void)job;
	incoming_sweep(&image->incoming);
	if (image->disk->ops->capture(image->disk, &task->vnode.disk_spec, &task->spec, &image->cancelled,
				      &facts, err) < 0)
		return STEP_FAILED;
	memcpy(image->sha256, facts.sha256, sizeof(image->sha256));
	image->archive_bytes = facts.bytes;
	image->archive = image->path;
	return STEP_DONE;
}

static enum verdict
undo_pack(struct job *job, void *ctx, struct vn_error *err)
{
	struct capture_task *task = ctx;

	(void)job;
	(void)err;
	unlink(task->image.path);
	return STEP_DONE;
}

static const struct step capture_steps[] = {
	{ "pack",   ON_WORKER, LANE_BULK, step_pack,         undo_pack,         STEP_LONG },
	{ "turn",   ON_LOOP,   0,         image_step_turn,   NULL },
	{ "unpack", ON_WORKER, LANE_BULK, image_step_unpack, image_undo_unpack, STEP_LONG },
	{ "adopt",  ON_LOOP,   0,         image_step_adopt,  NULL },
	{ 0 }
};

const struct verb verb_image_capture = { "image.capture", 1, capture_steps, load_capture, free_capture,
					 image_ended_add, .anew = true };
