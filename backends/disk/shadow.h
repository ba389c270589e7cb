#pragma once
/* The format of shadow(5). */

#include <stddef.h>

/*
 * The text with the hash of `user` replaced; to be freed. NULL: the user has no line, or has that hash
 * already. What is no line of that user stays as it is to the byte.
 */
char *shadow_set_hash(const char *text, const char *user, const char *hash);
