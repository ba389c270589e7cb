#pragma once
/* What job.c, job_record.c and job_answer.c share; no one else includes it. */

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

/* job_lock.c */
void job_release_locks(struct job *job);

/* job_record.c */
void job_record_insert(struct job *job);
void job_record_update(struct job *job);	/* journal entry, or the end */
json_t *error_object(const struct vn_error *error);

/* job_answer.c */
int requests_load(struct jobs *jobs, struct vn_error *err);
void requests_free(struct jobs *jobs);
