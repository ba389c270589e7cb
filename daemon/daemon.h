#pragma once
/* The daemon's one object: everything else is reached from it. Thread: loop. */

#include "backends/backend.h"
#include "backends/host_key.h"
#include "daemon/config.h"
#include "daemon/event_log.h"
#include "daemon/loop.h"
#include "daemon/pool.h"
#include "daemon/session.h"
#include "daemon/store.h"

#define DAEMON_VERSION "0.1.0"
#define DAEMON_COMPUTES 4

struct model;				/* vnodes, LANs, topologies, images: daemon/model.h */
struct jobs;				/* daemon/job.h */
struct exec_table;			/* daemon/exec.h */
struct verifier;			/* daemon/verify.h */
struct monitor;				/* daemon/monitor.h */
struct notify;

/* Which backends a daemon is opened with; the fakes in unit tests and load tests. */
struct daemon_backends {
	const struct compute_ops *computes[DAEMON_COMPUTES];	/* NULL-terminated */
	const struct net_ops *net;
	const struct disk_ops *disk;
	const struct fetch_ops *fetch;
	const char *boot_id;		/* NULL: the kernel's; for tests of a reboot */
};

struct daemon {
	/* set at birth */
	struct config config;
	char instance[VN_UUID_TEXT];	/* of the installation: a file in state_dir */
	char epoch[VN_UUID_TEXT];	/* of the database */
	char boot_id[VN_UUID_TEXT];	/* of the machine's boot */
	uint8_t secret[HOST_KEY_SECRET];	/* what vnodes' host keys follow from: a file in state_dir */
	struct backend_env env;

	/* owned */
	struct loop *loop;
	struct pool *pool;
	struct store *store;
	struct event_log *events;
	struct jobs *jobs;
	struct model *model;
	struct control *control;
	struct notify *notify;
	struct exec_table *execs;
	struct verifier *verifier;
	struct monitor *monitor;
	/* job_answer_repeated, behind a pointer so that the door is whole without the jobs; NULL until
	 * there are some */
	int (*answer_repeated)(struct call *call, const struct change_params *change,
			       struct vn_error *err);
	struct compute *computes[DAEMON_COMPUTES];	/* in the order of setup; NULL-terminated */
	struct net *net;
	struct disk *disk;
	struct fetcher *fetcher;

	bool ready;			/* recovery is over; changing calls are admitted */
	bool failed;			/* the start was given up; the loop was stopped */
	bool torn_down;			/* host.teardown has undone the host's set-up */
	json_t *missing;		/* sentences; NULL until probed */
	unsigned collecting;		/* calls whose sources are being read; daemon/sources.h */
	bool rebooted;			/* this is the first life since the machine was booted */
	const char *refusal;		/* why changing calls are refused; NULL: they are not */
};

/*
 * Opens everything, loads the database and begins recovery; the caller runs the loop. `config` is
 * moved into the daemon. daemon_ready is true, and systemd is told, when recovery has ended.
 * Errors: what store_open, control_open and the backends say; nothing is left open.
 */
int daemon_open(VN_TAKES struct config *config, const struct daemon_backends *backends,
		struct loop *loop, struct daemon **ret, struct vn_error *err);
/* Stops in order, commits, leaves guests and networks alone. NULL is fine. */
void daemon_close(struct daemon *daemon);
/* For tests: ends as kill -9 would; nothing more is committed. */
void daemon_abandon(struct daemon *daemon);

/* NULL when there is none of that name. */
struct compute *daemon_compute(struct daemon *daemon, const char *name);
