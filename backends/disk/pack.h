#pragma once
/*
 * A tar archive in the one form that a tree can have: the same files give the same bytes, whatever file
 * system they lie on and in whatever order it lists them. PAX headers with numbers for owners; names and
 * attributes in the order of their bytes is the caller's and this file's matter; no times but that of the
 * last change, no device, inode or link numbers; long runs of zeros are holes whether they are so on the
 * disk or not. Unpacking takes it (unpack_check.h).
 */

#include <stdbool.h>
#include <sys/stat.h>

#include "backends/digest.h"
#include "proto/base/error.h"

struct pack;

struct pack_way {			/* how the caller hears of it, and stops it; set before the first entry */
	const bool *cancelled;		/* read (atomically) between pieces: true ends with VN_E_CANCELLED */
	void (*on_bytes)(void *arg, uint64_t bytes);	/* so many more of file contents are packed */
	void *arg;
};

/*
 * Makes the file `path` anew.
 *
 * way:    borrowed until pack_close().
 * Thread: one that may block; all calls on a pack on the same one, whose locale is UTF-8 meanwhile.
 */
int pack_open(const char *path, const struct pack_way *way, struct pack **ret, struct vn_error *err);

/*
 * Appends what `path` is below the folder `root`: a folder without what is in it, a file, a link or a fifo.
 * A file that is another name of one that was packed already becomes a hard link to that.
 *
 * path:   relative, "." for the root itself; no component is a link.
 * Errors: VN_E_INVALID what an image may not hold (the text names it); VN_E_LIMIT disk full; VN_E_CANCELLED.
 */
int pack_entry(struct pack *pack, int root, const char *path, struct vn_error *err);

/* Appends an empty file that stands for something else: a whiteout. */
int pack_mark(struct pack *pack, const char *path, struct vn_error *err);

/* Writes the end. ret_sha256: of the whole file; ret_bytes: its size. */
int pack_finish(struct pack *pack, char ret_sha256[static DIGEST_TEXT], uint64_t *ret_bytes,
		struct vn_error *err);

/* Frees it; the file stays as it is. NULL is fine. */
void pack_close(struct pack *pack);

/* Whether something of this type can be in an image at all: sockets and device nodes cannot. */
bool pack_takes(mode_t mode);
