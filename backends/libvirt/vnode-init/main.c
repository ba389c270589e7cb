/*
 * vnode-init: the first process of a libvirt container. It makes the guest's own namespaces, runs
 * the guest's init in them, keeps its console and writes down how it ended. It stays outside: the
 * guest has no descriptor of it, cannot see or signal it, and its end is the guest's end.
 *
 * Dying at any point is safe: all processes of the container end with this one, which is the first
 * of libvirt's pid namespace.
 */
#include "backends/libvirt/vnode-init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int
link_send(int socket, const void *message, size_t size, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec part = { (void *)(uintptr_t)message, size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		header.msg_control = &control;
		header.msg_controllen = sizeof(control.space);
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

ssize_t
link_receive(int socket, void *message, size_t size, int *ret_fd, pid_t *ret_pid)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = { message, size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);

	if (ret_fd)
		*ret_fd = -1;
	for (struct cmsghdr *at = got < 0 ? NULL : CMSG_FIRSTHDR(&header); at;
	     at = CMSG_NXTHDR(&header, at)) {
		if (at->cmsg_type == SCM_RIGHTS && ret_fd)
			memcpy(ret_fd, CMSG_DATA(at), sizeof(int));
		if (at->cmsg_type == SCM_CREDENTIALS && ret_pid)
			*ret_pid = ((const struct ucred *)(const void *)CMSG_DATA(at))->pid;
	}
	return got;
}

static void
report(enum wire_kind kind, int sys, const char *text)
{
	struct wire_report message = { .kind = kind, .sys = sys };

	snprintf(message.text, sizeof(message.text), "%s", text);
	link_send(WIRE_FD_CONTROL, &message, sizeof(message), -1);
}

static void __attribute__((noreturn))
give_up(int sys, const char *text)
{
	report(WIRE_FAILED, sys, text);
	_exit(1);
}

/* Points `init` into `message`, which stays allocated. */
static int
read_setup(struct init *init, char *message, ssize_t size)
{
	char *at = message + sizeof(init->setup), *end = message + size;

	if (size < (ssize_t)sizeof(init->setup))
		return -1;
	memcpy(&init->setup, message, sizeof(init->setup));
	if (init->setup.magic != WIRE_MAGIC || !init->setup.argc || init->setup.argc > 4096)
		return -1;
	init->argv = calloc(init->setup.argc + 1, sizeof(char *));
	for (uint32_t i = 0; init->argv && i < init->setup.argc; i++) {
		size_t length = strnlen(at, (size_t)(end - at));

		if (at + length >= end)
			return -1;
		init->argv[i] = at;
		at += length + 1;
	}
	return init->argv ? 0 : -1;
}

/* Everything we were given closes when something is executed; signals arrive by descriptor. */
static int
take_over(struct init *init, sigset_t *signals)
{
	static char message[WIRE_MESSAGE_MAX];
	ssize_t size;

	for (int fd = WIRE_FD_PROGRAM; fd <= WIRE_FD_USERNS; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Holds the number until the guest's devpts comes. */
	if (dup3(WIRE_FD_PROGRAM, WIRE_FD_DEVPTS, O_CLOEXEC) < 0)
		return -1;
	sigemptyset(signals);
	sigaddset(signals, SIGCHLD);
	sigaddset(signals, SIGTERM);
	sigprocmask(SIG_SETMASK, signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	size = link_receive(WIRE_FD_CONTROL, message, sizeof(message), NULL, NULL);
	return read_setup(init, message, size);
}

/* Waits for a descriptor from the guest's first process; its failure is ours. */
static void
await_guest(struct init *init, int kind, int *ret_fd)
{
	struct link_message message;
	ssize_t size = link_receive(init->link, &message, sizeof(message), ret_fd,
				    &init->guest);

	if (size == sizeof(message) && message.kind == LINK_FAILED)
		give_up(message.value, message.text);
	if (size != sizeof(message) || message.kind != kind)
		give_up(EPROTO, "prepare the guest's first process: it ended");
}

static void
await_go(struct init *init)
{
	struct wire_go go;

	if (link_receive(WIRE_FD_CONTROL, &go, sizeof(go), &init->oom, NULL) != sizeof(go) ||
	    go.magic != WIRE_MAGIC)
		_exit(1);		/* vnoded is gone, or has changed its mind */
	init->oom_before = status_oom_kills(init->oom);
}

/* Lets the guest's init be executed. The link's end says that it has been. */
static void
release_guest(struct init *init)
{
	struct link_message message = { .kind = LINK_GO };

	status_write(WIRE_STATUS_RUNNING, 0);
	link_send(init->link, &message, sizeof(message), -1);
	if (link_receive(init->link, &message, sizeof(message), NULL, NULL) > 0) {
		status_write(WIRE_STATUS_EXITED, 127);
		give_up(message.value, message.text);
	}
	report(WIRE_EXECUTED, 0, "");
	close(init->link);
	close(WIRE_FD_CONTROL);
}

/* Reaps; returns whether the guest's first process was among them. */
static int
reap(struct init *init, int *ret_status)
{
	int status, ended = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != init->guest)
			continue;
		*ret_status = status;
		ended = 1;
	}
	return ended;
}

/* Until an init that is just starting has handlers, the kernel drops what it is sent. */
#define ASK_AGAIN_MS 20

/* Returns the guest's wait status. */
static int
watch_guest(struct init *init, struct console *console, int signals)
{
	unsigned attempt = 0;		/* to ask it to end; 0 = nobody wants it to */
	int status = 0;

	for (;;) {
		struct pollfd polls[1 + CONSOLE_POLLS] = { { .fd = signals, .events = POLLIN } };
		struct signalfd_siginfo info;
		unsigned n_polls = 1 + console_poll(console, polls + 1);

		if (reap(init, &status))
			return status;
		if (poll(polls, n_polls, attempt ? ASK_AGAIN_MS : -1) < 0)
			continue;
		if (polls[0].revents && read(signals, &info, sizeof(info)) == sizeof(info) &&
		    info.ssi_signo == SIGTERM)
			attempt = 1;
		if (attempt && guest_ask(init->guest, attempt++) == 0)
			attempt = 0;
		console_work(console, polls + 1);
	}
}

int
main(void)
{
	struct init init = { .oom = -1 };
	struct console *console;
	const char *what = "prepare mounts";
	sigset_t mask;
	int signals, devpts, master, status;

	if (take_over(&init, &mask) < 0) {
		fputs("vnode-init: started by vnoded only, as the first process of a container\n",
		      stderr);
		return 2;
	}
	if (mounts_prepare(&init, &what) < 0)
		give_up(errno, what);
	if (cgroup_split(&init) < 0)
		give_up(errno, "make the guest's cgroup");
	if (guest_spawn(&init) < 0)
		give_up(errno, "fork the guest's first process");
	await_guest(&init, LINK_DEVPTS, &devpts);
	if (dup3(devpts, WIRE_FD_DEVPTS, O_CLOEXEC) < 0)
		give_up(errno, "keep the guest's devpts");
	close(devpts);
	await_guest(&init, LINK_CONSOLE, &master);
	console = console_new(master);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (!console || signals < 0)
		give_up(errno, "open the console");
	report(WIRE_READY, 0, "");
	await_go(&init);
	release_guest(&init);
	status = watch_guest(&init, console, signals);
	console_drain(console);
	status_write_end(&init, status);
	return 0;
}
