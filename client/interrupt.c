/*
 * Signals of the client. The handlers only set flags; they run inside ppoll and nowhere else, since
 * the signals are blocked otherwise. A program that never calls interrupt_catch keeps the ordinary
 * meaning of ^C.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/interrupt.h"

static volatile sig_atomic_t came, resized;

static void
on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		came = number;
}

static void
catch(int number)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t set;

	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

void
interrupt_catch(void)
{
	catch(SIGINT);
	catch(SIGTERM);
	catch(SIGHUP);
}

void
interrupt_catch_resize(void)
{
	catch(SIGWINCH);
}

int
interrupt_signal(void)
{
	return came;
}

bool
interrupt_resized(void)
{
	bool was = resized;

	resized = 0;
	return was;
}

int
interrupt_poll(struct pollfd *fds, unsigned n_fds, int timeout_ms)
{
	struct timespec timeout = { .tv_sec = timeout_ms / 1000,
				    .tv_nsec = timeout_ms % 1000 * 1000000L };
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	sigdelset(&mask, SIGINT);
	sigdelset(&mask, SIGTERM);
	sigdelset(&mask, SIGHUP);
	sigdelset(&mask, SIGWINCH);
	return ppoll(fds, n_fds, timeout_ms < 0 ? NULL : &timeout, &mask);
}
