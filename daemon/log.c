/*
 * The log's one writer. A line is put together on the stack and leaves with a single write, so that
 * lines of several threads never mix. What is too long is cut, and says so.
 */
#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_SIZE 2048
#define LINE_SIZE (2 * TEXT_SIZE)

typedef void sink_fn(enum log_level level, const char *subject, const char *text);

static _Atomic(int) level_now = LOG_LEVEL_INFO;
static _Atomic(sink_fn *) sink_now;
static _Thread_local char context_now[256];

void
log_context(const char *fields)
{
	snprintf(context_now, sizeof(context_now), "%s", fields ? fields : "");
}

void
log_set_level(enum log_level level)
{
	atomic_store(&level_now, (int)level);
}

bool
log_level_find(const char *word, enum log_level *ret)
{
	static const struct {
		const char *word;
		enum log_level level;
	} words[] = {
		{ "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING },
		{ "info", LOG_LEVEL_INFO },   { "debug", LOG_LEVEL_DEBUG },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		*ret = words[i].level;
		return true;
	}
	return false;
}

void
log_set_sink(void (*fn)(enum log_level level, const char *subject, const char *text))
{
	atomic_store(&sink_now, fn);
}

/* Copies `from` with control characters as \xNN; cuts at `size`, ending in "..." then. */
static void
escape(const char *from, char *to, size_t size)
{
	size_t at = 0;

	for (; *from; from++) {
		unsigned char byte = (unsigned char)*from;

		if (at + 8 > size) {
			memcpy(to + at, "...", 3);
			at += 3;
			break;
		}
		if (byte < 0x20 || byte == 0x7f)
			at += (size_t)snprintf(to + at, size - at, "\\x%02x", byte);
		else
			to[at++] = *from;
	}
	to[at] = '\0';
}

/* Whether stderr is the stream that systemd says it connected to the journal. */
static bool
is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat stat;

	if (!stream || fstat(STDERR_FILENO, &stat) < 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)stat.st_dev, (uintmax_t)stat.st_ino);
	return strcmp(stream, own) == 0;
}

/* The journal reads "<6>" before a line as its level; people get the time instead. */
static size_t
print_prefix(enum log_level level, char *line, size_t size)
{
	struct timespec now;
	struct tm parts;
	size_t at;

	if (is_journal())
		return (size_t)snprintf(line, size, "<%d>", (int)level);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &parts);
	at = strftime(line, size, "%Y-%m-%d %H:%M:%S", &parts);
	return at + (size_t)snprintf(line + at, size - at, ".%03ld ", now.tv_nsec / 1000000);
}

static void
write_line(const char *line, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDERR_FILENO, line, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;			/* nobody is left to tell */
		line += written;
		size -= (size_t)written;
	}
}

void
vn_log(enum log_level level, const char *subject, const char *format, ...)
{
	char raw[TEXT_SIZE], text[LINE_SIZE], line[LINE_SIZE + 512];
	sink_fn *sink = atomic_load(&sink_now);
	size_t at;
	va_list args;

	if ((int)level > atomic_load(&level_now))
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape(raw, text, sizeof(text));
	if (*context_now) {
		at = strlen(text);
		snprintf(text + at, sizeof(text) - at, " (%s)", context_now);
	}
	if (sink) {
		sink(level, subject, text);
		return;
	}
	at = print_prefix(level, line, sizeof(line));
	at += (size_t)snprintf(line + at, sizeof(line) - at - 1, "%.64s: %s", subject, text);
	line[at++] = '\n';
	write_line(line, at);
}
