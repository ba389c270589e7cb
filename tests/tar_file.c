/* The ustar header, with GNU's entry for long names. */
#include "tests/tar_file.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/mem.h"

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[8], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};

static void
write_padded(FILE *file, const char *data, size_t size, size_t zeros)
{
	static const char block[512];
	size_t total = size + zeros, left = zeros + (512 - total % 512) % 512;

	fwrite(data ? data : "", 1, size, file);
	for (; left > 0; left -= left < sizeof(block) ? left : sizeof(block))
		fwrite(block, 1, left < sizeof(block) ? left : sizeof(block), file);
}

/* Both fields of a name: 100 bytes, with a NUL behind only where there is room. */
static void
put_text(char field[static 100], const char *text)
{
	memcpy(field, text, strnlen(text, 100));
}

static void
write_header(FILE *file, const struct tar_entry *entry, size_t size)
{
	struct header header = { .type = entry->type, .magic = "ustar\0" "00", .major = "0000000",
				 .minor = "0000000" };
	unsigned mode = entry->mode ? entry->mode : entry->type == '5' ? 0755 : 0644, sum = 0;

	_Static_assert(sizeof(header) == 512, "a tar header is one block");
	put_text(header.name, entry->name);
	put_text(header.link, entry->link ? entry->link : "");
	snprintf(header.mode, sizeof(header.mode), "%07o", mode);
	snprintf(header.uid, sizeof(header.uid), "%07o", entry->uid);
	snprintf(header.gid, sizeof(header.gid), "%07o", entry->gid);
	snprintf(header.size, sizeof(header.size), "%011zo", size);
	snprintf(header.mtime, sizeof(header.mtime), "%011o", 1000000000u);
	memset(header.checksum, ' ', sizeof(header.checksum));
	for (size_t i = 0; i < sizeof(header); i++)
		sum += ((const unsigned char *)&header)[i];
	snprintf(header.checksum, sizeof(header.checksum), "%06o", sum);
	fwrite(&header, 1, sizeof(header), file);
}

void
tar_add(FILE *file, const struct tar_entry *entry)
{
	size_t length = strlen(entry->name), size = entry->data ? strlen(entry->data) : 0;

	if (length > 100) {
		struct tar_entry name = { .name = "././@LongLink", .type = 'L' };

		write_header(file, &name, length + 1);
		write_padded(file, entry->name, length + 1, 0);
	}
	write_header(file, entry, size + entry->zeros);
	write_padded(file, entry->data, size, entry->zeros);
}

void
tar_end(FILE *file)
{
	write_padded(file, NULL, 0, 1024);
}

void
tar_write(const char *path, const struct tar_entry *entries, size_t n_entries)
{
	FILE *file = fopen(path, "we");

	assert(file);
	for (size_t i = 0; i < n_entries; i++)
		tar_add(file, &entries[i]);
	tar_end(file);
	assert(fclose(file) == 0);
}
