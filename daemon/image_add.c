/*
 * An image comes from the network or from a passed descriptor into <state_dir>/incoming, its digest is
 * compared, it is unpacked under its digest, and only then its name is ready. An image that fails
 * leaves no row: the job says why.
 *
 * After a restart the job begins at its first step. That costs little: a download goes on where it was,
 * and what is unpacked already is found by its digest.
 */
#include "daemon/image_task.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define COPY_BYTES (256u << 10)

struct given_fd {
	char *image;
	int fd;
};

/* One slot: the handler gives the descriptor and begins the job in one go. */
static struct given_fd given = { NULL, -1 };

void
image_give_fd(struct daemon *daemon, const char *image, VN_TAKES int fd)
{
	(void)daemon;
	if (given.fd >= 0)
		close(given.fd);
	free(given.image);
	given = (struct given_fd){ vn_strdup(image), fd };
}

/* ---- the task -------------------------------------------------------------------------------- */

static void *
load(struct job *job, struct vn_error *err)
{
	const char *sha256 = json_string_value(json_object_get(job->params, "sha256"));
	struct image *image = image_task_lock(job, err);
	struct image_task *task;

	if (!image)
		return NULL;
	task = vn_alloc(sizeof(*task));
	image_task_init(task, job);
	task->url = vn_strdup(json_string_value(json_object_get(job->params, "url")));
	task->format = (int)json_integer_value(json_object_get(job->params, "format"));
	snprintf(task->wanted, sizeof(task->wanted), "%s", sha256 ? sha256 : "");
	if (given.image && strcmp(given.image, image->name) == 0)
		task->fd = vn_take_fd(&given.fd);
	return task;
}

/* ---- fetch, import --------------------------------------------------------------------------- */

static enum verdict
step_fetch(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	if (!task->url)
		return STEP_DONE;
	task->wait.sha256 = task->wanted;
	task->wait.job = job->id;
	task->wait.ticket = job_ticket(job);
	return download_join(job->daemon, &task->wait, task->url, task->limit_bytes, task->limit_name,
			     err) < 0 ? STEP_FAILED : STEP_WAIT;
}

static int
check_room(struct image_task *task, struct vn_error *err)
{
	uint64_t bytes;

	if (task->disk->ops->free_bytes(task->disk, &bytes, err) < 0)
		return -1;
	return bytes >= DISK_KEEP_BYTES ? 0
	       : vn_fail(err, VN_E_LIMIT, "the disk of state_dir is full: %u MiB must stay free; make "
			 "room and try again", DISK_KEEP_BYTES >> 20);
}

/* Copies one piece of the passed file. Returns its size, 0 at the end, -1 with err. */
static ssize_t
copy_piece(struct image_task *task, int out, char *buffer, struct digest *digest,
	   struct vn_error *err)
{
	ssize_t size = pread(task->fd, buffer, COPY_BYTES, (off_t)task->archive_bytes);

	if (size < 0)
		return vn_fail_errno(err, errno, "read the passed file");
	task->archive_bytes += (uint64_t)size;
	if (task->archive_bytes > task->limit_bytes)
		return vn_fail(err, VN_E_LIMIT, "the file is larger than %" PRIu64 " bytes, which is all "
			       "that %s allows", task->limit_bytes,
			       task->limit_name ? task->limit_name : "image_limit");
	if (__atomic_load_n(&task->cancelled, __ATOMIC_RELAXED))
		return vn_fail(err, VN_E_CANCELLED, "cancelled");
	if (check_room(task, err) < 0)
		return -1;
	if (write(out, buffer, (size_t)size) != size)
		return vn_fail_errno(err, errno ? errno : EIO, "copy the file to '%s'", task->path);
	digest_update(digest, buffer, (size_t)size);
	return size;
}

/* Copies the passed file: what is checked must be what is unpacked, whatever its owner does to it. */
static enum verdict
step_import(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	vn_autofree char *buffer = NULL;
	vn_autoclose int out = -1;
	struct digest *digest;
	struct stat st = { 0 };
	ssize_t size;

	(void)job;
	incoming_sweep(&task->incoming);
	if (task->url)
		return STEP_DONE;
	if (task->fd < 0) {
		vn_fail(err, VN_E_CANCELLED, "the file was passed to a vnoded that has ended since; "
			"add the image again");
		return STEP_FAILED;
	}
	out = open(task->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0) {
		vn_fail_errno(err, errno, "make '%s'", task->path);
		return STEP_FAILED;
	}
	buffer = vn_alloc(COPY_BYTES);
	digest = digest_new();
	fstat(task->fd, &st);
	do {
		size = copy_piece(task, out, buffer, digest, err);
		image_task_progress(task, task->archive_bytes, (uint64_t)st.st_size);
	} while (size > 0);
	digest_print(digest, task->sha256);
	digest_free(digest);
	return size < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- verify ---------------------------------------------------------------------------------- */

static enum verdict
step_verify(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	if (task->url) {
		snprintf(task->sha256, sizeof(task->sha256), "%s", task->wait.result.sha256);
		task->archive_bytes = task->wait.result.bytes;
	}
	task->archive = task->url ? download_path(&task->wait) : task->path;
	job->bytes_done = job->bytes_total = 0;
	if (!task->wanted[0] || strcmp(task->wanted, task->sha256) == 0)
		return STEP_DONE;
	vn_fail_at(err, "/sha256", VN_E_INVALID, "the digest differs: expected %s, got %s",
		   task->wanted, task->sha256);
	return STEP_FAILED;
}

/* Waits for a base that is on its way. */
static enum verdict
step_base(struct job *job, void *ctx, struct vn_error *err)
{
	struct image *image = image_task_image(job);
	struct image *base = image->base ? image_find(job->daemon, image->base) : NULL;
	struct job *other = base ? job_find(job->daemon, base->lock.holder) : NULL;

	(void)ctx;
	(void)err;
	return base && base->state == IMAGE_FETCHING && other && other != job ? image_task_wait(job, other)
									       : STEP_DONE;
}

static const struct step add_steps[] = {
	{ "fetch",  ON_LOOP,   0,         step_fetch,  NULL },
	{ "import", ON_WORKER, LANE_BULK, step_import, NULL, STEP_LONG },
	{ "verify", ON_LOOP,   0,         step_verify, NULL },
	{ "base",   ON_LOOP,   0,         step_base,   NULL },
	{ "turn",   ON_LOOP,   0,         image_step_turn,   NULL },
	{ "unpack", ON_WORKER, LANE_BULK, image_step_unpack, image_undo_unpack, STEP_LONG },
	{ "adopt",  ON_LOOP,   0,         image_step_adopt,  NULL },
	{ 0 }
};

const struct verb verb_image_add = { "image.add", 2, add_steps, load, image_task_free, image_ended_add,
				     .anew = true };
