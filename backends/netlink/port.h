#pragma once
/* Ports: veth pairs born with one end in the fabric and the other in a vnode's namespace. */

#include "backends/backend.h"

/* "v<vmid>e<index>". */
void port_name(int64_t vmid, unsigned index, char name[static 16]);
bool port_name_parse(const char *name, int64_t *ret_vmid, unsigned *ret_index);

int port_up(struct net *net, const struct ns_ref *ns, const struct port_spec *ports, size_t n_ports,
	    struct vn_error *err);
int port_down(struct net *net, const struct ns_ref *ns, const unsigned *indexes, size_t n_indexes,
	      struct vn_error *err);
int port_carrier(struct net *net, const int64_t *vmids, const unsigned *indexes, size_t count,
		 bool up, struct vn_error *err);
