#pragma once
/* The guest's interfaces in the words of its own tools: ifupdown, systemd-networkd, netplan. */

#include "daemon/guest_files.h"

/* How many files it may add. */
size_t guest_net_count(const struct task *task);
/* Adds the files for those tools that the image may have. Thread: loop. */
void guest_net_add(struct guest_files *files, struct task *task, const struct vnode *vnode);
