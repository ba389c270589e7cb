#pragma once
/* What stands on the ingress of a port: one filter that sends every frame to the port's IFB. */

#include <stdbool.h>

#include "backends/netlink/socket.h"

#define INGRESS_HANDLE 0xffff0000u

struct redirect {
	int to;				/* device to which every frame goes; 0: to none */
	unsigned filters;		/* of any kind */
};

/* Asks for all filters of the ingress of a device that has one. Thread: of the socket. */
int redirect_read(struct nl_sock *sock, int index, struct redirect *ret, struct vn_error *err);
