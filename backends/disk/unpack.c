/*
 * Two of libarchive's readers in a row: the first (plain.c, on a thread of its own) only undoes the
 * compression, the second reads tar from it. Between them passes the plain stream, which is how
 * trailing garbage and a missing end of archive are noticed; libarchive alone ignores both.
 *
 * The work runs on a thread whose root directory is the folder it unpacks into. Whatever an archive
 * or a bug makes of a path, the kernel resolves it inside; libarchive's own checks are there so that
 * such an entry is an error with its name and not a surprise in the image. The price: nothing may be
 * loaded from a file there. Hence numeric owners only (no name service), and a UTF-8 locale of the
 * thread's own, so that no conversion module is ever looked for.
 */
#include "backends/disk/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/apart.h"
#include "backends/disk/files.h"
#include "backends/disk/flush.h"
#include "backends/disk/plain.h"
#include "backends/disk/unpack_check.h"
#include "backends/disk/whiteout.h"
#include "proto/base/mem.h"

#define TELL_STEP (1u << 20)
#define HOLE_SIZE 4096u			/* zeros of so many bytes are left out */
#define DISK_FLAGS                                                                                 \
	(ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_ACL \
	 | ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_SECURE_NODOTDOT                                 \
	 | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

struct unpack {
	const char *into;
	const struct unpack_limits *limits;
	const bool *cancelled;
	uint64_t *progress_bytes, told;
	const struct unpack_spec *spec;
	int fd;				/* the archive file */
	int folder;			/* `into`, for its file system */
	uint64_t size;			/* its bytes */
	struct plain *plain;
	struct flush *flush;
	struct vn_error err;		/* of plain; code VN_OK: none */
	struct archive *tar, *disk;
	const char *chunk;		/* what the tar reader was given last; owned by plain */
	size_t chunk_size;
	uint64_t given;			/* bytes it was given in all */
	struct layer layer;
	bool has_root_time;		/* the archive tells the root's */
	struct timespec root_time;
	struct unpacked result;
};

static bool
is_cancelled(const struct unpack *unpack)
{
	return __atomic_load_n(unpack->cancelled, __ATOMIC_RELAXED);
}

/* Sets *err from libarchive's last failure; `code` says whose fault it is where the errno does not. */
static int __attribute__((format(printf, 4, 5)))
vn_fail_archive(struct vn_error *err, struct archive *archive, enum vn_code code,
		const char *format, ...)
{
	const char *reason = archive_error_string(archive);
	int sys = archive_errno(archive);
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (sys == ENOMEM)
		abort();
	if (sys == ENOSPC || sys == EDQUOT)
		return vn_fail_errno(err, sys, "%s: the disk of state_dir is full", text);
	if (sys == ECANCELED)
		return vn_fail(err, VN_E_CANCELLED, "%s: cancelled", text);
	vn_fail(err, code, "%s: %s", text, reason ? reason : "unknown failure");
	err->sys = sys;
	return -1;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static void
tell_progress(struct unpack *unpack)
{
	uint64_t done = __atomic_load_n(unpack->progress_bytes, __ATOMIC_RELAXED);

	if (!unpack->spec->on_progress || done - unpack->told < TELL_STEP)
		return;
	unpack->told = done;
	unpack->spec->on_progress(unpack->spec->arg, done, unpack->size);
}

/* The tar reader's input: the plain stream. */
static la_ssize_t
read_plain(struct archive *archive, void *arg, const void **ret)
{
	struct unpack *unpack = arg;
	int result = plain_next(unpack->plain, &unpack->chunk, &unpack->chunk_size, &unpack->err);

	if (result < 0)
		archive_set_error(archive, EINVAL, "%s", unpack->err.text);
	if (result <= 0)
		return result;
	unpack->given += unpack->chunk_size;
	tell_progress(unpack);
	*ret = unpack->chunk;
	return (la_ssize_t)unpack->chunk_size;
}

static int
open_tar(struct unpack *unpack, struct vn_error *err)
{
	if (archive_read_support_format_tar(unpack->tar) != ARCHIVE_OK
	    || archive_read_open(unpack->tar, unpack, NULL, read_plain, NULL) != ARCHIVE_OK)
		return vn_fail_archive(err, unpack->tar, VN_E_INVALID, "no tar archive");
	return 0;
}

static bool
is_zero(const char *data, size_t size)
{
	return size == 0 || (data[0] == '\0' && memcmp(data, data + 1, size - 1) == 0);
}

/*
 * Behind the end of archive: zeros up to the end of the plain stream (tar pads its last record), and
 * then the end of the file.
 */
static int
check_rest(struct unpack *unpack, struct vn_error *err)
{
	uint64_t used = (uint64_t)archive_filter_bytes(unpack->tar, 0);
	uint64_t left = unpack->given - used;
	const void *ignored;
	la_ssize_t size = 1;

	if (left <= unpack->chunk_size
	    && !is_zero(unpack->chunk + unpack->chunk_size - left, (size_t)left))
		return vn_fail(err, VN_E_INVALID, "something follows the end of the archive");
	while ((size = read_plain(unpack->tar, unpack, &ignored)) > 0)
		if (!is_zero(unpack->chunk, (size_t)size))
			return vn_fail(err, VN_E_INVALID,
				       "something follows the end of the archive");
	if (size < 0)
		return vn_fail_archive(err, unpack->tar, VN_E_INVALID, "read the archive's end");
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int
fail_write(struct unpack *unpack, const char *path, struct vn_error *err)
{
	/* What libarchive refuses for safety carries no useful errno; a full disk does. */
	return vn_fail_archive(err, unpack->disk, VN_E_INVALID, "unpack '%.200s'", path);
}

/* Counts what is about to be written against the limits, before it is. */
static int
count_bytes(struct unpack *unpack, uint64_t size, struct vn_error *err)
{
	const struct unpack_limits *limits = unpack->limits;
	uint64_t used = 0;

	unpack->result.bytes += size;
	flush_note(unpack->flush, size);
	if (limits->bytes && unpack->result.bytes > limits->bytes)
		return vn_fail(err, VN_E_INVALID, "the image is larger than %llu bytes when unpacked: "
			       "raise image_unpacked_limit if it is meant to be",
			       (unsigned long long)limits->bytes);
	if (limits->storage_used)
		used = __atomic_add_fetch(limits->storage_used, size, __ATOMIC_RELAXED);
	if (used > limits->storage_bytes && limits->storage_used)
		return vn_fail(err, VN_E_LIMIT, "all images together would take more than "
			       "image_storage (%llu bytes): remove some (vnodectl image prune) or "
			       "raise it", (unsigned long long)limits->storage_bytes);
	return files_check_room(unpack->folder, err);
}

static int
count_entry(struct unpack *unpack, struct vn_error *err)
{
	uint64_t limit = unpack->limits->entries;

	unpack->result.entries++;
	if (limit && unpack->result.entries + unpack->layer.made > limit)
		return vn_fail(err, VN_E_INVALID, "the image has more than %llu entries: raise "
			       "image_entries if it is meant to", (unsigned long long)limit);
	return files_check_room(unpack->folder, err);
}

/* Length of what begins at `data` and is all zeros (*ret_hole) or is not, in whole blocks of the file. */
static size_t
find_run(const char *data, size_t size, uint64_t offset, bool *ret_hole)
{
	size_t end = 0;

	while (end < size) {
		size_t block = HOLE_SIZE - (offset + end) % HOLE_SIZE;
		bool hole;

		block = block < size - end ? block : size - end;
		hole = is_zero(data + end, block);
		if (end == 0)
			*ret_hole = hole;
		else if (hole != *ret_hole)
			break;
		end += block;
	}
	return end;
}

/*
 * Writes all but the zeros: libarchive seeks over what it is not given, and sets the size at the end. It
 * could look for zeros itself, but then writes one block at a time.
 */
static int
write_data(struct unpack *unpack, const char *data, size_t size, la_int64_t offset)
{
	while (size > 0) {
		bool hole;
		size_t run = find_run(data, size, (uint64_t)offset, &hole);

		if (!hole && archive_write_data_block(unpack->disk, data, run, offset) != ARCHIVE_OK)
			return -1;
		data += run;
		size -= run;
		offset += (la_int64_t)run;
	}
	return 0;
}

static int
copy_data(struct unpack *unpack, const char *path, struct vn_error *err)
{
	const void *data;
	size_t size;
	la_int64_t offset;
	int result;

	while ((result = archive_read_data_block(unpack->tar, &data, &size, &offset)) == ARCHIVE_OK)
		if (count_bytes(unpack, size, err) < 0)
			return -1;
		else if (write_data(unpack, data, size, offset) < 0)
			return fail_write(unpack, path, err);
	if (result != ARCHIVE_EOF)
		return vn_fail_archive(err, unpack->tar, VN_E_INVALID, "read '%.200s'", path);
	return 0;
}

/* Of a folder that is there already libarchive sets the time at once, and what is made in it undoes that. */
static void
note_root_time(struct unpack *unpack, struct archive_entry *entry, const char *path)
{
	if ((strcmp(path, ".") != 0 && strcmp(path, "./") != 0) || !archive_entry_mtime_is_set(entry))
		return;
	unpack->has_root_time = true;
	unpack->root_time = (struct timespec){ archive_entry_mtime(entry), archive_entry_mtime_nsec(entry) };
}

static int
set_root_time(const struct unpack *unpack, struct vn_error *err)
{
	const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, unpack->root_time };

	if (unpack->has_root_time && utimensat(AT_FDCWD, ".", times, 0) < 0)
		return vn_fail_errno(err, errno, "set the time of the root folder");
	return 0;
}

static int
write_entry(struct unpack *unpack, struct archive_entry *entry, const char *path,
	    struct vn_error *err)
{
	bool hides = archive_entry_filetype(entry) == AE_IFDIR
		     && layer_is_hidden(&unpack->layer, path);

	note_root_time(unpack, entry, path);
	if (archive_write_header(unpack->disk, entry) != ARCHIVE_OK)
		return fail_write(unpack, path, err);
	if (archive_entry_size(entry) > 0 && copy_data(unpack, path, err) < 0)
		return -1;
	if (archive_write_finish_entry(unpack->disk) != ARCHIVE_OK)
		return fail_write(unpack, path, err);
	return hides ? layer_hide_below(path, err) : 0;
}

static int
copy_entry(struct unpack *unpack, struct archive_entry *entry, struct vn_error *err)
{
	const char *path;
	int is_whiteout;

	if (is_cancelled(unpack))
		return vn_fail(err, VN_E_CANCELLED, "unpacking was cancelled");
	if (count_entry(unpack, err) < 0 || unpack_check(entry, err) < 0)
		return -1;
	if (unpack_is_left_out(entry))
		return 0;
	path = archive_entry_pathname(entry);
	is_whiteout = layer_take_whiteout(&unpack->layer, path, err);
	if (is_whiteout)
		return is_whiteout < 0 ? -1 : 0;
	if (layer_make_parents(&unpack->layer, path, err) < 0)
		return -1;
	return write_entry(unpack, entry, path, err);
}

/* Reads to the end of the archive, which must be there: a truncated file could end between entries. */
static int
copy_entries(struct unpack *unpack, struct vn_error *err)
{
	struct archive_entry *entry;
	la_int64_t before = 0;
	int result;

	while ((result = archive_read_next_header(unpack->tar, &entry)) == ARCHIVE_OK) {
		if (copy_entry(unpack, entry, err) < 0)
			return -1;
		if (archive_read_data_skip(unpack->tar) != ARCHIVE_OK)
			return vn_fail_archive(err, unpack->tar, VN_E_INVALID, "read the archive");
		before = archive_filter_bytes(unpack->tar, 0);
	}
	if (result != ARCHIVE_EOF)
		return vn_fail_archive(err, unpack->tar, VN_E_INVALID, "read entry %llu of the archive",
				       (unsigned long long)unpack->result.entries + 1);
	if (archive_filter_bytes(unpack->tar, 0) == before)
		return vn_fail(err, VN_E_INVALID, "the archive is truncated: its end is missing");
	if (unpack->result.entries == 0)
		return vn_fail(err, VN_E_INVALID, "the archive is empty");
	return check_rest(unpack, err);
}

static int
enter_folder(const char *into, struct vn_error *err)
{
	if (chroot(into) < 0)
		return vn_fail_errno(err, errno, "make %s the root of a thread", into);
	if (chdir("/") < 0)
		return vn_fail_errno(err, errno, "enter %s", into);
	return 0;
}

/* On a thread of its own, which ends with its root directory. */
static int
unpack_inside(void *arg, struct vn_error *err)
{
	struct unpack *unpack = arg;
	locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	int result = -1;

	if (locale == (locale_t)0)
		return vn_fail(err, VN_E_UNSUPPORTED, "the C library has no locale C.UTF-8");
	uselocale(locale);
	if (enter_folder(unpack->into, err) == 0
	    && layer_begin(&unpack->layer, err) == 0
	    && plain_open(unpack->fd, unpack->size, unpack->cancelled, unpack->progress_bytes,
			  &unpack->plain, err) == 0
	    && open_tar(unpack, err) == 0)
		result = copy_entries(unpack, err);
	if (unpack->err.code != VN_OK)	/* whatever came of it */
		*err = unpack->err;
	/* Closing sets the times and modes of folders, which had to wait for their contents. */
	if (result == 0 && archive_write_close(unpack->disk) != ARCHIVE_OK)
		result = fail_write(unpack, ".", err);
	if (result == 0)
		result = set_root_time(unpack, err);
	unpack->result.is_opaque = unpack->layer.is_opaque;
	layer_fini(&unpack->layer);
	if (result == 0)
		snprintf(unpack->result.format, sizeof(unpack->result.format), "%s, %s",
			 archive_format_name(unpack->tar), plain_filter(unpack->plain));
	archive_read_free(unpack->tar);
	plain_close(unpack->plain);
	archive_write_free(unpack->disk);
	uselocale(LC_GLOBAL_LOCALE);
	freelocale(locale);
	return result;
}

static int
open_file(const char *path, uint64_t *ret_size, int *ret_fd, struct vn_error *err)
{
	vn_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return vn_fail_errno(err, errno, "open the archive %s", path);
	if (!S_ISREG(st.st_mode))
		return vn_fail(err, VN_E_INVALID, "%s is no file", path);
	if (st.st_size == 0)
		return vn_fail(err, VN_E_INVALID, "the archive is empty");
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = vn_take_fd(&fd);
	return 0;
}

int
unpack_archive(const struct unpack_spec *spec, const struct unpack_limits *limits,
	       const bool *cancelled, uint64_t *progress_bytes, struct unpacked *ret,
	       struct vn_error *err)
{
	struct unpack unpack = {
		.into = spec->into, .limits = limits, .cancelled = cancelled,
		.progress_bytes = progress_bytes, .spec = spec,
		.layer = { .bases = spec->bases, .n_bases = spec->n_bases },
	};
	vn_autoclose int fd = -1, folder = open(spec->into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result;

	if (folder < 0)
		return vn_fail_errno(err, errno, "open the folder %s", spec->into);
	if (open_file(spec->path, &unpack.size, &fd, err) < 0)
		return -1;
	unpack.fd = fd;
	unpack.folder = folder;
	unpack.tar = archive_read_new();
	unpack.disk = archive_write_disk_new();
	if (!unpack.tar || !unpack.disk)
		abort();
	archive_write_disk_set_options(unpack.disk, DISK_FLAGS);
	unpack.flush = flush_open(folder);
	result = apart_run(unpack_inside, &unpack, err);
	flush_close(unpack.flush);
	if (result < 0 && limits->storage_used)
		__atomic_sub_fetch(limits->storage_used, unpack.result.bytes, __ATOMIC_RELAXED);
	if (result < 0)
		return -1;
	*ret = unpack.result;
	return 0;
}
