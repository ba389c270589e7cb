#pragma once
/*
 * Tables that say what a JSON object may hold. One table decodes the object into a C struct with the
 * error's RFC 6901 path, encodes the struct canonically (`topology.export`), and prints itself as a
 * JSON Schema (`rpc.discover`). Unknown keys are refused.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/error.h"
#include "proto/base/units.h"

enum field_kind {		/* C type of the member it decodes into */
	FIELD_END,
	FIELD_STRING,		/* const char *; NULL when absent */
	FIELD_BOOL,		/* bool */
	FIELD_INT,		/* int64_t; min and max apply */
	FIELD_SIZE,		/* uint64_t bytes, from "64MiB"; min and max apply */
	FIELD_TIME,		/* uint64_t ns, from "250us" */
	FIELD_RATE,		/* uint64_t bit/s, from "10Mbit" */
	FIELD_PROBABILITY,	/* double 0…1, from "0.1%" */
	FIELD_WORD,		/* int: index into `words` */
	FIELD_STRUCT,		/* the struct itself, an object described by `fields`; zeroed when absent */
	FIELD_LIST,		/* struct field_array of `size` bytes an item; items: see `item` */
	FIELD_MAP,		/* struct field_array of structs whose first member is const char *key,
				   described by `fields`; keys are checked by `form`; in the object's order */
	FIELD_INLINE,		/* the struct itself; its fields stand in the same object */
	FIELD_JSON,		/* json_t *, borrowed from the input; any value. `fields` and `item`: how it, or
				   each item of it, is described */
};

struct field_array {
	void *items;
	size_t count;
};

/* How a string must look. */
struct form {
	const char *name;	/* "name", shown to people */
	const char *pattern;	/* ECMA regular expression for the JSON Schema; NULL: none fits */
	int (*check)(const char *text, struct vn_error *err);
};

#define FIELD_REQUIRED    1u	/* absent or null is VN_E_INVALID */
#define FIELD_UNSUPPORTED 2u	/* given (not null) is VN_E_UNSUPPORTED with its path */
#define FIELD_OR_ONE      4u	/* a list that may be written as its only item */
#define FIELD_MARKED      8u	/* STRUCT: its first member is a bool, true when the field was given */

struct field {
	const char *name;
	const char *help;		/* one short phrase */
	enum field_kind kind;
	unsigned flags;
	size_t offset;
	int64_t min, max;		/* FIELD_INT, SIZE, TIME, RATE: bounds; STRING: length; LIST, MAP: count;
					   max 0: none (STRING: 4096, LIST and MAP: 65536) */
	int64_t preset;			/* value when absent: BOOL, INT, WORD, and the quantities */
	const struct form *form;	/* STRING, LIST of strings, keys of a MAP */
	const char *const *words;	/* WORD: NULL-terminated */
	const struct field *fields;	/* STRUCT, MAP, INLINE, LIST of structs */
	size_t size;			/* of one struct, for the same kinds */
	enum field_kind item;		/* LIST: FIELD_STRING or FIELD_STRUCT (items are char * or structs) */
};

/*
 * Decodes `object` (NULL or JSON null = an empty object) into `ret`, which must be zeroed. Strings
 * and arrays live in `arena`. Null means absent. Errors: VN_E_INVALID, VN_E_UNSUPPORTED, each with
 * the path below `object` and a sentence that says what is expected.
 */
int schema_decode(const struct field *fields, json_t *object, struct vn_arena *arena, void *ret,
		  struct vn_error *err);

/* The canonical object for a decoded struct: absent and preset values are left out, quantities are
 * written with vn_quantity_print, maps in their order. A new reference. */
json_t *schema_encode(const struct field *fields, const void *from);

/* The JSON Schema (draft 7) of the object; a new reference. */
json_t *schema_describe(const struct field *fields);

extern const struct form form_name;		/* vn_name_check */
extern const struct form form_reference;	/* NAME or TOPOLOGY/NAME */
extern const struct form form_interface;	/* vn_ifname_check */
extern const struct form form_cidr;		/* vn_cidr_parse */
extern const struct form form_address;		/* an IPv4 or IPv6 address without a prefix */
extern const struct form form_mac;		/* vn_mac_parse */
extern const struct form form_sha256;		/* 64 lower-case hexadecimal digits */
extern const struct form form_domain;		/* a DNS domain name */
