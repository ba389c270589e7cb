/*
 * Writing goes on in the loop: at most 64 KiB at a time and into the page cache, which takes less time
 * than the loop's other callbacks. The sync at the end may take seconds, so it has a thread of its
 * own, which tells the loop through an eventfd.
 */
#include "backends/disk/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backends/disk/files.h"
#include "proto/base/mem.h"

struct part_file {
	const struct watch_ops *watch;
	char *path, *part_path;
	int fd;
	struct digest *digest;
	uint64_t bytes;
	bool is_kept;
	pthread_t syncer;		/* the rest is for part_file_finish() */
	bool has_syncer;
	int synced_fd;			/* eventfd, readable when the syncer is done */
	struct watch *synced;
	int sync_errno;
	void (*on_done)(void *arg, const struct vn_error *err);
	void *arg;
};

int
part_file_open(const struct watch_ops *watch, const char *path, struct part_file **ret,
	       struct vn_error *err)
{
	vn_autofree char *part_path = vn_format("%s.part", path);
	struct part_file *file;
	int fd;

	unlink(part_path);
	unlink(path);
	fd = open(part_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return vn_fail_errno(err, errno, "make the file %s", part_path);
	file = vn_alloc(sizeof(*file));
	file->watch = watch;
	file->path = vn_strdup(path);
	file->part_path = vn_take_ptr(&part_path);
	file->fd = fd;
	file->synced_fd = -1;
	file->digest = digest_new();
	*ret = file;
	return 0;
}

static void
join_syncer(struct part_file *file)
{
	if (file->has_syncer)
		pthread_join(file->syncer, NULL);
	file->has_syncer = false;
}

void
part_file_free(struct part_file *file)
{
	if (!file)
		return;
	join_syncer(file);		/* it may be about to rename */
	if (!file->is_kept) {
		unlink(file->part_path);
		unlink(file->path);
	}
	file->watch->remove(file->watch->loop, file->synced);
	vn_close_at(&file->synced_fd);
	vn_close_at(&file->fd);
	digest_free(file->digest);
	free(file->path);
	free(file->part_path);
	free(file);
}

int
part_file_write(struct part_file *file, const void *data, size_t size, struct vn_error *err)
{
	const char *at = data;

	if (files_check_room(file->fd, err) < 0)
		return -1;
	digest_update(file->digest, data, size);
	file->bytes += size;
	while (size > 0) {
		ssize_t written = write(file->fd, at, size);

		if (written < 0)
			return vn_fail_errno(err, errno, "write %s", file->part_path);
		at += written;
		size -= (size_t)written;
	}
	return 0;
}

uint64_t
part_file_bytes(const struct part_file *file)
{
	return file->bytes;
}

static void *
sync_file(void *arg)
{
	struct part_file *file = arg;

	if (fsync(file->fd) < 0 || rename(file->part_path, file->path) < 0)
		file->sync_errno = errno;
	eventfd_write(file->synced_fd, 1);
	return NULL;
}

static void
on_synced(int fd, unsigned what, void *arg)
{
	struct part_file *file = arg;
	struct vn_error err;

	(void)fd;
	(void)what;
	join_syncer(file);
	file->watch->remove(file->watch->loop, file->synced);
	file->synced = NULL;
	if (file->sync_errno)
		vn_fail_errno(&err, file->sync_errno, "put the file %s in place", file->path);
	file->on_done(file->arg, file->sync_errno ? &err : NULL);
}

int
part_file_finish(struct part_file *file, void (*on_done)(void *arg, const struct vn_error *err),
		 void *arg, struct vn_error *err)
{
	sigset_t all, before;

	file->on_done = on_done;
	file->arg = arg;
	file->synced_fd = eventfd(0, EFD_CLOEXEC);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	file->has_syncer = file->synced_fd >= 0
			   && pthread_create(&file->syncer, NULL, sync_file, file) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!file->has_syncer)
		return vn_fail(err, VN_E_LIMIT, "no descriptor or thread to sync %s", file->path);
	file->synced = file->watch->add_fd(file->watch->loop, file->synced_fd, WATCH_READ, on_synced,
					   file);
	return 0;
}

void
part_file_keep(struct part_file *file, char sha256[static DIGEST_TEXT])
{
	digest_print(file->digest, sha256);
	file->is_kept = true;
}
