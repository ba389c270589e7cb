/*
 * Commands inside a guest and its console. A command is one of a few words that end at once, or
 * "sleep", which runs until it gets a signal or its guest ends; descriptors and terminals are real.
 */
#include "backends/fake/model.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef void exec_end_fn(void *arg, const struct exec_result *result, const struct vn_error *err);

struct exec {
	struct vn_list link;
	struct handle *handle;
	struct guest_id guest;
	uint64_t serial;
	exec_end_fn *on_end;
	void *arg;
	int terminal;			/* the guest's side; -1: none */
	bool has_ended;
	struct exec_result result;
};

struct console {
	struct vn_list link;
	struct handle *handle;
	struct guest_id guest;
	int fd;				/* the guest's side */
};

static void
exec_free(struct exec *exec)
{
	vn_list_remove(&exec->link);
	if (exec->terminal >= 0)
		close(exec->terminal);
	free(exec);
}

static void
console_free(struct console *console)
{
	vn_list_remove(&console->link);
	close(console->fd);
	free(console);
}

static struct exec *
find_exec(struct world *world, uint64_t serial)
{
	vn_list_each(struct exec, exec, &world->execs, link)
		if (exec->serial == serial)
			return exec;
	return NULL;
}

static void
on_end_posted(struct handle *handle, void *arg)
{
	uint64_t *serial = arg;
	struct exec *exec;

	pthread_mutex_lock(&handle->world->lock);
	exec = find_exec(handle->world, *serial);
	pthread_mutex_unlock(&handle->world->lock);
	if (!exec)
		return;
	exec->on_end(exec->arg, &exec->result, NULL);
	pthread_mutex_lock(&handle->world->lock);
	exec_free(exec);
	pthread_mutex_unlock(&handle->world->lock);
}

static void
end_exec(struct exec *exec, int exit_code, int signal)
{
	uint64_t *serial;

	if (exec->has_ended)
		return;
	exec->has_ended = true;
	exec->result = (struct exec_result){ .exit_code = exit_code, .signal = signal };
	if (exec->terminal >= 0)
		close(vn_take_fd(&exec->terminal));
	serial = vn_alloc(sizeof(*serial));
	*serial = exec->serial;
	handle_post(exec->handle, on_end_posted, serial);
}

void
execs_kill(struct world *world, const struct guest_id *guest)
{
	vn_list_each(struct exec, exec, &world->execs, link)
		if (exec->guest.init_start == guest->init_start)
			end_exec(exec, -1, SIGKILL);
	vn_list_each_safe(struct console, console, &world->consoles, link)
		if (console->guest.init_start == guest->init_start)
			console_free(console);
}

void
execs_drop(struct world *world, const struct handle *handle)
{
	vn_list_each_safe(struct exec, exec, &world->execs, link)
		if (!handle || exec->handle == handle)
			exec_free(exec);
	vn_list_each_safe(struct console, console, &world->consoles, link)
		if (!handle || console->handle == handle)
			console_free(console);
}

/* Never waits: a reader that is not there loses the text. */
static void
write_words(int fd, const char *const *words)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return;
	for (size_t i = 0; words[i]; i++)
		dprintf(fd, "%s%s", i ? " " : "", words[i]);
	dprintf(fd, "\n");
}

static void
run(struct exec *exec, const struct exec_spec *spec)
{
	const char *word = spec->argv[0];

	if (strcmp(word, "sleep") == 0)
		return;
	if (strcmp(word, "true") == 0)
		end_exec(exec, 0, 0);
	else if (strcmp(word, "false") == 0)
		end_exec(exec, 1, 0);
	else if (strcmp(word, "exit") == 0)
		end_exec(exec, spec->argv[1] ? atoi(spec->argv[1]) & 255 : 0, 0);
	else if (strcmp(word, "echo") == 0) {
		write_words(exec->terminal >= 0 ? exec->terminal : spec->fds[1], spec->argv + 1);
		end_exec(exec, 0, 0);
	} else
		end_exec(exec, 127, 0);
}

