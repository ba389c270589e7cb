#pragma once
/*
 * What guests may send into the control network: a table of family bridge in the fabric's namespace.
 * Its rules never change in number; a port is a few elements of three sets. A control port without
 * elements passes nothing.
 *
 * Control ports are told from others by their device group. Threads: any; calls are serialised inside.
 */

#include <stddef.h>

#include "backends/backend.h"

/* Device group of control ports. Higher ones, those of ports on their way out, are treated alike. */
#define GUARD_GROUP 0x766e63ffu

struct guard;

/* What one port may send with. */
struct guard_port {
	char name[16];			/* device in the fabric */
	struct vn_mac mac;
	struct vn_cidr own4, own6;	/* family 0 = none; the link-local address follows from the MAC */
};

struct guard *guard_new(const struct backend_env *env);
void guard_free(struct guard *guard);

/* Ties the guard to the calling thread's network namespace; again after guard_forget() only. */
int guard_open(struct guard *guard, struct vn_error *err);
bool guard_is_open(struct guard *guard);
/* The namespace may be another the next time. all: so are the ports. */
void guard_forget(struct guard *guard, bool all);

/* Makes or mends the table in one transaction; elements that are there stay. */
int guard_up(struct guard *guard, struct vn_error *err);
/* One transaction each. Setting replaces what the port had before. */
int guard_set(struct guard *guard, const struct guard_port *ports, size_t count, struct vn_error *err);
int guard_remove(struct guard *guard, const char (*names)[16], size_t count, struct vn_error *err);
/* Makes the sets hold exactly these. */
int guard_sync(struct guard *guard, const struct guard_port *ports, size_t count,
	       struct vn_error *err);

struct guard_checked {			/* a control port for guard_verify */
	struct guard_port port;
	int64_t vmid;
	bool spared;			/* only its name counts: whatever it has is right */
};
/* Compares the sets, and with `whole` the table and what is surplus; as net_ops.verify. */
int guard_verify(struct guard *guard, const struct guard_checked *ports, size_t count, bool whole,
		 struct differences *ret, struct vn_error *err);
