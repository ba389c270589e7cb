#pragma once
/*
 * A file that appears under its name only when it is whole: written as <path>.part and digested on the
 * way. What broke off can be gone on with, in this life or a later one, where <path>.origin says of
 * what it is a part. Thread: loop.
 */

#include "backends/backend.h"
#include "backends/digest.h"

struct part_file;

/* What the server said of the file when its first byte came. */
struct part_origin {
	char etag[256];			/* strong, with its quotes; "" none */
	char modified[64];		/* Last-Modified, where it is certain enough; "" none */
	uint64_t total;			/* bytes; 0 = unknown */
};

/*
 * Opens the part at `path`, or begins one. Nothing is read yet: see part_file_prepare().
 *
 * key:       what it is a part of; a part of something else is thrown away.
 * is_checked: someone compares the digest in the end. Without, a part that a reboot of the machine may
 *            have damaged is thrown away.
 * Errors:    those of open(2).
 */
int part_file_open(const struct watch_ops *watch, const char *path, const char *key, bool is_checked,
		   struct part_file **ret, struct vn_error *err);

/* The part stays where it can be gone on with, the whole file after part_file_finish(); else both go. */
void part_file_free(struct part_file *file);
/* Nothing is to stay, whatever it is. */
void part_file_spoil(struct part_file *file);

/* Bytes that are there. */
uint64_t part_file_bytes(const struct part_file *file);
/* NULL: there is nothing that could be gone on with. */
const struct part_origin *part_file_origin(const struct part_file *file);

/*
 * Digests what is there, without holding up the loop.
 *
 * on_done: called once from the loop, with NULL or what went wrong; may free the file.
 */
int part_file_prepare(struct part_file *file, void (*on_done)(void *arg, const struct vn_error *err),
		      void *arg, struct vn_error *err);

/* Ends the digesting soon; on_done still follows. */
void part_file_hurry(struct part_file *file);

/* Empties the part; from now on it is one of `origin`. Errors: VN_E_LIMIT disk full. */
int part_file_restart(struct part_file *file, const struct part_origin *origin,
		      struct vn_error *err);

/* Errors: VN_E_LIMIT disk full. */
int part_file_write(struct part_file *file, const void *data, size_t size, struct vn_error *err);

/*
 * Gives the file its name and writes its digest. It is not synced: what comes of it is (see image.c), and
 * after a power cut it is fetched, or checked, anew.
 */
int part_file_finish(struct part_file *file, char sha256[static DIGEST_TEXT], struct vn_error *err);
