#pragma once
/* The shapes of ports: a chain of qdiscs on the port itself, and one on the IFB its ingress goes through. */

#include "backends/backend.h"

struct fabric;

/* "i<vmid>e<index>": the IFB of a port whose traffic from the guest is shaped. */
void ifb_name(int64_t vmid, unsigned index, char name[static 16]);
bool ifb_name_parse(const char *name, int64_t *ret_vmid, unsigned *ret_index);

/* The same for any devices of ours in the fabric, each with the name that its IFB has or gets. */
struct device_shape {
	char name[16], ifb[16];
	struct shape out, in;
};
int shape_devices(struct fabric *fabric, const struct device_shape *devices, size_t count,
		  struct vn_error *err);
int shape_ports(struct net *net, const struct port_shape *ports, size_t count, struct vn_error *err);
bool shape_is_none(const struct shape *shape);
