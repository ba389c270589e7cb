#pragma once
/* What the files of the schema share with each other: looking fields up and wording errors. */

#include "proto/schema.h"

#define SCHEMA_SHOWN 80		/* bytes that schema_show needs */

/* The unit of FIELD_SIZE, FIELD_TIME or FIELD_RATE. */
enum vn_unit schema_unit(enum field_kind kind);

/* The field of that name, inlined ones included; NULL when there is none. */
const struct field *schema_find(const struct field *fields, const char *name);

/* Fails with VN_E_INVALID: what is known, and the nearest of it. */
int schema_fail_unknown(const struct field *fields, const char *name, struct vn_error *err);

/* Writes a value as an error shows it: `the number 64`, `an array`. */
void schema_show(json_t *value, char text[static SCHEMA_SHOWN]);

/* Put a key, escaped by RFC 6901, or an index before the error's path; return -1. */
int schema_prefix_key(struct vn_error *err, const char *key);
int schema_prefix_index(struct vn_error *err, size_t index);

/* Writes `key` escaped by RFC 6901, cut to `size`. */
void schema_escape(const char *key, char *text, size_t size);
