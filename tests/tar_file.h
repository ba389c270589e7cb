#pragma once
/* Writes tar archives entry by entry, honest ones and hostile ones; tar(1) would refuse to make those. */

#include <stddef.h>
#include <stdio.h>

struct tar_entry {
	const char *name;		/* as it is to stand in the archive; longer than 100: GNU long name */
	char type;			/* '0' file, '1' hard link, '2' link, '3' '4' device, '5' folder, '6' fifo */
	const char *link;
	unsigned mode;			/* 0: 0644, folders 0755 */
	unsigned uid, gid;
	const char *data;		/* NUL-terminated contents, or NULL */
	size_t zeros;			/* bytes of zeros after data */
};

void tar_add(FILE *file, const struct tar_entry *entry);
/* Writes the end of archive. */
void tar_end(FILE *file);
/* Writes a whole archive to `path`. */
void tar_write(const char *path, const struct tar_entry *entries, size_t n_entries);
