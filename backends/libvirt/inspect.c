/* What runs: probe, list and is_alive. A process is the truth; what libvirt says comes second. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/libvirt/error.h"
#include "backends/libvirt/inspect.h"
#include "backends/libvirt/lxc.h"
#include "backends/libvirt/process.h"
#include "proto/base/mem.h"

#define DYING_MS 2000			/* vnode-init ends at once when vnoded's end closes */

/* The guest's init has been executed once it runs another program than vnode-init does. */
static bool
is_executed(pid_t init, pid_t guest)
{
	char path[64];
	struct stat ours, theirs;

	snprintf(path, sizeof(path), "/proc/%d/exe", init);
	if (stat(path, &ours) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/exe", guest);
	return stat(path, &theirs) == 0 &&
	       (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
}

/* A start that nobody finishes is about to end: wait for that rather than report a guest. */
static bool
is_half_started(const struct guest_id *id)
{
	vn_autoclose int pidfd = -1;

	if (is_executed(id->init, id->guest))
		return false;
	pidfd = process_open(id->init, id->init_start);
	return pidfd < 0 || process_await(pidfd, DYING_MS) || !is_executed(id->init, id->guest);
}

bool
inspect_processes(pid_t controller, struct guest_id *ret)
{
	struct guest_id id = { .controller = controller };

	id.init = process_child(controller);
	id.init_start = process_start_time(id.init);
	id.guest = process_child(id.init);
	id.guest_start = process_start_time(id.guest);
	if (!id.init_start || !id.guest_start || is_half_started(&id))
		return false;
	*ret = id;
	return true;
}

int
inspect_find(virConnectPtr conn, const char *uuid, virDomainPtr *ret, struct vn_error *err)
{
	virDomainPtr domain = virDomainLookupByUUIDString(conn, uuid);

	if (!domain && !virt_error_is_absent())
		return vn_fail_virt(err, "look up the domain %s", uuid);
	*ret = domain;
	return 0;
}

static struct guest_status
inspect_domain(virDomainPtr domain)
{
	struct guest_status status = { .state = GUEST_DEAD };
	int id = (int)virDomainGetID(domain);

	if (id > 0 && inspect_processes(id, &status.id)) {
		status.state = GUEST_RUNNING;
		status.netns_inode = process_namespace(status.id.guest, "net");
	}
	return status;
}

int
lxc_probe(struct compute *self, const char *domain, const char *uuid, struct guest_status *ret,
	  struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	struct guest_status status = { .state = GUEST_ABSENT };
	char tagged[VN_UUID_TEXT];
	vn_auto(conn_lease) lease = { 0 };
	vn_auto(domain_ptr) found = NULL;

	if (lease_open(lxc->pool, &lease, err) < 0 ||
	    inspect_find(lease.conn, uuid, &found, err) < 0)
		return -1;
	switch (found ? lxc_owner(lxc, found, tagged) : LXC_OWNER_GONE) {
	case LXC_OWNER_GONE:
		break;
	case LXC_OWNER_OTHER:
		return vn_fail(err, VN_E_EXISTS, "a domain with the uuid %s of '%s' is not ours",
			       uuid, domain);
	case LXC_OWNER_US:
		status = inspect_domain(found);
	}
	*ret = status;
	return 0;
}

/* Fills *ret when the domain is ours. */
static bool
describe(struct lxc *lxc, virDomainPtr domain, struct guest_found *ret)
{
	int id = (int)virDomainGetID(domain);

	if (lxc_owner(lxc, domain, ret->uuid) != LXC_OWNER_US)
		return false;
	snprintf(ret->domain, sizeof(ret->domain), "%s", virDomainGetName(domain));
	ret->state = id > 0 && process_child(id) ? GUEST_RUNNING : GUEST_DEAD;
	return true;
}

int
lxc_list(struct compute *self, struct guest_found **ret, size_t *ret_count, struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	vn_auto(conn_lease) lease = { 0 };
	virDomainPtr *domains;
	struct guest_found *found;
	size_t n_found = 0;
	int count;

	if (lease_open(lxc->pool, &lease, err) < 0)
		return -1;
	count = virConnectListAllDomains(lease.conn, &domains, 0);
	if (count < 0)
		return vn_fail_virt(err, "list domains");
	found = vn_alloc_array((size_t)count + 1, sizeof(*found));
	for (int i = 0; i < count; i++) {
		n_found += describe(lxc, domains[i], &found[n_found]);
		virDomainFree(domains[i]);
	}
	free(domains);
	*ret = found;
	*ret_count = n_found;
	return 0;
}

bool
lxc_is_alive(struct compute *self, const struct guest_id *id)
{
	uint64_t start;

	(void)self;
	if (id->init <= 0 || !id->init_start)
		return false;
	start = process_start_time(id->init);
	return start == id->init_start || (!start && process_is_unknown());
}
