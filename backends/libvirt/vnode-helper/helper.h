#pragma once
/* What the parts of vnode-helper share. Each request has a process of its own, which may block. */

#include <stddef.h>

#include "backends/helper-wire.h"
#include "proto/base/error.h"

struct job {				/* one request, taken apart */
	struct helper_request request;
	char **strings;			/* NULL-terminated */
	size_t n_strings;
	int channel;
	int fds[3];			/* -1 where none came */
};

/* namespaces.c */
int namespaces_make(const struct job *job, struct vn_error *err);

/* command.c: answers by itself; returns when the command has ended, or -1 when it cannot be tried. */
int command_run(const struct job *job, struct vn_error *err);

/* user.c: who the command runs as, by the guest's own files; called inside the guest. */
struct user {
	unsigned uid, gid;
	char name[64], home[256];
	unsigned groups[64];
	int n_groups;
};
int user_find(const char *name, struct user *ret, struct vn_error *err);

void answer(int channel, const struct helper_answer *answer);
