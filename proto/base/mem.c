/* Allocation that cannot fail: the process ends instead, and its successor recovers from SQLite. */
#include "proto/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *
check(void *memory)
{
	if (!memory) {
		static const char text[] = "<2>out of memory\n";

		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
		abort();
	}
	return memory;
}

void *
vn_alloc(size_t size)
{
	return check(calloc(1, size ? size : 1));
}

void *
vn_alloc_array(size_t count, size_t size)
{
	return check(calloc(count ? count : 1, size ? size : 1));
}

void *
vn_realloc_array(void *old, size_t count, size_t size)
{
	return check(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *
vn_strdup(const char *text)
{
	return text ? check(strdup(text)) : NULL;
}

char *
vn_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	return check(length < 0 ? NULL : text);
}
