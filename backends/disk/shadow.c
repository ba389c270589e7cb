/* A line of shadow(5) is "user:hash:…": what is behind the hash (ages, flags) is left alone. */
#include "backends/disk/shadow.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

/* The beginning of the user's line; NULL: none. */
static const char *
find_line(const char *text, const char *user)
{
	size_t length = strlen(user);

	while (text && *text) {
		if (strncmp(text, user, length) == 0 && text[length] == ':')
			return text;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return NULL;
}

char *
shadow_set_hash(const char *text, const char *user, const char *hash)
{
	const char *line = find_line(text, user), *old = line ? line + strlen(user) + 1 : NULL;
	size_t length = old ? strcspn(old, ":\n") : 0;

	if (!old || (strlen(hash) == length && memcmp(old, hash, length) == 0))
		return NULL;
	return vn_format("%.*s%s%s", (int)(old - text), text, hash, old + length);
}
