/* A pid is checked against its start time after the pidfd is open: from then on it cannot change. */
#include "backends/libvirt/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/mem.h"

/* Returns bytes read, the text NUL-terminated; 0 when there is nothing. */
static size_t
read_text(pid_t pid, const char *name, char *ret, size_t size)
{
	char path[64];
	vn_autoclose int fd = -1;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	errno = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? 0 : read(fd, ret, size - 1);
	ret[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

/* One field of /proc/PID/stat from 3 on; the name before may hold blanks and parentheses. */
static unsigned long long
stat_field(pid_t pid, int number, char *ret_state)
{
	char text[1024];
	char *at;

	*ret_state = 'X';
	if (pid <= 0 || !read_text(pid, "stat", text, sizeof(text)) || !(at = strrchr(text, ')')))
		return 0;
	*ret_state = at[2];
	for (int field = 2; field < number && at; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

uint64_t
process_start_time(pid_t pid)
{
	char state;
	uint64_t start;

	errno = ESRCH;
	start = stat_field(pid, 22, &state);
	if (state != 'Z' && state != 'X')
		return start;
	if (!process_is_unknown())
		errno = ESRCH;
	return 0;
}

pid_t
process_parent(pid_t pid)
{
	char state;

	return (pid_t)stat_field(pid, 4, &state);
}

int
process_open(pid_t pid, uint64_t start)
{
	vn_autoclose int fd = -1;
	uint64_t found;

	errno = ESRCH;
	if (pid > 0)
		fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -1;
	found = process_start_time(pid);
	if (found == start)
		return vn_take_fd(&fd);
	if (found)
		errno = ESRCH;
	return -1;
}

bool
process_is_unknown(void)
{
	return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

uint64_t
process_namespace(pid_t pid, const char *name)
{
	char path[64];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	return pid > 0 && stat(path, &status) == 0 ? status.st_ino : 0;
}

pid_t
process_child(pid_t pid)
{
	char name[64], text[256];

	snprintf(name, sizeof(name), "task/%d/children", pid);
	return pid > 0 && read_text(pid, name, text, sizeof(text)) ? atoi(text) : 0;
}

void
process_spare(pid_t pid, int score)
{
	char path[64];
	vn_autoclose int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		dprintf(fd, "%d", score);
}

static int64_t
now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

bool
process_await(int pidfd, int timeout_ms)
{
	int64_t until = now_ms() + timeout_ms;
	struct pollfd entry = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		int64_t left = until - now_ms();
		int ready = poll(&entry, 1, left > 0 ? (int)left : 0);

		if (ready > 0)
			return true;
		if (ready == 0 || errno != EINTR)
			return false;
	}
}
