#pragma once
/*
 * What the jobs that bring an image share: an archive, however it came to be in <state_dir>/incoming, is
 * unpacked once under its digest, and only then its name is ready. An image that fails leaves no row: the
 * job says why. Params of each: {"image": its name, …}.
 */

#include "backends/digest.h"
#include "daemon/download.h"
#include "daemon/image_verbs.h"
#include "daemon/incoming.h"

struct image_task {
	struct disk *disk;
	struct daemon *daemon;		/* loop only */
	struct loop *loop;
	int64_t job;
	/* progress, on its way from the worker to the loop; one at a time */
	bool is_told;			/* atomic */
	uint64_t done, total;

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

/* The image of a job; NULL when it is gone. */
struct image *image_task_image(const struct job *job);
/* The same, with its lock. */
struct image *image_task_lock(struct job *job, struct vn_error *err);
/* Fills a zeroed task but for where the archive comes from. */
void image_task_init(struct image_task *task, struct job *job);
/* What a context that begins with a struct image_task owns, and the context. */
void image_task_free(void *ctx);

/* From a worker's step: the job shows it soon. arg: the task. */
void image_task_progress(void *arg, uint64_t done, uint64_t total);

/* From inside a loop step: it waits until the other job has ended. */
enum verdict image_task_wait(struct job *job, struct job *other);

/*
 * The steps from the archive (task->archive, ->sha256) to the image, and the end: each in the tables of
 * its verbs under the name behind `step`.
 */
step_fn image_step_turn, image_step_unpack, image_undo_unpack, image_step_adopt;
void image_ended_add(struct job *job, void *ctx);
