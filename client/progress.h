#pragma once
/* One line on a terminal that says how far things are; nothing where stderr is no terminal. */

#include <stdbool.h>

struct progress {
	bool on;			/* stderr is a terminal */
	bool shown;			/* a line stands there now */
};

/* Replaces the line. */
void progress_show(struct progress *progress, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Takes the line away, before anything else is printed. */
void progress_clear(struct progress *progress);
