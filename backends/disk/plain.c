/*
 * A ring of pieces between two threads: this one reads the file and undoes its compression by one of
 * libarchive's readers, the caller's thread takes the pieces. The ring bounds what is in memory, however
 * fast the one and however slow the other.
 *
 * Also here: that the file ends where the compressed data end, and gzip's check sum, which libarchive
 * leaves alone.
 */
#include "backends/disk/plain.h"

#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "proto/base/mem.h"

#define PIECES     4u
#define PIECE_SIZE (256u << 10)

struct plain {
	/* set at birth */
	int fd;
	uint64_t size;
	const bool *cancelled;
	uint64_t *progress_bytes;
	pthread_t thread;

	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t filled, taken;
	size_t n_filled, n_taken;	/* pieces so far; between them lie those that wait */
	bool has_ended, is_closed;
	struct vn_error err;		/* code VN_OK: it ended well */

	/* the thread's */
	struct archive *raw;
	char *buffer;			/* of the file */
	uint64_t given;
	unsigned long crc;

	char *pieces[PIECES];		/* a piece is the thread's until it is filled, then the caller's */
	size_t sizes[PIECES];
};

/* ---- the thread ------------------------------------------------------------------------------ */

static la_ssize_t
read_file(struct archive *archive, void *arg, const void **ret)
{
	struct plain *plain = arg;
	ssize_t size;

	if (__atomic_load_n(plain->cancelled, __ATOMIC_RELAXED)) {
		archive_set_error(archive, ECANCELED, "cancelled");
		return -1;
	}
	size = read(plain->fd, plain->buffer, PIECE_SIZE);
	if (size < 0) {
		archive_set_error(archive, errno, "%s", strerror(errno));
		return -1;
	}
	__atomic_fetch_add(plain->progress_bytes, (uint64_t)size, __ATOMIC_RELAXED);
	*ret = plain->buffer;
	return size;
}

static int
fail_raw(struct plain *plain, struct vn_error *err)
{
	const char *reason = archive_error_string(plain->raw);

	if (archive_errno(plain->raw) == ENOMEM)
		abort();
	if (archive_errno(plain->raw) == ECANCELED)
		return vn_fail(err, VN_E_CANCELLED, "unpacking was cancelled");
	return vn_fail(err, VN_E_INVALID, "read the archive: %s", reason ? reason : "damaged");
}

/* A filter that libarchive could only run as a program counts as missing: we start none. */
static int
open_raw(struct plain *plain, struct vn_error *err)
{
	struct archive_entry *entry;
	int result;

	if (archive_read_support_filter_gzip(plain->raw) != ARCHIVE_OK
	    || archive_read_support_filter_xz(plain->raw) != ARCHIVE_OK
	    || archive_read_support_filter_zstd(plain->raw) != ARCHIVE_OK
	    || archive_read_support_filter_bzip2(plain->raw) != ARCHIVE_OK
	    || archive_read_support_format_raw(plain->raw) != ARCHIVE_OK)
		return vn_fail(err, VN_E_UNSUPPORTED, "this libarchive lacks gzip, xz, zstd or bzip2");
	if (archive_read_open(plain->raw, plain, NULL, read_file, NULL) != ARCHIVE_OK)
		return fail_raw(plain, err);
	result = archive_read_next_header(plain->raw, &entry);
	if (result == ARCHIVE_EOF)
		return vn_fail(err, VN_E_INVALID, "the archive is empty");
	return result == ARCHIVE_OK ? 0 : fail_raw(plain, err);
}

/* Waits for a piece to fill; NULL: nobody wants any more. */
static char *
next_free(struct plain *plain)
{
	char *piece = NULL;

	pthread_mutex_lock(&plain->lock);
	while (!plain->is_closed && plain->n_filled - plain->n_taken == PIECES)
		pthread_cond_wait(&plain->taken, &plain->lock);
	if (!plain->is_closed)
		piece = plain->pieces[plain->n_filled % PIECES];
	pthread_mutex_unlock(&plain->lock);
	return piece;
}

static void
hand_over(struct plain *plain, size_t size)
{
	pthread_mutex_lock(&plain->lock);
	plain->sizes[plain->n_filled++ % PIECES] = size;
	pthread_cond_signal(&plain->filled);
	pthread_mutex_unlock(&plain->lock);
}

static bool
is_gzip(const struct plain *plain)
{
	return archive_filter_code(plain->raw, 0) == ARCHIVE_FILTER_GZIP;
}

/*
 * The sum is compared where the file is one gzip stream, which its length tells; of several in a row only
 * the image's digest is proof.
 */
static int
check_end(struct plain *plain, struct vn_error *err)
{
	uint32_t trailer[2];		/* CRC, length modulo 2^32; little-endian */

	if ((uint64_t)archive_filter_bytes(plain->raw, -1) != plain->size)
		return vn_fail(err, VN_E_INVALID, "something follows the compressed data");
	if (!is_gzip(plain) || pread(plain->fd, trailer, sizeof(trailer), (off_t)plain->size - 8) != 8
	    || le32toh(trailer[1]) != (uint32_t)plain->given
	    || le32toh(trailer[0]) == (uint32_t)plain->crc)
		return 0;
	return vn_fail(err, VN_E_INVALID, "the archive is damaged: gzip's check sum differs");
}

