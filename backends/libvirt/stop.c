/*
 * Ending a guest. The processes first, by pidfd: virDomainDestroy would take seconds for each
 * and libvirtd would answer nobody meanwhile; with them gone it takes milliseconds. Ending
 * vnode-init ends everything, as the kernel kills all of a pid namespace with its first process.
 */
#include "backends/libvirt/stop.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/libvirt/cgroup.h"
#include "backends/libvirt/error.h"
#include "backends/libvirt/inspect.h"
#include "backends/libvirt/process.h"
#include "proto/base/mem.h"

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
	vn_autoclose int guest = process_open(id->guest, id->guest_start);

	signal_process(guest, SIGKILL);
	signal_process(init, SIGKILL);
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

int
lxc_stop(struct compute *self, const char *domain, const char *uuid, const struct guest_id *id,
	 unsigned grace_ms, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	struct guest_id who = { 0 };
	vn_auto(conn_lease) lease = { 0 };

	if (id && id->init)
		who = *id;
	else if (find_processes(self, domain, uuid, &who, err) < 0)
		return -1;
	ask(&who, grace_ms);
	if (stop_processes(&who, err) < 0)
		return -1;
	stop_leftovers(lxc, domain);
	if (lease_open(lxc->pool, &lease, err) < 0 || stop_domain(lease.conn, uuid, err) < 0) {
		vn_error_prefix(err, "the guest has ended, but its domain '%s' stays", domain);
		err->code = VN_E_BACKEND;
		return -1;
	}
	return 0;
}
