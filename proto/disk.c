/* A vnode's disks in documents: their tables, and what contradicts itself. */
#include "proto/disk.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/ident.h"
#include "proto/schema_private.h"

#define AT(type, member) .offset = offsetof(struct type, member)

enum { SIZE_UNIT = 512, NAME_LENGTH = 31, MOUNT_LENGTH = 255 };

static int
check_disk_name(const char *text, struct vn_error *err)
{
	if (strlen(text) > NAME_LENGTH)
		return vn_fail(err, VN_E_INVALID, "the name of a disk has at most %d characters", NAME_LENGTH);
	return vn_name_check(text, err);
}

const struct form form_disk_name = { "name", NULL, check_disk_name };

/* Absolute, and written in its only way: no empty part, no "." and "..", nothing behind the last name. */
static int
check_mount(const char *text, struct vn_error *err)
{
	if (text[0] != '/' || !text[1] || text[strlen(text) - 1] == '/')
		return vn_fail(err, VN_E_INVALID, "expected an absolute path such as \"/data\", got \"%.60s\"",
			       text);
	for (const char *at = text; *at; at += strcspn(at + 1, "/") + 1) {
		size_t length = strcspn(at + 1, "/");

		if (length == 0 || (length == 1 && at[1] == '.') || (length == 2 && !strncmp(at + 1, "..", 2)))
			return vn_fail(err, VN_E_INVALID, "a mount point is written without \"//\", \".\" and "
				       "\"..\", got \"%.60s\"", text);
	}
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return vn_fail(err, VN_E_INVALID, "a mount point has no control characters");
	return 0;
}

static const struct form form_mount = { "absolute path", "^/", check_mount };

const struct field doc_extra_fields[] = {
	{ "size", "its size", FIELD_SIZE, FIELD_REQUIRED, AT(doc_extra, size_bytes), 1 << 20, 1LL << 44 },
	{ "filesystem", "what is made on it; ext4 unless given", FIELD_WORD, 0, AT(doc_extra, filesystem),
	  .words = disk_filesystem_words },
	{ "mount", "where the guest finds it", FIELD_STRING, 0, AT(doc_extra, mount), 1, MOUNT_LENGTH,
	  .form = &form_mount },
	{ 0 }
};

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

/* Whether `path` is `folder`, or lies below it. */
static bool
is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

static int
check_extra(const struct doc_extra *extra, struct vn_error *err)
{
	static const char *const taken[] = { "/dev", "/proc", "/run", "/sys" };
	char path[64];

	snprintf(path, sizeof(path), "/%s/size", extra->key);
	if (extra->size_bytes % SIZE_UNIT)
		return vn_fail_at(err, path, VN_E_INVALID, "expected a multiple of %d bytes", SIZE_UNIT);
	snprintf(path, sizeof(path), "/%s/mount", extra->key);
	if (extra->filesystem == DISK_NO_FILESYSTEM && extra->mount)
		return vn_fail_at(err, path, VN_E_INVALID, "a disk without a file system cannot be mounted: say "
				  "\"filesystem\": \"ext4\", or no mount point");
	for (size_t i = 0; extra->mount && i < sizeof(taken) / sizeof(*taken); i++)
		if (is_below(extra->mount, taken[i]))
			return vn_fail_at(err, path, VN_E_INVALID, "%s is the guest's own: choose another mount "
					  "point", taken[i]);
	return 0;
}

int
doc_extras_check(const struct doc_extra *extras, size_t count, struct vn_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (check_extra(&extras[i], err) < 0)
			return -1;
		for (size_t other = 0; other < i; other++) {
			char path[64];

			if (!extras[i].mount || !extras[other].mount
			    || strcmp(extras[i].mount, extras[other].mount) != 0)
				continue;
			snprintf(path, sizeof(path), "/%s/mount", extras[i].key);
			return vn_fail_at(err, path, VN_E_INVALID, "%s is the mount point of the disk '%s' already",
					  extras[i].mount, extras[other].key);
		}
	}
	return 0;
}
