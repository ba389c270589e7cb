#pragma once
/* Guests: starting, watching and ending them, running commands in them. See backends/backend.h. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "backends/env.h"
#include "proto/base/error.h"

struct guest_spec {
	const char *domain;		/* "vnoded-<8 of instance>-<vmid>" */
	const char *uuid;
	const char *title;		/* "<topology>/<name>", shown by virsh; never parsed */
	const char *hostname;
	const char *root;		/* mounted root directory, in the host's mount namespace, and all
					   that is mounted in it */
	struct ns_ref ns;
	uint64_t memory_bytes;		/* 0 = no limit */
	unsigned vcpus;			/* 0 = no limit; else that many processors' worth of time */
	unsigned pids;			/* 0 = no limit */
	const char *const *init;	/* argv of the guest's PID 1, NULL-terminated; NULL: /sbin/init */
	const char *dir;		/* <state_dir>/vnodes/<vmid>: status and console ring live here */
	uint64_t console_bytes;		/* size of the console ring */
};

/* Who is running, exact across reuse of pids. All zero: nobody. Survives vnoded as a database row. */
struct guest_id {
	pid_t controller;		/* libvirt_lxc, or QEMU */
	pid_t init;			/* vnode-init; its end is the guest's end */
	uint64_t init_start;		/* field 22 of /proc/PID/stat */
	pid_t guest;			/* the guest's own PID 1, in our PID namespace */
	uint64_t guest_start;
};

enum exit_cause {
	EXIT_UNKNOWN, EXIT_POWEROFF, EXIT_REBOOT, EXIT_EXITED, EXIT_SIGNALLED, EXIT_OOM, EXIT_KILLED,
	EXIT_HALTED,
};

struct guest_exit {
	enum exit_cause cause;		/* never EXIT_HALTED: only the daemon knows that it halted */
	int code;			/* EXIT_EXITED */
	int signal;			/* EXIT_SIGNALLED, EXIT_KILLED (SIGKILL from outside the guest) */
};

enum guest_state { GUEST_ABSENT, GUEST_RUNNING, GUEST_DEAD /* known to libvirt, nobody runs */ };

struct guest_status {
	enum guest_state state;
	struct guest_id id;
	uint64_t netns_inode;		/* of the running guest's init; compared with the pin */
};

struct guest_found {			/* one guest that carries our tag */
	char domain[64];
	char uuid[VN_UUID_TEXT];
	enum guest_state state;
};

struct exec_spec {
	const char *const *argv;	/* NULL-terminated, argv[0] looked up in the guest's PATH */
	const char *const *env;		/* "NAME=value", NULL-terminated; added to PATH, HOME, TERM; or NULL */
	const char *cwd;		/* NULL: the user's home, or / */
	const char *user;		/* name or number in the guest's passwd; NULL: root */
	bool tty;			/* make a terminal in the guest; *ret_master is its master */
	int fds[3];			/* stdin, stdout, stderr; borrowed; unused with tty */
};

struct exec;				/* a running command; owned by the backend until on_exec_end returned */

struct exec_result {
	int exit_code;			/* -1 when signalled */
	int signal;			/* 0 when exited */
};

/* How a compute backend tells what happened; all on the loop thread. */
struct compute_events {
	void *arg;
	/*
	 * A watched guest has ended; its processes may still be on their way out, `stop` waits for them.
	 * Once per watch; the watch is over.
	 */
	void (*on_exit)(void *arg, const char *uuid, const struct guest_exit *exit);
	/* The hypervisor's daemon went away (up = false) or is back (true). */
	void (*on_link)(void *arg, bool up, const char *text);
};

struct compute;
struct compute_ops {
	const char *name;		/* "lxc", "fake": the word in topology files */

	/* Succeeds without libvirtd: calls then fail until it is there, and on_link tells. */
	int (*open)(const struct backend_env *env, const struct compute_events *events,
		    struct compute **ret, struct vn_error *err);
	void (*close)(struct compute *self);	/* guests live on; NULL is fine */

	/*
	 * Starts the guest and returns when its PID 1 has been executed. A guest of that domain that
	 * already runs with that uuid is left alone and reported. Before the guest's first
	 * instruction its network namespace is compared with the pin: a difference is VN_E_BACKEND
	 * and nothing runs. Dying in here leaves either nothing or a running guest that `probe` finds.
	 */
	int (*start)(struct compute *self, const struct guest_spec *spec, struct guest_id *ret,
		     struct vn_error *err);
	/*
	 * Ends the guest: asks politely, waits up to grace_ms (0: no asking) for its init to end, kills,
	 * and returns when neither the process nor the domain is there any more. Also cleans up after a
	 * guest that ended by itself. id may be NULL or zero. If libvirtd is unreachable the processes
	 * are ended by id and VN_E_BACKEND tells that the domain could not be removed.
	 */
	int (*stop)(struct compute *self, const char *domain, const char *uuid,
		    const struct guest_id *id, unsigned grace_ms, struct vn_error *err);
	int (*probe)(struct compute *self, const char *domain, const char *uuid,
		     struct guest_status *ret, struct vn_error *err);
	/* All guests with our tag; *ret to be freed. */
	int (*list)(struct compute *self, struct guest_found **ret, size_t *ret_count,
		    struct vn_error *err);
	/* Changes limits of a running guest at once; 0 = no limit. VN_E_UNSUPPORTED where it cannot. */
	int (*set_limits)(struct compute *self, const struct guest_spec *spec,
			  const struct guest_id *id, struct vn_error *err);
	/* What this machine lacks, a sentence each, NULL-terminated; *ret and its strings to be freed. */
	int (*missing)(struct compute *self, char ***ret, struct vn_error *err);

	/*
	 * loop: from now on `on_exit` tells the end of this guest. If it has ended already, on_exit is
	 * called soon (never from inside). dir: where its status file is (guest_spec.dir).
	 */
	int (*watch)(struct compute *self, const char *domain, const char *uuid, const char *dir,
		     const struct guest_id *id, struct vn_error *err);
	void (*unwatch)(struct compute *self, const char *uuid);	/* loop; unknown is fine */
	/* loop: whether exactly this process (pid and start time) lives; no libvirt involved. */
	bool (*is_alive)(struct compute *self, const struct guest_id *id);

	/*
	 * loop: runs a command inside, in all namespaces, the cgroup and the capability bounding set of
	 * the guest. Returns at once. on_end(arg, result or NULL, err) is called once, on the loop;
	 * a command that cannot be run ends with exit_code 126 or 127 as a shell would say it, anything
	 * that prevents even trying with result NULL and err. *ret_master (tty only) is the caller's.
	 */
	int (*exec)(struct compute *self, const struct guest_id *id, const struct exec_spec *spec,
		    void (*on_end)(void *arg, const struct exec_result *result,
				   const struct vn_error *err),
		    void *arg, struct exec **ret, int *ret_master, struct vn_error *err);
	/* loop: sends a signal to the command's session; on_end still follows. */
	void (*exec_signal)(struct compute *self, struct exec *exec, int signal);

	/* loop: a connected stream socket to the guest's console (recent output first, then live). */
	int (*console)(struct compute *self, const char *dir, int *ret_fd, struct vn_error *err);
};

struct compute {			/* first member of every backend's own struct */
	const struct compute_ops *ops;
};
