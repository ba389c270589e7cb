#pragma once
/* What the files of check_disk_types share. */

#include <check.h>

#define RAW "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

extern const char *const cloning[2];	/* file systems that can have reflinks */

/* Puts the state folder on a file system of that kind, and the backend on it. */
void begin(const char *kind);
/* Adds SHA, an archive with all that an archive can hold. */
void add_image(void);
/* Adds RAW, an 8 MiB disk with something in it. */
void add_raw_image(void);

void add_reflink_cases(TCase *tcase);
void add_extra_cases(TCase *tcase);
void add_qcow2_cases(TCase *tcase);
void add_lvm_cases(TCase *tcase);
