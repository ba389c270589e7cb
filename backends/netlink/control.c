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

int
control_allow(struct fabric *fabric, int64_t vmid, const struct port_spec *ports, size_t count,
	      struct vn_error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct guard_port port = { .mac = ports[i].mac };

		if (ports[i].lan != NET_CONTROL)
			continue;
		port_name(vmid, ports[i].index, port.name);
		for (unsigned k = 0; k < ports[i].n_addresses; k++)
			own(&port, &ports[i].addresses[k]);
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
