#pragma once
/*
 * What backends/backend.h promises, as cases that run over any implementation. A rig says which
 * implementation, and how its world is made; contracts that a rig leaves out are not tried.
 */

#include <check.h>

#include "backends/backend.h"
#include "tests/mini_loop.h"

/* Everything one case works on; made anew for each. */
struct machine {
	const struct rig *rig;
	struct mini_loop *loop;
	struct backend_env env;

	/* Set by rig->open. */
	const char *archive;		/* a good archive, and its digest */
	const char *sha256;
	const char *broken;		/* a file that is none */
	const char *url;		/* answers with the archive; NULL: no downloads */
	const char *missing_url;	/* answers 404 */
	char *folder;			/* for files; removed by rig->close */
	void *arg;			/* the rig's own */

	struct compute *compute;
	struct net *net;
	struct disk *disk;
	struct fetcher *fetcher;

	/* What on_exit has told. */
	bool has_exited;
	unsigned exits;
	struct guest_exit exit;
	char exited[VN_UUID_TEXT];
};

struct rig {
	const char *name;
	const struct compute_ops *compute;
	const struct net_ops *net;
	const struct disk_ops *disk;
	const struct fetch_ops *fetch;
	/* Fills machine->env but for env.watch, and what is said above. */
	void (*open)(struct machine *machine);
	/* After the backends are closed: fails the case where anything is left. */
	void (*close)(struct machine *machine);
	/* Makes a running guest end by itself in this way. */
	void (*guest_exit)(struct machine *machine, const char *uuid,
			   const struct guest_exit *exit);
};

/* The vnode that cases play with, its parts filled for every contract. */
struct subject {
	char uuid[VN_UUID_TEXT], domain[64], netns[256], userns[256], dir[256], root[4096];
	struct ns_ref ns;
	struct guest_spec guest;
	struct disk_spec disk;
	struct vn_cidr addresses[2];
	struct port_spec ports[2];	/* eth0 on the control network, eth1 on LAN 1 */
	struct lan_spec lan;
	struct forward_spec forward;
	struct guest_id id;
};

void machine_open(struct machine *machine, const struct rig *rig);
void machine_close(struct machine *machine);
/* Closes the backends and opens them again, as a new daemon does. */
void machine_reopen(struct machine *machine);
/* Runs the loop until *done. */
void machine_run(struct machine *machine, const bool *done);
/* Runs the loop until everything posted so far has been delivered. */
void machine_settle(struct machine *machine);

void subject_init(struct subject *subject, const struct machine *machine, int64_t vmid);

/* The suite "conform <rig>". */
Suite *conform_suite(const struct rig *rig);
