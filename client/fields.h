#pragma once
/*
 * A vnode's fields as people write them on a command line, by the schema of the topology document.
 * What a field means is the daemon's business: this only finds the right kind of JSON.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

/* Whether the schema has this field. */
bool field_is_known(const char *name, size_t length);
/* Whether it is "NAME" or "no-NAME" of a field that is true or false. */
bool field_is_flag(const char *name, size_t length);
int field_set_flag(json_t *fields, const char *name, struct vn_error *err);
/* Sets a field from text; an item is added to a field that is a list. Errors: VN_E_INVALID. */
int field_add(json_t *fields, const char *name, size_t length, const char *text,
	      struct vn_error *err);

/* Reads "NAME=VALUE" of a vnode into `fields`; an empty value is null: back to the default. */
int field_assign(json_t *fields, const char *assignment, struct vn_error *err);
/* The same for objects without a schema here: VALUE is JSON where it is valid JSON, else a string.
 */
int field_assign_any(json_t *fields, const char *assignment, struct vn_error *err);

/* Calls fn with each field's name, what its value is called ("" for flags) and its help. */
void field_each(void (*fn)(void *arg, const char *name, const char *value, const char *help),
		void *arg);
