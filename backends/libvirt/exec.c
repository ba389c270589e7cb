/*
 * Commands in guests, run by vnode-helper. Each has a channel of its own; reading it is all that
 * happens here. A helper that dies takes no command with it, only the news of its end.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "backends/helper-wire.h"
#include "backends/helper.h"
#include "backends/libvirt/lxc.h"
#include "proto/base/mem.h"

struct exec {
	struct vn_list link;
	struct lxc *lxc;
	int channel;
	struct watch *watch;
	void (*on_end)(void *arg, const struct exec_result *result, const struct vn_error *err);
	void *arg;
};

static void
exec_free(struct exec *exec)
{
	const struct watch_ops *ops = exec->lxc->env->watch;

	ops->remove(ops->loop, exec->watch);
	vn_list_remove(&exec->link);
	vn_close_at(&exec->channel);
	free(exec);
}

static void
on_answer(int fd, unsigned what, void *arg)
{
	struct exec *exec = arg;
	const struct watch_ops *ops = exec->lxc->env->watch;
	struct helper_answer answer = { 0 };
	struct exec_result result;
	struct vn_error err;
	ssize_t got = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);

	(void)what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	ops->remove(ops->loop, exec->watch);
	exec->watch = NULL;
	if (got == sizeof(answer) && answer.outcome == HELPER_ENDED) {
		result = (struct exec_result){ answer.code, answer.signal };
		exec->on_end(exec->arg, &result, NULL);
	} else {
		answer.text[sizeof(answer.text) - 1] = '\0';
		if (got == sizeof(answer))
			vn_fail(&err, (enum vn_code)answer.code, "%s", answer.text);
		else
			vn_fail(&err, VN_E_BACKEND, "vnode-helper was killed: how the command ends "
				"is not known");
		exec->on_end(exec->arg, NULL, &err);
	}
	exec_free(exec);
}

struct message {
	char *data;
	size_t size;
};

static void
append(struct message *message, const void *data, size_t size)
{
	message->data = vn_realloc_array(message->data, message->size + size, 1);
	memcpy(message->data + message->size, data, size);
	message->size += size;
}

static void
append_text(struct message *message, const char *text)
{
	append(message, text ? text : "", text ? strlen(text) + 1 : 1);
}

static uint32_t
count(const char *const *list)
{
	uint32_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static struct message
make_request(const struct guest_id *id, const struct exec_spec *spec)
{
	struct message message = { 0 };
	struct helper_request request = {
		.kind = HELPER_COMMAND,
		.init = id->init, .init_start = id->init_start,
		.guest = id->guest, .guest_start = id->guest_start,
		.tty = spec->tty,
		.n_argv = count(spec->argv), .n_env = count(spec->env),
	};

	append(&message, &request, sizeof(request));
	append_text(&message, spec->user);
	append_text(&message, spec->cwd);
	for (uint32_t i = 0; i < request.n_argv; i++)
		append_text(&message, spec->argv[i]);
	for (uint32_t i = 0; i < request.n_env; i++)
		append_text(&message, spec->env[i]);
	return message;
}

int
lxc_exec(struct compute *self, const struct guest_id *id, const struct exec_spec *spec,
	 void (*on_end)(void *arg, const struct exec_result *result, const struct vn_error *err),
	 void *arg, struct exec **ret, int *ret_master, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	const struct watch_ops *ops = lxc->env->watch;
	vn_autoclose int master = -1, slave = -1;
	struct message message;
	struct exec *exec;
	int channel, result;
	int fds[3] = { spec->fds[0], spec->fds[1], spec->fds[2] };

	if (!spec->argv || !spec->argv[0])
		return vn_fail(err, VN_E_INVALID, "no command to run");
	if (spec->tty && lxc_terminal_open(id, &master, &slave, err) < 0)
		return -1;
	for (int i = 0; i < 3 && spec->tty; i++)
		fds[i] = slave;
	message = make_request(id, spec);
	result = helper_send(lxc->env, message.data, message.size, fds, 3, &channel, err);
	free(message.data);
	if (result < 0)
		return -1;
	exec = vn_alloc(sizeof(*exec));
	*exec = (struct exec){ .lxc = lxc, .channel = channel, .on_end = on_end, .arg = arg };
	exec->watch = ops->add_fd(ops->loop, channel, WATCH_READ, on_answer, exec);
	vn_list_init(&exec->link);
	vn_list_append(&lxc->execs, &exec->link);
	*ret = exec;
	if (spec->tty)
		*ret_master = vn_take_fd(&master);
	return 0;
}

void
lxc_exec_signal(struct compute *self, struct exec *exec, int signal)
{
	struct helper_signal order = { signal };

	(void)self;
	if (send(exec->channel, &order, sizeof(order), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;			/* it has just ended: on_end is on its way */
}

/* Their channels close: the sessions get SIGHUP, and nobody is left to be told how they end. */
void
lxc_exec_close(struct lxc *lxc)
{
	vn_list_each_safe(struct exec, exec, &lxc->execs, link)
		exec_free(exec);
}
