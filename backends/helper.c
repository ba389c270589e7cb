/*
 * One posix_spawn, at first use, is all that vnoded ever starts. Requests need no numbers: each has
 * a channel of its own, so threads that wait do not meet, and a helper that dies closes them all.
 */
#include "backends/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "backends/helper-wire.h"
#include "backends/pin.h"
#include "proto/base/mem.h"

static struct {
	pthread_mutex_t lock;
	int socket;
	pid_t pid;
} helper = { PTHREAD_MUTEX_INITIALIZER, -1, 0 };

/* Nothing of ours but the socket: no descriptor, no signal mask, no terminal's signals. */
static int
spawn(const char *path, int socket, pid_t *ret_pid)
{
	char *const argv[] = { (char *)(uintptr_t)"vnode-helper", NULL };
	char *const environment[] = { NULL };
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
	posix_spawn_file_actions_adddup2(&actions, socket, HELPER_FD);
	posix_spawn_file_actions_addclosefrom_np(&actions, HELPER_FD + 1);
	failed = posix_spawn(ret_pid, path, &actions, &attributes, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

/* Locked. */
static int
start(const struct backend_env *env, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/vnode-helper", env->libexec_dir);
	int ends[2], size = HELPER_REQUEST_MAX * 4, failed;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return vn_fail_errno(err, errno, "make a socket for %s", path);
	if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	failed = spawn(path, ends[1], &helper.pid);
	close(ends[1]);
	if (failed) {
		close(ends[0]);
		return vn_fail_errno(err, failed, "start %s", path);
	}
	helper.socket = ends[0];
	return 0;
}

/* Locked. The helper closes its end only by ending, so that waiting for it is short. */
static void
forget(void)
{
	close(helper.socket);
	helper.socket = -1;
	while (waitpid(helper.pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	helper.pid = 0;
}

static int
send_message(int socket, const void *message, size_t size, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * HELPER_MAX_FDS)];
	} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int) * n_fds) } };
	struct iovec part = { (void *)(uintptr_t)message, size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds) };

	memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
	return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

/* Locked. A helper found dead is replaced once. */
static int
send_to_helper(const struct backend_env *env, const void *request, size_t size, const int *fds,
	       size_t n_fds, struct vn_error *err)
{
	for (int i = 0; i < 2; i++) {
		if (helper.socket < 0 && start(env, err) < 0)
			return -1;
		if (send_message(helper.socket, request, size, fds, n_fds) == 0)
			return 0;
		if (errno == EAGAIN)
			return vn_fail(err, VN_E_BUSY, "vnode-helper does not keep up; try again");
		if (errno == EMSGSIZE)
			return vn_fail(err, VN_E_LIMIT, "the request to vnode-helper is too large");
		vn_fail_errno(err, errno, "write to vnode-helper");
		forget();
	}
	return -1;
}

int
helper_send(const struct backend_env *env, const void *request, size_t size, const int *fds,
	    size_t n_fds, int *ret_channel, struct vn_error *err)
{
	int ends[2], all[HELPER_MAX_FDS], result;

	if (size > HELPER_REQUEST_MAX)
		return vn_fail(err, VN_E_LIMIT, "arguments and environment are over %d bytes",
			       HELPER_REQUEST_MAX);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return vn_fail_errno(err, errno, "make a socket for vnode-helper");
	all[0] = ends[1];
	for (size_t i = 0; i < n_fds; i++)
		all[1 + i] = fds[i];
	pthread_mutex_lock(&helper.lock);
	result = send_to_helper(env, request, size, all, n_fds + 1, err);
	pthread_mutex_unlock(&helper.lock);
	close(ends[1]);
	if (result < 0)
		close(ends[0]);
	else
		*ret_channel = ends[0];
	return result;
}

static bool
is_pinned(const struct ns_ref *ns)
{
	struct vn_error ignored;
	vn_autoclose int net = pin_open(ns->netns, CLONE_NEWNET, &ignored);
	vn_autoclose int user = -1;

	if (net < 0 || !ns->userns)
		return net >= 0;
	user = pin_open(ns->userns, CLONE_NEWUSER, &ignored);
	return user >= 0 && pin_is_owned(net, user);
}

/* Waits for the one answer. 1: the helper ended before it gave one. */
static int
await_answer(int channel, struct vn_error *err)
{
	struct helper_answer answer;
	ssize_t got;

	while ((got = recv(channel, &answer, sizeof(answer), 0)) < 0 && errno == EINTR)
		continue;
	if (got != sizeof(answer)) {
		vn_fail(err, VN_E_BACKEND, "vnode-helper ended before it answered");
		return 1;
	}
	answer.text[sizeof(answer.text) - 1] = '\0';
	if (answer.outcome == HELPER_DONE)
		return 0;
	return vn_fail(err, (enum vn_code)answer.code, "%s", answer.text);
}

int
helper_make_namespaces(const struct backend_env *env, const struct ns_ref *ns, struct vn_error *err)
{
	const char *userns = ns->userns ? ns->userns : "";
	size_t net_size = strlen(ns->netns) + 1, user_size = strlen(userns) + 1;
	vn_autofree char *message = vn_alloc(sizeof(struct helper_request) + net_size + user_size);
	struct helper_request request = { .kind = HELPER_NAMESPACES, .idmap_base = ns->idmap_base };
	int result = 1;

	if (is_pinned(ns))
		return 0;
	memcpy(message, &request, sizeof(request));
	memcpy(message + sizeof(request), ns->netns, net_size);
	memcpy(message + sizeof(request) + net_size, userns, user_size);
	for (int i = 0; i < 2 && result > 0; i++) {
		vn_autoclose int channel = -1;

		if (helper_send(env, message, sizeof(request) + net_size + user_size, NULL, 0,
				&channel, err) < 0)
			return -1;
		result = await_answer(channel, err);
	}
	return result == 0 ? 0 : -1;
}
