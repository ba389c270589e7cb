#pragma once
/* What the files sweep*.c share: what host.recover has found, and what it makes of it. */

#include "daemon/mend.h"
#include "daemon/task.h"

struct recover_task {
	struct net *net;
	struct disk *disk;
	struct compute *computes[DAEMON_COMPUTES];
	const char *run_dir;
	struct vn_arena arena;

	/* found by workers */
	struct net_found *net_found;
	struct disk_found *disk_found;
	struct guest_found *guests[DAEMON_COMPUTES];
	size_t n_net, n_disk, n_guests[DAEMON_COMPUTES];
	bool listed[DAEMON_COMPUTES];
	struct vn_error list_err;

	/* decided on the loop */
	struct net_found *net_gone;
	struct disk_found *disk_gone;
	struct guest_found *guest_gone[DAEMON_COMPUTES];
	size_t n_net_gone, n_disk_gone, n_guest_gone[DAEMON_COMPUTES];
	struct disk_spec *trim;		/* vnodes with extra disks that their specs do not name */
	size_t n_trim;
	struct task *mend;		/* vnodes whose ports are to be checked and mended */
	size_t n_mend;
	struct lan_spec *bridges;	/* of LANs that have lost theirs */
	size_t n_bridges;
	struct forward_spec *forwards;
	size_t n_forwards;
	struct control_spec *control;	/* who may send into the control network, with what */
	size_t n_control;
	bool starting;			/* no other job is at work yet */
	bool trash;
	unsigned removed, mended;
};

/* Decides what is to be removed and mended; locks the vnodes whose guests or mounts go. Thread: loop. */
void sweep_compare(struct job *job, struct recover_task *task);
