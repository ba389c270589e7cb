#pragma once
/* What the files plan*.c share: a plan in the making. */

#include "daemon/plan.h"

struct planning {
	struct daemon *daemon;
	const struct plan_options *options;
	struct document document;
	struct vn_arena arena;
	struct topology *topology;	/* NULL: new */
	json_t *plan;
	json_t *claims;			/* of daemon/ways.h; NULL: not needed yet */
	uint64_t extra_bytes;		/* that image_storage must have room for */
	unsigned controlled;		/* vnodes in the control network, with those to come */
};

/* The array of that name in the plan, made when it is asked for first; borrowed. */
json_t *plan_list(struct planning *p, const char *key);
/* Tells people of an action. how, fields: NULL where there is nothing to say. */
void plan_add_action(struct planning *p, const char *action, const char *kind, const char *name,
		     const char *how, json_t *fields);
/* A member in the form of member_export(); a new reference. */
json_t *plan_member_spec(const struct doc_member *member);

/* Add one vnode or LAN of the document. Errors: as plan_make, with paths below the document. */
int plan_vnode(struct planning *p, const struct doc_vnode *doc, struct vn_error *err);
int plan_lan(struct planning *p, const struct doc_lan *doc, struct vn_error *err);
