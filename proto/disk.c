/* A vnode's disk in documents: its table, and what contradicts itself. */
#include "proto/disk.h"

#include "proto/schema_private.h"

#define AT(type, member) .offset = offsetof(struct type, member)

enum { SIZE_UNIT = 512 };

const struct field doc_disk_fields[] = {
	{ "type", "what it is: the one it has, for a new one the configuration's, unless given", FIELD_WORD, 0,
	  AT(doc_disk, type), .words = disk_type_words, .preset = -1 },
	{ "size", "its size; as large as its image unless given", FIELD_SIZE, 0, AT(doc_disk, size_bytes),
	  1 << 20, 0 },
	{ 0 }
};

int
doc_disk_check(const struct doc_disk *disk, struct vn_error *err)
{
	if (disk->size_bytes && disk->type >= 0 && !disk_traits[disk->type].has_size)
		return vn_fail_at(err, "/size", VN_E_UNSUPPORTED, "a disk of type '%s' has no size of its "
				  "own: it shares the room of the host's file system",
				  disk_type_words[disk->type]);
	if (disk->size_bytes % SIZE_UNIT)
		return vn_fail_at(err, "/size", VN_E_INVALID, "expected a multiple of %d bytes", SIZE_UNIT);
	return 0;
}
