/*
 * Attributes are listed by file systems in any order, and which zeros are holes on a disk is chance: both
 * are put into one form here, so that an archive depends on what is in a tree alone.
 *
 * ACLs are attributes to the kernel (system.posix_acl_*), but libarchive's reader sets none of that name:
 * they have to be told to it as ACLs.
 */
#include "backends/disk/pack_facts.h"

#include <archive.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define BLOCK	    4096u
#define HOLE_LEAST  (64u << 10)		/* a shorter hole costs more than it saves */
#define PIECE	    (256u << 10)	/* a multiple of BLOCK */
#define XATTR_NAMES 65536u		/* the kernel's own limits */
#define XATTR_BYTES 65536u

/* ---- attributes ------------------------------------------------------------------------------ */

struct acl_row {			/* as in the kernel's posix_acl_xattr.h */
	uint16_t tag, perm;
	uint32_t id;
} __attribute__((packed));

static const struct {
	uint16_t kernel;
	int archive;
} acl_tags[] = {
	{ 0x01, ARCHIVE_ENTRY_ACL_USER_OBJ },  { 0x02, ARCHIVE_ENTRY_ACL_USER },
	{ 0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ }, { 0x08, ARCHIVE_ENTRY_ACL_GROUP },
	{ 0x10, ARCHIVE_ENTRY_ACL_MASK },      { 0x20, ARCHIVE_ENTRY_ACL_OTHER },
};

static int
add_acl_row(struct archive_entry *entry, int type, const struct acl_row *row)
{
	for (size_t i = 0; i < VN_COUNT(acl_tags); i++)
		if (acl_tags[i].kernel == le16toh(row->tag))
			return archive_entry_acl_add_entry(entry, type, le16toh(row->perm) & 7,
				acl_tags[i].archive, (int)le32toh(row->id), NULL);
	return ARCHIVE_FAILED;
}

static int
add_acl(struct archive_entry *entry, int type, const char *value, size_t size, const char *name,
	struct vn_error *err)
{
	struct acl_row row;

	for (size_t at = sizeof(uint32_t); at + sizeof(row) <= size; at += sizeof(row)) {
		memcpy(&row, value + at, sizeof(row));
		if (add_acl_row(entry, type, &row) != ARCHIVE_OK)
			return vn_fail(err, VN_E_INVALID, "'%.200s' has an ACL that cannot be read", name);
	}
	return 0;
}

/*
 * A capability that a guest has set is noted together with its user namespace's root, which is 0 on the
 * disk: that is the older form without it.
 */
static void
plain_capability(char *value, size_t *size)
{
	uint32_t magic, root;

	if (*size != 24)
		return;
	memcpy(&magic, value, sizeof(magic));
	memcpy(&root, value + 20, sizeof(root));
	if ((le32toh(magic) & 0xff000000u) != 0x03000000u || root != 0)
		return;
	magic = htole32((le32toh(magic) & 0x00ffffffu) | 0x02000000u);
	memcpy(value, &magic, sizeof(magic));
	*size = 20;
}

static bool
is_left_out(const char *key)
{
	return strncmp(key, "trusted.", 8) == 0 || strncmp(key, "user.overlay.", 13) == 0
	       || strncmp(key, "system.", 7) == 0;
}

static int
add_attribute(struct archive_entry *entry, int fd, const char *key, const char *name,
	      struct vn_error *err)
{
	bool is_access = strcmp(key, "system.posix_acl_access") == 0;
	bool is_default = strcmp(key, "system.posix_acl_default") == 0;
	vn_autofree char *value = NULL;
	ssize_t got;
	size_t size;

	if (!is_access && !is_default && is_left_out(key))
		return 0;
	value = vn_alloc(XATTR_BYTES);
	got = fgetxattr(fd, key, value, XATTR_BYTES);
	if (got < 0)
		return vn_fail_errno(err, errno, "read the attribute %.60s of '%.200s'", key, name);
	size = (size_t)got;
	if (is_access || is_default)
		return add_acl(entry, is_access ? ARCHIVE_ENTRY_ACL_TYPE_ACCESS
			       : ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, value, size, name, err);
	if (strcmp(key, "security.capability") == 0)
		plain_capability(value, &size);
	archive_entry_xattr_add_entry(entry, key, value, size);
	return 0;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
add_sorted(struct archive_entry *entry, int fd, const char *names, size_t size, const char *name,
	   struct vn_error *err)
{
	vn_autofree const char **keys = NULL;
	size_t count = 0;
	int result = 0;

