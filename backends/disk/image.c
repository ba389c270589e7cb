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
#include "backends/disk/chain.h"
#include "backends/disk/files.h"
#include "backends/disk/image_disk.h"
#include "backends/disk/trash.h"
#include "backends/disk/unpack.h"
#include "proto/base/mem.h"

struct place {
	const char *images, *trash;	/* the store and where its rubbish goes */
	const struct image_spec *spec;
	const char *partial, *folder;	/* while unpacking, and afterwards */
	int format;			/* detected, if need be */
	struct chain bases;
};

struct run {				/* what unpacking is done with */
	const struct unpack_limits *limits;
	const bool *cancelled;
	uint64_t *progress_bytes;
};

static const char *const format_words[] = { "", "tar", "raw", "qcow2" };

int
image_name_check(const char *sha256, struct vn_error *err)
{
	if (strlen(sha256) != DIGEST_TEXT - 1
	    || strspn(sha256, "0123456789abcdef") != DIGEST_TEXT - 1)
		return vn_fail(err, VN_E_INVALID, "'%.80s' is no SHA-256: 64 digits of 0-9a-f are "
			       "needed", sha256);
	return 0;
}

/* Markers of the time before there were others say of what kind a tar archive is. */
static int
read_format(const char *word)
{
	for (int i = IMAGE_TAR; i <= IMAGE_QCOW2; i++)
		if (!strcmp(format_words[i], word))
			return i;
	return IMAGE_TAR;
}

bool
image_is_finished(const char *images, const char *sha256, struct image_info *ret)
{
	vn_autofree char *path = vn_format("%s/%s/finished", images, sha256);
	json_t *marker = files_read_json(path);
	const char *format = "", *base = "";
	json_int_t bytes, size = 0;
	int is_opaque = 0;
	bool is_finished = marker
		&& json_unpack(marker, "{s:I, s:s, s?s, s?I, s?b}", "bytes", &bytes, "format",
			       &format, "base", &base, "virtual", &size, "opaque", &is_opaque) == 0;

	if (is_finished) {
		*ret = (struct image_info){ .facts = { .bytes = (uint64_t)bytes,
				.virtual_bytes = (uint64_t)size, .format = read_format(format) },
			.is_opaque = is_opaque };
		snprintf(ret->facts.base, sizeof(ret->facts.base), "%s", base);
	}
	json_decref(marker);
	return is_finished;
}

