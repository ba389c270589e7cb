/*
 * One program at a time for each caller: posix_spawn, its output through two pipes, its end by a pidfd. A
 * program that is killed by its deadline is killed with its process group, so that nothing of it goes on
 * writing to a disk.
 *
 * The surprise: the environment is ours alone but for PATH. Tools print for people, in their language.
 */
#include "backends/disk/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define OUT_MAX   (1u << 20)
#define SAID_MAX  160u			/* of its last words, for the error */
#define SYSTEM_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

struct tool {
	const char *name;
	pid_t pid;
	int pidfd, out, said;		/* out and said: our ends of its stdout and stderr */
	uint64_t end_ms;
	char *text;
	size_t length;
	char words[SAID_MAX + 1];
	size_t n_words;
};

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- looking it up --------------------------------------------------------------------------- */

/* The program's path, to be freed; NULL: there is none. */
static char *
look_up(const char *name, const char *path)
{
	while (path && *path) {
		size_t length = strcspn(path, ":");
		vn_autofree char *program = vn_format("%.*s/%s", (int)length, path, name);

		if (length && access(program, X_OK) == 0)
			return vn_take_ptr(&program);
		path += length + (path[length] == ':');
	}
	return NULL;
}

static char *
find_program(const char *name)
{
	char *program = look_up(name, getenv("PATH"));

	return program ? program : look_up(name, SYSTEM_PATH);
}

int
tool_check(const char *name, const char *package, struct vn_error *err)
{
	vn_autofree char *program = find_program(name);

	if (program)
		return 0;
	return vn_fail(err, VN_E_UNSUPPORTED, "there is no program %s: install Debian's package %s", name,
		       package);
}

/* ---- running it ------------------------------------------------------------------------------ */

static int
spawn(const char *program, const char *const *argv, int out, int said, pid_t *ret)
{
	vn_autofree char *path = vn_format("PATH=%s:" SYSTEM_PATH, getenv("PATH") ? getenv("PATH") : "");
	char locale[] = "LC_ALL=C";
	char *environment[] = { path, locale, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int failed;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
					      POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, said, 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	failed = posix_spawn(ret, program, &actions, &attributes, (char *const *)(uintptr_t)argv,
			     environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

static int
start(struct tool *tool, const char *const *argv, struct vn_error *err)
{
	vn_autofree char *program = find_program(argv[0]);
	int out[2], said[2], failed;

	if (!program)
		return vn_fail(err, VN_E_UNSUPPORTED, "there is no program %s", argv[0]);
	if (pipe2(out, O_CLOEXEC) < 0)
		return vn_fail_errno(err, errno, "make a pipe for %s", argv[0]);
	if (pipe2(said, O_CLOEXEC) < 0) {
		failed = errno;
		close(out[0]);
		close(out[1]);
		return vn_fail_errno(err, failed, "make a pipe for %s", argv[0]);
	}
	tool->out = out[0];
	tool->said = said[0];
	failed = spawn(program, argv, out[1], said[1], &tool->pid);
	close(out[1]);
	close(said[1]);
	if (failed)
		return vn_fail_errno(err, failed, "start %s", program);
	tool->pidfd = (int)syscall(SYS_pidfd_open, tool->pid, 0);
	return 0;
}

/* Its last words are kept, without the ends of lines. */
static void
hear(struct tool *tool, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char c = text[i] == '\n' || text[i] == '\t' ? ' ' : text[i];

		if (tool->n_words == SAID_MAX)
			memmove(tool->words, tool->words + 1, --tool->n_words);
		if (c != ' ' || (tool->n_words && tool->words[tool->n_words - 1] != ' '))
			tool->words[tool->n_words++] = c;
	}
}

/* Takes what there is; closes the pipe at its end. */
static void
take(struct tool *tool, int *fd, bool is_out)
{
	char piece[4096];
	ssize_t length = read(*fd, piece, sizeof(piece));

	if (length <= 0) {
		if (length < 0 && errno == EINTR)
			return;
		close(*fd);
		*fd = -1;
	} else if (!is_out) {
		hear(tool, piece, (size_t)length);
	} else if (tool->length + (size_t)length <= OUT_MAX) {
		tool->text = vn_realloc_array(tool->text, tool->length + (size_t)length + 1, 1);
		memcpy(tool->text + tool->length, piece, (size_t)length);
		tool->length += (size_t)length;
	}
}

/* False when its time is over. A pipe may be held open by what the program left behind: its end counts. */
static bool
follow(struct tool *tool)
{
	for (;;) {
		struct pollfd polled[] = {
			{ tool->pidfd, POLLIN, 0 }, { tool->out, POLLIN, 0 }, { tool->said, POLLIN, 0 },
		};
		uint64_t now = now_ms();
		int ready = now < tool->end_ms ? poll(polled, 3, (int)(tool->end_ms - now)) : 0;

		if (ready == 0)
			return false;
		if (ready > 0 && polled[1].revents)
			take(tool, &tool->out, true);
		else if (ready > 0 && polled[2].revents)
			take(tool, &tool->said, false);
		else if (ready > 0 && polled[0].revents)
			return true;
	}
}

/* How it ended, as an error; 0: well. */
static int
judge(const struct tool *tool, int status, struct vn_error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return vn_fail(err, VN_E_BACKEND, "%s was ended by signal %d", tool->name, WTERMSIG(status));
	vn_fail(err, VN_E_BACKEND, "%s failed (status %d): %s", tool->name, WEXITSTATUS(status),
		tool->n_words ? tool->words : "it said nothing");
	err->sys = WEXITSTATUS(status);
	return -1;
}

static int
finish(struct tool *tool, bool in_time, unsigned timeout_ms, struct vn_error *err)
{
	int status = 0;

	if (!in_time)
		kill(-tool->pid, SIGKILL);
	while (waitpid(tool->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (!in_time)
		return vn_fail(err, VN_E_TIMEOUT, "%s had not ended after %u ms and was killed", tool->name,
			       timeout_ms);
	return judge(tool, status, err);
}

int
tool_run(const char *const *argv, unsigned timeout_ms, char **ret_out, struct vn_error *err)
{
	struct tool tool = { .name = argv[0], .pidfd = -1, .out = -1, .said = -1,
			     .end_ms = now_ms() + timeout_ms };
	int result = start(&tool, argv, err);

	if (result == 0)
		result = finish(&tool, follow(&tool), timeout_ms, err);
	vn_close_at(&tool.pidfd);
	vn_close_at(&tool.out);
	vn_close_at(&tool.said);
	if (result == 0 && ret_out) {
		*ret_out = vn_realloc_array(vn_take_ptr(&tool.text), tool.length + 1, 1);
		(*ret_out)[tool.length] = '\0';
	}
	free(tool.text);
	return result;
}
