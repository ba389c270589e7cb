/* Carriers of ports: the fabric end goes down or up, and the guest sees its cable pulled or plugged. */
#include "backends/netlink/port.h"

#include <net/if.h>

#include "backends/netlink/fabric.h"

static int
set_carrier(struct fabric *fabric, const struct link *links, size_t count, bool up,
	    struct vn_error *err)
{
	auto_batch batch = { 0 };
	auto_batch undo = { 0 };
	struct vn_error ignored;

	for (size_t i = 0; i < count; i++)
		link_change(&batch, links[i].index, up, "set the carrier of port '%s'",
			    links[i].name);
	if (fabric_send(fabric, &batch, err) == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		link_change(&undo, links[i].index, (links[i].flags & IFF_UP) != 0,
			    "restore the carrier of port '%s'", links[i].name);
	fabric_send(fabric, &undo, &ignored);
	return -1;
}

int
port_carrier(struct net *net, const int64_t *vmids, const unsigned *indexes, size_t count, bool up,
	     struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	vn_autofree char (*names)[16] = vn_alloc_array(count + 1, sizeof(*names));
	vn_autofree struct link *links = vn_alloc_array(count + 1, sizeof(*links));

	for (size_t i = 0; i < count; i++)
		port_name(vmids[i], indexes[i], names[i]);
	if (fabric_links_get(fabric, (const char (*)[16])names, count, links, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!links[i].index || !fabric_owns(fabric, &links[i], NULL))
			return vn_fail(err, VN_E_NOT_FOUND, "the fabric has no port '%s' of ours",
				       names[i]);
	return set_carrier(fabric, links, count, up, err);
}