static int
write_marker(const char *folder, const struct image_info *info, const struct unpacked *unpacked,
	     struct vn_error *err)
{
	vn_autofree char *path = vn_format("%s/finished", folder);
	json_t *marker = json_pack("{s:I, s:I, s:s, s:s, s:s, s:I, s:b}", "bytes",
				   (json_int_t)info->facts.bytes, "entries",
				   (json_int_t)unpacked->entries, "archive", unpacked->format, "format",
				   format_words[info->facts.format], "base", info->facts.base,
				   "virtual", (json_int_t)info->facts.virtual_bytes, "opaque",
				   info->is_opaque);
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
finish(const struct place *place, const struct image_info *info, const struct unpacked *unpacked,
       struct vn_error *err)
{
	vn_autoclose int fd = open(place->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image_info other;
	struct vn_error ignored;

	if (fd < 0 || syncfs(fd) < 0)
		return vn_fail_errno(err, errno, "sync the file system of %s", place->images);
	if (renameat2(AT_FDCWD, place->partial, AT_FDCWD, place->folder, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST && image_is_finished(place->images, place->spec->sha256, &other))
			return trash_away(place->trash, place->partial, "image", err);
		return vn_fail_errno(err, errno, "put the image %s in place", place->folder);
	}
	if (write_marker(place->folder, info, unpacked, err) < 0
	    || files_sync_folder(place->images, err) < 0) {
		trash_away(place->trash, place->folder, "image", &ignored);
		return -1;
	}
	return 0;
}

/* Makes <partial> with its lock. */
static int
make_partial(const char *partial, int *ret_lock, struct vn_error *err)
{
	vn_autoclose int lock = -1;

	if (mkdir(partial, 0700) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", partial);
	lock = lock_folder(partial);
	if (lock < 0)
		return vn_fail(err, VN_E_BUSY, "the folder %s was taken away at once", partial);
	*ret_lock = vn_take_fd(&lock);
	return 0;
}

/* ---- the two kinds of image ------------------------------------------------------------------ */

static int
open_bases(const struct place *place, int *fds, struct vn_error *err)
{
	for (size_t i = 0; i < place->bases.count; i++) {
		vn_autofree char *path = vn_format("%s/%s/root", place->images,
						   place->bases.sha256[i]);

		fds[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fds[i] < 0)
			return vn_fail_errno(err, errno, "open the base %s", path);
	}
	return 0;
}

static int
fill_root(const struct place *place, const struct run *run, struct image_info *ret,
	  struct unpacked *unpacked, struct vn_error *err)
{
	vn_autofree char *root = vn_format("%s/root", place->partial);
	int bases[IMAGE_LAYERS_MAX], result = -1;
	const struct unpack_spec spec = { .path = place->spec->path, .into = root, .bases = bases,
					  .n_bases = place->bases.count, .arg = place->spec->arg,
					  .on_progress = place->spec->on_progress };

	for (size_t i = 0; i < IMAGE_LAYERS_MAX; i++)
		bases[i] = -1;
	if (mkdir(root, 0755) < 0)
		return vn_fail_errno(err, errno, "make the folder %s", root);
	if (open_bases(place, bases, err) == 0)
		result = unpack_archive(&spec, run->limits, run->cancelled, run->progress_bytes,
					unpacked, err);
	for (size_t i = 0; i < IMAGE_LAYERS_MAX; i++)
		vn_close_at(&bases[i]);
	ret->facts.bytes = unpacked->bytes;
	ret->is_opaque = unpacked->is_opaque;
	return result;
}

static int
count_disk(const struct unpack_limits *limits, uint64_t size, struct vn_error *err)
{
	uint64_t used = 0;

	if (limits->storage_used)
		used = __atomic_add_fetch(limits->storage_used, size, __ATOMIC_RELAXED);
	return !limits->storage_used || used <= limits->storage_bytes ? 0
	       : vn_fail(err, VN_E_LIMIT, "all images together would take more than image_storage "
			 "(%llu bytes): remove some (vnodectl image prune) or raise it",
			 (unsigned long long)limits->storage_bytes);
}

static int
fill_disk(const struct place *place, const struct run *run, struct image_info *ret,
	  struct vn_error *err)
{
	vn_autofree char *to = vn_format("%s/disk", place->partial);
	vn_autoclose int fd = open(place->spec->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return vn_fail_errno(err, errno, "open the disk %s", place->spec->path);
	ret->facts.bytes = (uint64_t)st.st_size;
	if (image_disk_check(fd, place->format, run->limits->bytes, &ret->facts.virtual_bytes, err) < 0)
		return -1;
	if (count_disk(run->limits, ret->facts.bytes, err) == 0
	    && image_disk_store(place->spec, to, run->cancelled, run->progress_bytes, err) == 0)
		return 0;
	if (run->limits->storage_used)
		__atomic_sub_fetch(run->limits->storage_used, ret->facts.bytes, __ATOMIC_RELAXED);
	return -1;
}

static int
fill(const struct place *place, const struct run *run, struct image_info *ret,
     struct unpacked *unpacked, struct vn_error *err)
{
	ret->facts.format = place->format;
	snprintf(ret->facts.base, sizeof(ret->facts.base), "%s",
		 place->spec->base ? place->spec->base : "");
	return place->format == IMAGE_TAR ? fill_root(place, run, ret, unpacked, err)
					  : fill_disk(place, run, ret, err);
}

static int
fill_into_place(const struct place *place, const struct run *run, struct image_info *ret,
		struct vn_error *err)
{
	struct unpacked unpacked = { 0 };
	vn_autoclose int lock = -1;
	struct vn_error ignored;

	if (make_partial(place->partial, &lock, err) < 0
	    || fill(place, run, ret, &unpacked, err) < 0
	    || finish(place, ret, &unpacked, err) < 0) {
		trash_away(place->trash, place->partial, "image", &ignored);
		return -1;
	}
	return 0;
}

/* ---- unpack ---------------------------------------------------------------------------------- */

/* An archive that is there as a layer on one base would mean something else on another. */
static int
meet_finished(const struct image_spec *spec, const struct image_info *info,
	      struct image_facts *ret, struct vn_error *err)
{
	if (strcmp(info->facts.base, spec->base ? spec->base : "") != 0)
		return vn_fail(err, VN_E_EXISTS, "this archive is stored already as a layer on %s%.12s%s, "
			       "and one archive has one base: remove that image first",
			       info->facts.base[0] ? "the image " : "nothing", info->facts.base,
			       info->facts.base[0] ? "…" : "");
	if (spec->format != IMAGE_DETECT && spec->format != info->facts.format)
		return vn_fail(err, VN_E_EXISTS, "this file is stored already with the format %s: remove "
			       "that image first", format_words[info->facts.format]);
	*ret = info->facts;
	return 0;
}

static int
check_base(struct place *place, struct vn_error *err)
{
	const struct image_spec *spec = place->spec;

	if (!spec->base)
		return 0;
	if (place->format != IMAGE_TAR)
		return vn_fail(err, VN_E_INVALID, "a disk can be no layer on a base: only tar archives "
			       "can");
	if (!strcmp(spec->base, spec->sha256))
		return vn_fail(err, VN_E_STATE, "the image %.12s… cannot be its own base", spec->base);
	if (chain_read(place->images, spec->base, &place->bases, err) < 0)
		return -1;
	return place->bases.count < IMAGE_LAYERS_MAX ? 0
	       : vn_fail(err, VN_E_STATE, "the base has %d layers already, and no more are taken: make "
			 "one image of some of them", IMAGE_LAYERS_MAX);
}

static int
detect_format(struct place *place, struct vn_error *err)
{
	vn_autoclose int fd = -1;

	place->format = place->spec->format;
	if (place->format != IMAGE_DETECT)
		return 0;
	fd = open(place->spec->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return vn_fail_errno(err, errno, "open the archive %s", place->spec->path);
	place->format = image_disk_detect(fd);
	return 0;
}

int
image_unpack(const char *images, const char *trash, const struct image_spec *spec,
	     const struct unpack_limits *limits, const bool *cancelled, uint64_t *progress_bytes,
	     struct image_facts *ret, struct vn_error *err)
{
	char random[17];
	vn_autofree char *folder = NULL, *partial = NULL;
	struct place place = { .images = images, .trash = trash, .spec = spec };
	const struct run run = { limits, cancelled, progress_bytes };
	struct image_info info = { 0 };

	if (image_name_check(spec->sha256, err) < 0)
		return -1;
	if (image_is_finished(images, spec->sha256, &info))
		return meet_finished(spec, &info, ret, err);
	files_random_name(random);
	place.folder = folder = vn_format("%s/%s", images, spec->sha256);
	place.partial = partial = vn_format("%s.partial-%s", folder, random);
	if (detect_format(&place, err) < 0 || check_base(&place, err) < 0
	    || remove_unfinished(trash, folder, err) < 0
	    || fill_into_place(&place, &run, &info, err) < 0)
		return -1;
	*ret = info.facts;
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
