/*
 * The disks of a vnode.set: extra ones that come and go, and the root disk that grows.
 *
 * The surprising part is the order: those that come are made before the commit point and can be taken
 * back, those that go are dropped last of all, since nothing brings them back.
 */
#include "daemon/change_inner.h"

#include <string.h>

static struct disk_spec
extras_of(struct change *change, const struct vnode *vnode, const struct doc_vnode *spec)
{
	return (struct disk_spec){ .vmid = vnode->vmid, .uuid = vn_arena_strdup(&change->arena, vnode->uuid),
				   .extras = task_extras(&change->arena, spec),
				   .n_extras = spec->extras.count };
}

static bool
names_extra(const struct disk_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_extras; i++)
		if (strcmp(spec->extras[i].name, name) == 0)
			return true;
	return false;
}

/* Whether `from` names extra disks that `to` does not. */
static bool
has_others(const struct disk_spec *from, const struct disk_spec *to)
{
	for (size_t i = 0; i < from->n_extras; i++)
		if (!names_extra(to, from->extras[i].name))
			return true;
	return false;
}

void
change_load_disks(struct change *change, const struct vnode *vnode)
{
	change->extras_before = extras_of(change, vnode, &change->before);
	change->extras_after = extras_of(change, vnode, &change->after);
	change->drops = vnode->runtime.surplus || has_others(&change->extras_before, &change->extras_after);
}

enum verdict
change_step_make_disks(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct disk *disk = change->task.disk;

	(void)job;
	if (!change->extras_after.n_extras)
		return STEP_DONE;
	return disk->ops->extras_up(disk, &change->extras_after, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum verdict
keep_disks(struct change *change, bool needed, const struct disk_spec *spec, struct vn_error *err)
{
	struct disk *disk = change->task.disk;

	if (!needed)
		return STEP_DONE;
	return disk->ops->extras_keep(disk, spec, err) < 0 ? STEP_FAILED : STEP_DONE;
}

enum verdict
change_undo_make_disks(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	(void)job;
	return keep_disks(change, has_others(&change->extras_after, &change->extras_before),
			  &change->extras_before, err);
}

/* Past the commit point: what is removed here cannot come back. */
enum verdict
change_step_drop_disks(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	(void)job;
	return keep_disks(change, change->drops, &change->extras_after, err);
}

/* What has grown stays so if the rest fails: it does no harm, and nothing can make it smaller. */
enum verdict
change_step_grow(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct task *task = &change->task;

	(void)job;
	if (change->after.disk.size_bytes <= change->before.disk.size_bytes)
		return STEP_DONE;
	return task->disk->ops->grow(task->disk, &task->disk_spec, err) < 0 ? STEP_FAILED : STEP_DONE;
}
