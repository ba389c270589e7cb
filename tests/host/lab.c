/*
 * Guests end and libvirt is killed only inside the private namespaces of tests/host/env. Roots lie
 * on its tmpfs and belong to the guest's root, as a shifted copy would.
 */
#include "tests/host/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/helper.h"
#include "proto/base/mem.h"

#define BASE "/run/lab"
#define IDS  65536u

static void
on_exit_event(void *arg, const char *uuid, const struct guest_exit *exit)
{
	struct lab *lab = arg;

	for (size_t i = 0; i < lab->n_guests; i++) {
		struct lab_guest *guest = &lab->guests[i];

		if (strcmp(guest->uuid, uuid) != 0)
			continue;
		guest->exits++;
		guest->has_exited = true;
		guest->exit = *exit;
		lab->n_exits++;
	}
	lab->all_exited = lab->n_exits == lab->n_guests;
}

static void
on_link_event(void *arg, bool up, const char *text)
{
	struct lab *lab = arg;

	(void)text;
	lab->link_up = up;
	lab->link_changed = true;
}

static void
open_backend(struct lab *lab)
{
	struct compute_events events = { lab, on_exit_event, on_link_event };
	struct vn_error err;

	ck_assert_msg(compute_lxc.open(&lab->env, &events, &lab->compute, &err) == 0, "%s", err.text);
	lab->link_up = true;
}

int
lab_run(const char *command)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
lab_open(struct lab *lab)
{
	*lab = (struct lab){ .loop = mini_loop_new() };
	lab->env = (struct backend_env){
		.watch = mini_loop_ops(lab->loop),
		.instance = "5f0c2a9e-0000-4000-8000-000000000001",
		.state_dir = BASE "/state", .run_dir = BASE "/run", .libexec_dir = BASE "/libexec",
		.libvirt_uri = "lxc:///system", .fabric = "fabric", .nft_table = "vnoded",
	};
	ck_assert_int_eq(lab_run("mkdir -p " BASE "/libexec " BASE "/state/vnodes " BASE "/root && ln -sf "
				 VNODE_INIT " " VNODE_HELPER " " BASE "/libexec/"), 0);
	open_backend(lab);
}

void
lab_reopen(struct lab *lab)
{
	compute_lxc.close(lab->compute);
	open_backend(lab);
}

static void
unpin(const char *path)
{
	if (!*path)
		return;
	ck_assert_int_eq(umount2(path, MNT_DETACH), 0);
	ck_assert_int_eq(unlink(path), 0);
}

