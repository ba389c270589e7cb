#pragma once
/* The objects that answers and events hold, for people and for the OpenRPC document. */

#include <jansson.h>

/*
 * One field of an object; rows of an object stand together. name NULL: the object is itself of that
 * type. type: "string", "integer", "number", "boolean", "time", "any", "object", or another object
 * of the table; behind it "[]" for an array of them, "?" where null is possible.
 */
struct object_field {
	const char *object;
	const char *name;
	const char *type;
	const char *help;
};

extern const struct object_field object_fields[];	/* ends with object NULL */

/* vnode.state vnode.exit lan.change job.state image.state host.warning gap */
extern const char *const object_event_types[];

/* NULL when the object has no such field. */
const struct object_field *object_field_find(const char *object, const char *name);

/* JSON Schemas of all objects, by name; a new reference. */
json_t *objects_describe(void);
