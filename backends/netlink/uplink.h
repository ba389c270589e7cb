#pragma once
/* Ports of the host that are lent to LANs. */

#include "backends/netlink/way.h"

/* "u<lan>": the uplink's port of the bridge. */
void uplink_name(int64_t lan, char name[static 16]);
bool uplink_name_parse(const char *name, int64_t *ret_lan);

/* The kernel's word for the device that an uplink is made of. */
const char *uplink_kind_word(const struct uplink_spec *uplink);

/* Members of net_ops. */
int uplink_check(struct net *net, const struct uplink_spec *uplink, unsigned *ret_mtu,
		 struct vn_error *err);

/* Makes the uplink of a LAN that of the spec; ways_lock is held. is_new: the bridge has no ports yet. */
int uplink_settle(struct fabric *fabric, const struct lan_spec *lan, int bridge, bool is_new,
		  struct vn_error *err);
/* Gives the LAN's uplink back; none is fine. ways_lock is held. */
int uplink_remove(struct fabric *fabric, int64_t lan, struct vn_error *err);
/* Gives back those of all LANs. */
int uplinks_give_back(struct fabric *fabric, struct vn_error *err);
