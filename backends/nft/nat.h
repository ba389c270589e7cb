#pragma once
/*
 * Address translation of the control network: one table of family inet in the host's namespace.
 * Rules never change in number; forwards are elements of four maps. Ownership: the table holds a
 * set named "owner-<instance>"; a table of our name without it is never touched (VN_E_EXISTS).
 *
 * Threads: any; calls are serialised inside, over all of a process.
 */

#include <stddef.h>

#include "backends/backend.h"

struct nat;

/* uplink: device whose far side is the control network. Belongs to the caller's namespace. */
int nat_open(const struct backend_env *env, const char *uplink, struct nat **ret,
	     struct vn_error *err);
void nat_close(struct nat *nat);

/* Makes or mends the table in one transaction; forwards that are there stay. */
int nat_up(struct nat *nat, struct vn_error *err);
int nat_down(struct nat *nat, struct vn_error *err);

int nat_forwards_up(struct nat *nat, const struct forward_spec *forwards, size_t count,
		    struct vn_error *err);
int nat_forwards_down(struct nat *nat, const struct forward_spec *forwards, size_t count,
		      struct vn_error *err);
int nat_forwards_sync(struct nat *nat, const struct forward_spec *forwards, size_t count,
		      struct vn_error *err);

/* Compares the table, and the maps with the forwards; as net_ops.verify. */
int nat_verify(struct nat *nat, const struct net_wanted *wanted, struct differences *ret,
	       struct vn_error *err);

/* Appends a sentence for each foreign chain that drops forwarded packets by default. */
int nat_blockers(struct nat *nat, char ***list, size_t *count, struct vn_error *err);
