#pragma once
/* The table itself; nat.h says what it is. With nat_lock held. */

#include "backends/nft/context.h"

enum table_state { TABLE_ABSENT, TABLE_OURS, TABLE_FOREIGN };

/* The maps, in the order of their enum. */
enum table_map { MAP_ANY4, MAP_ANY6, MAP_AT4, MAP_AT6, MAP_COUNT };
extern const char *const table_map_names[MAP_COUNT];

int table_look(struct nat *nat, enum table_state *ret, struct vn_error *err);
/* How nftables lists the table when it is as we write it; to be freed. See context_rehearse(). */
int table_expected(const struct nat *nat, char **ret, struct vn_error *err);
/* table_look() that fails for a foreign table and makes an absent one. */
int table_ensure(struct nat *nat, struct vn_error *err);
