/*
 * The guest's first process, up to the execution of its init: joins the pinned namespaces, makes the
 * rest, waits for LINK_GO. Between the fork and the execution nothing of the guest runs, so what it
 * still holds cannot be taken from it.
 */
#include "backends/libvirt/vnode-init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void __attribute__((noreturn))
fail(int link, const char *what)
{
	struct link_message message = { .kind = LINK_FAILED, .value = errno };

	snprintf(message.text, sizeof(message.text), "%s", what);
	link_send(link, &message, sizeof(message), -1);
	_exit(127);
}

/*
 * Without a user namespace root keeps what libvirt would leave it, less what reaches the machine.
 *
 * With one all capabilities are harmless, but the first three also mean nothing: they count in the machine's
 * user namespace only. Having them misleads: systemd mounts debugfs, sets the clock and loads modules where it
 * has them, and calls itself degraded when that fails.
 */
static void
drop_capabilities(int link, bool privileged)
{
	static const int unwanted[] = {
		CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME,
		CAP_MKNOD, CAP_SYSLOG, CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_AUDIT_CONTROL, CAP_AUDIT_READ,
		CAP_WAKE_ALARM, CAP_BLOCK_SUSPEND, CAP_BPF, CAP_PERFMON, CAP_SYS_PACCT,
	};
	size_t count = privileged ? sizeof(unwanted) / sizeof(*unwanted) : 3;

	for (size_t i = 0; i < count; i++)
		if (prctl(PR_CAPBSET_DROP, unwanted[i], 0, 0, 0) < 0 && errno != EINVAL)
			fail(link, "drop capabilities");
}

/* The network first: its owner is a user namespace in which we have no rights before we join it. */
static void
join(const struct init *init)
{
	int privileged = init->setup.flags & WIRE_PRIVILEGED;

	if (cgroup_enter_guest(init) < 0)
		fail(init->link, "enter the guest's cgroup");
	if (setns(WIRE_FD_NETNS, CLONE_NEWNET) < 0)
		fail(init->link, "join the network namespace");
	if (!privileged && setns(WIRE_FD_USERNS, CLONE_NEWUSER) < 0)
		fail(init->link, "join the user namespace");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 || setgroups(0, NULL) < 0)
		fail(init->link, "become the guest's root");
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		fail(init->link, "make the guest's namespaces");
}

/* Makes the terminal in the guest's devpts, its console; leaves it as descriptors 0, 1 and 2. */
static int
take_console(const struct init *init)
{
	struct link_message message = { .kind = LINK_CONSOLE };
	int master, slave, unlock = 0;
	unsigned number;
	char path[64];

	master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    ioctl(master, TIOCGPTN, &number) < 0)
		return -1;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/dev/pts/%u", number);
	if (slave < 0 || mounts_bind_console(path) < 0)
		return -1;
	if (link_send(init->link, &message, sizeof(message), master) < 0)
		return -1;
	close(master);
	setsid();
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return -1;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(slave, fd) < 0)
			return -1;
	return 0;
}

static void
report_self(const struct init *init)
{
	struct wire_report message = { .kind = WIRE_GUEST };

	if (link_send(WIRE_FD_CONTROL, &message, sizeof(message), -1) < 0)
		fail(init->link, "report to vnoded");
}

static void __attribute__((noreturn))
execute(const struct init *init)
{
	static char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/",
		"TERM=linux", "container=lxc", NULL,
	};
	struct link_message message;
	sigset_t none;

	if (link_receive(init->link, &message, sizeof(message), NULL, NULL) != sizeof(message))
		_exit(127);
	/* Only now: vnoded may have moved us to a cgroup of its own making. */
	if (unshare(CLONE_NEWCGROUP) < 0 || mounts_cgroup(init) < 0)
		fail(init->link, "make the guest's cgroup namespace");
	drop_capabilities(init->link, init->setup.flags & WIRE_PRIVILEGED);
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		fail(init->link, "close descriptors");
	execvpe(init->argv[0], init->argv, environment);
	snprintf(message.text, sizeof(message.text), "execute %s in the guest", init->argv[0]);
	fail(init->link, message.text);
}

static void __attribute__((noreturn))
run_first(const struct init *init)
{
	struct link_message message = { .kind = LINK_DEVPTS };
	const char *what = "mount";
	int devpts;

	if (sethostname(init->setup.hostname, strlen(init->setup.hostname)) < 0)
		fail(init->link, "set the host name");
	if (mounts_enter(init, &devpts, &what) < 0)
		fail(init->link, what);
	if (link_send(init->link, &message, sizeof(message), devpts) < 0)
		fail(init->link, "hand over devpts");
	close(devpts);
	if (take_console(init) < 0)
		fail(init->link, "make the console's terminal");
	report_self(init);
	execute(init);
}

/*
 * Two forks: the pid namespace must be made inside the user namespace that owns it, and a process
 * enters one only by being born in it. CLONE_PARENT makes the second one our child.
 */
static void __attribute__((noreturn))
run_joiner(const struct init *init)
{
	long pid;

	join(init);
	pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		fail(init->link, "make the guest's pid namespace");
	if (pid == 0)
		run_first(init);
	_exit(0);
}

int
guest_spawn(struct init *init)
{
	int ends[2], on = 1;
	pid_t pid;

	/* Messages bring their sender's pid, as seen from here. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
	    setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		close(ends[0]);
		init->link = ends[1];
		run_joiner(init);
	}
	close(ends[1]);
	init->link = ends[0];
	return 0;
}
