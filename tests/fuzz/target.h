#pragma once
/* What libFuzzer, and our replay of its corpus, call. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
