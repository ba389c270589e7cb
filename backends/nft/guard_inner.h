#pragma once
/* What the files about the guard share. With nat_lock held. */

#include "backends/nft/context.h"
#include "backends/nft/guard.h"

struct guard {
	struct nat nat;			/* of the fabric's namespace; context: NULL until open */
	struct guard_port *ports;	/* what the sets should hold */
	size_t n_ports;
};

extern const char *const guard_sets[];	/* macs own4 own6; ends with NULL */

struct element_text {
	char macs[48], own4[64], own6[2][80];
};
void guard_print_elements(const struct guard_port *port, struct element_text *ret);
/* Appends the commands that make the table, without elements. */
void guard_add_table(struct commands *commands, const struct guard *guard);
