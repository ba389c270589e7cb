/* The last steps of a command's process: it is in the guest already, but still the guest's root. */
#include "backends/libvirt/vnode-helper/command.h"

#include <errno.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
take_descriptors(const struct job *job, struct vn_error *err)
{
	setsid();
	for (int i = 0; i < 3; i++)
		if (job->fds[i] < 0 || dup2(job->fds[i], i) < 0)
			return vn_fail_errno(err, errno, "take the command's descriptors");
	if (job->request.tty && ioctl(0, TIOCSCTTY, 0) < 0)
		return vn_fail_errno(err, errno, "take the controlling terminal");
	return 0;
}

static int
become(const struct user *user, uint64_t bounding, struct vn_error *err)
{
	gid_t groups[sizeof(user->groups) / sizeof(*user->groups)];

	for (int i = 0; i < user->n_groups; i++)
		groups[i] = user->groups[i];
	for (int capability = 0; capability < 64; capability++)
		if (!(bounding & 1ull << capability) &&
		    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
			return vn_fail_errno(err, errno, "take the guest's capabilities");
	if (setgroups((size_t)user->n_groups, groups) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return vn_fail_errno(err, errno, "become the user '%s'", user->name);
	return 0;
}

static int
enter_folder(const char *cwd, const char *home, struct vn_error *err)
{
	if (*cwd)
		return chdir(cwd) < 0 ? vn_fail_errno(err, errno, "enter the folder %s in the guest",
						      cwd) : 0;
	return chdir(home) < 0 && chdir("/") < 0 ?
		       vn_fail_errno(err, errno, "enter the guest's root") : 0;
}

/* What was asked for comes last and wins. */
static void
set_environment(const struct job *job, const struct user *user)
{
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", user->home, 1);
	setenv("USER", user->name, 1);
	setenv("TERM", job->request.tty ? "xterm" : "dumb", 1);
	setenv("container", "lxc", 1);
	for (uint32_t i = 0; i < job->request.n_env; i++)
		putenv(job->strings[2 + job->request.n_argv + i]);
}

static void
reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int
enter_run(const struct job *job, uint64_t bounding, int sync, struct vn_error *err)
{
	const uint32_t n_argv = job->request.n_argv;
	char **argv = calloc(n_argv + 1, sizeof(char *));
	struct user user;
	char go;

	if (!argv)
		return vn_fail(err, VN_E_LIMIT, "out of memory");
	memcpy(argv, job->strings + 2, n_argv * sizeof(char *));
	if (user_find(job->strings[0], &user, err) < 0 || take_descriptors(job, err) < 0 ||
	    become(&user, bounding, err) < 0 ||
	    enter_folder(job->strings[1], user.home, err) < 0)
		return -1;
	set_environment(job, &user);
	command_report(sync, SYNC_READY, 0, "");
	if (recv(sync, &go, 1, 0) != 1)
		_exit(126);
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	umask(022);
	reset_signals();
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}
