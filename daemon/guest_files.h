#pragma once
/*
 * What a guest finds in its files when it wakes up: docs/guest-files.md tells what and why. The choice
 * is made on the loop; texts that take work are made by the step that writes them.
 */

#include "backends/host_key.h"
#include "daemon/hosts.h"

struct task;

struct guest_files {
	struct guest_file *list;
	size_t count;			/* 0: nothing is to be written */
	char digest[65];		/* of all that the files follow from */

	struct hosts_block *block;	/* a reference */
	const char *near;
	const uint8_t *secret;		/* the daemon's */
	struct guest_file *hosts;	/* text NULL: made with the step; NULL: the topology has its own */
	struct guest_file *keys[HOST_KEY_KINDS][2];	/* private, public; likewise */
};

/* Chooses for a task whose guest, ports and routes are there. Thread: loop. */
void guest_files_choose(struct task *task, const struct vnode *vnode);
/* They are about to be written: until they are, nobody knows what is in the guest. */
void guest_files_begin(struct vnode *vnode);
void guest_files_fini(struct guest_files *files);
/* Writes them into the mounted root. Errors: what `inject` of a disk says. Thread: worker. */
int guest_files_write(struct task *task, const struct disk_spec *spec, struct vn_error *err);

/* The lines by which clients know the vnode's host keys; a reference to an array, or null without any. */
json_t *guest_files_host_keys(struct vnode *vnode);

/* Room for one more at the end of the list, zeroed; for guest_net.c. */
struct guest_file *guest_files_add(struct guest_files *files, const struct vnode *vnode, const char *path,
				   const char *text, unsigned mode);
