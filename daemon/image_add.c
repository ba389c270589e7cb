/*
 * An image comes from the network or from a passed descriptor into <state_dir>/incoming, its digest is
 * compared, it is unpacked under its digest, and only then its name is ready. An image that fails
 * leaves no row: the job says why.
 *
 * After a restart the job begins at its first step. That costs little: a download goes on where it was,
 * and what is unpacked already is found by its digest.
 */
#include "daemon/image_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/digest.h"
#include "daemon/download.h"
#include "daemon/incoming.h"
#include "daemon/log.h"
#include "proto/params.h"

#define COPY_BYTES (256u << 10)

struct image_task {
	struct disk *disk;
	struct unpack_limits limits;
	uint64_t limit_bytes;		/* of the archive */
	const char *limit_name;		/* where that comes from; NULL: image_limit */
	struct incoming incoming;
	char *path;			/* of a passed file's copy */
	const char *archive;		/* path or the download's */
	char *url;			/* NULL: from fd */
	int fd;
	int format;
	char wanted[DIGEST_TEXT];	/* "" : any */
	char sha256[DIGEST_TEXT];	/* found */
	char base[DIGEST_TEXT];		/* "" : none */
	uint64_t progress, archive_bytes;
	struct image_facts facts;
	bool shared;			/* others have or are about to have this digest */
	bool cancelled;
	struct download_wait wait;
};

static struct image *
job_image(const struct job *job)
{
	return image_find(job->daemon, json_string_value(json_object_get(job->params, "image")));
}

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

static void
free_task(void *ctx)
{
	struct image_task *task = ctx;

	download_forget(&task->wait);
	if (task->fd >= 0)
		close(task->fd);
	unlink(task->path);
	free(task->path);
	free(task->url);
	incoming_fini(&task->incoming);
	free(task);
}

/* The smaller of what one archive may have and what all images may still take. */
static void
set_limits(struct image_task *task, struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	uint64_t left = image_storage_left(daemon);

	task->limits = (struct unpack_limits){ .bytes = config->image_unpacked_bytes,
					       .entries = (uint64_t)config->image_entries };
	task->limit_bytes = config->image_limit_bytes;
	if (left < task->limit_bytes) {
		task->limit_bytes = left ? left : 1;
		task->limit_name = "image_storage";
	}
	if (config->image_storage_bytes) {
		task->limits.storage_bytes = config->image_storage_bytes;
		task->limits.storage_used = &daemon->model->images_used;
	}
}

