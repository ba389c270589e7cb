#pragma once
/* Who may call what: a peer's user and groups against the groups of vnoded. Thread: loop. */

#include <sys/types.h>

#include "proto/base/mem.h"
#include "proto/methods.h"

struct roles {
	gid_t gids[ROLE_ADMIN + 1];
	bool known[ROLE_ADMIN + 1];
};

/* Looks the groups up once; a missing one is a warning in the log. */
void roles_init(struct roles *roles);
/* The highest role that any of the groups gives; uid 0 is admin. */
enum role roles_of(const struct roles *roles, uid_t uid, const gid_t *gids, size_t count);
/* The same for the peer of a connected Unix socket. */
int roles_of_peer(const struct roles *roles, int fd, uid_t *ret_uid, enum role *ret_role,
		  struct vn_error *err);
/* Name of the group that gives a role; NULL for ROLE_NONE. */
const char *role_group(enum role role);
