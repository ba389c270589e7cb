/* The net contract on Linux: puts the parts of this folder and of nft/ together. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "backends/helper.h"
#include "backends/netlink/control.h"
#include "backends/netlink/fabric.h"
#include "backends/netlink/inventory.h"
#include "backends/netlink/lan.h"
#include "backends/netlink/measure.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"
#include "backends/netlink/probe.h"
#include "backends/netlink/route.h"
#include "backends/netlink/shape.h"
#include "backends/netlink/sysctl.h"
#include "backends/nft/guard.h"
#include "backends/netlink/verify.h"
#include "backends/netlink/tunnel.h"
#include "backends/netlink/uplink.h"
#include "backends/nft/nat.h"
#include "backends/nft/reserve.h"

/* ---- open and close -------------------------------------------------------------------------- */

static struct vn_cidr
first_host(const struct vn_cidr *network)
{
	struct vn_cidr host = *network;

	host.byte[network->family == AF_INET ? 3 : 15] |= 1;
	return host;
}

/* A different start in every process: indexes are seldom met twice. */
static int
random_index(void)
{
	uint32_t value = 0;

	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		abort();
	return (int)((value & 0x3fff0000) | 0x10000);
}

static void
close_net(struct net *net)
{
	struct fabric *fabric = fabric_of(net);

	if (!fabric)
		return;
	listener_fini(&fabric->listener);
	if (fabric->reaper.thread)
		reaper_stop(fabric);
	fabric_forget(fabric);
	guard_free(fabric->guard);
	reserve_free(fabric->reserve);
	nat_close(fabric->nat);
	backend_free_strings(fabric->lacking);
	pthread_mutex_destroy(&fabric->probe_lock);
	pthread_mutex_destroy(&fabric->ways_lock);
	pthread_mutex_destroy(&fabric->lock);
	if (fabric->home >= 0)
		close(fabric->home);
	free(fabric->folder);
	free(fabric->pin);
	free(fabric);
}

static int
open_net(const struct backend_env *env, struct net **ret, struct vn_error *err)
{
	struct fabric *fabric = vn_alloc(sizeof(*fabric));

	fabric->base.ops = &net_linux;
	fabric->env = env;
	snprintf(fabric->uplink, sizeof(fabric->uplink), "vnc%.8s", env->instance);
	fabric->folder = vn_format("%s/netns", env->run_dir);
	fabric->pin = vn_format("%s/%s", fabric->folder, env->fabric);
	fabric->gateway4 = first_host(&env->control4);
	fabric->gateway6 = first_host(&env->control6);
	pthread_mutex_init(&fabric->lock, NULL);
	pthread_mutex_init(&fabric->ways_lock, NULL);
	pthread_mutex_init(&fabric->probe_lock, NULL);
	listener_init(&fabric->listener, fabric);
	atomic_init(&fabric->next_index, random_index());
	fabric->reserve = reserve_new();
	fabric->guard = guard_new(env);
	fabric->home = netns_open_own(err);
	if (fabric->home < 0 || nat_open(env, fabric->uplink, &fabric->nat, err) < 0 ||
	    reaper_start(fabric, err) < 0) {
		close_net(&fabric->base);
		return -1;
	}
	*ret = &fabric->base;
	return 0;
}

/* ---- namespaces ------------------------------------------------------------------------------ */

/*
 * New devices inherit these: addresses work at once, nobody asks for routers, and an IPv4 network's
 * other addresses stay when its first goes.
 */
static int
set_inner_sysctls(struct vn_error *err)
{
	static const char *const settings[][2] = {
		{ "net/ipv6/conf/all/accept_dad", "0" },
		{ "net/ipv6/conf/default/accept_dad", "0" },
		{ "net/ipv6/conf/all/router_solicitations", "0" },
		{ "net/ipv6/conf/default/router_solicitations", "0" },
		{ "net/ipv4/conf/all/promote_secondaries", "1" },
		{ "net/ipv4/conf/default/promote_secondaries", "1" },
	};

	for (size_t i = 0; i < VN_COUNT(settings); i++)
		if (sysctl_write(settings[i][0], settings[i][1], err) < 0)
			return -1;
	return 0;
}

