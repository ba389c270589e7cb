/*
 * One way to make a thread. A new thread inherits its maker's signal mask, so signals are blocked
 * around the creation: there is no moment in which the new thread could be chosen for one.
 */
#include "daemon/thread.h"

#include <sched.h>
#include <signal.h>

bool
thread_start(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int failed;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	failed = pthread_create(ret, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (failed)
		return false;
	pthread_setname_np(*ret, name);
	return true;
}

void
thread_stand_back(void)
{
	struct sched_param none = { 0 };

	/* Where it is refused all goes on, only less smoothly. */
	sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none);
}
