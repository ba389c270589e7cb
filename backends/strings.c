/* The NULL-terminated lists of sentences that every contract's `missing` returns. */
#include "backends/backend.h"
#include "proto/base/mem.h"

void
backend_free_strings(char **strings)
{
	for (char **at = strings; at && *at; at++)
		free(*at);
	free(strings);
}
