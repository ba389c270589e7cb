/*
 * Writing goes on in the loop: at most 64 KiB at a time and into the page cache, which takes less time
 * than the loop's other callbacks. Digesting again what an earlier life fetched may take long, so it has
 * a thread of its own, which tells the loop through an eventfd.
 *
 * The surprise is the order in part_file_restart(): the part is emptied before the new origin is
 * written, so that whatever instant we are killed at, bytes never lie under an origin that is not theirs.
 */
#include "backends/disk/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "proto/base/mem.h"

#define READ_SIZE (256u << 10)
#define BOOT_TEXT 40

struct part_file {
	const struct watch_ops *watch;
	char *path, *part_path, *origin_path, *key;
	int fd;
	struct digest *digest;
	uint64_t bytes;
	struct part_origin origin;
	bool has_origin, is_whole, is_spoilt;
	pthread_t reader;		/* the rest is for part_file_prepare() */
	bool has_reader;
	bool stop;			/* atomic: the reader is to end */
	int read_fd;			/* eventfd, readable when the reader is done */
	struct watch *read;
	int read_errno;
	void (*on_done)(void *arg, const struct vn_error *err);
	void *arg;
};

/* ---- the origin ------------------------------------------------------------------------------ */

static void
read_boot_id(char text[static BOOT_TEXT])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	text[0] = '\0';
	if (file && fgets(text, BOOT_TEXT, file))
		text[strcspn(text, "\n")] = '\0';
	if (file)
		fclose(file);
}

static void
copy_text(char *to, size_t size, const char *text)
{
	if (strlen(text) < size)
		strcpy(to, text);
}

/* Whether the note beside the part says that it is one of `key`, and may be trusted. */
static bool
read_origin(struct part_file *file, bool is_checked)
{
	json_t *note = files_read_json(file->origin_path);
	const char *key = "", *etag = "", *modified = "", *boot = "";
	char boot_now[BOOT_TEXT];
	json_int_t total = 0;
	bool is_good;

	read_boot_id(boot_now);
	is_good = note
		  && json_unpack(note, "{s:s, s:s, s:s, s:s, s:I}", "key", &key, "etag", &etag,
				 "modified", &modified, "boot", &boot, "total", &total) == 0
		  && !strcmp(key, file->key) && (etag[0] || modified[0]) && total >= 0
		  && (is_checked || !strcmp(boot, boot_now));
	if (is_good) {
		copy_text(file->origin.etag, sizeof(file->origin.etag), etag);
		copy_text(file->origin.modified, sizeof(file->origin.modified), modified);
		file->origin.total = (uint64_t)total;
	}
	json_decref(note);
	return is_good;
}

static int
write_origin(struct part_file *file, struct vn_error *err)
{
	char boot[BOOT_TEXT];
	json_t *note;
	int result;

	read_boot_id(boot);
	note = json_pack("{s:s, s:s, s:s, s:s, s:I}", "key", file->key, "etag", file->origin.etag,
			 "modified", file->origin.modified, "boot", boot, "total",
			 (json_int_t)file->origin.total);
	if (!note)			/* a header that is no UTF-8 */
		return vn_fail(err, VN_E_BACKEND, "the server's ETag or Last-Modified is no text");
	result = files_write_note(file->origin_path, note, err);
	json_decref(note);
	return result;
}

/* ---- open, free ------------------------------------------------------------------------------ */

/*
 * Finds how much is there to go on with. The last byte of a part that has them all is fetched again: the
 * answer to that tells whether the file is still the same.
 */
static void
look_at_part(struct part_file *file, bool is_checked)
{
	struct stat st;

	if (!read_origin(file, is_checked) || fstat(file->fd, &st) < 0 || st.st_size == 0)
		return;
	file->bytes = (uint64_t)st.st_size;
	if (file->origin.total && file->bytes >= file->origin.total)
		file->bytes = file->origin.total - 1;
	file->has_origin = file->bytes > 0 && ftruncate(file->fd, (off_t)file->bytes) == 0;
	if (!file->has_origin)
		file->bytes = 0;
}

