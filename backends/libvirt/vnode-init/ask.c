/* The polite way to end a guest: the signal that its kind of init takes for "power off". */
#include "backends/libvirt/vnode-init/init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYSTEMD_POWEROFF 38	/* SIGRTMIN+4: power off; SIGRTMIN is 34 for programs */

#define ATTEMPTS 3			/* for a process that may just be setting its handlers up */

static const struct {
	const char *program;		/* what is executed: the last part of its path */
	const char *name;		/* what it is called as; NULL: anything */
	int signal;
} inits[] = {
	{ "systemd", NULL,	 SYSTEMD_POWEROFF },
	{ "busybox", "init",	 SIGUSR2	  },
	{ "busybox", "linuxrc", SIGUSR2	  },
};

static void
read_program(pid_t pid, char *ret, size_t size)
{
	char path[64], target[512];
	ssize_t length;
	const char *slash;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	length = readlink(path, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = '\0';
	slash = strrchr(target, '/');
	snprintf(ret, size, "%s", slash ? slash + 1 : target);
}

static void
read_text(pid_t pid, const char *name, char *ret, size_t size)
{
	char path[64];
	int fd;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? 0 : read(fd, ret, size - 1);
	ret[got < 0 ? 0 : got] = '\0';
	if (fd >= 0)
		close(fd);
}

static bool
is_waiting_for_signals(pid_t pid)
{
	char text[256];

	read_text(pid, "syscall", text, sizeof(text));
	return *text >= '0' && *text <= '9' && atoi(text) == SYS_rt_sigtimedwait;
}

static bool
handles(pid_t pid, int signal)
{
	static const char *const masks[] = { "SigBlk:", "SigCgt:" };
	char text[4096];

	read_text(pid, "status", text, sizeof(text));
	for (size_t i = 0; i < sizeof(masks) / sizeof(*masks); i++) {
		const char *at = strstr(text, masks[i]);

		if (at && strtoull(at + strlen(masks[i]), NULL, 16) & 1ull << (signal - 1))
			return true;
	}
	return false;
}

/*
 * A first process that neither handles nor blocks a signal never sees it: the kernel drops it. While
 * one waits in sigtimedwait(2), as busybox does, /proc shows its signals as not blocked.
 */
static bool
hears(pid_t pid, int signal)
{
	return is_waiting_for_signals(pid) || handles(pid, signal) || is_waiting_for_signals(pid);
}

int
guest_ask(pid_t guest, unsigned attempt)
{
	char program[64], name[64];
	int ask = SIGTERM;
	bool is_known = false;

	read_program(guest, program, sizeof(program));
	read_text(guest, "comm", name, sizeof(name));
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(inits) / sizeof(*inits); i++) {
		if (strcmp(inits[i].program, program) != 0 ||
		    (inits[i].name && strcmp(inits[i].name, name) != 0))
			continue;
		ask = inits[i].signal;
		is_known = true;
	}
	if (hears(guest, ask))
		kill(guest, ask);
	else if (!is_known && attempt >= ATTEMPTS)
		kill(guest, SIGKILL);
	else
		return -1;
	return 0;
}