static int
open_terminal(int *ret_master, int *ret_guest, struct vn_error *err)
{
	vn_autoclose int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char path[64];

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
	    ptsname_r(master, path, sizeof(path)) != 0)
		return vn_fail_errno(err, errno, "open a terminal");
	*ret_guest = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_guest < 0)
		return vn_fail_errno(err, errno, "open '%s'", path);
	*ret_master = vn_take_fd(&master);
	return 0;
}

static int
start_exec(struct call *call, const struct guest_id *id, const struct exec_spec *spec,
	   int *ret_master, struct exec **ret, struct vn_error *err)
{
	struct exec *exec;
	int terminal = -1;

	if (!guest_by_id(call->world, id))
		return vn_fail(err, VN_E_STATE, "the guest is not running");
	if (spec->tty && open_terminal(ret_master, &terminal, err) < 0)
		return -1;
	exec = vn_alloc(sizeof(*exec));
	exec->handle = call->handle;
	exec->guest = *id;
	exec->serial = call->world->next_serial++;
	exec->terminal = terminal;
	vn_list_append(&call->world->execs, &exec->link);
	run(exec, spec);
	*ret = exec;
	return 0;
}

static struct handle *
handle_of(struct compute *self)
{
	return &vn_container_of(self, struct fake_compute, base)->handle;
}

/*
 * on_end and arg are set only after the call counts as made: its message cannot be delivered
 * before, since this is the loop thread.
 */
int
fake_exec(struct compute *self, const struct guest_id *id, const struct exec_spec *spec,
	  exec_end_fn *on_end, void *arg, struct exec **ret, int *ret_master, struct vn_error *err)
{
	struct exec *exec = NULL;
	int master = -1;
	struct call call;

	if (call_begin(&call, handle_of(self), "compute.exec", 0, CALL_LOOP, err) < 0)
		return -1;
	if (call_end(&call, start_exec(&call, id, spec, &master, &exec, err), err) < 0) {
		pthread_mutex_lock(&call.world->lock);
		if (exec)
			exec_free(exec);
		pthread_mutex_unlock(&call.world->lock);
		if (master >= 0)
			close(master);
		return -1;
	}
	exec->on_end = on_end;
	exec->arg = arg;
	*ret = exec;
	if (spec->tty)
		*ret_master = master;
	return 0;
}

void
fake_exec_signal(struct compute *self, struct exec *exec, int signal)
{
	struct vn_error unheard;
	struct call call;

	if (call_begin(&call, handle_of(self), "compute.exec_signal", 0, CALL_LOOP, &unheard) < 0)
		return;
	end_exec(exec, -1, signal);
	call_end(&call, 0, &unheard);
}

/* What has been written so far; the socket ends after it unless the guest still runs. */
static int
open_console(struct call *call, const struct past *past, int *ret_fd, struct vn_error *err)
{
	struct console *console;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return vn_fail_errno(err, errno, "open a console");
	dprintf(pair[1], "%s", past->boot_text);
	console = vn_alloc(sizeof(*console));
	console->handle = call->handle;
	console->guest = past->id;
	console->fd = pair[1];
	vn_list_append(&call->world->consoles, &console->link);
	if (!guest_by_id(call->world, &past->id))
		console_free(console);
	*ret_fd = pair[0];
	return 0;
}

static int
find_console(struct call *call, const char *dir, int *ret_fd, struct vn_error *err)
{
	vn_list_each(struct past, past, &call->world->pasts, link)
		if (past->dir && strcmp(past->dir, dir) == 0)
			return open_console(call, past, ret_fd, err);
	return vn_fail(err, VN_E_NOT_FOUND, "no console in '%s': the vnode has never run", dir);
}

int
fake_console(struct compute *self, const char *dir, int *ret_fd, struct vn_error *err)
{
	struct call call;
	int fd = -1;

	if (call_begin(&call, handle_of(self), "compute.console", 0, CALL_LOOP, err) < 0)
		return -1;
	if (call_end(&call, find_console(&call, dir, &fd, err), err) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}
