/*
 * A parent and its children: beginning them, and learning how far they are and which of them failed.
 *
 * The surprising part is that the first may end, or fail, before the last has begun: beginning five hundred
 * at once would hold up everybody else.
 */
#include "daemon/job_inner.h"


/* In the same commit as the child's end: a restart must not take the others for all there were. */
static void
record_failures(struct job *parent)
{
	job_note(parent, "failures", json_incref(parent->failures));
	job_note(parent, "children_failed", json_integer(parent->children_failed));
	job_record_update(parent);
}

void
job_tell_parent(struct job *job)
{
	struct job *parent = job->parent ? job_find(job->daemon, job->parent) : NULL;
	struct vn_error none = { 0 };

	if (!parent)
		return;
	parent->children--;
	parent->children_done++;
	if (job->err.code != VN_OK) {
		json_t *failure = error_object(&job->err);

		json_object_set(failure, "about", job->about);
		json_object_set_new(failure, "job", json_integer(job->id));
		json_array_append_new(parent->failures, failure);
		if (!parent->children_failed++) {
			parent->child_err = job->err;
			vn_error_prefix(&parent->child_err, "%s",
					json_string_value(json_array_get(job->about, 0)));
			if (parent->verb->lead_path)
				parent->verb->lead_path(job, &parent->child_err);
		}
		record_failures(parent);
		if (!(job_current(parent)->flags & STEP_TOLERANT) && parent->state == JOB_RUNNING)
			vn_list_each(struct job, sibling, &job->daemon->jobs->list, link)
				if (sibling->parent == parent->id && !sibling->finished)
					job_cancel(sibling, NULL, &none);
	}
	if (!parent->children && parent->ticket)
		job_resume(job->daemon, parent->ticket, NULL);
	else if (!parent->parent)
		job_announce(parent);		/* progress: so many of its children are done */
}

enum verdict
job_blame_children(struct job *job, const struct step *step, struct vn_error *err)
{
	if (step->flags & STEP_TOLERANT || !job->children_failed)
		return STEP_DONE;
	*err = job->child_err;
	job->children_failed = 0;
	job_note(job, "children_failed", json_integer(0));
	return STEP_FAILED;
}

static bool
is_tolerant(const struct job *job)
{
	return job->state == JOB_RUNNING && job->verb->steps[job->at].flags & STEP_TOLERANT;
}

/* One of the children has failed meanwhile, or somebody does not want them any more. */
static bool
has_come_to_nothing(const struct job *job)
{
	return job->state == JOB_RUNNING && ((job->cancelled && !job->committed) ||
					     (!is_tolerant(job) && job->children_failed > 0));
}

static enum verdict
wait_children(const struct job *job, int status)
{
	/* What failed to begin fails the step when those that did begin have ended. */
	if (status < 0 && !job->children)
		return STEP_FAILED;
	return job->children ? STEP_WAIT : STEP_DONE;
}

enum verdict
job_each(struct job *job, size_t n_items, job_item_fn *fn, void *arg, struct vn_error *err)
{
	uint64_t end = loop_monotonic_ns() + LOOP_SLICE_NS;
	int status = 0;

	while (job->item < n_items && status == 0 && !has_come_to_nothing(job)) {
		status = fn(job, job->item++, arg, err);
		if (status < 0 && (is_tolerant(job) || job->children)) {
			/* The others go on, or end: the failure is told through the parent. */
			if (!job->children_failed++)
				job->child_err = *err;
			status = is_tolerant(job) ? 0 : -1;
		}
		if (status == 0 && loop_monotonic_ns() > end && job->item < n_items)
			return STEP_AGAIN;
	}
	return wait_children(job, status);
}
