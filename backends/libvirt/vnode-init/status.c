/* The status file, and how the guest's first process ended. */
#include "backends/libvirt/vnode-init/init.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void
status_write(const char *word, int number)
{
	char line[WIRE_STATUS_SIZE + 1];

	snprintf(line, sizeof(line), WIRE_STATUS_FORMAT, word, number);
	if (pwrite(WIRE_FD_STATUS, line, WIRE_STATUS_SIZE, 0) != WIRE_STATUS_SIZE)
		return;			/* disk full: the reader finds the older line and says killed */
}

/* Both cgroup versions have a line "oom_kill <count>" in the file. */
uint64_t
status_oom_kills(int fd)
{
	char text[512];
	ssize_t size = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	const char *line;

	if (size <= 0)
		return 0;
	text[size] = '\0';
	line = strstr(text, "oom_kill ");
	return line ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
}

void
status_write_end(const struct init *init, int wait_status)
{
	if (WIFEXITED(wait_status)) {
		status_write(WIRE_STATUS_EXITED, WEXITSTATUS(wait_status));
		return;
	}
	switch (WTERMSIG(wait_status)) {
	case SIGHUP:			/* reboot(2) in a pid namespace ends its first process so */
		status_write(WIRE_STATUS_REBOOT, 0);
		break;
	case SIGINT:
		status_write(WIRE_STATUS_POWEROFF, 0);
		break;
	case SIGKILL:
		if (status_oom_kills(init->oom) > init->oom_before)
			status_write(WIRE_STATUS_OOM, SIGKILL);
		else
			status_write(WIRE_STATUS_KILLED, SIGKILL);
		break;
	default:
		status_write(WIRE_STATUS_SIGNALLED, WTERMSIG(wait_status));
	}
}
