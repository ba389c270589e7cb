#pragma once
/* What the files of ports share; no one else includes it. */

#include "backends/netlink/address.h"
#include "backends/netlink/fabric.h"
#include "backends/netlink/link.h"

struct plan {				/* one port */
	const struct port_spec *spec;
	struct link outer, bridge;	/* in the fabric */
	const struct link *inner;	/* the guest end that is there; NULL: the pair is to be made */
	char name[16];
	int outer_index, inner_index;
	bool renamed;
	bool had_default[2];		/* IPv4, IPv6; of a control port that is there */
};

struct work {				/* one call of port_up */
	struct fabric *fabric;
	const struct ns_ref *ns;
	int netns;
	struct nl_sock *sock;		/* inside the namespace */
	struct plan *plans;
	size_t n_plans;
	struct link *inside;		/* all devices there */
	size_t n_inside;
	struct address *addresses;
	size_t n_addresses;
	char tag[TAG_SIZE];
};

/* Inside a vnode, removes a device by its index. */
void port_append_delete(struct batch *batch, int index, const char *name);
/*
 * Leaves nothing of a call that failed in the middle: new pairs go, what was changed on others is changed
 * back, as far as `work` shows how it was.
 */
void port_undo(struct work *work);
