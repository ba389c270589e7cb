/*
 * Groups are those the peer had when it connected (SO_PEERGROUPS), never looked up by its uid: no
 * name service is asked while the daemon serves, and a group that a process dropped does not count.
 */
#include "daemon/roles.h"

#include <errno.h>
#include <grp.h>
#include <sys/socket.h>

#include "daemon/log.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static const char *const groups[] = {
	[ROLE_VIEWER] = "vnoded-viewer", [ROLE_OPERATOR] = "vnoded", [ROLE_ADMIN] = "vnoded-admin",
};

const char *
role_group(enum role role)
{
	return groups[role];
}

void
roles_init(struct roles *roles)
{
	*roles = (struct roles){ 0 };
	for (enum role role = ROLE_VIEWER; role <= ROLE_ADMIN; role++) {
		size_t size = 1u << 16;
		vn_autofree char *room = vn_alloc(size);
		struct group group, *found = NULL;

		if (getgrnam_r(groups[role], &group, room, size, &found) != 0 || !found) {
			vn_log_warning("control", "group '%s' does not exist, so it gives nobody the "
				       "role %s; create it and restart vnoded",
				       groups[role], role_words[role]);
			continue;
		}
		roles->gids[role] = group.gr_gid;
		roles->known[role] = true;
	}
}

enum role
roles_of(const struct roles *roles, uid_t uid, const gid_t *gids, size_t count)
{
	if (uid == 0)
		return ROLE_ADMIN;
	for (enum role role = ROLE_ADMIN; role > ROLE_NONE; role--)
		for (size_t i = 0; roles->known[role] && i < count; i++)
			if (gids[i] == roles->gids[role])
				return role;
	return ROLE_NONE;
}

int
roles_of_peer(const struct roles *roles, int fd, uid_t *ret_uid, enum role *ret_role,
	      struct vn_error *err)
{
	struct ucred peer;
	socklen_t size = sizeof(peer), room = 256 * sizeof(gid_t);
	vn_autofree gid_t *gids = NULL;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return vn_fail_errno(err, errno, "read who connected");
	for (;;) {
		gids = vn_realloc_array(gids, 1, room + sizeof(gid_t));
		size = room;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) == 0)
			break;
		if (errno != ERANGE || size <= room) {
			size = 0;	/* an old kernel: the main group is all there is to go by */
			break;
		}
		room = size;
	}
	gids[size / sizeof(gid_t)] = peer.gid;
	*ret_uid = peer.uid;
	*ret_role = roles_of(roles, peer.uid, gids, size / sizeof(gid_t) + 1);
	return 0;
}
