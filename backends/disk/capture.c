/*
 * A tree is walked twice in the same order, that of the paths' bytes: first to see what it takes, then to
 * pack it. Folders are opened by their path from the root each time, so that no depth takes descriptors.
 *
 * A delta is led by what overlayfs keeps of a guest's changes (upper), but packed from the root as the guest
 * sees it: what is in upper and not to be seen is hidden (a whiteout); a folder that hides the image's, or
 * that was renamed (its contents lie elsewhere in the image), is packed whole, behind an opaque mark. So
 * nothing of overlayfs's own is ever read into an image. An upper file is whole by our mount options.
 *
 * What vnoded itself writes into a guest, and what makes a machine that machine, is replaced by what the
 * vnode's image has there. So is an empty lost+found, which e2fsck makes on disks of some types only.
 */
#include "backends/disk/capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backends/disk/identity.h"
#include "backends/disk/pack.h"
#include "proto/base/mem.h"

#define MARK	  ".wh."
#define OPAQUE	  ".wh..wh..opq"
#define LOST	  "lost+found"
#define TELL_STEP (1u << 20)

struct walk {
	const struct capture_tree *tree;
	const struct capture_spec *spec;
	const bool *cancelled;
	struct pack *pack;		/* NULL: only counting */
	uint64_t entries, bytes;	/* counted; of contents */
	uint64_t packed, told;
	char path[PATH_MAX];		/* of the entry at hand; "" the root */
};

struct name {
	char *text;			/* folders' with a slash at the end: the order of whole paths */
	bool is_folder, is_gone;	/* is_gone: a whiteout, whose text is already the mark's */
};

struct names {
	struct name *items;
	size_t count;
};

static int walk_folder(struct walk *walk, bool whole, struct vn_error *err);

static int
open_folder(int root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
					   | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));
}

/* ---- one entry ------------------------------------------------------------------------------- */

static bool
is_own(const struct walk *walk)
{
	for (const char *const *own = walk->spec->own; own && *own; own++)
		if (strcmp(*own + strspn(*own, "/"), walk->path) == 0)
			return true;
	return identity_is(walk->path);
}

static int
count(struct walk *walk, uint64_t bytes, struct vn_error *err)
{
	const struct capture_spec *spec = walk->spec;

	walk->entries++;
	walk->bytes += bytes;
	if (__atomic_load_n(walk->cancelled, __ATOMIC_RELAXED))
		return vn_fail(err, VN_E_CANCELLED, "cancelled");
	if (spec->limit_entries && walk->entries > spec->limit_entries)
		return vn_fail(err, VN_E_LIMIT, "there are more than %" PRIu64 " files and folders: raise "
			       "image_entries if an image is to hold them", spec->limit_entries);
	return 0;
}

/* What a file takes on the disk is about what there is in it to be packed. */
static uint64_t
contents(const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size, taken = (uint64_t)st->st_blocks * 512;

	return !S_ISREG(st->st_mode) ? 0 : size < taken ? size : taken;
}

static int
take(struct walk *walk, int root, struct vn_error *err)
{
	const char *path = walk->path[0] ? walk->path : ".";
	struct stat st;

	if (walk->pack)
		return pack_entry(walk->pack, root, path, err);
	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return vn_fail_errno(err, errno, "look at '/%.200s'", walk->path);
	return count(walk, contents(&st), err);
}

static int
take_mark(struct walk *walk, struct vn_error *err)
{
	return walk->pack ? pack_mark(walk->pack, walk->path, err) : count(walk, 0, err);
}

/* The image's own version takes the place of a file of ours; in a delta it shows through by itself. */
static int
take_own(struct walk *walk, bool whole, struct vn_error *err)
{
	int base = whole ? capture_base(walk->tree, walk->path) : -1;
	struct stat st;

	if (base < 0 || fstatat(base, walk->path, &st, AT_SYMLINK_NOFOLLOW) < 0
	    || !pack_takes(st.st_mode) || S_ISDIR(st.st_mode))
		return 0;
	return take(walk, base, err);
}

/* ---- folders --------------------------------------------------------------------------------- */

static void
names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i].text);
	free(names->items);
}

static void
names_add(struct names *names, const struct name *name)
{
	if ((names->count & (names->count - 1)) == 0)
		names->items = vn_realloc_array(names->items, names->count ? 2 * names->count : 1,
						sizeof(*name));
	names->items[names->count++] = *name;
}

