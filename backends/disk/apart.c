/*
 * One thread, one piece of work. Signals stay with the daemon's own threads. The surprise is in
 * apart_become_owner(): the kernel takes the file capabilities out of the effective set when the
 * file-system user becomes other than 0, so they are put back from the permitted set.
 */
#include "backends/disk/apart.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct piece {
	apart_fn *fn;
	void *arg;
	struct vn_error *err;
	int result;
};

static void *
run_piece(void *arg)
{
	struct piece *piece = arg;

	if (unshare(CLONE_FS) < 0) {
		piece->result = vn_fail_errno(piece->err, errno, "separate a thread's directories");
		return NULL;
	}
	umask(022);
	piece->result = piece->fn(piece->arg, piece->err);
	return NULL;
}

int
apart_run(apart_fn *fn, void *arg, struct vn_error *err)
{
	struct piece piece = { .fn = fn, .arg = arg, .err = err };
	sigset_t all, before;
	pthread_t thread;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&thread, NULL, run_piece, &piece);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return vn_fail(err, VN_E_LIMIT, "no thread for work on a disk (error %d): raise "
			       "the limit of tasks", failed);
	pthread_join(thread, NULL);
	return piece.result;
}

static int
keep_capabilities(struct vn_error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return vn_fail_errno(err, errno, "read a thread's capabilities");
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return vn_fail_errno(err, errno, "keep a thread's capabilities");
	return 0;
}

int
apart_become_owner(uid_t uid, gid_t gid, struct vn_error *err)
{
	/* These two report nothing: asking for -1 changes nothing and tells the present value. */
	setfsgid(gid);
	setfsuid(uid);
	if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
		return vn_fail(err, VN_E_DENIED, "cannot make files for owner %u: vnoded must run "
			       "as root", uid);
	return keep_capabilities(err);
}
