/*
 * The vnodes' namespaces: a socket in each, and the whole tables of it. One is read in tens of microseconds,
 * but there may be a thousand, so a few threads share them.
 *
 * What the guest has added on interfaces of its own is its own business; on ours nothing else is wanted.
 */
#include "backends/netlink/verify.h"

#include <inttypes.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backends/netlink/address.h"
#include "backends/netlink/namespace.h"
#include "backends/netlink/port.h"
#include "backends/netlink/route.h"

enum { THREADS = 4, VNODES_A_THREAD = 32 };

struct inside {				/* what one namespace has */
	struct link *links;
	size_t n_links;
	struct address *addresses;
	size_t n_addresses;
	struct route_rows routes;
};

struct looker {				/* one thread */
	struct look *look;
	atomic_size_t *next;		/* vnode; shared */
	struct differences found;
	struct vn_error err;
	int result;
};

static void
inside_fini(struct inside *inside)
{
	free(inside->links);
	free(inside->addresses);
	free(inside->routes.list);
}

static int
read_inside(struct nl_sock *sock, struct inside *inside, struct vn_error *err)
{
	if (links_read(sock, &inside->links, &inside->n_links, err) < 0 ||
	    addresses_read(sock, &inside->addresses, &inside->n_addresses, err) < 0)
		return -1;
	return routes_read(sock, &inside->routes, err);
}