static int
compare(const void *a, const void *b)
{
	const struct name *left = a, *right = b;

	return strcmp(left->text, right->text);
}

static int
add_name(struct walk *walk, int seen, const char *text, struct names *names, struct vn_error *err)
{
	struct name name = { 0 };
	struct stat st;

	if (strncmp(text, MARK, strlen(MARK)) == 0)
		return vn_fail(err, VN_E_INVALID, "'%.200s/%s' cannot be in an image, where names that "
			       "begin with %s say what is gone: rename or remove it", walk->path, text,
			       MARK);
	if (fstatat(seen, text, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return vn_fail_errno(err, errno, "look at '%.200s/%s'", walk->path, text);
		name.is_gone = true;
	}
	if (!name.is_gone && !pack_takes(st.st_mode))
		return 0;
	name.is_folder = !name.is_gone && S_ISDIR(st.st_mode);
	name.text = name.is_gone ? vn_format("%s%s", MARK, text)
				 : vn_format("%s%s", text, name.is_folder ? "/" : "");
	names_add(names, &name);
	return 0;
}

static bool
is_empty_folder(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		vn_close_at(&fd);
		return false;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			break;
	closedir(dir);
	return !entry;
}

/* What a file system has for itself. */
static bool
is_of_file_system(const struct walk *walk, int seen, const char *name)
{
	return walk->path[0] == '\0' && strcmp(name, LOST) == 0 && capture_base(walk->tree, LOST) < 0
	       && is_empty_folder(seen, name);
}

/* listed: the folder whose names count; seen: the same as the guest sees it. */
static int
read_names(struct walk *walk, int listed, int seen, struct names *names, struct vn_error *err)
{
	int own = dup(listed);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		vn_close_at(&own);
		return vn_fail_errno(err, errno, "list '/%.200s'", walk->path);
	}
	rewinddir(dir);
	while (result == 0 && (errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0
		    || is_of_file_system(walk, seen, entry->d_name))
			continue;
		result = add_name(walk, seen, entry->d_name, names, err);
		if (result == 0 && walk->spec->limit_entries && names->count > walk->spec->limit_entries)
			result = vn_fail(err, VN_E_LIMIT, "there are more than %" PRIu64 " files in '/%.200s': "
					 "raise image_entries if an image is to hold them",
					 walk->spec->limit_entries, walk->path);
	}
	if (result == 0 && errno != 0)
		result = vn_fail_errno(err, errno, "list '/%.200s'", walk->path);
	closedir(dir);
	qsort(names->items, names->count, sizeof(*names->items), compare);
	return result;
}

