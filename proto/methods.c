/* The method table itself, and the words that objects of the protocol share. */
#include "proto/methods.h"

#include <string.h>

const char *const role_words[] = { "none", "viewer", "operator", "admin", NULL };

const char *const vnode_state_words[] = {
	[VNODE_ABSENT] = "absent",
	[VNODE_CREATING] = "creating",
	[VNODE_STOPPED] = "stopped",
	[VNODE_MOUNTED] = "mounted",
	[VNODE_BOOTING] = "booting",
	[VNODE_RUNNING] = "running",
	[VNODE_PAUSED] = "paused",
	[VNODE_STOPPING] = "stopping",
	[VNODE_DESTROYING] = "destroying",
	[VNODE_FAILED] = "failed",
	[VNODE_STATE_COUNT] = NULL,
};

const char *const wanted_words[] = { "running", "stopped", "absent", NULL };

const struct method methods[METHOD_COUNT] = {
#define X(id, name, role, flags, params, result, summary) \
	[METHOD_##id] = { name, ROLE_##role, flags, params##_fields, sizeof(struct params), \
			  #result, summary },
	METHODS(X)
#undef X
};

const struct method *
method_find(const char *name)
{
	for (size_t i = 0; i < METHOD_COUNT; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}