/* The other end of a port, whatever the guest calls it. */
static const struct link *
find_inner(const struct inside *inside, const struct link *outer)
{
	for (size_t i = 0; i < inside->n_links; i++)
		if (inside->links[i].index == outer->peer && inside->links[i].peer == outer->index &&
		    inside->links[i].abroad)
			return &inside->links[i];
	return NULL;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static bool
is_wanted(const struct port_spec *spec, const struct vn_cidr *found)
{
	for (unsigned i = 0; i < spec->n_addresses; i++)
		if (vn_cidr_same_address(&spec->addresses[i], found))
			return true;
	return false;
}

/* A link-local address may be the kernel's own doing, or asked for. */
static void
compare_addresses(struct differences *list, const struct difference_about *about,
		  const struct port_spec *spec, const struct inside *inside, int index)
{
	vn_autofree struct vn_cidr *found = vn_alloc_array(inside->n_addresses + 1, sizeof(*found));
	bool has_link_local = false, wants_six = false;
	size_t n_found = 0;

	for (size_t i = 0; i < inside->n_addresses; i++)
		if (inside->addresses[i].index == index) {
			has_link_local |= inside->addresses[i].link_local;
			if (!inside->addresses[i].link_local || is_wanted(spec, &inside->addresses[i].cidr))
				found[n_found++] = inside->addresses[i].cidr;
		}
	for (unsigned i = 0; i < spec->n_addresses; i++)
		wants_six = wants_six || spec->addresses[i].family == AF_INET6;
	difference_addresses(list, about, spec->addresses, spec->n_addresses, found, n_found);
	if (wants_six)
		difference_flag(list, about, "link_local", true, has_link_local);
}

static void
compare_port(const struct look *look, struct differences *list, const struct net_vnode *vnode,
	     const struct port_spec *spec, const struct inside *inside)
{
	struct difference_about about;
	const struct link *outer, *inner;
	char name[16];

	port_name(vnode->ns.vmid, spec->index, name);
	outer = look_at(look, name);
	if (!outer || !fabric_owns(look->fabric, outer, vnode->ns.uuid))
		return;			/* told already */
	about = difference_about("port", vnode->ns.vmid, spec->index, spec->lan, "%s", name);
	inner = find_inner(inside, outer);
	if (!difference_flag(list, &about, "interface_exists", true, inner != NULL))
		return;
	difference_text(list, &about, "interface", spec->ifname, inner->name);
	difference_mac(list, &about, "mac", &spec->mac, &inner->mac);
	difference_number(list, &about, "interface_mtu", spec->mtu ? spec->mtu : 1500, inner->mtu);
	difference_flag(list, &about, "interface_up", true, (inner->flags & IFF_UP) != 0);
	about.kind = "address";
	compare_addresses(list, &about, spec, inside, inner->index);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static void
tell_route(struct differences *list, const struct net_vnode *vnode, const struct route_row *row,
	   bool wanted)
{
	struct difference_about about = difference_about("route", vnode->ns.vmid, PORT_ANY, -1,
							 "vnoded-%" PRId64, vnode->ns.vmid);
	char text[ROUTE_TEXT];

	route_print(row, text);
	difference_text(list, &about, "route", wanted ? text : NULL, wanted ? NULL : text);
}

/* The device inside of one of the vnode's ports; 0: whichever. */
static int
device_of(const struct look *look, const struct net_vnode *vnode, unsigned index)
{
	const struct link *outer;
	char name[16];

	port_name(vnode->ns.vmid, index, name);
	outer = index == PORT_ANY ? NULL : look_at(look, name);
	return outer ? outer->peer : 0;
}

/* The default routes over the control network's gateways, or that there are none. */
static void
compare_defaults(const struct look *look, struct differences *list, const struct net_vnode *vnode,
		 const struct port_spec *spec, const struct inside *inside)
{
	for (unsigned i = 0; i < spec->n_addresses; i++) {
		const struct vn_cidr *via = spec->addresses[i].family == AF_INET
					    ? &look->fabric->gateway4 : &look->fabric->gateway6;
		struct route_spec route = { .to.family = via->family, .via = *via };
		struct route_row row = route_row_of(&route, device_of(look, vnode, spec->index));
		bool is_there;

		row.via.prefix = 0;
		row.is_default = true;
		is_there = route_rows_have(&inside->routes, &row);
		list->checked[CHECKED_ROUTES]++;
		if (is_there == spec->no_default_route)
			tell_route(list, vnode, &row, !is_there);
	}
}

static void
compare_routes(const struct look *look, struct differences *list, const struct net_vnode *vnode,
	       const struct inside *inside)
{
	struct route_rows wanted = { .list = vn_alloc_array(vnode->n_routes + 1, sizeof(*wanted.list)) };

	list->checked[CHECKED_ROUTES] += (unsigned)vnode->n_routes;
	for (size_t i = 0; i < vnode->n_routes; i++) {
		wanted.list[wanted.count++] = route_row_of(&vnode->routes[i],
			device_of(look, vnode, vnode->routes[i].index));
		if (!route_rows_have(&inside->routes, &wanted.list[i]))
			tell_route(list, vnode, &wanted.list[i], true);
	}
	for (size_t i = 0; i < inside->routes.count; i++)
		if (!inside->routes.list[i].is_default &&
		    !route_rows_have(&wanted, &inside->routes.list[i]))
			tell_route(list, vnode, &inside->routes.list[i], false);
	for (size_t i = 0; i < vnode->n_ports; i++)
		if (vnode->ports[i].lan == NET_CONTROL)
			compare_defaults(look, list, vnode, &vnode->ports[i], inside);
	free(wanted.list);
}

/* ---- one vnode ------------------------------------------------------------------------------- */

static int
look_inside(const struct look *look, struct differences *list, const struct net_vnode *vnode,
	    struct vn_error *err)
{
	struct difference_about about = difference_about("namespace", vnode->ns.vmid, PORT_ANY, -1,
							 "vnoded-%" PRId64, vnode->ns.vmid);
	__attribute__((cleanup(inside_fini))) struct inside inside = { 0 };
	struct vn_error gone = { 0 };
	vn_autoclose int fd = netns_open(vnode->ns.netns, &gone);
	struct nl_sock *sock = NULL;
	int result;

	if (vnode->ns.userns)
		difference_flag(list, &about, "user_namespace", true, netns_is_pinned(vnode->ns.userns));
	if (!difference_flag(list, &about, "network_namespace", true, fd >= 0))
		return 0;
	if (netns_socket(fd, look->fabric->home, &sock, err) < 0)
		return -1;
	result = read_inside(sock, &inside, err);
	nl_socket_free(sock);
	if (result < 0)
		return -1;
	for (size_t i = 0; i < vnode->n_ports; i++)
		compare_port(look, list, vnode, &vnode->ports[i], &inside);
	compare_routes(look, list, vnode, &inside);
	return 0;
}

static void *
run(void *arg)
{
	struct looker *looker = arg;
	const struct net_wanted *wanted = looker->look->wanted;

	for (;;) {
		size_t at = atomic_fetch_add(looker->next, 1);

		if (at >= wanted->n_vnodes || looker->result < 0)
			return NULL;
		looker->result = look_inside(looker->look, &looker->found, &wanted->vnodes[at],
					     &looker->err);
	}
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Begins threads beside the caller's own; returns how many. One that cannot be had is done without. */
static unsigned
start_threads(struct looker *lookers, pthread_t *threads, size_t n_vnodes)
{
	unsigned wanted = (unsigned)(n_vnodes / VNODES_A_THREAD), count = 0;
	sigset_t all, before;

	if (wanted > THREADS - 1)
		wanted = THREADS - 1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);	/* signals are the loop's */
	while (count < wanted && pthread_create(&threads[count], NULL, run, &lookers[count + 1]) == 0)
		count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return count;
}

int
check_insides(struct look *look, struct vn_error *err)
{
	struct looker lookers[THREADS] = { 0 };
	pthread_t threads[THREADS - 1];
	atomic_size_t next = 0;
	unsigned count;
	int result = 0;

	if (!look->wanted->inside)
		return 0;
	for (unsigned i = 0; i < THREADS; i++) {
		lookers[i].look = look;
		lookers[i].next = &next;
	}
	count = start_threads(lookers, threads, look->wanted->n_vnodes);
	run(&lookers[0]);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		differences_move(look->ret, &lookers[i].found);
		if (lookers[i].result < 0 && result == 0) {
			*err = lookers[i].err;
			result = -1;
		}
	}
	return result;
}
