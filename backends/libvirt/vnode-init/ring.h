#pragma once
/*
 * The console ring: a file that keeps the last `size` bytes a console has printed. A header, then
 * at RING_DATA `size` bytes in which byte number n of the stream is at n % size. A reader prints the
 * bytes from max(0, written - size) to written; it reads `written` before and after, and drops what
 * was overwritten in between. The writer writes data first, `written` after. Little endian as the
 * machine is: the file never leaves it.
 */

#include <stdint.h>

#define RING_MAGIC "vnring1"
#define RING_DATA  64			/* offset of the first byte */

struct ring_header {
	char magic[8];
	uint64_t size;
	uint64_t written;		/* bytes ever printed */
};
