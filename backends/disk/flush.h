#pragma once
/* Writes to the disk what is being unpacked while it is being unpacked, so that the sync at the end is short. */

#include <stdint.h>

struct flush;

/* folder: a descriptor of the file system, borrowed. NULL where no thread can be had: then nothing is done. */
struct flush *flush_open(int folder);
/* So much more has been written. */
void flush_note(struct flush *flush, uint64_t bytes);
void flush_close(struct flush *flush);	/* NULL is fine */
