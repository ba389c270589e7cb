/* The progress line. It is cut to the width of the terminal, since a wrapped line cannot be
 * rewritten. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/progress.h"

static int
terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return 79;
	return size.ws_col - 1;
}

void
progress_show(struct progress *progress, const char *format, ...)
{
	char line[256];
	va_list args;

	if (!progress->on)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "\r%.*s\033[K", terminal_width(), line);
	progress->shown = true;
}

void
progress_clear(struct progress *progress)
{
	if (progress->shown)
		fprintf(stderr, "\r\033[K");
	progress->shown = false;
}
