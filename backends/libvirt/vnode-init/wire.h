#pragma once
/*
 * What vnoded and vnode-init agree on: the descriptors that libvirt hands to the container's first
 * process, the messages of a start, the status file. Both sides are built together; a vnode-init
 * that runs on after an update of vnoded speaks only the status file, the ring (ring.h) and SIGTERM.
 *
 * A start: vnoded queues the setup message, then creates the domain. vnode-init prepares the guest's
 * namespaces and its first process, which reports GUEST; vnode-init reports READY. Their pids come
 * with the messages (SO_PASSCRED). Nothing of the guest has run. vnoded checks and limits the two and
 * says GO; the guest's init is executed and vnode-init reports EXECUTED. The end of the socket before
 * GO ends everything; after it, it means nothing.
 */

#include <stdint.h>

enum wire_fd {
	WIRE_FD_PROGRAM = 3,		/* vnode-init itself: executed as /proc/self/fd/3 */
	WIRE_FD_CONTROL,		/* SOCK_SEQPACKET */
	WIRE_FD_STATUS,
	WIRE_FD_RING,
	WIRE_FD_LISTEN,			/* SOCK_STREAM, listening: the console's clients */
	WIRE_FD_ROOT,			/* detached mount of the guest's root */
	WIRE_FD_NETNS,
	WIRE_FD_USERNS,			/* absent when privileged: last */
	/* Made by vnode-init: the guest's devpts as a detached mount, in which vnoded, by way of
	 * /proc/PID/fd, makes terminals without walking through anything the guest can change. */
	WIRE_FD_DEVPTS,
};

#define WIRE_N_FDS	   (WIRE_FD_USERNS - WIRE_FD_PROGRAM + 1)
#define WIRE_MAGIC	   0x766e6f31u	/* "vno1" */
#define WIRE_MESSAGE_MAX   (64 * 1024)
#define WIRE_PRIVILEGED	   1u

/* The folder of vnode-init's own root on which it mounts what it works with. */
#define WIRE_WORK "/work"

/* vnoded -> vnode-init, first; `argc` strings of the guest's init follow, each with its NUL. */
struct wire_setup {
	uint32_t magic;
	uint32_t flags;
	uint32_t argc;
	uint32_t root_id;		/* host id of the guest's root */
	char hostname[65];
};

enum wire_kind {
	WIRE_GUEST = 1,			/* from the guest's first process */
	WIRE_READY,
	WIRE_EXECUTED,
	WIRE_FAILED,
};

struct wire_report {
	uint32_t kind;
	int32_t sys;			/* errno of WIRE_FAILED */
	char text[160];			/* what failed */
};

/* vnoded -> vnode-init; comes with a descriptor of the file that counts out-of-memory kills, if any. */
struct wire_go {
	uint32_t magic;
};

/*
 * The status file: one line of WIRE_STATUS_SIZE bytes, "<word> <number>" padded with blanks, written
 * in one piece. Empty: nothing of the guest ever ran.
 */
#define WIRE_STATUS_SIZE   32
#define WIRE_STATUS_FORMAT "%-20s %10d\n"

#define WIRE_STATUS_RUNNING   "running"
#define WIRE_STATUS_EXITED    "exited"		/* number: code */
#define WIRE_STATUS_SIGNALLED "signalled"	/* number: signal */
#define WIRE_STATUS_KILLED    "killed"		/* number: signal; SIGKILL, which a guest cannot send its init */
#define WIRE_STATUS_OOM	      "oom"
#define WIRE_STATUS_REBOOT    "reboot"
#define WIRE_STATUS_POWEROFF  "poweroff"