void
lab_close(struct lab *lab)
{
	struct guest_found *found;
	struct vn_error err;
	size_t count;

	for (size_t i = 0; i < lab->n_guests; i++) {
		lab_stop(lab, &lab->guests[i], 0);
		unpin(lab->guests[i].netns);
		unpin(lab->guests[i].userns);
	}
	ck_assert_msg(lab->compute->ops->list(lab->compute, &found, &count, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(count, 0);
	free(found);
	lab->compute->ops->close(lab->compute);
	ck_assert_uint_eq(mini_loop_watches(lab->loop), 0);
	mini_loop_free(lab->loop);
	ck_assert_msg(lab_run("! grep -q " BASE " /proc/self/mountinfo") == 0, "mounts are left");
	ck_assert_msg(lab_run("! ls " BASE "/run/console/* >/dev/null 2>&1") == 0, "sockets are left");
	ck_assert_msg(lab_run("! ls -d /sys/fs/cgroup/pids/vnoded/*/ >/dev/null 2>&1") == 0,
		      "cgroups are left");
	ck_assert_int_eq(lab_run("rm -rf " BASE), 0);
}

static uint32_t shift_to;

static int
shift(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return lchown(path, shift_to, shift_to);
}

static void
make_root(const char *root, uint32_t base)
{
	vn_autofree char *command = vn_format(
		"mkdir -p %s/bin %s/sbin %s/etc %s/proc %s/sys %s/dev %s/run %s/tmp %s/root && "
		"cp /bin/busybox %s/bin/busybox && cd %s/bin && "
		"for a in sh ls cat echo id kill sleep mount umount mknod ip poweroff reboot ps dd tty head "
		"stty sync touch mkdir rm nsenter hostname trap seq true false yes tail grep wc; "
		"do ln -s busybox $a; done; ln -s ../bin/busybox %s/sbin/init; "
		"echo '::sysinit:/bin/echo init is up' >%s/etc/inittab; "
		"printf 'root:x:0:0:root:/root:/bin/sh\\nuser:x:1000:1001::/tmp:/bin/sh\\n' >%s/etc/passwd; "
		"printf 'root:x:0:\\nstaff:x:50:user\\nuser:x:1001:\\n' >%s/etc/group",
		root, root, root, root, root, root, root, root, root, root, root, root, root, root, root);

	ck_assert_int_eq(lab_run(command), 0);
	shift_to = base;
	ck_assert_int_eq(nftw(root, shift, 16, FTW_PHYS), 0);
}

struct lab_guest *
lab_guest(struct lab *lab, const char *script, bool privileged)
{
	struct lab_guest *guest = &lab->guests[lab->n_guests++];
	size_t vmid = lab->n_guests;
	uint32_t base = privileged ? 0 : IDS * (uint32_t)(vmid + 1);
	struct vn_error err;

	ck_assert_uint_le(lab->n_guests, LAB_GUESTS);
	vn_uuid_new(guest->uuid);
	snprintf(guest->domain, sizeof(guest->domain), "vnoded-5f0c2a9e-%zu", vmid);
	snprintf(guest->root, sizeof(guest->root), BASE "/root/%zu", vmid);
	snprintf(guest->dir, sizeof(guest->dir), BASE "/state/vnodes/%zu", vmid);
	snprintf(guest->netns, sizeof(guest->netns), BASE "/run/netns/vnoded-%zu", vmid);
	if (!privileged)
		snprintf(guest->userns, sizeof(guest->userns), BASE "/run/userns/vnoded-%zu", vmid);
	make_root(guest->root, base);
	if (script) {
		guest->argv[0] = "/bin/sh";
		guest->argv[1] = "-c";
		guest->argv[2] = script;
	}
	guest->spec = (struct guest_spec){
		.domain = guest->domain, .uuid = guest->uuid, .title = "lab/<&'\">", .hostname = "guest",
		.root = guest->root,
		.ns = { (int64_t)vmid, guest->uuid, guest->netns, privileged ? NULL : guest->userns, base },
		.memory_bytes = 64 << 20, .vcpus = 1, .pids = 100,
		.init = script ? guest->argv : NULL, .dir = guest->dir, .console_bytes = 65536,
	};
	ck_assert_msg(helper_make_namespaces(&lab->env, &guest->spec.ns, &err) == 0, "%s", err.text);
	return guest;
}

void
lab_watch(struct lab *lab, struct lab_guest *guest)
{
	struct vn_error err;

	ck_assert_int_eq(lab->compute->ops->watch(lab->compute, guest->domain, guest->uuid, guest->dir,
						  &guest->id, &err), 0);
}

void
lab_start(struct lab *lab, struct lab_guest *guest)
{
	struct vn_error err;

	ck_assert_msg(lab->compute->ops->start(lab->compute, &guest->spec, &guest->id, &err) == 0, "%s",
		      err.text);
	guest->has_exited = false;
	lab_watch(lab, guest);
}

void
lab_await_exit(struct lab *lab, struct lab_guest *guest)
{
	ck_assert_msg(mini_loop_run(lab->loop, &guest->has_exited, LAB_WAIT_MS), "no exit came");
}

void
lab_stop(struct lab *lab, struct lab_guest *guest, unsigned grace_ms)
{
	struct vn_error err;

	ck_assert_msg(lab->compute->ops->stop(lab->compute, guest->domain, guest->uuid, &guest->id,
					      grace_ms, &err) == 0, "%s", err.text);
	lab->compute->ops->unwatch(lab->compute, guest->uuid);
}

struct end {
	bool done;
	struct exec_result result;
};

static void
on_end(void *arg, const struct exec_result *result, const struct vn_error *err)
{
	struct end *end = arg;

	end->done = true;
	end->result = result ? *result : (struct exec_result){ -2, 0 };
	if (err)
		fprintf(stderr, "exec: %s\n", err->text);
}

static char *
read_all(int fd)
{
	char *text = vn_alloc(65536);
	size_t size = 0;
	ssize_t got;

	while (size < 65535 && (got = read(fd, text + size, 65535 - size)) > 0)
		size += (size_t)got;
	return text;
}

char *
lab_exec(struct lab *lab, struct lab_guest *guest, const char *user, const char *script,
	 struct exec_result *ret)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct exec_spec spec = { .argv = argv, .user = user };
	struct end end = { 0 };
	struct exec *exec;
	struct vn_error err;
	int ends[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *output;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	spec.fds[0] = null;
	spec.fds[1] = spec.fds[2] = ends[1];
	ck_assert_msg(lab->compute->ops->exec(lab->compute, &guest->id, &spec, on_end, &end, &exec, NULL,
					      &err) == 0, "%s", err.text);
	close(ends[1]);
	close(null);
	ck_assert_msg(mini_loop_run(lab->loop, &end.done, LAB_WAIT_MS), "the command does not end");
	output = read_all(ends[0]);
	close(ends[0]);
	*ret = end.result;
	return output;
}

void
lab_console_expect(struct lab *lab, struct lab_guest *guest, const char *text)
{
	vn_autofree char *seen = vn_alloc(262144);
	size_t size = 0;
	struct vn_error err;
	int fd;

	ck_assert_msg(lab->compute->ops->console(lab->compute, guest->dir, &fd, &err) == 0, "%s", err.text);
	while (!strstr(seen, text)) {
		struct pollfd entry = { .fd = fd, .events = POLLIN };
		ssize_t got;

		ck_assert_msg(poll(&entry, 1, LAB_WAIT_MS) > 0, "the console says only: %s", seen);
		got = read(fd, seen + size, 262143 - size);
		ck_assert_msg(got > 0, "the console ends with: %s", seen);
		size += (size_t)got;
	}
	close(fd);
}
