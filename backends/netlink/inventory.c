/* A namespace counts when its pin is a mounted namespace: a bare file is what a crash may leave. */
#include "backends/netlink/inventory.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/fabric.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"
#include "backends/nft/guard.h"
#include "backends/netlink/tunnel.h"
#include "backends/netlink/uplink.h"

struct findings {
	struct net_found *found;
	size_t n_found, room;
	enum net_kind kind;		/* of the folder that is being read */
};

static struct net_found *
append(struct findings *findings)
{
	if (findings->n_found == findings->room) {
		findings->room = findings->room ? 2 * findings->room : 64;
		findings->found = vn_realloc_array(findings->found, findings->room,
						   sizeof(*findings->found));
	}
	findings->found[findings->n_found] = (struct net_found){ .lan = -1 };
	return &findings->found[findings->n_found++];
}

/* The LAN of the bridge with that index, -1 without one. */
static int64_t
lan_of(const struct fabric *fabric, const struct link *links, size_t n_links, int master)
{
	int64_t lan;

	for (size_t i = 0; master && i < n_links; i++)
		if (links[i].index == master && fabric_owns(fabric, &links[i], NULL) &&
		    lan_name_parse(links[i].name, &lan))
			return lan;
	return -1;
}

/* A way's number of LAN is in its name, but for that of a link between LANs, whose ends may wait. */
static bool
take_way(const struct fabric *fabric, const struct link *links, size_t n_links,
	 const struct link *link, struct net_found *found)
{
	found->lan = lan_of(fabric, links, n_links, link->master);
	found->kind = NET_TUNNEL;
	if (tunnel_name_parse(link->name, &found->id, &found->index))
		return true;
	if (tunnel_name_is_own(link->name)) {
		found->id = found->lan;
		return found->id > 0;
	}
	found->kind = NET_UPLINK;
	return uplink_name_parse(link->name, &found->id);
}

static void
take_link(struct findings *findings, const struct fabric *fabric, const struct link *links,
	  size_t n_links, const struct link *link)
{
	struct net_found found = { .lan = -1, .up = link->flags & IFF_UP };

	if (!way_is_ours(fabric, link, NULL))
		return;
	if (lan_name_parse(link->name, &found.id)) {
		found.kind = NET_BRIDGE;
	} else if (port_name_parse(link->name, &found.id, &found.index)) {
		found.kind = NET_PORT;
		found.lan = lan_of(fabric, links, n_links, link->master);
		/* A control port that the guard overlooks is to be mended. */
		found.up = found.up && (found.lan != NET_CONTROL || link->group == GUARD_GROUP);
	} else if (!take_way(fabric, links, n_links, link, &found)) {
		return;
	}
	snprintf(found.uuid, sizeof(found.uuid), "%s", *link->alias ? strrchr(link->alias, ':') + 1 : "");
	*append(findings) = found;
}

static int
take_pin(void *arg, const char *path, int64_t vmid, struct vn_error *err)
{
	struct findings *findings = arg;
	struct net_found *found;

	(void)err;
	if (!netns_is_pinned(path))
		return 0;
	found = append(findings);
	found->kind = findings->kind;
	found->id = vmid;
	found->up = true;
	return 0;
}

int
inventory_pins(const char *run_dir, const char *kind,
	       int (*fn)(void *arg, const char *path, int64_t vmid, struct vn_error *err), void *arg,
	       struct vn_error *err)
{
	vn_autofree char *folder = vn_format("%s/%s", run_dir, kind);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return errno == ENOENT ? 0 : vn_fail_errno(err, errno, "read '%s'", folder);
	while (result == 0 && (entry = readdir(dir)) != NULL) {
		vn_autofree char *path = vn_format("%s/%s", folder, entry->d_name);
		int64_t vmid;
		int end = 0;

		if (sscanf(entry->d_name, "vnoded-%" SCNd64 "%n", &vmid, &end) == 1 &&
		    entry->d_name[end] == '\0')
			result = fn(arg, path, vmid, err);
	}
	closedir(dir);
	return result;
}

static int
read_pins(struct findings *findings, const char *run_dir, struct vn_error *err)
{
	findings->kind = NET_NETNS;
	if (inventory_pins(run_dir, "netns", take_pin, findings, err) < 0)
		return -1;
	findings->kind = NET_USERNS;
	return inventory_pins(run_dir, "userns", take_pin, findings, err);
}

int
inventory_read(struct net *net, struct net_found **ret, size_t *ret_count, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	vn_autofree struct link *links = NULL;
	struct findings findings = { 0 };
	size_t n_links = 0;

	reap_settle(fabric, -1);
	if (fabric_links_read(fabric, &links, &n_links, err) < 0 && err->code != VN_E_NOT_FOUND)
		return -1;
	for (size_t i = 0; i < n_links; i++)
		take_link(&findings, fabric, links, n_links, &links[i]);
	if (read_pins(&findings, fabric->env->run_dir, err) < 0) {
		free(findings.found);
		return -1;
	}
	*ret = findings.found;
	*ret_count = findings.n_found;
	return 0;
}
