/* What the fabric and the host have beside LANs and vnodes: the way out of the control network. */
#include "backends/netlink/verify.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "backends/digest.h"
#include "backends/netlink/address.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/sysctl.h"

/* The uplink's end in the fabric. */
static void
check_fabric_end(struct look *look, const struct link *host_end)
{
	struct difference_about about = difference_about("uplink", 0, PORT_ANY, -1, FABRIC_END);
	const struct link *end = look_for_ours(look, &about, look->fabric->env->instance), *master;

	if (!end)
		return;
	master = end->master ? look_at_index(look, end->master) : NULL;
	difference_text(look->ret, &about, "bridge", "l0", master ? master->name : NULL);
	difference_flag(look->ret, &about, "up", true, (end->flags & IFF_UP) != 0);
	difference_flag(look->ret, &about, "joined", true, host_end->index && end->peer == host_end->index);
}

static int
check_gateways(struct look *look, const struct difference_about *about, struct nl_sock *host,
	       const struct link *uplink, struct vn_error *err)
{
	struct vn_cidr wanted[] = { look->fabric->gateway4, look->fabric->gateway6 };
	vn_autofree struct address *found = NULL;
	vn_autofree struct vn_cidr *own = NULL;
	size_t n_found = 0, n_own = 0;

	if (addresses_read(host, &found, &n_found, err) < 0)
		return -1;
	own = vn_alloc_array(n_found + 1, sizeof(*own));
	for (size_t i = 0; i < n_found; i++)
		if (found[i].index == uplink->index && !found[i].link_local)
			own[n_own++] = found[i].cidr;
	difference_addresses(look->ret, about, wanted, VN_COUNT(wanted), own, n_own);
	return 0;
}

static int
check_host_end(struct look *look, struct nl_sock *host, struct link *ret, struct vn_error *err)
{
	struct difference_about about = difference_about("uplink", 0, PORT_ANY, -1, "%s",
							 look->fabric->uplink);
	struct vn_mac mac = digest_mac(look->fabric->env->instance, 1);
	char name[1][16], tag[TAG_SIZE];

	memcpy(name[0], look->fabric->uplink, sizeof(name[0]));
	fabric_tag(look->fabric, look->fabric->env->instance, tag);
	if (links_get(host, (const char (*)[16])name, 1, ret, err) < 0)
		return -1;
	if (!difference_flag(look->ret, &about, "exists", true, ret->index != 0) ||
	    !difference_text(look->ret, &about, "tag", tag, ret->alias))
		return 0;
	difference_flag(look->ret, &about, "up", true, (ret->flags & IFF_UP) != 0);
	difference_mac(look->ret, &about, "mac", &mac, &ret->mac);
	return check_gateways(look, &about, host, ret, err);
}

static void
check_forwarding(struct look *look)
{
	static const char *const paths[] = { "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding" };

	for (size_t i = 0; i < VN_COUNT(paths); i++) {
		struct difference_about about = difference_about("sysctl", 0, PORT_ANY, -1, "%s", paths[i]);
		char value[16];

		if (sysctl_read(paths[i], value, sizeof(value)))
			difference_text(look->ret, &about, "value", "1", value);
	}
}

int
check_host(struct look *look, struct vn_error *err)
{
	struct lan_spec control = { .id = NET_CONTROL, .uuid = look->fabric->env->instance };
	struct difference_about fabric = difference_about("namespace", 0, PORT_ANY, -1, "%s",
							  look->fabric->env->fabric);
	struct nl_sock *host = NULL;
	struct link uplink = { 0 };
	int result;

	if (!look->wanted->whole)
		return 0;
	difference_flag(look->ret, &fabric, "network_namespace", true, look->sock != NULL);
	check_bridge(look, &control);
	if (netns_socket(look->fabric->home, look->fabric->home, &host, err) < 0)
		return -1;
	result = check_host_end(look, host, &uplink, err);
	nl_socket_free(host);
	check_fabric_end(look, &uplink);
	check_forwarding(look);
	return result;
}
