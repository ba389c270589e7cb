/*
 * Images on disk. An image becomes usable by its finished marker alone, which is written and synced
 * after everything else: a crash at any earlier point leaves a partial image that no one mounts and
 * the next unpacking replaces.
 */
#include "backends/disk/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "backends/digest.h"
#include "backends/disk/files.h"
#include "backends/disk/trash.h"
#include "backends/disk/unpack.h"
#include "proto/base/mem.h"

struct place {
	const char *images, *trash;	/* the store and where its rubbish goes */
	const char *sha256;
	const char *partial, *folder;	/* while unpacking, and afterwards */
};

int
image_name_check(const char *sha256, struct vn_error *err)
{
	if (strlen(sha256) != DIGEST_TEXT - 1
	    || strspn(sha256, "0123456789abcdef") != DIGEST_TEXT - 1)
		return vn_fail(err, VN_E_INVALID, "'%.80s' is no SHA-256: 64 digits of 0-9a-f are "
			       "needed", sha256);
	return 0;
}

bool
image_is_finished(const char *images, const char *sha256, struct image_info *ret)
{
	vn_autofree char *path = vn_format("%s/%s/finished", images, sha256);
	json_t *marker = files_read_json(path);
	json_int_t bytes, entries;
	bool is_finished = marker
		&& json_unpack(marker, "{s:I, s:I}", "bytes", &bytes, "entries", &entries) == 0;

	json_decref(marker);
	if (is_finished)
		*ret = (struct image_info){ .bytes = (uint64_t)bytes, .entries = (uint64_t)entries };
	return is_finished;
}

static int
write_marker(const char *folder, const struct unpacked *unpacked, struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/finished", folder);
	json_t *marker = json_pack("{s:I, s:I, s:s}", "bytes", (json_int_t)unpacked->bytes,
				   "entries", (json_int_t)unpacked->entries,
				   "format", unpacked->format);
	int result;

	if (!marker)
		abort();
	result = files_write_json(path, marker, err);
	json_decref(marker);
	return result < 0 ? -1 : files_sync_folder(folder, err);
}

/* Opens and locks a partial image; -1 where someone else holds it or it is gone. */
static int
lock_folder(const char *path)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -1;
	return vn_take_fd(&fd);
}

/* Puts a folder of that name that was never finished out of the way. */
static int
remove_unfinished(const char *trash, const char *folder, struct vn_error *err)
{
	vn_autoclose int lock = lock_folder(folder);

	if (lock < 0 && access(folder, F_OK) == 0)
		return vn_fail(err, VN_E_BUSY, "the image %s is being unpacked already", folder);
	return trash_away(trash, folder, "image", err);
}

/*
 * Gives the unpacked folder its final name and marks it as finished. Another process may have been
 * faster: its image is as good as ours.
 */
static int
finish(const struct place *place, const struct unpacked *unpacked, struct vn_error *err)
{
	vn_autoclose int fd = open(place->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image_info info;
	struct vn_error ignored;

	if (fd < 0 || syncfs(fd) < 0)
		return vn_fail_errno(err, errno, "sync the file system of %s", place->images);
	if (renameat2(AT_FDCWD, place->partial, AT_FDCWD, place->folder, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST && image_is_finished(place->images, place->sha256, &info))
			return trash_away(place->trash, place->partial, "image", err);
		return vn_fail_errno(err, errno, "put the image %s in place", place->folder);
	}
	if (write_marker(place->folder, unpacked, err) < 0
	    || files_sync_folder(place->images, err) < 0) {
		trash_away(place->trash, place->folder, "image", &ignored);
		return -1;
	}
	return 0;
}

/* Makes <partial> with its lock and <partial>/root. */
static int
make_partial(const char *partial, const char *root, int *ret_lock, struct vn_error *err)
{
	vn_autoclose int lock = -1;

	if (mkdir(partial, 0700) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", partial);
	lock = lock_folder(partial);
	if (lock < 0)
		return vn_fail(err, VN_E_BUSY, "the folder %s was taken away at once", partial);
	if (mkdir(root, 0755) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", root);
	*ret_lock = vn_take_fd(&lock);
	return 0;
}

static int
unpack_into_place(const struct place *place, const char *path, const struct unpack_limits *limits,
		  const bool *cancelled, uint64_t *progress_bytes, struct unpacked *ret,
		  struct vn_error *err)
{
	vn_autofree char *root = vn_format("%s/root", place->partial);
	vn_autoclose int lock = -1;
	struct vn_error ignored;

	if (make_partial(place->partial, root, &lock, err) < 0
	    || unpack_archive(path, root, limits, cancelled, progress_bytes, ret, err) < 0
	    || finish(place, ret, err) < 0) {
		trash_away(place->trash, place->partial, "image", &ignored);
		return -1;
	}
	return 0;
}

int
image_unpack(const char *images, const char *trash, const char *path, const char *sha256,
	     const struct unpack_limits *limits, const bool *cancelled, uint64_t *progress_bytes,
	     uint64_t *ret_bytes, struct vn_error *err)
{
	char random[17];
	vn_autofree char *folder = NULL, *partial = NULL;
	struct place place = { .images = images, .trash = trash, .sha256 = sha256 };
	struct unpacked unpacked;
	struct image_info info;

	if (image_name_check(sha256, err) < 0)
		return -1;
	if (image_is_finished(images, sha256, &info)) {
		*ret_bytes = info.bytes;
		return 0;
	}
	files_random_name(random);
	place.folder = folder = vn_format("%s/%s", images, sha256);
	place.partial = partial = vn_format("%s.partial-%s", folder, random);
	if (remove_unfinished(trash, folder, err) < 0
	    || unpack_into_place(&place, path, limits, cancelled, progress_bytes, &unpacked,
				 err) < 0)
		return -1;
	*ret_bytes = unpacked.bytes;
	return 0;
}

/* Anything in the store that is no finished image: a partial one, or one without its marker. */
static bool
is_left_over(const char *images, const char *name)
{
	struct image_info info;

	return name[0] != '.' && !image_is_finished(images, name, &info);
}

int
image_remove_partial(const char *images, const char *trash, struct vn_error *err)
{
	DIR *dir = opendir(images);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return vn_fail_errno(err, errno, "open the image store %s", images);
	while (result == 0 && (entry = readdir(dir))) {
		vn_autofree char *path = vn_format("%s/%s", images, entry->d_name);
		vn_autoclose int lock = -1;

		if (!is_left_over(images, entry->d_name))
			continue;
		lock = lock_folder(path);
		/* The marker may have been written while we looked: under the lock it is certain. */
		if (lock >= 0 && is_left_over(images, entry->d_name))
			result = trash_away(trash, path, "image", err);
	}
	closedir(dir);
	return result;
}
