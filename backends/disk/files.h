#pragma once
/* Small durable files and folders, and JSON in them. */

#include <jansson.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* Makes the folder `path` and what is missing above it; the last gets `mode`. There already is fine. */
int files_make_folder(const char *path, mode_t mode, struct vn_error *err);

/* Syncs the folder `path`, so that what was made or renamed in it is still so after a power cut. */
int files_sync_folder(const char *path, struct vn_error *err);

/*
 * Writes `json` to `path`, whole or not at all, also through a power cut (but for the entry in its
 * folder: that takes files_sync_folder()).
 */
int files_write_json(const char *path, const json_t *json, struct vn_error *err);

/* The same for what a power cut may take: not synced, but whole or not there. */
int files_write_note(const char *path, const json_t *json, struct vn_error *err);

/*
 * Reads a file that files_write_json() made. Returns: NULL without an error where it is absent or no
 * JSON object; else to be released with json_decref().
 */
json_t *files_read_json(const char *path);

/* VN_E_LIMIT when the file system of `fd` has less than DISK_KEEP_BYTES free. */
int files_check_room(int fd, struct vn_error *err);

/* 16 random hexadecimal digits and a NUL. */
void files_random_name(char text[static 17]);
