/*
 * The forwards of a vnode.set: ports of the host that go and that come.
 *
 * The surprising part is their reservations. They are the process's, not the kernel's, so a new life
 * holds only those of the row; until the job has ended both those of the old and of the new spec are
 * held, and then those that the spec does not name are given back.
 */
#include "daemon/change_inner.h"

#include <string.h>

static bool
has_forward(const struct forward_spec *list, size_t count, const struct forward_spec *one)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].protocol == one->protocol && list[i].host == one->host &&
		    list[i].guest == one->guest &&
		    list[i].address.family == one->address.family &&
		    memcmp(list[i].address.byte, one->address.byte, 16) == 0)
			return true;
	return false;
}

static void
split_forwards(struct change *change, const struct vnode *vnode)
{
	size_t n_old, n_new;
	struct forward_spec *old = task_forwards(&change->arena, vnode, &change->before, &n_old);
	struct forward_spec *new = task_forwards(&change->arena, vnode, &change->after, &n_new);

	change->gone = vn_arena_alloc(&change->arena, (n_old + 1) * sizeof(*old));
	change->come = vn_arena_alloc(&change->arena, (n_new + 1) * sizeof(*new));
	for (size_t i = 0; i < n_old; i++)
		if (!has_forward(new, n_new, &old[i]))
			change->gone[change->n_gone++] = old[i];
	for (size_t i = 0; i < n_new; i++)
		if (!has_forward(old, n_old, &new[i]))
			change->come[change->n_come++] = new[i];
}

/* A new life holds the ports of the row's spec only; the job may still need the other's. */
static void
hold_both(const struct job *job, const struct change *change)
{
	struct net *net = job->daemon->net;
	struct vn_error ignored;

	for (size_t i = 0; i < change->n_gone; i++)
		net->ops->forward_reserve(net, &change->gone[i], &ignored);
	for (size_t i = 0; i < change->n_come; i++)
		net->ops->forward_reserve(net, &change->come[i], &ignored);
}

void
change_load_forwards(struct change *change, const struct job *job, const struct vnode *vnode)
{
	split_forwards(change, vnode);
	if (job->resumed)
		hold_both(job, change);
}

enum verdict
change_step_reserve(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct net *net = job->daemon->net;

	for (size_t i = 0; i < change->n_come; i++) {
		if (net->ops->forward_reserve(net, &change->come[i], err) == 0)
			continue;
		while (i-- > 0)
			net->ops->forward_release(net, &change->come[i]);
		return STEP_FAILED;
	}
	return STEP_DONE;
}

enum verdict
change_undo_reserve(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;
	struct net *net = job->daemon->net;

	(void)err;
	for (size_t i = 0; i < change->n_come; i++)
		net->ops->forward_release(net, &change->come[i]);
	return STEP_DONE;
}

static enum verdict
swap_forwards(struct change *change, const struct forward_spec *down, size_t n_down,
	      const struct forward_spec *up, size_t n_up, struct vn_error *err)
{
	struct net *net = change->task.net;

	if (!change->was_running)
		return STEP_DONE;
	if (n_down && (net->ops->forwards_down(net, down, n_down, err) < 0 ||
		       !step_goes_on(&change->task, err)))
		return STEP_FAILED;
	return n_up && net->ops->forwards_up(net, up, n_up, err) < 0 ? STEP_FAILED : STEP_DONE;
}

enum verdict
change_step_forwards(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	(void)job;
	return swap_forwards(change, change->gone, change->n_gone, change->come, change->n_come, err);
}

enum verdict
change_undo_forwards(struct job *job, void *ctx, struct vn_error *err)
{
	struct change *change = ctx;

	(void)job;
	return swap_forwards(change, change->come, change->n_come, change->gone, change->n_gone, err);
}

void
change_settle_forwards(struct change *change, struct vnode *vnode, const struct doc_vnode *other,
		       bool resumed)
{
	struct net *net = vnode->daemon->net;
	size_t n_ours, n_others;
	struct forward_spec *ours = task_forwards(&change->arena, vnode, &vnode->spec, &n_ours);
	struct forward_spec *others = task_forwards(&change->arena, vnode, other, &n_others);
	struct vn_error err = { 0 };

	if (!change->n_come && !change->n_gone)
		return;
	for (size_t i = 0; i < n_others; i++)
		if (!has_forward(ours, n_ours, &others[i]))
			net->ops->forward_release(net, &others[i]);
	for (size_t i = 0; resumed && i < n_ours; i++)
		if (net->ops->forward_reserve(net, &ours[i], &err) < 0) {
			event_warn(vnode->daemon, "%s: %s", vnode_title(vnode), err.text);
			vnode->forwards_held = false;
		}
}
