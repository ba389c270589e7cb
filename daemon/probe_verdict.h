#pragma once
/* What a measurement says about what was wanted. Thread: loop. */

#include <jansson.h>

#include "backends/backend.h"

/*
 * The wire object of one direction, with a verdict on each quantity and on all: a quantity differs when what
 * was wanted, give or take what this tool is good for, lies outside its interval. A new reference.
 */
json_t *probe_direction(const char *from, const char *to, const struct probe_spec *spec,
			const struct probe_result *result);
