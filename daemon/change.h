#pragma once
/* Changing an existing vnode: which field changes how, and the verb that does it. Thread: loop. */

#include "daemon/model.h"

enum change_class { CHANGE_NONE, CHANGE_LIVE, CHANGE_RESTART, CHANGE_RECREATE };
extern const char *const change_class_words[];

/* The class of one field of doc_vnode; CHANGE_RESTART for one that the table does not know. */
enum change_class change_class_of(const char *field);
/* The field table as Markdown, for docs/fields.md; to be freed. */
char *change_document(void);

/*
 * Compares canonical specs of a vnode; adds the names of differing fields to `fields` (may be NULL).
 * A disk's type is told as "disk", its size as "disk/size". Returns the strongest class among them.
 */
enum change_class change_compare(const struct vnode *vnode, json_t *old_spec, json_t *new_spec,
				 json_t *fields);

/*
 * Params of vnode.set: {"vmid", "spec": canonical, "members": {lan name: member object or null}}.
 * members NULL: interfaces stay as they are.
 */
json_t *change_params(const struct vnode *vnode, json_t *spec, json_t *members);

extern const struct verb verb_vnode_set;
