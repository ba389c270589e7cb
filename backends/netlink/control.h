#pragma once
/* The guard of control ports (nft/guard.h) where the fabric is. */

#include "backends/netlink/fabric.h"

/* Part of host_up. */
int control_up(struct fabric *fabric, struct vn_error *err);
/* For those of a vnode's ports that are in the control network; before they are made. */
int control_allow(struct fabric *fabric, int64_t vmid, const struct port_spec *ports, size_t count,
		  struct vn_error *err);
/* Ports by the names of their devices; others than control ports are fine. */
int control_forget(struct fabric *fabric, const char (*names)[16], size_t count,
		   struct vn_error *err);
/* Compares what is wanted with what the guard lets pass; as net_ops.verify. */
int control_verify(struct fabric *fabric, const struct net_wanted *wanted, struct differences *ret,
		   struct vn_error *err);
/* As net_ops.control_sync. */
int control_sync(struct net *net, const struct control_spec *ports, size_t count,
		 struct vn_error *err);
