/*
 * One command in a guest, and the process that looks after it. The supervisor stays on the machine's
 * side; a child of it joins the guest and forks once more, because a process enters a pid namespace
 * only by being born in it; that one becomes the command (enter.c). It is the supervisor's child too
 * (CLONE_PARENT), so its end is seen here.
 *
 * The channel's end means that nobody wants the command any more: SIGHUP to its session.
 */
#include "backends/libvirt/vnode-helper/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/libvirt/cgroup.h"
#include "backends/libvirt/process.h"

void
command_report(int sync, enum sync_kind kind, int value, const char *text)
{
	struct sync_message message = { .kind = kind, .value = value };

	snprintf(message.text, sizeof(message.text), "%s", text);
	if (send(sync, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		_exit(126);		/* the supervisor is gone */
}

static void __attribute__((noreturn))
refuse(int sync, const struct vn_error *err)
{
	command_report(sync, SYNC_FAILED, err->code, err->text);
	_exit(126);
}

static int
join_namespaces(int guest, const struct job *job, struct vn_error *err)
{
	int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID |
		    CLONE_NEWCGROUP;

	if (process_namespace(job->request.guest, "user") != process_namespace(getpid(), "user"))
		flags |= CLONE_NEWUSER;
	if (setns(guest, flags) == 0)
		return 0;
	return errno == ESRCH ? vn_fail(err, VN_E_STATE, "the guest has ended")
			      : vn_fail_errno(err, errno, "join the guest's namespaces");
}

static void __attribute__((noreturn))
run_joiner(const struct job *job, int guest, uint64_t bounding, int sync)
{
	struct vn_error err;
	long pid;

	/* Nobody in the guest may look into us before we are the command. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	process_spare(getpid(), 0);
	if (cgroup_join(job->request.guest, &err) < 0 || join_namespaces(guest, job, &err) < 0)
		refuse(sync, &err);
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0) {
		vn_fail_errno(&err, errno, "fork in the guest");
		refuse(sync, &err);
	}
	if (pid == 0) {
		if (enter_run(job, bounding, sync, &err) < 0)
			refuse(sync, &err);
		_exit(126);
	}
	command_report(sync, SYNC_BORN, (int)pid, "");
	_exit(0);
}

/* The guest's first process must be who it was: after the pidfd is open its pid cannot change hands. */
static int
open_guest(const struct job *job, uint64_t *ret_bounding, struct vn_error *err)
{
	int guest = process_open(job->request.guest, job->request.guest_start);
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", job->request.guest);
	file = guest < 0 ? NULL : fopen(path, "re");
	*ret_bounding = 0;
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "CapBnd:", 7))
			*ret_bounding = strtoull(line + 7, NULL, 16);
	if (file)
		fclose(file);
	if (process_start_time(job->request.guest) != job->request.guest_start)
		return vn_fail(err, VN_E_STATE, "the guest has ended");
	return guest;
}

/* One message of the command's processes, with the sender's host uid and gid; 0 at the end. */
static ssize_t
receive(int sync, struct sync_message *ret, struct ucred *ret_sender)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = { ret, sizeof(*ret) };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	struct cmsghdr *at;
	ssize_t got;

	while ((got = recvmsg(sync, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		continue;
	at = got > 0 ? CMSG_FIRSTHDR(&header) : NULL;
	if (at && at->cmsg_type == SCM_CREDENTIALS)
		memcpy(ret_sender, CMSG_DATA(at), sizeof(*ret_sender));
	return got;
}

/* Waits for the next message; SIGKILL to a command that nobody wants any more before it is one. */
static int
await(const struct job *job, int sync, pid_t pid, struct sync_message *ret,
      struct ucred *ret_sender, struct vn_error *err)
{
	struct pollfd polls[] = { { .fd = sync, .events = POLLIN },
				  { .fd = job->channel, .events = POLLRDHUP } };

	while (poll(polls, 2, -1) < 0 && errno == EINTR)
		continue;
	if (!polls[0].revents && pid > 0)
		kill(pid, SIGKILL);
	if (receive(sync, ret, ret_sender) <= 0)
		return 0;
	ret->text[sizeof(ret->text) - 1] = '\0';
	if (ret->kind == SYNC_FAILED)
		return vn_fail(err, (enum vn_code)ret->value, "%s", ret->text);
	return 1;
}

/* From the fork to the execution. 0 and *ret_pid: it runs, or has ended already. */
static int
bring_up(const struct job *job, int sync, pid_t *ret_pid, struct vn_error *err)
{
	struct sync_message message;
	struct ucred sender = { 0 };
	int more = await(job, sync, 0, &message, &sender, err);

	/* The child may be quicker than its parent. */
	for (int i = 0; i < 2 && more > 0; i++) {
		if (message.kind == SYNC_BORN) {
			*ret_pid = message.value;
		} else {
			*ret_pid = sender.pid;
			if (job->request.tty && fchown(job->fds[0], sender.uid, sender.gid) < 0)
				return vn_fail_errno(err, errno, "give the terminal to the user");
		}
		if (i == 0)
			more = await(job, sync, *ret_pid, &message, &sender, err);
	}
	if (more < 0)
		return -1;
	if (more == 0)
		return vn_fail(err, VN_E_BACKEND, "the command's process ended before it began");
	if (send(sync, "", 1, MSG_NOSIGNAL) < 0)
		return vn_fail_errno(err, errno, "release the command");
	return await(job, sync, *ret_pid, &message, &sender, err) < 0 ? -1 : 0;
}

/* Passes signals on until the command has ended; returns its wait status. */
static int
supervise(int channel, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd polls[] = { { .fd = pidfd, .events = POLLIN },
				  { .fd = channel, .events = POLLIN } };
	struct helper_signal order;
	int status = 0;

	while (pidfd >= 0) {
		if (poll(polls, 2, -1) < 0)
			continue;
		if (polls[0].revents)
			break;
		if (!polls[1].revents)
			continue;
		if (recv(channel, &order, sizeof(order), MSG_DONTWAIT) != sizeof(order)) {
			order.signal = SIGHUP;
			polls[1].fd = -1;
		}
		kill(-pid, order.signal);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
answer_end(int channel, int status)
{
	struct helper_answer message = { .outcome = HELPER_ENDED };

	message.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	message.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	answer(channel, &message);
}

/* Forks the joiner; returns our end of the sync socket. */
static int
fork_joiner(const struct job *job, pid_t *ret_pid, struct vn_error *err)
{
	int ends[2], on = 1, guest;
	uint64_t bounding;

	guest = open_guest(job, &bounding, err);
	if (guest < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
	    setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return vn_fail_errno(err, errno, "make a socket");
	*ret_pid = fork();
	if (*ret_pid < 0)
		return vn_fail_errno(err, errno, "fork in vnode-helper");
	if (*ret_pid == 0) {
		close(ends[0]);
		run_joiner(job, guest, bounding, ends[1]);
	}
	close(guest);
	close(ends[1]);
	return ends[0];
}

int
command_run(const struct job *job, struct vn_error *err)
{
	pid_t joiner = 0, pid = 0;
	int sync, result;

	if (job->n_strings != 2u + job->request.n_argv + job->request.n_env || !job->request.n_argv)
		return vn_fail(err, VN_E_INTERNAL, "malformed request to vnode-helper");
	sync = fork_joiner(job, &joiner, err);
	if (sync < 0)
		return -1;
	result = bring_up(job, sync, &pid, err);
	close(sync);
	waitpid(joiner, NULL, 0);
	for (int i = 0; i < 3; i++)
		close(job->fds[i]);	/* the command's, from now on: their end must be seen */
	if (result < 0)
		return -1;
	answer_end(job->channel, supervise(job->channel, pid));
	return 0;
}
