#pragma once
/*
 * Removes ports. The kernel takes 16 ms for a message that deletes devices, however many it names,
 * so whoever comes while one deletion runs is served together by the next.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/list.h"

struct fabric;

struct reaper {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct vn_list waiting;
	bool busy;
};

void reaper_init(struct reaper *reaper);
void reaper_fini(struct reaper *reaper);

/*
 * Deletes ports of one vnode in the fabric, guest ends included; absent ones are fine.
 * indexes: which of them; NULL = all.
 */
int reap_ports(struct fabric *fabric, int64_t vmid, const char *uuid, const unsigned *indexes,
	       size_t n_indexes, struct vn_error *err);
/* Deletes every device in the fabric that carries our tag. */
int reap_all(struct fabric *fabric, struct vn_error *err);
