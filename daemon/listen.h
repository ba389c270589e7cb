#pragma once
/* The control socket's place in the file system. Thread: loop. */

#include <sys/stat.h>

#include "proto/base/error.h"

/*
 * Listens on `path`, mode 0666; its folder is made if missing. *ret_at (for listen_remove) is the
 * socket file's identity. Errors: VN_E_INVALID too long; VN_E_BUSY another daemon answers there;
 * VN_E_EXISTS something that is no socket is there; VN_E_DENIED, VN_E_BACKEND the file system.
 */
int listen_open(const char *path, int *ret_fd, struct stat *ret_at, struct vn_error *err);
/* Removes the socket file if it is still the one that listen_open made. */
void listen_remove(const char *path, const struct stat *at);
/* A descriptor of our own for a passed socket. Errors: VN_E_INVALID no listening socket. */
int listen_adopt(int passed, int *ret_fd, struct vn_error *err);
