/*
 * Starting a guest: libvirt creates the container, vnode-init prepares the guest and waits; here its
 * processes are found, checked and limited, and only then it is told to go. Killed before that, our
 * end of the control socket closes and vnode-init ends; killed after, the guest runs and is found.
 */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "backends/libvirt/cgroup.h"
#include "backends/libvirt/domain_xml.h"
#include "backends/libvirt/error.h"
#include "backends/libvirt/inspect.h"
#include "backends/libvirt/lxc.h"
#include "backends/libvirt/parcel.h"
#include "backends/libvirt/process.h"
#include "backends/libvirt/stop.h"
#include "backends/pin.h"
#include "proto/base/mem.h"

#define HANDSHAKE_MS 20000
#define TRIES 2				/* a container that is lost is destroyed and made again */
#define SPARED (-999)			/* oom_score_adj: the guest's processes go first */

struct launch {
	struct lxc *lxc;
	const struct guest_spec *spec;
	virConnectPtr conn;
	virDomainPtr domain;
	struct parcel parcel;
	struct guest_id id;
	struct timespec until;		/* of the handshake */
	bool is_told;			/* to go: its guest may have run since */
	bool is_lost;			/* it says nothing, or something from outside ended it before it was told */
};

static int
left_ms(const struct launch *launch)
{
	struct timespec now;
	int64_t left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = (launch->until.tv_sec - now.tv_sec) * 1000 +
	       (launch->until.tv_nsec - now.tv_nsec) / 1000000;
	return left > 0 ? (int)left : 0;
}

/* One report and its sender's pid. VN_E_TIMEOUT: nothing came. */
static int
receive(struct launch *launch, struct wire_report *ret, pid_t *ret_pid, struct vn_error *err)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = { ret, sizeof(*ret) };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	struct pollfd entry = { .fd = launch->parcel.control, .events = POLLIN };
	struct cmsghdr *at;
	ssize_t got;
	int ready;

	while ((ready = poll(&entry, 1, left_ms(launch))) < 0 && errno == EINTR)
		continue;
	launch->is_lost = ready <= 0 || !launch->is_told;
	if (ready <= 0)
		return vn_fail(err, VN_E_TIMEOUT, "the container says nothing for %d s",
			       HANDSHAKE_MS / 1000);
	got = recvmsg(launch->parcel.control, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got != sizeof(*ret))
		return vn_fail(err, VN_E_BACKEND, "the container ended while it was prepared; "
			       "libvirt's log of '%s' may tell why", launch->spec->domain);
	launch->is_lost = false;
	at = CMSG_FIRSTHDR(&header);
	if (at && at->cmsg_type == SCM_CREDENTIALS)
		*ret_pid = ((const struct ucred *)(const void *)CMSG_DATA(at))->pid;
	ret->text[sizeof(ret->text) - 1] = '\0';
	if (ret->kind == WIRE_FAILED)
		return vn_fail_errno(err, ret->sys, "%s", ret->text);
	return 0;
}

/* Guest and vnode-init both report; in which order is theirs. */
static int
find_processes(struct launch *launch, struct vn_error *err)
{
	struct guest_id *id = &launch->id;

	id->controller = (pid_t)virDomainGetID(launch->domain);
	while (!id->init || !id->guest) {
		struct wire_report report;
		pid_t pid = 0;

		if (receive(launch, &report, &pid, err) < 0)
			return -1;
		if (report.kind == WIRE_GUEST)
			id->guest = pid;
		else if (report.kind == WIRE_READY)
			id->init = pid;
	}
	id->init_start = process_start_time(id->init);
	id->guest_start = process_start_time(id->guest);
	launch->is_lost = !id->init_start || !id->guest_start;
	if (launch->is_lost)
		return vn_fail(err, VN_E_BACKEND, "the container was ended from outside when it was ready "
			       "(%s %d is gone); libvirtd's log may tell why",
			       id->init_start ? "the guest's first process" : "its vnode-init",
			       id->init_start ? id->guest : id->init);
	return 0;
}

/* What runs must be in the namespaces that were asked for, or it does not run. */
static int
check_namespaces(struct launch *launch, struct vn_error *err)
{
	const struct ns_ref *ns = &launch->spec->ns;
	uint64_t net = process_namespace(launch->id.guest, "net");
	uint64_t user = process_namespace(launch->id.guest, "user");

	if (!net || net != pin_inode(parcel_fd(&launch->parcel, WIRE_FD_NETNS)))
		return vn_fail(err, VN_E_BACKEND,
			       "the guest is not in its network namespace %s; it was not started",
			       ns->netns);
	if (ns->userns && user != pin_inode(parcel_fd(&launch->parcel, WIRE_FD_USERNS)))
		return vn_fail(err, VN_E_BACKEND,
			       "the guest is not in its user namespace %s; it was not started",
			       ns->userns);
	return 0;
}

static int
send_go(struct launch *launch, struct vn_error *err)
{
	vn_autoclose int oom = cgroup_open_oom(launch->id.init);
	struct wire_go go = { WIRE_MAGIC };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec part = { &go, sizeof(go) };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

	if (oom >= 0) {
		memcpy(CMSG_DATA(&control.header), &oom, sizeof(oom));
		header.msg_control = &control;
		header.msg_controllen = sizeof(control.space);
	}
	if (sendmsg(launch->parcel.control, &header, MSG_NOSIGNAL) < 0)
		return vn_fail_errno(err, errno, "tell the container to go");
	launch->is_told = true;
	return 0;
}