static void *
load(struct job *job, struct vn_error *err)
{
	const char *name = json_string_value(json_object_get(job->params, "image"));
	const char *sha256 = json_string_value(json_object_get(job->params, "sha256"));
	struct image *image = image_find(job->daemon, name);
	vn_autofree char *what = vn_format("image '%s'", name);
	struct image_task *task;

	if (!image) {
		vn_fail(err, VN_E_NOT_FOUND, "no %s", what);
		return NULL;
	}
	if (job_lock(job, &image->lock, what, err) < 0)
		return NULL;
	task = vn_alloc(sizeof(*task));
	task->disk = job->daemon->disk;
	set_limits(task, job->daemon);
	incoming_init(&task->incoming, job->daemon);
	task->path = vn_format("%s/incoming/job-%" PRId64, job->daemon->config.state_dir, job->id);
	task->url = vn_strdup(json_string_value(json_object_get(job->params, "url")));
	task->format = (int)json_integer_value(json_object_get(job->params, "format"));
	task->fd = -1;
	snprintf(task->wanted, sizeof(task->wanted), "%s", sha256 ? sha256 : "");
	if (given.image && strcmp(given.image, name) == 0)
		task->fd = vn_take_fd(&given.fd);
	job->abort_flag = &task->cancelled;
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
	do
		size = copy_piece(task, out, buffer, digest, err);
	while (size > 0);
	digest_print(digest, task->sha256);
	digest_free(digest);
	return size < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- verify ---------------------------------------------------------------------------------- */

/* Whether the digest is not this image's alone. Of a download nobody knows yet what it brings. */
static bool
is_shared(const struct image *image, const char *sha256)
{
	vn_list_each(struct image, other, &image->daemon->model->images, link)
		if (other != image && (other->state == IMAGE_FETCHING ||
				       strcmp(other->sha256, sha256) == 0))
			return true;
	vn_list_each(struct vnode, vnode, &image->daemon->model->vnodes, link)
		if (strcmp(vnode->image_sha256, sha256) == 0)
			return true;
	return false;
}

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

/* ---- turn ------------------------------------------------------------------------------------ */

static void
on_other_end(void *arg, struct job *job)
{
	uint64_t *ticket = arg;

	if (job)
		job_resume(job->daemon, *ticket, NULL);
	free(ticket);
}

static enum verdict
wait_for(struct job *job, struct job *other)
{
	uint64_t *ticket = vn_alloc(sizeof(*ticket));

	*ticket = job_ticket(job);
	job_watch(other, on_other_end, ticket);
	return STEP_WAIT;
}

/* Waits for a base that is on its way. */
static enum verdict
step_base(struct job *job, void *ctx, struct vn_error *err)
{
	struct image *image = job_image(job);
	struct image *base = image->base ? image_find(job->daemon, image->base) : NULL;
	struct job *other = base ? job_find(job->daemon, base->lock.holder) : NULL;

	(void)ctx;
	(void)err;
	return base && base->state == IMAGE_FETCHING && other && other != job ? wait_for(job, other)
									       : STEP_DONE;
}

static int
resolve_base(struct image_task *task, const struct image *image, struct vn_error *err)
{
	const struct image *base = image->base ? image_find(image->daemon, image->base) : NULL;

	if (!image->base)
		return 0;
	if (!base || base->state != IMAGE_READY)
		return vn_fail_at(err, "/base", VN_E_NOT_FOUND, "the base '%s' is %s%s%s", image->base,
				  base ? image_state_words[base->state] : "not there",
				  base && base->error ? ": " : "",
				  base && base->error ? base->error : "");
	snprintf(task->base, sizeof(task->base), "%s", base->sha256);
	return 0;
}

/* Waits for another job that unpacks the same archive: it is unpacked once. */
static enum verdict
step_turn(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct image *image = job_image(job);

	if (resolve_base(task, image, err) < 0)
		return STEP_FAILED;
	task->shared = is_shared(image, task->sha256);
	vn_list_each(struct image, other, &job->daemon->model->images, link) {
		struct job *holder = job_find(job->daemon, other->lock.holder);

		if (other != image && holder && strcmp(other->coming, task->sha256) == 0)
			return wait_for(job, holder);
	}
	snprintf(image->coming, sizeof(image->coming), "%s", task->sha256);
	return STEP_DONE;
}

/* ---- unpack ---------------------------------------------------------------------------------- */

static enum verdict
step_unpack(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	const struct image_spec spec = { .path = task->archive, .sha256 = task->sha256,
		.format = task->format, .base = task->base[0] ? task->base : NULL };

	(void)job;
	if (task->disk->ops->image_unpack(task->disk, &spec, &task->limits, &task->cancelled,
					  &task->progress, &task->facts, err) == 0)
		return STEP_DONE;
	if (task->base[0] && !err->path[0] && err->code == VN_E_STATE)
		strcpy(err->path, "/base");
	return STEP_FAILED;
}

static enum verdict
undo_unpack(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;

	(void)job;
	if (task->shared || !task->sha256[0])
		return STEP_DONE;
	return task->disk->ops->image_remove(task->disk, task->sha256, err) < 0 ? STEP_FAILED
										: STEP_DONE;
}

static enum verdict
step_adopt(struct job *job, void *ctx, struct vn_error *err)
{
	struct image_task *task = ctx;
	struct image *image = job_image(job);

	(void)err;
	snprintf(image->sha256, sizeof(image->sha256), "%s", task->sha256);
	image->bytes = task->facts.bytes;
	image->virtual_bytes = task->facts.virtual_bytes;
	image->archive_bytes = task->archive_bytes;
	image->format = task->facts.format;
	image_set_state(image, IMAGE_READY, NULL);
	return STEP_DONE;
}

static const struct step add_steps[] = {
	{ "fetch",  ON_LOOP,   0,         step_fetch,  NULL },
	{ "import", ON_WORKER, LANE_BULK, step_import, NULL, STEP_LONG },
	{ "verify", ON_LOOP,   0,         step_verify, NULL },
	{ "base",   ON_LOOP,   0,         step_base,   NULL },
	{ "turn",   ON_LOOP,   0,         step_turn,   NULL },
	{ "unpack", ON_WORKER, LANE_BULK, step_unpack, undo_unpack, STEP_LONG },
	{ "adopt",  ON_LOOP,   0,         step_adopt,  NULL },
	{ 0 }
};

static void
ended_add(struct job *job, void *ctx)
{
	struct image *image = job_image(job);
	struct image_task *task = ctx;

	job->abort_flag = NULL;
	if (task)
		download_leave(&task->wait);
	if (!image)
		return;
	image->coming[0] = '\0';
	if (job->err.code == VN_OK) {
		job->result = image_object(image, true);
		image_recount(job->daemon);
		return;
	}
	image_set_state(image, IMAGE_FAILED, job->err.text);
	job_unlock(job, &image->lock);
	image_remove_object(image);
}

const struct verb verb_image_add = { "image.add", 2, add_steps, load, free_task, ended_add,
				     .anew = true };