/* Moves one block of libarchive's into pieces. Returns false when nobody wants any more. */
static bool
pass_on(struct plain *plain, char **piece, size_t *used, const char *data, size_t size)
{
	while (size > 0) {
		size_t part = size < PIECE_SIZE - *used ? size : PIECE_SIZE - *used;

		memcpy(*piece + *used, data, part);
		*used += part;
		data += part;
		size -= part;
		if (*used < PIECE_SIZE)
			continue;
		hand_over(plain, *used);
		*used = 0;
		*piece = next_free(plain);
		if (!*piece)
			return false;
	}
	return true;
}

static int
fill_pieces(struct plain *plain, struct vn_error *err)
{
	char *piece = next_free(plain);
	size_t used = 0, size;
	const void *data;
	la_int64_t offset;
	int result;

	if (!piece)
		return 0;
	while ((result = archive_read_data_block(plain->raw, &data, &size, &offset)) == ARCHIVE_OK) {
		plain->given += size;
		if (is_gzip(plain))
			plain->crc = crc32_z(plain->crc, data, size);
		if (!pass_on(plain, &piece, &used, data, size))
			return 0;
	}
	if (used > 0)
		hand_over(plain, used);
	return result == ARCHIVE_EOF ? check_end(plain, err) : fail_raw(plain, err);
}

static void *
run(void *arg)
{
	struct plain *plain = arg;
	struct vn_error err = { 0 };

	plain->crc = crc32_z(0, NULL, 0);
	if (open_raw(plain, &err) == 0)
		fill_pieces(plain, &err);
	pthread_mutex_lock(&plain->lock);
	plain->err = err;
	plain->has_ended = true;
	pthread_cond_signal(&plain->filled);
	pthread_mutex_unlock(&plain->lock);
	return NULL;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static int
start(struct plain *plain, struct vn_error *err)
{
	sigset_t all, before;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&plain->thread, NULL, run, plain);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed ? vn_fail(err, VN_E_LIMIT, "no thread to read an archive (error %d): raise the limit "
				"of tasks", failed) : 0;
}

static void
plain_free(struct plain *plain)
{
	archive_read_free(plain->raw);
	pthread_cond_destroy(&plain->filled);
	pthread_cond_destroy(&plain->taken);
	pthread_mutex_destroy(&plain->lock);
	for (size_t i = 0; i < PIECES; i++)
		free(plain->pieces[i]);
	free(plain->buffer);
	free(plain);
}

int
plain_open(int fd, uint64_t size, const bool *cancelled, uint64_t *progress_bytes,
	   struct plain **ret, struct vn_error *err)
{
	struct plain *plain = vn_alloc(sizeof(*plain));

	plain->fd = fd;
	plain->size = size;
	plain->cancelled = cancelled;
	plain->progress_bytes = progress_bytes;
	plain->buffer = vn_alloc(PIECE_SIZE);
	for (size_t i = 0; i < PIECES; i++)
		plain->pieces[i] = vn_alloc(PIECE_SIZE);
	pthread_mutex_init(&plain->lock, NULL);
	pthread_cond_init(&plain->filled, NULL);
	pthread_cond_init(&plain->taken, NULL);
	plain->raw = archive_read_new();
	if (!plain->raw)
		abort();
	if (start(plain, err) < 0) {
		plain_free(plain);
		return -1;
	}
	*ret = plain;
	return 0;
}

void
plain_close(struct plain *plain)
{
	if (!plain)
		return;
	pthread_mutex_lock(&plain->lock);
	plain->is_closed = true;
	pthread_cond_signal(&plain->taken);
	pthread_mutex_unlock(&plain->lock);
	pthread_join(plain->thread, NULL);
	plain_free(plain);
}

/* The piece that was handed out last is the thread's again. */
static void
give_back(struct plain *plain)
{
	if (plain->sizes[plain->n_taken % PIECES] != 0 || plain->n_taken == plain->n_filled)
		return;
	plain->n_taken++;
	pthread_cond_signal(&plain->taken);
}

int
plain_next(struct plain *plain, const char **ret, size_t *ret_size, struct vn_error *err)
{
	size_t at;
	int result;

	pthread_mutex_lock(&plain->lock);
	give_back(plain);
	while (plain->n_taken == plain->n_filled && !plain->has_ended)
		pthread_cond_wait(&plain->filled, &plain->lock);
	at = plain->n_taken % PIECES;
	result = plain->n_taken < plain->n_filled ? 1 : plain->err.code == VN_OK ? 0 : -1;
	if (result > 0) {
		*ret = plain->pieces[at];
		*ret_size = plain->sizes[at];
		plain->sizes[at] = 0;	/* handed out */
	} else if (result < 0) {
		*err = plain->err;
	}
	pthread_mutex_unlock(&plain->lock);
	return result;
}

/* Once the first piece is there, or the end. */
const char *
plain_filter(const struct plain *plain)
{
	return archive_filter_name(plain->raw, 0);
}
