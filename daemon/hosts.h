#pragma once
/*
 * /etc/hosts of the guests: every vnode of the topology by name. What all guests of a topology share is
 * one text, built when it is first needed after a change and counted by reference, so that a thousand
 * vnodes do not cost a million lines.
 */

#include "daemon/model.h"

struct hosts_block {
	char *text;			/* lines of all vnodes */
	char digest[65];
	int refs;			/* atomic: workers give theirs back */
};

/* A reference of the caller's. Thread: loop. */
struct hosts_block *hosts_block_get(struct topology *topology);
/* Gives a reference back; NULL is fine. Thread: any. */
void hosts_block_unref(struct hosts_block *block);
/* Names, addresses or the domain have changed. Thread: loop. */
void hosts_touch(struct topology *topology);

/*
 * Lines of the vnodes that share a LAN with this one, by the addresses there; in the arena. They stand
 * before the block's: resolvers take the first, which is then the nearest.
 */
const char *hosts_near(struct vn_arena *arena, const struct vnode *vnode);
/* The whole file, to be freed. Thread: any. */
char *hosts_file(const char *near, const struct hosts_block *block);

/* The guest's own name: the vnode's, with '_' as '-'. */
void hosts_name(const struct vnode *vnode, char text[static VN_NAME_MAX + 1]);
