#pragma once
/* What the files of check_disk share. */

#include <check.h>

/* Adds a small image under that digest. */
void add_image(const char *sha256);
/* Vnode 7 on a fresh image. */
void create_and_mount(void);
/* A path below vnode 7's disk; valid until the next call. */
const char *in_disk(const char *below);

void add_life_cases(TCase *tcase);
void add_image_cases(TCase *tcase);
void add_inject_cases(TCase *tcase);
