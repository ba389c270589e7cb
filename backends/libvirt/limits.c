/* Limits of a running guest: memory and processor time by libvirt, the number of processes by us. */
#include <libvirt/libvirt.h>

#include "backends/libvirt/cgroup.h"
#include "backends/libvirt/domain_xml.h"
#include "backends/libvirt/error.h"
#include "backends/libvirt/inspect.h"
#include "backends/libvirt/lxc.h"
#include "proto/base/mem.h"

static int
set_memory(virDomainPtr domain, uint64_t bytes, struct vn_error *err)
{
	virTypedParameterPtr params = NULL;
	int count = 0, room = 0, result;
	unsigned long long kib = bytes ? bytes / 1024 : VIR_DOMAIN_MEMORY_PARAM_UNLIMITED;

	virTypedParamsAddULLong(&params, &count, &room, VIR_DOMAIN_MEMORY_HARD_LIMIT, kib);
	result = virDomainSetMemoryParameters(domain, params, count, VIR_DOMAIN_AFFECT_LIVE);
	virTypedParamsFree(params, count);
	return result < 0 ? vn_fail_virt(err, "set the memory limit") : 0;
}

static int
set_processors(virDomainPtr domain, unsigned vcpus, struct vn_error *err)
{
	virTypedParameterPtr params = NULL;
	int count = 0, room = 0, result;

	virTypedParamsAddULLong(&params, &count, &room, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD,
				DOMAIN_XML_PERIOD_US);
	virTypedParamsAddLLong(&params, &count, &room, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA,
			       domain_xml_quota(vcpus));
	result = virDomainSetSchedulerParametersFlags(domain, params, count, VIR_DOMAIN_AFFECT_LIVE);
	virTypedParamsFree(params, count);
	return result < 0 ? vn_fail_virt(err, "set the processor limit") : 0;
}

int
lxc_set_limits(struct compute *self, const struct guest_spec *spec, const struct guest_id *id,
	       struct vn_error *err)
{
	struct lxc *lxc = (struct lxc *)self;
	vn_auto(conn_lease) lease = { 0 };
	vn_auto(domain_ptr) domain = NULL;

	if (lease_open(lxc->pool, &lease, err) < 0 ||
	    inspect_find(lease.conn, spec->uuid, &domain, err) < 0)
		return -1;
	if (!domain || !lxc_is_alive(self, id))
		return vn_fail(err, VN_E_STATE, "'%s' does not run", spec->domain);
	if (set_memory(domain, spec->memory_bytes, err) < 0 ||
	    set_processors(domain, spec->vcpus, err) < 0)
		return -1;
	return cgroup_limit_pids(id->init, id->guest, spec->domain, spec->pids, err);
}
