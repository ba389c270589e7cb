#pragma once
/*
 * Removes ports and bridges. The kernel takes about 70 ms for a message that deletes devices, however many it
 * names, so one thread does it for all: what is asked for while one deletion runs goes with the next.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/list.h"

struct fabric;

struct reaper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t asked, done;
	struct vn_list waiting;		/* requests not yet begun */
	struct vn_list running;		/* those of the deletion that runs */
	bool stopping;
};

int reaper_start(struct fabric *fabric, struct vn_error *err);
/* Ends the thread after it has served what waits. */
void reaper_stop(struct fabric *fabric);

/*
 * Deletes ports of one vnode in the fabric, guest ends included; absent ones are fine.
 * indexes: which of them; NULL = all.
 */
int reap_ports(struct fabric *fabric, int64_t vmid, const char *uuid, const unsigned *indexes,
	       size_t n_indexes, struct vn_error *err);
/*
 * The same for all ports of a vnode, without waiting: mostly they go by themselves, as their
 * namespace ends. If we die first, the ports left are found by the inventory.
 */
void reap_soon(struct fabric *fabric, int64_t vmid, const char *uuid);
/* The bridge of a LAN, likewise without waiting. */
void reap_bridge_soon(struct fabric *fabric, int64_t lan);
/* Waits until nothing that nobody waited for is left, of one vnode or (-1) of all, bridges included. */
void reap_settle(struct fabric *fabric, int64_t vmid);
void reap_settle_bridge(struct fabric *fabric, int64_t lan);
/* Deletes every device in the fabric that carries our tag. */
int reap_all(struct fabric *fabric, struct vn_error *err);