/* Overlayfs marks every new folder so, whether there is something to hide or not. */
static bool
has_base_folder(const struct walk *walk)
{
	int base = capture_base(walk->tree, walk->path);
	struct stat st;

	return base >= 0 && fstatat(base, walk->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Whether the image's folder of this name is not to be seen in upper's, or was another one. */
static bool
is_apart(int folder)
{
	char value;

	return (fgetxattr(folder, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y')
	       || fgetxattr(folder, "trusted.overlay.redirect", NULL, 0) >= 0;
}

/* The names of a folder; *whole: all of it is packed, else what is in upper. */
static int
list_folder(struct walk *walk, bool *whole, struct names *names, struct vn_error *err)
{
	vn_autoclose int seen = open_folder(walk->tree->root, walk->path);
	vn_autoclose int upper = *whole ? -1 : open_folder(walk->tree->upper, walk->path);

	if (seen < 0 || (!*whole && upper < 0))
		return vn_fail_errno(err, errno, "open '/%.200s'", walk->path);
	if (!*whole && is_apart(upper)) {
		*whole = true;
		if (has_base_folder(walk))
			names_add(names, &(struct name){ .text = vn_strdup(OPAQUE), .is_gone = true });
	}
	return read_names(walk, *whole ? seen : upper, seen, names, err);
}

static int
append(struct walk *walk, size_t length, const char *text, size_t size, struct vn_error *err)
{
	int printed = snprintf(walk->path + length, sizeof(walk->path) - length, "%s%.*s",
			       length ? "/" : "", (int)size, text);

	if (length + (size_t)printed < sizeof(walk->path) - 3)	/* "./" and "/" are still to come */
		return 0;
	walk->path[length] = '\0';
	return vn_fail(err, VN_E_INVALID, "a path below '/%.200s' is longer than %d bytes, which an image "
		       "cannot hold", walk->path, PATH_MAX);
}

static int
walk_name(struct walk *walk, const struct name *name, bool whole, struct vn_error *err)
{
	if (name->is_gone)
		return take_mark(walk, err);
	if (name->is_folder)
		return walk_folder(walk, whole, err);
	return is_own(walk) ? take_own(walk, whole, err) : take(walk, walk->tree->root, err);
}

/* Whether a whiteout is of a file of ours, which the image is to show as it is. */
static bool
is_own_mark(struct walk *walk, size_t length, const struct name *name)
{
	char whole[PATH_MAX];
	bool result;

	if (!name->is_gone)
		return false;
	snprintf(whole, sizeof(whole), "%s", walk->path);
	snprintf(walk->path + length, sizeof(walk->path) - length, "%s%s", length ? "/" : "",
		 name->text + strlen(MARK));
	result = is_own(walk);
	snprintf(walk->path, sizeof(walk->path), "%s", whole);
	return result;
}

static int
walk_names(struct walk *walk, const struct names *names, bool whole, struct vn_error *err)
{
	size_t length = strlen(walk->path);
	int result = 0;

	for (size_t i = 0; i < names->count && result == 0; i++) {
		const struct name *name = &names->items[i];

		if (is_own_mark(walk, length, name))
			continue;
		result = append(walk, length, name->text, strlen(name->text) - name->is_folder, err);
		if (result == 0)
			result = walk_name(walk, name, whole, err);
		walk->path[length] = '\0';
	}
	return result;
}

static int
walk_folder(struct walk *walk, bool whole, struct vn_error *err)
{
	struct names names = { 0 };
	int result = take(walk, walk->tree->root, err);

	if (result == 0)
		result = list_folder(walk, &whole, &names, err);
	if (result == 0)
		result = walk_names(walk, &names, whole, err);
	names_free(&names);
	return result;
}

/* ---- both rounds ----------------------------------------------------------------------------- */

static int
check_sizes(const struct walk *walk, struct vn_error *err)
{
	vn_autofree char *folder = vn_format("%.*s", (int)(strrchr(walk->spec->path, '/')
							  - walk->spec->path), walk->spec->path);
	struct statvfs fs;
	uint64_t room;

	if (walk->spec->limit_bytes && walk->bytes > walk->spec->limit_bytes)
		return vn_fail(err, VN_E_LIMIT, "the files take %" PRIu64 " bytes, and an image may take %"
			       PRIu64 " (image_unpacked_limit)", walk->bytes, walk->spec->limit_bytes);
	if (statvfs(folder, &fs) < 0)
		return vn_fail_errno(err, errno, "look at the file system of %s", folder);
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	room -= room < DISK_KEEP_BYTES ? room : DISK_KEEP_BYTES;
	return walk->bytes <= room ? 0
	       : vn_fail(err, VN_E_LIMIT, "the files take %" PRIu64 " bytes, and the disk of state_dir has "
			 "room for %" PRIu64 ": make room and try again", walk->bytes, room);
}

/* What is read beyond what was counted are holes of the disk, which cost nothing. */
static void
on_bytes(void *arg, uint64_t bytes)
{
	struct walk *walk = arg;

	walk->packed += bytes;
	if (walk->packed - walk->told < TELL_STEP || !walk->spec->on_progress)
		return;
	walk->told = walk->packed;
	walk->spec->on_progress(walk->spec->arg, walk->packed < walk->bytes ? walk->packed : walk->bytes,
				walk->bytes);
}

int
capture_tree(const struct capture_tree *tree, const struct capture_spec *spec, const bool *cancelled,
	     struct capture_facts *ret, struct vn_error *err)
{
	struct walk walk = { .tree = tree, .spec = spec, .cancelled = cancelled };
	const struct pack_way way = { .cancelled = cancelled, .on_bytes = on_bytes, .arg = &walk };
	bool whole = tree->upper < 0;
	int result;

	if (walk_folder(&walk, whole, err) < 0 || check_sizes(&walk, err) < 0
	    || pack_open(spec->path, &way, &walk.pack, err) < 0)
		return -1;
	result = walk_folder(&walk, whole, err);
	if (result == 0)
		result = pack_finish(walk.pack, ret->sha256, &ret->bytes, err);
	pack_close(walk.pack);
	return result;
}
