#pragma once
/* The folder <state_dir>/incoming, where archives arrive: what nobody comes back for is removed. */

#include "daemon/daemon.h"

struct incoming {			/* what a sweep needs to know, on a worker */
	char *folder;
	int64_t older_than_s;
};

/* loop. */
void incoming_init(struct incoming *incoming, const struct daemon *daemon);
void incoming_fini(struct incoming *incoming);

/*
 * Removes parts and files that nobody has written to for image_part_keep. What is being fetched is written
 * to all the time, or given up by image_stall; what is being unpacked is open.
 *
 * Returns: bytes that became free. Thread: worker.
 */
uint64_t incoming_sweep(const struct incoming *incoming);
