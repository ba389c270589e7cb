#pragma once
/*
 * A vnode's interfaces as documents have them: {LAN name: member object}. Shapes change live and by
 * LAN (lan.set), so they do not count as a difference here. Thread: loop.
 */

#include "daemon/change.h"
#include "daemon/model.h"

/* What undoes a later change; a new reference. */
json_t *members_export(const struct vnode *vnode);
/* RESTART: another LAN, name or MAC; LIVE: other addresses of the same interfaces; NONE. */
enum change_class members_compare(json_t *a, json_t *b);
/* Whether the interface is to go, or to be made anew to be what `members` says. */
bool member_is_another(const struct member *member, json_t *members);
/* Removes what is to be another interface and makes what is missing; gives the rest its addresses. */
void members_adopt(struct vnode *vnode, json_t *members);
