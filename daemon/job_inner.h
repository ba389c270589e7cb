#pragma once
/* What the files job*.c share; no one else includes it. */

#include "daemon/job.h"
#include "daemon/table.h"

struct job_waiter {
	uint64_t id;
	void (*fn)(void *arg, struct job *job);
	void *arg;
	struct job_waiter *next;
};

struct job_locked {
	struct job_lock *lock;
	int64_t before;			/* holder to go back to: an ancestor or 0 */
	struct job_locked *next;
};

struct jobs {
	struct daemon *daemon;
	struct vn_list list;		/* of struct job, oldest first */
	struct table by_id;
	struct table tickets;		/* ticket -> job */
	uint64_t last_ticket;
	int64_t last_id;
	int64_t blocker;
	struct vn_list works;		/* of struct step_work */
	struct vn_list answers;		/* of struct answer, deferred */
	struct table requests;		/* "<uid>/<request_id>" -> struct known_request */
	struct vn_list request_list;	/* the same, oldest first */
	unsigned ended;			/* since old jobs were last removed from the database */
};

/* job.c */
struct job *job_new(struct daemon *daemon, const struct verb *verb, int64_t id);
void job_free(struct job *job);
/* The step that runs, or is to run or to be undone next. */
const struct step *job_current(const struct job *job);
/* Takes the verdict of the current step and goes on; a job without a context ends. */
void job_step_ended(struct job *job, enum verdict verdict, const struct vn_error *err);

/* job_children.c */
/* Counts a child that has ended for its parent; the first failure cancels its siblings. */
void job_tell_parent(struct job *job);
/* A step whose children have ended fails as the first of them did, also after a restart. */
enum verdict job_blame_children(struct job *job, const struct step *step, struct vn_error *err);

/* job_step.c */
/* Journals the current step, then gives it and the job's context to a worker; job_step_ended follows. */
void job_step_submit(struct job *job, const struct step *step, step_fn *fn);
void job_steps_free(struct jobs *jobs);

/* job_waiters.c */
/* Calls and frees all of them, with the ended job; NULL: the daemon ends before. */
void job_tell_waiters(struct job *job, struct job *ended);

/* job_lock.c */
void job_release_locks(struct job *job);

/* job_record.c */
void job_record_insert(struct job *job);
void job_record_update(struct job *job);	/* journal entry, or the end */
json_t *error_object(const struct vn_error *error);

/* job_answer.c */
int requests_load(struct jobs *jobs, struct vn_error *err);
void requests_free(struct jobs *jobs);