static int
open_part(struct part_file *file, struct vn_error *err)
{
	struct stat st;

	/* Whole already, by a life that ended before anyone could use it. */
	if (lstat(file->path, &st) == 0 && S_ISREG(st.st_mode)
	    && rename(file->path, file->part_path) < 0)
		return vn_fail_errno(err, errno, "rename the file %s", file->path);
	if (lstat(file->part_path, &st) == 0 && !S_ISREG(st.st_mode))
		unlink(file->part_path);
	unlink(file->path);
	file->fd = open(file->part_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return vn_fail_errno(err, errno, "make the file %s", file->part_path);
	return 0;
}

int
part_file_open(const struct watch_ops *watch, const char *path, const char *key, bool is_checked,
	       struct part_file **ret, struct vn_error *err)
{
	struct part_file *file = vn_alloc(sizeof(*file));

	file->watch = watch;
	file->path = vn_strdup(path);
	file->part_path = vn_format("%s.part", path);
	file->origin_path = vn_format("%s.origin", path);
	file->key = vn_strdup(key);
	file->fd = file->read_fd = -1;
	file->digest = digest_new();
	if (open_part(file, err) < 0) {
		part_file_free(file);
		return -1;
	}
	look_at_part(file, is_checked);
	if (!file->has_origin && ftruncate(file->fd, 0) < 0) {
		vn_fail_errno(err, errno, "empty the file %s", file->part_path);
		part_file_free(file);
		return -1;
	}
	*ret = file;
	return 0;
}

static void
join_reader(struct part_file *file)
{
	if (file->has_reader)
		pthread_join(file->reader, NULL);
	file->has_reader = false;
}

static void
remove_rest(struct part_file *file)
{
	bool is_useful = (file->is_whole || (file->has_origin && file->bytes)) && !file->is_spoilt;

	if (is_useful)
		return;
	unlink(file->part_path);
	unlink(file->path);
	unlink(file->origin_path);
}

void
part_file_free(struct part_file *file)
{
	if (!file)
		return;
	part_file_hurry(file);
	join_reader(file);
	if (file->fd >= 0)
		remove_rest(file);
	file->watch->remove(file->watch->loop, file->read);
	vn_close_at(&file->read_fd);
	vn_close_at(&file->fd);
	digest_free(file->digest);
	free(file->path);
	free(file->part_path);
	free(file->origin_path);
	free(file->key);
	free(file);
}

void
part_file_spoil(struct part_file *file)
{
	file->is_spoilt = true;
}

uint64_t
part_file_bytes(const struct part_file *file)
{
	return file->bytes;
}

const struct part_origin *
part_file_origin(const struct part_file *file)
{
	return file->has_origin ? &file->origin : NULL;
}

/* ---- digesting what is there ----------------------------------------------------------------- */

static int
read_all(struct part_file *file, char *buffer)
{
	uint64_t at = 0;

	while (at < file->bytes && !__atomic_load_n(&file->stop, __ATOMIC_RELAXED)) {
		uint64_t left = file->bytes - at;
		ssize_t got = pread(file->fd, buffer, left < READ_SIZE ? (size_t)left : READ_SIZE,
				    (off_t)at);

		if (got <= 0)
			return got < 0 ? errno : EIO;
		digest_update(file->digest, buffer, (size_t)got);
		at += (uint64_t)got;
	}
	return 0;
}

static void *
run_reader(void *arg)
{
	struct part_file *file = arg;
	vn_autofree char *buffer = vn_alloc(READ_SIZE);

	file->read_errno = read_all(file, buffer);
	eventfd_write(file->read_fd, 1);
	return NULL;
}

static void
on_read(int fd, unsigned what, void *arg)
{
	struct part_file *file = arg;
	struct vn_error err;

	(void)fd;
	(void)what;
	join_reader(file);
	file->watch->remove(file->watch->loop, file->read);
	file->read = NULL;
	if (file->read_errno)
		vn_fail_errno(&err, file->read_errno, "read the file %s", file->part_path);
	file->on_done(file->arg, file->read_errno ? &err : NULL);
}

int
part_file_prepare(struct part_file *file, void (*on_done)(void *arg, const struct vn_error *err),
		  void *arg, struct vn_error *err)
{
	sigset_t all, before;

	file->on_done = on_done;
	file->arg = arg;
	file->read_fd = eventfd(0, EFD_CLOEXEC);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	file->has_reader = file->read_fd >= 0
			   && pthread_create(&file->reader, NULL, run_reader, file) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!file->has_reader)
		return vn_fail(err, VN_E_LIMIT, "no descriptor or thread to read %s",
			       file->part_path);
	file->read = file->watch->add_fd(file->watch->loop, file->read_fd, WATCH_READ, on_read, file);
	return 0;
}

void
part_file_hurry(struct part_file *file)
{
	__atomic_store_n(&file->stop, true, __ATOMIC_RELAXED);
}

/* ---- writing --------------------------------------------------------------------------------- */

int
part_file_restart(struct part_file *file, const struct part_origin *origin, struct vn_error *err)
{
	if (ftruncate(file->fd, 0) < 0)
		return vn_fail_errno(err, errno, "empty the file %s", file->part_path);
	unlink(file->origin_path);
	digest_free(file->digest);
	file->digest = digest_new();
	file->bytes = 0;
	file->origin = *origin;
	file->has_origin = origin->etag[0] || origin->modified[0];
	return file->has_origin ? write_origin(file, err) : 0;
}

int
part_file_write(struct part_file *file, const void *data, size_t size, struct vn_error *err)
{
	const char *at = data;

	if (files_check_room(file->fd, err) < 0)
		return -1;
	while (size > 0) {
		ssize_t written = pwrite(file->fd, at, size, (off_t)file->bytes);

		if (written < 0)
			return vn_fail_errno(err, errno, "write %s", file->part_path);
		digest_update(file->digest, at, (size_t)written);
		file->bytes += (uint64_t)written;
		at += written;
		size -= (size_t)written;
	}
	return 0;
}

int
part_file_finish(struct part_file *file, char sha256[static DIGEST_TEXT], struct vn_error *err)
{
	if (rename(file->part_path, file->path) < 0)
		return vn_fail_errno(err, errno, "put the file %s in place", file->path);
	digest_print(file->digest, sha256);
	file->is_whole = true;
	return 0;
}
