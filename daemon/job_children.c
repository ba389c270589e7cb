/* What a parent learns of its children: how far they are, and which of them failed. */
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
