#pragma once
/* What the parts of vnode-init share. Any failure before the guest's init runs ends the process. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backends/libvirt/vnode-init/wire.h"

struct init {
	struct wire_setup setup;
	char **argv;			/* of the guest's init, NULL-terminated */
	int link;			/* to the guest's first process, until it is executed */
	int oom;			/* counter of out-of-memory kills, or -1 */
	uint64_t oom_before;
	pid_t guest;			/* as seen from here */
	char guest_cgroup[512];		/* version 2 directory under WIRE_WORK; "" = none of its own */
};

/* What the guest's first process and vnode-init tell each other over `link`. */
enum link_kind { LINK_DEVPTS = 1, LINK_CONSOLE, LINK_GO, LINK_FAILED };

struct link_message {
	int kind;
	int value;			/* errno of LINK_FAILED */
	char text[160];
};

/* Sends one message, with a descriptor unless fd is -1. */
int link_send(int socket, const void *message, size_t size, int fd);
/* Receives one; *ret_fd is -1 when none came; either output may be NULL. Returns bytes, 0 at the end, -1. */
ssize_t link_receive(int socket, void *message, size_t size, int *ret_fd, pid_t *ret_pid);

/* mounts.c, in vnode-init: full proc and sysfs, the guest's root, the cgroup tree under WIRE_WORK. */
int mounts_prepare(struct init *init, const char **ret_what);
/* mounts.c, in the guest's first process: makes the guest's view; *ret_devpts is a detached mount. */
int mounts_enter(const struct init *init, int *ret_devpts, const char **ret_what);
/* Binds a terminal on the guest's /dev/console. */
int mounts_bind_console(const char *terminal);
/* The guest's own cgroup tree on /sys/fs/cgroup, inside its cgroup namespace. */
int mounts_cgroup(const struct init *init);

/* cgroup.c: a leaf of our own and one that the guest's root owns; nothing where version 2 has no part. */
int cgroup_split(struct init *init);
int cgroup_enter_guest(const struct init *init);

/* guest.c: forks the guest's first process, which waits for LINK_GO. */
int guest_spawn(struct init *init);
/*
 * ask.c: asks the guest to power off in the way its init understands; kills one that never hears.
 * Returns -1 when it is not ready to be asked yet: to be tried again, with the next attempt's number.
 */
int guest_ask(pid_t guest, unsigned attempt);

/* status.c */
void status_write(const char *word, int number);
void status_write_end(const struct init *init, int wait_status);
uint64_t status_oom_kills(int fd);

/* console.c: copies the console to the ring and to its clients until the guest has ended. */
struct console;
struct console *console_new(int master);
/* Fills poll entries (at most CONSOLE_POLLS); returns how many. */
#define CONSOLE_CLIENTS 8
#define CONSOLE_POLLS	(CONSOLE_CLIENTS + 2)
struct pollfd;
unsigned console_poll(struct console *console, struct pollfd *polls);
void console_work(struct console *console, const struct pollfd *polls);
/* Takes what the terminal still holds, after the guest has ended. */
void console_drain(struct console *console);
