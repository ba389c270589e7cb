#pragma once
/* What the files config*.c share: what a key is, and how its value is read into the configuration. */

#include "daemon/config.h"

enum config_kind {
	KIND_TEXT, KIND_NAME, KIND_PATH, KIND_NETWORK4, KIND_NETWORK6, KIND_NETWORKS, KIND_LEVEL,
	KIND_DISK, KIND_COUNT, KIND_SIZE, KIND_TIME, KIND_SWITCH,
};

extern const char *const config_kind_words[];

#define OPTIONAL 1u			/* an empty value is none */
#define RELOAD   2u			/* may change while vnoded runs */

struct config_key {
	const char *name;
	enum config_kind kind;
	unsigned flags;
	size_t offset;
	const char *preset;
	const char *help;
	uint64_t min, max;		/* COUNT, SIZE, TIME (ns) */
};

/* Reads a text as the value of a key. Errors: VN_E_INVALID what is expected, without the key's name. */
int config_value_read(struct config *config, const struct config_key *key, const char *text,
		      struct vn_error *err);
bool config_value_is_same(const struct config_key *key, const struct config *a, const struct config *b);
void config_value_copy(struct config *config, const struct config_key *key, const struct config *from);
