#pragma once
/* The two sides of a command: command.c looks after it, enter.c becomes it. */

#include "backends/libvirt/vnode-helper/helper.h"

enum sync_kind {
	SYNC_BORN = 1,			/* value: pid of the command's process */
	SYNC_READY,			/* it has become its user; waits for one byte, then executes */
	SYNC_FAILED,			/* value: enum vn_code */
};

struct sync_message {
	int kind;
	int value;
	char text[400];
};

void command_report(int sync, enum sync_kind kind, int value, const char *text);

/*
 * In the guest: becomes the user, takes the bounding set, executes. Returns -1 and err when that
 * cannot even be tried; a command that cannot be executed ends the process with 126 or 127.
 */
int enter_run(const struct job *job, uint64_t bounding, int sync, struct vn_error *err);
