/*
 * Ending a guest. The processes first, by pidfd: virDomainDestroy would take seconds for each
 * and libvirtd would answer nobody meanwhile; with them gone it takes milliseconds. Ending
 * vnode-init ends everything, as the kernel kills all of a pid namespace with its first process.
 */
#include "backends/libvirt/stop.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/libvirt/cgroup.h"
#include "backends/libvirt/error.h"
#include "backends/libvirt/inspect.h"
#include "backends/libvirt/process.h"
#include "proto/base/mem.h"

#define HELD_MAX 32			/* sockets of one libvirt_lxc: it has three */
#define CONTROLLER_MS 2000		/* it ends by itself when its init has */
#define KILL_MS 10000			/* a process stuck in the kernel longer than this is an error */
#define DESTROY_TRIES 3

static void
signal_process(int pidfd, int number)
{
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

int
stop_processes(const struct guest_id *id, struct vn_error *err)
{
	vn_autoclose int init = process_open(id->init, id->init_start);
	bool is_unknown = init < 0 && process_is_unknown();
	vn_autoclose int guest = process_open(id->guest, id->guest_start);

	if (is_unknown)
		return vn_fail(err, VN_E_LIMIT, "no descriptor is left to end process %d with: raise the limit "
			       "of open files (LimitNOFILE), or try again", id->init);
	signal_process(guest, SIGKILL);
	signal_process(init, SIGKILL);
	if (init >= 0)
		cgroup_thaw(id->init);
	if ((guest >= 0 && !process_await(guest, KILL_MS)) ||
	    (init >= 0 && !process_await(init, KILL_MS)))
		return vn_fail(err, VN_E_TIMEOUT,
			       "process %d does not end %d s after SIGKILL: the kernel holds it",
			       id->init, KILL_MS / 1000);
	return 0;
}

/* Destroying a domain that has just ended, or that libvirt calls shut off, fails and yet removes it. */
int
stop_domain(virConnectPtr conn, const char *uuid, struct vn_error *err)
{
	for (int i = 0; i < DESTROY_TRIES; i++) {
		vn_auto(domain_ptr) domain = NULL;

		if (inspect_find(conn, uuid, &domain, err) < 0)
			return -1;
		if (!domain || virDomainDestroy(domain) == 0)
			return 0;
		vn_fail_virt(err, "remove the domain %s", uuid);
	}
	return -1;
}

void
stop_leftovers(struct lxc *lxc, const char *domain)
{
	lxc_console_remove(lxc, lxc_vmid(domain));
	cgroup_remove(domain);
}

/* Copies of a controller's sockets, and the controller itself. */
struct held {
	int fds[HELD_MAX];
	size_t n_fds;
	int controller;
};

/*
 * A controller that ends closes its socket, and libvirtd then answers nobody for 200 ms while it
 * looks for processes that are gone already. With a copy of the socket open it learns of the end by
 * our virDomainDestroy alone, which finds nothing to do.
 */
static void
hold_sockets(const struct guest_id *id, struct held *held)
{
	vn_autofree char *path = vn_format("/proc/%d/fd", id->controller);
	DIR *folder = opendir(path);
	struct dirent *entry;

	held->controller = folder ? (int)syscall(SYS_pidfd_open, id->controller, 0) : -1;
	/* Whoever is the parent of the guest's vnode-init is its controller. */
	if (held->controller >= 0 && process_parent(id->init) != id->controller) {
		close(held->controller);
		held->controller = -1;
	}
	while (held->controller >= 0 && held->n_fds < HELD_MAX && (entry = readdir(folder))) {
		char target[16] = "";

		if (readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1) > 0 &&
		    !strncmp(target, "socket:", 7)) {
			int fd = (int)syscall(SYS_pidfd_getfd, held->controller,
					      atoi(entry->d_name), 0);

			if (fd >= 0)
				held->fds[held->n_fds++] = fd;
		}
	}
	if (folder)
		closedir(folder);
}

static void
await_controller(const struct held *held)
{
	if (held->controller >= 0)
		process_await(held->controller, CONTROLLER_MS);
}

static void
release_sockets(struct held *held)
{
	for (size_t i = 0; i < held->n_fds; i++)
		close(held->fds[i]);
	vn_close_at(&held->controller);
}

static void
ask(const struct guest_id *id, unsigned grace_ms)
{
	vn_autoclose int init = process_open(id->init, id->init_start);

	if (init < 0 || !grace_ms)
		return;
	signal_process(init, SIGTERM);
	process_await(init, (int)grace_ms);
}

/* Who runs according to libvirt, where the caller does not know. */
static int
find_processes(struct compute *self, const char *domain, const char *uuid, struct guest_id *ret,
	       struct vn_error *err)
{
	struct guest_status status;

	if (lxc_probe(self, domain, uuid, &status, err) < 0)
		return -1;
	*ret = status.id;
	return 0;
}

static int
remove_domain(struct lxc *lxc, const char *domain, const char *uuid, struct vn_error *err)
{
	vn_auto(conn_lease) lease = { 0 };

	if (lease_open(lxc->pool, &lease, err) == 0 && stop_domain(lease.conn, uuid, err) == 0)
		return 0;
	vn_error_prefix(err, "the guest has ended, but its domain '%s' stays", domain);
	err->code = VN_E_BACKEND;
	return -1;
}

int
lxc_stop(struct compute *self, const char *domain, const char *uuid, const struct guest_id *id,
	 unsigned grace_ms, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	struct guest_id who = { 0 };
	struct held held = { .controller = -1 };
	int result;

	if (id && id->init)
		who = *id;
	else if (find_processes(self, domain, uuid, &who, err) < 0)
		return -1;
	hold_sockets(&who, &held);
	ask(&who, grace_ms);
	result = stop_processes(&who, err);
	if (result == 0) {
		await_controller(&held);
		stop_leftovers(lxc, domain);
		result = remove_domain(lxc, domain, uuid, err);
	}
	release_sockets(&held);
	return result;
}
