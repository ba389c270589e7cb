/*
 * The rules live in the fabric's namespace, so the calling thread steps in there when they are spoken
 * to for the first time; after that any thread can.
 */
#include "backends/netlink/control.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"
#include "backends/nft/guard.h"

static int
open_guard(struct fabric *fabric, struct vn_error *err)
{
	vn_autoclose int fd = -1;
	int result;

	if (guard_is_open(fabric->guard))
		return 0;
	fd = netns_open(fabric->pin, err);
	if (fd < 0 || netns_enter(fd, err) < 0)
		return -1;
	result = guard_open(fabric->guard, err);
	netns_leave(fabric->home);
	return result;
}

int
control_up(struct fabric *fabric, struct vn_error *err)
{
	return open_guard(fabric, err) < 0 ? -1 : guard_up(fabric->guard, err);
}

static void
own(struct guard_port *port, const struct vn_cidr *address)
{
	if (address->family == AF_INET)
		port->own4 = *address;
	else if (address->family == AF_INET6)
		port->own6 = *address;
}

static struct guard_port
guard_port_of(int64_t vmid, const struct port_spec *spec)
{
	struct guard_port port = { .mac = spec->mac };

	port_name(vmid, spec->index, port.name);
	for (unsigned k = 0; k < spec->n_addresses; k++)
		own(&port, &spec->addresses[k]);
	return port;
}

int
control_allow(struct fabric *fabric, int64_t vmid, const struct port_spec *ports, size_t count,
	      struct vn_error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct guard_port port = guard_port_of(vmid, &ports[i]);

		if (ports[i].lan != NET_CONTROL)
			continue;
		if (open_guard(fabric, err) < 0 || guard_set(fabric->guard, &port, 1, err) < 0)
			return -1;
	}
	return 0;
}

int
control_forget(struct fabric *fabric, const char (*names)[16], size_t count, struct vn_error *err)
{
	return guard_remove(fabric->guard, names, count, err);
}

int
control_sync(struct net *net, const struct control_spec *ports, size_t count, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	vn_autofree struct guard_port *all = vn_alloc_array(count + 1, sizeof(*all));

	for (size_t i = 0; i < count; i++) {
		port_name(ports[i].vmid, 0, all[i].name);
		all[i].mac = ports[i].mac;
		all[i].own4 = ports[i].own4;
		all[i].own6 = ports[i].own6;
	}
	return open_guard(fabric, err) < 0 ? -1 : guard_sync(fabric->guard, all, count, err);
}

int
control_verify(struct fabric *fabric, const struct net_wanted *wanted, struct differences *ret,
	       struct vn_error *err)
{
	vn_autofree struct guard_checked *ports =
		vn_alloc_array(wanted->n_vnodes + wanted->n_spared + 1, sizeof(*ports));
	size_t count = 0;

	for (size_t i = 0; i < wanted->n_spared; i++) {
		port_name(wanted->spared[i].vmid, 0, ports[count].port.name);
		ports[count++].spared = true;
	}
	for (size_t i = 0; i < wanted->n_vnodes; i++) {
		const struct net_vnode *vnode = &wanted->vnodes[i];

		for (size_t k = 0; k < vnode->n_ports; k++)
			if (vnode->ports[k].lan == NET_CONTROL)
				ports[count++] = (struct guard_checked){ .vmid = vnode->ns.vmid,
					.port = guard_port_of(vnode->ns.vmid, &vnode->ports[k]) };
	}
	if (open_guard(fabric, err) < 0)
		return -1;
	return guard_verify(fabric->guard, ports, count, wanted->whole, ret, err);
}
