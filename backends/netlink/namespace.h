#pragma once
/*
 * Network namespaces as files. A worker thread may step into one for a moment; it steps back before
 * it does anything else, and a thread that cannot step back ends the process rather than run in the
 * wrong network.
 */

#include <stdbool.h>

#include "proto/base/error.h"

struct nl_sock;

/* Opens the calling thread's own namespace. Returns a descriptor or -1 and err. */
int netns_open_own(struct vn_error *err);
/* Opens a pin, as pin_open() does. */
int netns_open(const char *path, struct vn_error *err);
/* Whether `path` is a mounted namespace of any kind. */
bool netns_is_pinned(const char *path);

int netns_enter(int fd, struct vn_error *err);
void netns_leave(int home);

/* Makes a new network namespace and pins it at `path`; its folder exists. Home: as netns_leave. */
int netns_pin_new(const char *path, int home, struct vn_error *err);
/* Removes a pin and its file; an absent one is fine. */
int netns_unpin(const char *path, struct vn_error *err);

/* Opens a netlink socket inside the namespace; to be closed with nl_socket_free(). */
int netns_socket(int fd, int home, struct nl_sock **ret, struct vn_error *err);

/*
 * Makes `path` a folder that is a mount point with shared propagation: pins made and removed in it
 * appear and go in every mount namespace that was copied from ours, so none keeps a dead one alive.
 */
int pin_folder_up(const char *path, struct vn_error *err);
int pin_folder_down(const char *path, struct vn_error *err);
