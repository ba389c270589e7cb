#pragma once
/* LANs: one bridge each, in the fabric. */

#include "backends/backend.h"
#include "backends/netlink/link.h"

struct fabric;

/* "l<id>". */
void lan_name(int64_t id, char name[static 16]);
/* Whether `name` has that form; the id in *ret. */
bool lan_name_parse(const char *name, int64_t *ret);

/* What its bridge is told to be. */
struct bridge_settings lan_settings(const struct lan_spec *lan);

int lan_up(struct net *net, const struct lan_spec *lan, struct vn_error *err);
int lan_down(struct net *net, int64_t lan, struct vn_error *err);
