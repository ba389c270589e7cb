/*
 * Who may change what: each object has one lock, held by one job. A child takes over what its ancestors
 * hold and gives it back to them when it ends.
 */
#include "daemon/job_inner.h"

#include <inttypes.h>

static void
release(struct job *job, struct job_locked *locked)
{
	bool alive = locked->before && job_find(job->daemon, locked->before);

	if (locked->lock && locked->lock->holder == job->id)
		locked->lock->holder = alive ? locked->before : 0;
}

void
job_release_locks(struct job *job)
{
	struct job_locked *locked;

	while ((locked = job->locked)) {
		release(job, locked);
		job->locked = locked->next;
		free(locked);
	}
}

static bool
is_ancestor(const struct daemon *daemon, int64_t id, const struct job *job)
{
	for (; job; job = job->parent ? job_find(daemon, job->parent) : NULL)
		if (job->id == id)
			return true;
	return false;
}

enum lock_holder
job_lock_holder(const struct job *job, const struct job_lock *lock)
{
	const struct job *holder = job_find(job->daemon, lock->holder);

	if (!holder)
		return LOCK_FREE;
	return holder == job ? LOCK_OF_SELF : holder->parent == job->id ? LOCK_OF_CHILD : LOCK_OF_OTHER;
}

int
job_lock(struct job *job, struct job_lock *lock, const char *what, struct vn_error *err)
{
	struct job_locked *locked;

	if (lock->holder == job->id)
		return 0;
	if (lock->holder && !is_ancestor(job->daemon, lock->holder, job)) {
		struct job *holder = job_find(job->daemon, lock->holder);

		job->daemon->jobs->blocker = lock->holder;
		return vn_fail(err, VN_E_BUSY, "%s is held by job %" PRId64 " (%s); wait for it "
			       "with job.wait or end it with job.cancel", what, lock->holder,
			       holder ? holder->verb->method : "ended");
	}
	locked = vn_alloc(sizeof(*locked));
	*locked = (struct job_locked){ lock, lock->holder, job->locked };
	job->locked = locked;
	lock->holder = lock->last = job->id;
	return 0;
}

void
job_unlock(struct job *job, struct job_lock *lock)
{
	for (struct job_locked *locked = job->locked; locked; locked = locked->next)
		if (locked->lock == lock) {
			release(job, locked);
			locked->lock = NULL;
		}
}

/* The holder first, then the ancestors from which each had it. */
void
job_forget_lock(struct daemon *daemon, struct job_lock *lock)
{
	struct job *job = job_find(daemon, lock->holder);

	while (job) {
		int64_t before = 0;

		for (struct job_locked *locked = job->locked; locked; locked = locked->next)
			if (locked->lock == lock) {
				before = locked->before;
				locked->lock = NULL;
			}
		job = job_find(daemon, before);
	}
	lock->holder = 0;
}

int64_t
job_blocker(const struct daemon *daemon)
{
	return daemon->jobs->blocker;
}
