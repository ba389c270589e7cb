#pragma once
/* Forwards as elements of the table's maps. With nat_lock held. */

#include "backends/nft/table.h"

struct element {
	const struct forward_spec *forward;	/* that it belongs to; borrowed */
	enum table_map map;
	char key[INET6_ADDRSTRLEN + 16];
	char value[INET6_ADDRSTRLEN + 16];
};

struct elements {
	struct element *items;
	size_t n_items;
};

/* One or two elements each; free(items) ends it. */
struct elements elements_of(const struct forward_spec *forwards, size_t count);
/* Writes {"concat": ["198.18.0.2", 22]} as "198.18.0.2 . 22". */
void concat_print(json_t *concat, char *text, size_t size);
