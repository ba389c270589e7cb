/* Who is to be told of a job's end. What surprises: a waiter may take others away when it is called. */
#include "daemon/job_inner.h"

#include <stdlib.h>

uint64_t
job_watch(struct job *job, void (*fn)(void *arg, struct job *job), void *arg)
{
	struct job_waiter *waiter = vn_alloc(sizeof(*waiter));

	*waiter = (struct job_waiter){ ++job->daemon->jobs->last_ticket, fn, arg, job->waiters };
	job->waiters = waiter;
	return waiter->id;
}

void
job_unwatch(struct job *job, uint64_t watch)
{
	for (struct job_waiter **at = &job->waiters; *at; at = &(*at)->next) {
		struct job_waiter *waiter = *at;

		if (waiter->id != watch)
			continue;
		*at = waiter->next;
		free(waiter);
		return;
	}
}

void
job_tell_waiters(struct job *job, struct job *ended)
{
	struct job_waiter *waiter;

	while ((waiter = job->waiters)) {
		job->waiters = waiter->next;
		waiter->fn(waiter->arg, ended);
		free(waiter);
	}
}
