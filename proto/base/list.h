#pragma once
/* A doubly linked list whose links are embedded in its items. An unlinked item points to itself. */

#include <stdbool.h>
#include "proto/base/mem.h"

struct vn_list {
	struct vn_list *next, *prev;
};

static inline void
vn_list_init(struct vn_list *list)
{
	list->next = list->prev = list;
}

static inline bool
vn_list_is_empty(const struct vn_list *list)
{
	return list->next == list;
}

/* Puts `item` at the end of `list`. */
static inline void
vn_list_append(struct vn_list *list, struct vn_list *item)
{
	item->prev = list->prev;
	item->next = list;
	list->prev->next = item;
	list->prev = item;
}

/* Takes `item` out of whatever list it is in; harmless when it is in none. */
static inline void
vn_list_remove(struct vn_list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	vn_list_init(item);
}

/* Moves all items of `from` to the end of `to`; `from` is empty afterwards. */
static inline void
vn_list_splice(struct vn_list *to, struct vn_list *from)
{
	if (vn_list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	vn_list_init(from);
}

/* for (struct item *i over list): `member` is the struct vn_list inside struct item. */
#define vn_list_each(type, i, list, member)                                                        \
	for (type *i = vn_container_of((list)->next, type, member); &i->member != (list);          \
	     i = vn_container_of(i->member.next, type, member))

/* The same, the last first. */
#define vn_list_each_back(type, i, list, member)                                                   \
	for (type *i = vn_container_of((list)->prev, type, member); &i->member != (list);          \
	     i = vn_container_of(i->member.prev, type, member))

/* The same where the body may remove or free `i`. */
#define vn_list_each_safe(type, i, list, member)                                                   \
	for (type *i = vn_container_of((list)->next, type, member),                                \
		  *i##_next = vn_container_of(i->member.next, type, member);                       \
	     &i->member != (list);                                                                 \
	     i = i##_next, i##_next = vn_container_of(i->member.next, type, member))
