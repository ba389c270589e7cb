#pragma once
/*
 * A vnode's interfaces as documents have them: {LAN name: member object}. Shapes change live and by
 * LAN (lan.set), so they do not count as a difference here. Thread: loop.
 */

#include "daemon/model.h"

/* What undoes a later change; a new reference. */
json_t *members_export(const struct vnode *vnode);
bool members_equal(json_t *a, json_t *b);
/* Whether the member is to go or to be made anew to get what `members` says. */
bool member_differs(const struct member *member, json_t *members);
/* Removes what differs and makes what is missing. */
void members_adopt(struct vnode *vnode, json_t *members);
