#pragma once
/*
 * The surroundings in which the disk contract is tried: a folder of the test's own with the local backend in
 * it, a user namespace with shifted ids, and images written entry by entry. One world at a time; every
 * function fails the case when it cannot do its work. Shared by check_disk*.c and check_capture*.c.
 */

#include <check.h>
#include <stddef.h>

#include "backends/disk.h"
#include "tests/shell.h"
#include "tests/tar_file.h"

#define SHA   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define BASE  200000u			/* what ids are shifted by in `userns` */

#define ok(call) ck_assert_msg((call) == 0, "%s: %s", #call, err.text)
#define fails(call, wanted)                                                                        \
	do {                                                                                       \
		ck_assert_msg((call) == -1, "%s succeeded", #call);                                \
		ck_assert_msg(err.code == (wanted), "%s: %s: %s", #call, vn_code_word(err.code),   \
			      err.text);                                                           \
	} while (0)

extern char folder[64], state_dir[96], run_dir[96], userns[64];
extern struct backend_env env;
extern struct disk *disk;
extern struct vn_error err;		/* of the last call */

/* Makes the folder, which carries that word in its name, and the user namespace. */
void world_begin(const char *word);
/* Takes all of it away, also the file system of the state folder; fails if a mount or a loop device is left. */
void world_end(void);

/* Puts the state folder on a file system of its own, 400 MB of that kind; before the disk is opened. */
void mount_state(const char *kind);

void open_disk(void);
/* Unmounts what is mounted, too. */
void close_disk(void);

/* Runs a shell command as the root of `userns`, in that folder; it has to succeed. */
void run_in(const char *root, const char *command);

/* Unpacks within limits that nothing here comes near to. Returns what the backend does, with `err`. */
int unpack(const struct image_spec *image);
/* Adds an image (a layer on `base` unless that is NULL) with these entries. */
void add_entries(const char *sha256, const char *base, const struct tar_entry *entries, size_t n_entries);

/* How many things of a kind the backend finds. */
size_t count_found(enum disk_kind kind);