	for (size_t at = 0; at < size; at += strlen(names + at) + 1) {
		keys = vn_realloc_array(keys, count + 1, sizeof(*keys));
		keys[count++] = names + at;
	}
	qsort(keys, count, sizeof(*keys), compare);
	for (size_t i = 0; i < count && result == 0; i++)
		result = add_attribute(entry, fd, keys[i], name, err);
	return result;
}

int
pack_attributes(struct archive_entry *entry, int fd, const char *name, struct vn_error *err)
{
	char few[512];
	vn_autofree char *many = NULL;
	char *names = few;
	ssize_t size = flistxattr(fd, few, sizeof(few));

	if (size < 0 && errno == ERANGE) {
		names = many = vn_alloc(XATTR_NAMES);
		size = flistxattr(fd, many, XATTR_NAMES);
	}
	if (size < 0 && errno == EOPNOTSUPP)
		return 0;
	if (size < 0)
		return vn_fail_errno(err, errno, "list the attributes of '%.200s'", name);
	return size == 0 ? 0 : add_sorted(entry, fd, names, (size_t)size, name, err);
}

/* ---- holes ----------------------------------------------------------------------------------- */

struct holes {
	struct archive_entry *entry;
	uint64_t size, data, zeros;	/* where data began, and zeros: size where there are none */
	bool has_hole;
};

static void
add_data(struct holes *holes, uint64_t end)
{
	if (end > holes->data)
		archive_entry_sparse_add_entry(holes->entry, (la_int64_t)holes->data,
					       (la_int64_t)(end - holes->data));
}

static void
take_block(struct holes *holes, uint64_t at, bool is_zero)
{
	if (is_zero && holes->zeros == holes->size)
		holes->zeros = at;
	if (is_zero)
		return;
	if (holes->zeros != holes->size && at - holes->zeros >= HOLE_LEAST) {
		add_data(holes, holes->zeros);
		holes->data = at;
		holes->has_hole = true;
	}
	holes->zeros = holes->size;
}

static void
take_end(struct holes *holes)
{
	bool ends_so = holes->size - holes->zeros >= HOLE_LEAST;

	holes->has_hole |= ends_so;
	if (!holes->has_hole)
		return;
	add_data(holes, ends_so ? holes->zeros : holes->size);
	if (archive_entry_sparse_count(holes->entry) == 0)	/* nothing but a hole */
		archive_entry_sparse_add_entry(holes->entry, 0, 0);
}

static bool
is_zero(const char *data, size_t size)
{
	return data[0] == '\0' && memcmp(data, data + 1, size - 1) == 0;
}

/* Where data may be next: what lies before is a hole on the disk, and read as zeros by nobody. */
static uint64_t
next_data(int fd, uint64_t at, uint64_t size)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : at;
	return (uint64_t)data < size ? (uint64_t)data : size;
}

int
pack_holes(struct archive_entry *entry, int fd, uint64_t size, const char *name, struct vn_error *err)
{
	struct holes holes = { .entry = entry, .size = size, .zeros = size };
	vn_autofree char *piece = NULL;

	if (size < HOLE_LEAST)
		return 0;
	piece = vn_alloc(PIECE);
	for (uint64_t at = 0; at < size;) {
		uint64_t data = next_data(fd, at, size);
		ssize_t got;

		data -= data < size ? data % BLOCK : 0;
		if (data > at) {
			take_block(&holes, at, true);
			at = data;
			continue;
		}
		got = pread(fd, piece, PIECE, (off_t)at);
		if (got <= 0)
			return vn_fail_errno(err, got < 0 ? errno : EIO, "read '%.200s'", name);
		for (size_t i = 0; i < (size_t)got; i += BLOCK)
			take_block(&holes, at + i, is_zero(piece + i, (size_t)got - i < BLOCK
							   ? (size_t)got - i : BLOCK));
		at += (uint64_t)got;
	}
	take_end(&holes);
	return 0;
}
