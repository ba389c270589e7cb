#pragma once
/*
 * Carriers of ports: what lan.up, lan.down and schedules change. A port has its carrier when its own wish and
 * its LAN's say so. Thread: loop, but for port_list_set.
 */

#include "daemon/model.h"

struct port_list {
	int64_t *vmids;
	unsigned *indexes;
	size_t count;
};

void port_list_add(struct port_list *list, const struct member *member);
void port_list_fini(struct port_list *list);
/* worker: gives these ports their carrier or takes it, all or none. */
int port_list_set(struct net *net, const struct port_list *list, bool up, struct vn_error *err);

/* How the wishes stood before the job touched any; kept, since a restart finds the new ones. */
void carrier_note(struct job *job, const struct lan *lan);
bool carrier_lan_was_up(const struct job *job);
bool carrier_was_up(const struct job *job, const struct member *member);
/* The wishes as they were noted. */
void carrier_restore(const struct job *job, struct lan *lan);
