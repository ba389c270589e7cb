/*
 * The verbs over all vnodes. host.boot and host.halt are tolerant parents: one bad vnode never blocks the rest.
 * What somebody else is at work on is halted after that; with a budget that is waited for until half of it has
 * gone. The work itself is left alone: vnoded goes on with it after the host is back.
 */
#include "daemon/host_vnodes.h"

#include <inttypes.h>

#include "daemon/lifecycle.h"

static void
count_refused(struct job *job, const struct vnode *vnode, const struct vn_error *err)
{
	job->children_failed++;
	job->child_err = *err;
	json_array_append_new(job->failures, json_pack("{ss ss s[s]}", "code",
		vn_code_word(err->code), "text", err->text, "about", vnode_title(vnode)));
}

static void
begin_child(struct job *job, struct vnode *vnode, const struct verb *verb, json_t *params)
{
	struct vn_error err = { 0 };

	if (job_begin(job->daemon, verb, job, job->uid, params, NULL, &err) < 0)
		count_refused(job, vnode, &err);
}

/* Someone works in its file system: it cannot be booted, and that is said. */
static void
count_mounted(struct job *job, struct vnode *vnode)
{
	struct vn_error err;

	vnode_may(vnode, VERB_BOOT, &err);
	count_refused(job, vnode, &err);
}

/* In a step's first turn: vnodes may come and go between two turns. */
static void
list_vnodes(struct vnodes_task *task, const struct model *model)
{
	size_t count = 0;

	vn_list_each(struct vnode, vnode, &model->vnodes, link)
		count++;
	task->n_vmids = 0;
	task->vmids = vn_arena_alloc(&task->arena, (count + 1) * sizeof(*task->vmids));
	vn_list_each(struct vnode, vnode, &model->vnodes, link)
		task->vmids[task->n_vmids++] = vnode->vmid;
}

/* A job_item_fn. */
static int
boot_vnode(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	const struct vnodes_task *task = arg;
	struct vnode *vnode = vnode_by_vmid(job->daemon, task->vmids[item]);

	(void)err;
	if (!vnode || vnode->wanted != VNODE_RUNNING || job_lock_holder(job, &vnode->lock) == LOCK_OF_CHILD)
		return 0;
	if (verb_action(VERB_BOOT, vnode->observed) == VERB_RUN)
		begin_child(job, vnode, &verb_vnode_boot, vnode_job_params(vnode));
	else if (vnode->observed == VNODE_MOUNTED)
		count_mounted(job, vnode);
	return 0;
}

static enum verdict
step_boot_all(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnodes_task *task = ctx;

	if (job->item == 0)
		list_vnodes(task, job->daemon->model);
	return job_each(job, task->n_vmids, boot_vnode, task, err);
}

/*
 * The time each guest gets to end by itself so that all are down within the budget: the halting lane
 * takes so many at a time, and half of the budget is kept for the killing.
 */
static int64_t
grace_within(struct job *job, int64_t all_ms)
{
	int64_t n = 0, rounds;

	vn_list_each(struct vnode, vnode, &job->daemon->model->vnodes, link)
		n += vnode->observed == VNODE_RUNNING;
	rounds = (n + pool_width(job->daemon->pool, LANE_HALT) - 1) /
		 pool_width(job->daemon->pool, LANE_HALT);
	return rounds ? all_ms / 2 / rounds : all_ms / 2;
}

static int64_t
budget_ms(const struct job *job)
{
	return json_integer_value(json_object_get(job->params, "budget_ms"));
}

/* A job of others holds it that was not waited for; it may be booting it. */
static void
count_held(struct job *job, const struct vnode *vnode)
{
	const struct job *holder = job_find(job->daemon, vnode->lock.holder);
	struct vn_error err;

	vn_fail(&err, VN_E_BUSY, "it was not halted: job %" PRId64 " (%s) is at work on it, and half of the time "
		"given is over", vnode->lock.holder, holder->verb->method);
	count_refused(job, vnode, &err);
}

