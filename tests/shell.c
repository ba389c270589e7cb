#include "tests/shell.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

void
run(const char *format, ...)
{
	vn_autofree char *command = NULL;
	va_list args;

	va_start(args, format);
	ck_assert_int_ge(vasprintf(&command, format, args), 0);
	va_end(args);
	ck_assert_msg(system(command) == 0, "failed: %s", command);
}