static int
shake_hands(struct launch *launch, struct vn_error *err)
{
	const struct guest_spec *spec = launch->spec;
	struct wire_report report;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &launch->until);
	launch->until.tv_sec += HANDSHAKE_MS / 1000;
	if (find_processes(launch, err) < 0 || check_namespaces(launch, err) < 0)
		return -1;
	cgroup_hand_down(launch->id.init, launch->id.controller);	/* may give pids.max its place */
	if (cgroup_limit_pids(launch->id.init, launch->id.guest, spec->domain, spec->pids, err) < 0)
		return -1;
	process_spare(launch->id.controller, SPARED);
	process_spare(launch->id.init, SPARED);
	if (send_go(launch, err) < 0)
		return -1;
	do {
		if (receive(launch, &report, &pid, err) < 0)
			return -1;
	} while (report.kind != WIRE_EXECUTED);
	return 0;
}

/* Leaves nothing of a failed start; err, which tells why it failed, stays as it is. */
static void
clean_up(struct launch *launch)
{
	struct guest_id *id = &launch->id;
	struct vn_error ignored;

	vn_close_at(&launch->parcel.control);
	launch->parcel.control = -1;	/* vnode-init ends by itself unless it had been told to go */
	if (launch->domain && !id->init) {
		id->init = process_child((pid_t)virDomainGetID(launch->domain));
		id->init_start = process_start_time(id->init);
	}
	stop_processes(id, &ignored);
	if (launch->domain)
		stop_domain(launch->conn, launch->spec->uuid, &ignored);
	stop_leftovers(launch->lxc, launch->spec->domain);
}

static int
create(struct launch *launch, struct vn_error *err)
{
	const struct guest_spec *spec = launch->spec;
	vn_autofree char *xml = domain_xml_new(spec, launch->lxc->env->instance,
					       launch->lxc->skeleton);
	struct parcel *parcel = &launch->parcel;

	if (parcel_open(launch->lxc, spec, parcel, err) < 0)
		return -1;
	launch->domain = virDomainCreateXMLWithFiles(launch->conn, xml, parcel->n_fds, parcel->fds, 0);
	if (!launch->domain)
		return vn_fail_virt(err, "start the domain '%s'", spec->domain);
	vn_close_at(&parcel->fds[WIRE_FD_CONTROL - WIRE_FD_PROGRAM]);	/* so that its end shows */
	parcel->fds[WIRE_FD_CONTROL - WIRE_FD_PROGRAM] = -1;
	return 0;
}

static int
try_start(struct lxc *lxc, virConnectPtr conn, const struct guest_spec *spec, struct guest_id *ret,
	  bool *ret_lost, struct vn_error *err)
{
	struct launch launch = { .lxc = lxc, .conn = conn, .spec = spec, .parcel = PARCEL_EMPTY };
	int result = create(&launch, err) < 0 ? -1 : shake_hands(&launch, err);

	if (result < 0)
		clean_up(&launch);
	else
		*ret = launch.id;
	if (launch.domain)
		virDomainFree(launch.domain);
	parcel_close(&launch.parcel);
	*ret_lost = launch.is_lost;
	return result;
}

/* 1: it runs already, *ret says who; 0: nothing is in the way; -1. */
static int
clear_way(struct lxc *lxc, virConnectPtr conn, const struct guest_spec *spec, struct guest_id *ret,
	  struct vn_error *err)
{
	vn_auto(domain_ptr) named = NULL;
	struct guest_status status;
	char uuid[VN_UUID_TEXT];

	if (lxc_probe(&lxc->base, spec->domain, spec->uuid, &status, err) < 0)
		return -1;
	if (status.state == GUEST_RUNNING) {
		*ret = status.id;
		return 1;
	}
	if (status.state == GUEST_DEAD)
		return stop_domain(conn, spec->uuid, err);
	named = virDomainLookupByName(conn, spec->domain);
	switch (named ? lxc_owner(lxc, named, uuid) : LXC_OWNER_GONE) {
	case LXC_OWNER_GONE:
		return 0;
	case LXC_OWNER_OTHER:
		return vn_fail(err, VN_E_EXISTS, "a domain '%s' that is not ours is in the way",
			       spec->domain);
	case LXC_OWNER_US:
		break;
	}
	return vn_fail(err, VN_E_EXISTS, "the domain '%s' belongs to another vnode of ours (%s)",
		       spec->domain, uuid);
}

int
lxc_start(struct compute *self, const struct guest_spec *spec, struct guest_id *ret,
	  struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	vn_auto(conn_lease) lease = { 0 };
	bool is_lost = true;
	int found, result = -1;

	if (lease_open(lxc->pool, &lease, err) < 0)
		return -1;
	found = clear_way(lxc, lease.conn, spec, ret, err);
	if (found != 0)
		return found < 0 ? -1 : 0;
	for (int i = 0; i < TRIES && result < 0 && is_lost; i++)
		result = try_start(lxc, lease.conn, spec, ret, &is_lost, err);
	return result;
}