/* A job_item_fn. What somebody else is at work on comes after that. */
static int
halt_vnode(struct job *job, size_t item, void *arg, struct vn_error *err)
{
	const struct vnodes_task *task = arg;
	struct vnode *vnode = vnode_by_vmid(job->daemon, task->vmids[item]);
	enum verb_action action = vnode ? verb_action(VERB_HALT, vnode->observed) : VERB_NOTHING;
	enum lock_holder holder = vnode ? job_lock_holder(job, &vnode->lock) : LOCK_FREE;
	uint64_t grace_ns;
	json_t *params;

	(void)err;
	if (holder == LOCK_OF_OTHER && task->is_cut_short && vnode->observed != VNODE_CREATING &&
	    (action == VERB_RUN || action == VERB_HELD))
		count_held(job, vnode);
	if (action != VERB_RUN || holder == LOCK_OF_OTHER || holder == LOCK_OF_CHILD)
		return 0;
	grace_ns = vnode->spec.grace_ns ? vnode->spec.grace_ns : job->daemon->config.grace_ns;
	params = vnode_job_params(vnode);
	if (task->is_limited && task->limit_ms < (int64_t)(grace_ns / 1000000))
		json_object_set_new(params, "grace_ms", json_integer(task->limit_ms));
	begin_child(job, vnode, &verb_vnode_halt, params);
	return 0;
}

enum verdict
step_halt_all(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnodes_task *task = ctx;

	if (job->item == 0) {
		list_vnodes(task, job->daemon->model);
		task->is_limited = budget_ms(job) > 0;
		task->limit_ms = grace_within(job, budget_ms(job));
	}
	return job_each(job, task->n_vmids, halt_vnode, task, err);
}

struct others {				/* jobs of others that are waited for */
	struct daemon *daemon;
	uint64_t ticket;
	unsigned left;
	struct watch *timer;
};

static void
on_other_end(void *arg, struct job *ended)
{
	struct others *others = arg;

	if (--others->left > 0)
		return;
	if (ended)
		job_resume(others->daemon, others->ticket, NULL);
	loop_remove(others->timer);
	free(others);
}

static void
on_half_gone(void *arg)
{
	struct others *others = arg;

	loop_remove(vn_take_ptr(&others->timer));
	job_resume(others->daemon, others->ticket, NULL);
}

static uint64_t
left_of_half_ms(const struct job *job)
{
	int64_t gone_ms = (event_time_now() - job->created_us) / 1000;
	int64_t left_ms = budget_ms(job) / 2 - gone_ms;

	return left_ms > 0 ? (uint64_t)left_ms : 0;
}

static enum verdict
step_await_others(struct job *job, void *ctx, struct vn_error *err)
{
	struct others *others = vn_alloc(sizeof(*others));

	(void)ctx;
	(void)err;
	others->daemon = job->daemon;
	others->ticket = job_ticket(job);
	vn_list_each(struct vnode, vnode, &job->daemon->model->vnodes, link) {
		if (job_lock_holder(job, &vnode->lock) != LOCK_OF_OTHER)
			continue;
		job_watch(job_find(job->daemon, vnode->lock.holder), on_other_end, others);
		others->left++;
	}
	if (others->left && budget_ms(job))
		others->timer = loop_add_timer(job->daemon->loop, left_of_half_ms(job), on_half_gone, others);
	if (others->left)
		return STEP_WAIT;
	free(others);
	return STEP_DONE;
}

static enum verdict
step_halt_others(struct job *job, void *ctx, struct vn_error *err)
{
	struct vnodes_task *task = ctx;

	task->is_cut_short = budget_ms(job) > 0;
	return step_halt_all(job, ctx, err);
}

static void *
load(struct job *job, struct vn_error *err)
{
	(void)job;
	(void)err;
	return vn_alloc(sizeof(struct vnodes_task));
}

static void
free_task(void *ctx)
{
	struct vnodes_task *task = ctx;

	vn_arena_fini(&task->arena);
	free(task);
}

static const struct step boot_steps[] = {
	{ "boot", ON_LOOP, 0, step_boot_all, NULL, STEP_TOLERANT },
	{ 0 }
};

static const struct step halt_steps[] = {
	{ "halt",         ON_LOOP, 0, step_halt_all,     NULL, STEP_TOLERANT },
	{ "await_others", ON_LOOP, 0, step_await_others, NULL },
	{ "halt_others",  ON_LOOP, 0, step_halt_others,  NULL, STEP_TOLERANT },
	{ 0 }
};

static void
ended_all(struct job *job, void *ctx)
{
	unsigned failed = job->children_failed;

	(void)ctx;
	if (job->err.code == VN_OK && failed)
		vn_fail(&job->err, job->child_err.code, "%u of %u vnodes failed; the first: %s",
			failed, job->children_done > failed ? job->children_done : failed,
			job->child_err.text);
	job->result = json_pack("{sI sI}", "done", (json_int_t)(job->children_done > failed
				? job->children_done - failed : 0), "failed", (json_int_t)failed);
}

const struct verb verb_host_boot = { "host.boot", 1, boot_steps, load, free_task, ended_all };
const struct verb verb_host_halt = { "host.halt", 1, halt_steps, load, free_task, ended_all };
