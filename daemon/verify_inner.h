#pragma once
/* What the files about verifying share. */

#include "daemon/verify.h"

struct verify_subject {			/* a vnode of the scope */
	int64_t vmid, since_us;
	const char *uuid, *domain;
	struct compute *compute;
	struct guest_id id;
	enum vnode_state observed;
	bool spared;			/* a job is at work on it */
};

struct verification {
	/* set at birth; loop only */
	struct daemon *daemon;
	int64_t job;			/* whose locks do not count */
	int64_t last_job, last_vmid, last_lan;
	uint64_t began_ms;
	json_t *busy;

	/* the copy; read by workers */
	struct net *net;
	struct disk *disk;
	struct compute *computes[DAEMON_COMPUTES];
	struct vn_arena arena;
	struct net_wanted wanted;
	struct net_vnode *vnodes;
	struct lan_spec *lans;
	struct forward_spec *forwards;
	struct net_spared *spared;
	int64_t *spared_lans;
	struct verify_subject *subjects;
	size_t n_subjects;

	struct differences found[VERIFY_SOURCES];	/* each written by its source */
	struct differences all;		/* after settling */
	bool overtaken;			/* settling took some out */
};

/* By vmid, or by uuid where that is not NULL; NULL: none of the scope. */
const struct verify_subject *verify_subject_find(const struct verification *v, int64_t vmid,
						 const char *uuid);
