/*
 * vnode-helper: does for vnoded what a process with threads cannot, or what must never happen in
 * vnoded itself: making user namespaces and running commands inside guests. It reads requests and
 * forks one process for each; it ends when vnoded has.
 */
#include "backends/libvirt/vnode-helper/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

void
answer(int channel, const struct helper_answer *message)
{
	if (send(channel, message, sizeof(*message), MSG_NOSIGNAL) < 0)
		return;			/* nobody waits any more */
}

static void
answer_failure(int channel, const struct vn_error *err)
{
	struct helper_answer message = { .outcome = HELPER_FAILED, .code = err->code };

	snprintf(message.text, sizeof(message.text), "%s", err->text);
	answer(channel, &message);
}

static void
take_descriptors(struct msghdr *header, struct job *job)
{
	int fds[HELPER_MAX_FDS] = { -1, -1, -1, -1 };
	struct cmsghdr *at = CMSG_FIRSTHDR(header);

	if (at && at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS &&
	    at->cmsg_len <= CMSG_LEN(sizeof(fds)))
		memcpy(fds, CMSG_DATA(at), at->cmsg_len - CMSG_LEN(0));
	job->channel = fds[0];
	memcpy(job->fds, fds + 1, sizeof(job->fds));
}

/* Points job->strings into `message`. */
static int
take_apart(struct job *job, char *message, size_t size)
{
	char *at = message + sizeof(job->request), *end = message + size;
	size_t count = 0;

	if (size < sizeof(job->request) || job->channel < 0 || message[size - 1] != '\0')
		return -1;
	memcpy(&job->request, message, sizeof(job->request));
	for (const char *byte = at; byte < end; byte++)
		count += *byte == '\0';
	job->strings = calloc(count + 1, sizeof(char *));
	if (!job->strings)
		return -1;
	for (; at < end; at += strlen(at) + 1)
		job->strings[job->n_strings++] = at;
	return 0;
}

/* Returns bytes, 0 when vnoded is gone. */
static size_t
receive(char *message, size_t size, struct job *job)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * HELPER_MAX_FDS)];
	} control;
	struct iovec part = { message, size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	ssize_t got;

	while ((got = recvmsg(HELPER_FD, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		continue;
	if (got <= 0)
		return 0;
	take_descriptors(&header, job);
	return (size_t)got;
}

static void
close_job(struct job *job)
{
	if (job->channel >= 0)
		close(job->channel);
	for (int i = 0; i < 3; i++)
		if (job->fds[i] >= 0)
			close(job->fds[i]);
	free(job->strings);
}

static int
run(const struct job *job)
{
	struct helper_answer done = { .outcome = HELPER_DONE };
	struct vn_error err;

	signal(SIGCHLD, SIG_DFL);
	close(HELPER_FD);
	if (job->request.kind == HELPER_COMMAND) {
		if (command_run(job, &err) == 0)
			return 0;
	} else if (namespaces_make(job, &err) == 0) {
		answer(job->channel, &done);
		return 0;
	}
	answer_failure(job->channel, &err);
	return 1;
}

int
main(void)
{
	static char message[HELPER_REQUEST_MAX];
	size_t size;
	int type;

	if (getsockopt(HELPER_FD, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) }) < 0) {
		fputs("vnode-helper: started by vnoded only\n", stderr);
		return 2;
	}
	fcntl(HELPER_FD, F_SETFD, FD_CLOEXEC);
	signal(SIGCHLD, SIG_IGN);		/* the kernel buries the processes of requests */
	for (;;) {
		struct job job = { .channel = -1, .fds = { -1, -1, -1 } };
		struct vn_error err = { .code = VN_E_LIMIT };
		pid_t pid;

		size = receive(message, sizeof(message), &job);
		if (!size)
			return 0;
		if (take_apart(&job, message, size) == 0) {
			pid = fork();
			if (pid == 0)
				_exit(run(&job));
			if (pid < 0) {
				vn_fail_errno(&err, errno, "fork in vnode-helper");
				answer_failure(job.channel, &err);
			}
		}
		close_job(&job);
	}
}
