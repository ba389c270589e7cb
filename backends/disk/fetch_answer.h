#pragma once
/* What the header of an HTTP answer says of a download: its validators and its range. */

#include <stdbool.h>

#include "backends/disk/part_file.h"

struct fetch_answer {
	struct part_origin origin;	/* total from Content-Range only */
	char date[64];
	bool has_range;			/* a Content-Range that can be understood */
	uint64_t first, last;		/* of the range */
};

/* Takes one line of the header, with its line end; a status line starts anew (after a redirect). */
void fetch_answer_line(struct fetch_answer *answer, const char *line, size_t size);

/*
 * After the last line: takes back what does not prove that a file is the same. A date is no proof of
 * that unless the answer is a minute younger: within a clock's step the file may have changed twice.
 */
void fetch_answer_end(struct fetch_answer *answer);
