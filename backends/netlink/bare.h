#pragma once
/*
 * The bare path: what a frame passes between two members of a LAN that is not shaped (veth, bridge, veth), in
 * a network namespace of its own that nobody else sees. It ends with its ports.
 */

#include "backends/netlink/packet.h"

/* home: as netns_leave. mtu: of all of it. Thread: a worker. */
int bare_open(int home, unsigned mtu, uint32_t run, struct packet_port *from, struct packet_port *to,
	      struct vn_error *err);