static int
set_up_inside(struct fabric *fabric, const char *path, struct vn_error *err)
{
	vn_autoclose int fd = netns_open(path, err);
	struct nl_sock *sock = NULL;
	auto_batch batch = { 0 };
	int result;

	if (fd < 0 || netns_enter(fd, err) < 0)
		return -1;
	result = set_inner_sysctls(err);
	if (result == 0)
		result = socket_open(&sock, err);
	netns_leave(fabric->home);
	if (result < 0)
		return -1;
	link_change(&batch, 1, 1, "set up loopback");
	result = batch_send(sock, &batch, NULL, NULL, err);
	nl_socket_free(sock);
	return result;
}

static int
namespaces_down(struct net *net, const struct ns_ref *ns, struct vn_error *err)
{
	if (netns_unpin(ns->netns, err) < 0 || (ns->userns && netns_unpin(ns->userns, err) < 0))
		return -1;
	reap_soon(fabric_of(net), ns->vmid, ns->uuid);
	return 0;
}

static int
namespaces_up(struct net *net, const struct ns_ref *ns, struct vn_error *err)
{
	struct fabric *fabric = fabric_of(net);
	bool was_there = netns_is_pinned(ns->netns) &&
			 (!ns->userns || netns_is_pinned(ns->userns));
	struct vn_error ignored;

	if (helper_make_namespaces(fabric->env, ns, err) < 0)
		return -1;
	if (set_up_inside(fabric, ns->netns, err) == 0)
		return 0;
	vn_error_prefix(err, "network namespace of vnode %" PRId64, ns->vmid);
	if (!was_there)
		namespaces_down(net, ns, &ignored);
	return -1;
}

/* ---- forwards -------------------------------------------------------------------------------- */

static int
forward_reserve(struct net *net, const struct forward_spec *forward, struct vn_error *err)
{
	return reserve_take(fabric_of(net)->reserve, forward, err);
}

static void
forward_release(struct net *net, const struct forward_spec *forward)
{
	reserve_give_back(fabric_of(net)->reserve, forward);
}

static int
forwards_up(struct net *net, const struct forward_spec *forwards, size_t count, struct vn_error *err)
{
	return nat_forwards_up(fabric_of(net)->nat, forwards, count, err);
}

static int
forwards_down(struct net *net, const struct forward_spec *forwards, size_t count,
	      struct vn_error *err)
{
	return nat_forwards_down(fabric_of(net)->nat, forwards, count, err);
}

static int
forwards_sync(struct net *net, const struct forward_spec *forwards, size_t count,
	      struct vn_error *err)
{
	return nat_forwards_sync(fabric_of(net)->nat, forwards, count, err);
}

const struct net_ops net_linux = {
	.name = "linux",
	.open = open_net,
	.close = close_net,
	.host_up = fabric_up,
	.host_down = fabric_down,
	.missing = probe_missing,
	.lan_up = lan_up,
	.lan_down = lan_down,
	.tunnel_route = tunnel_route,
	.uplink_check = uplink_check,
	.namespaces_up = namespaces_up,
	.namespaces_down = namespaces_down,
	.ports_up = port_up,
	.ports_down = port_down,
	.control_sync = control_sync,
	.ports_carrier = port_carrier,
	.ports_shape = shape_ports,
	.routes_set = routes_set,
	.shape_check = probe_shape_check,
	.forward_reserve = forward_reserve,
	.forward_release = forward_release,
	.forwards_up = forwards_up,
	.forwards_down = forwards_down,
	.forwards_sync = forwards_sync,
	.inventory = inventory_read,
	.probe = measure_path,
	.verify = verify_net,
	.watch = listener_watch,
};
