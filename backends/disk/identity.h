#pragma once
/* Files by which one machine differs from another: what makes a second machine must not hold them. */

#include <stdbool.h>

/* path: relative to the root. */
bool identity_is(const char *path);
