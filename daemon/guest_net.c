/*
 * A guest's addresses and routes are there before its first process. Its own tools must then be told the
 * same, or they take for a mistake what they do not know: each is told all, in a way that changes nothing
 * where it is already so. An interface without addresses of ours is left to the guest.
 */
#include "daemon/guest_net.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "daemon/task.h"

#define MTU 1500
#define HEAD "# Written by vnoded before each boot that finds it changed; see \"inject\" in vnoded-protocol(7).\n"

/* Where somebody reads it. */
static const char *const ifupdown[] = { "/etc/network/interfaces", "/etc/network/interfaces.d", NULL };
static const char *const networkd[] = { "/lib/systemd/systemd-networkd", "/usr/lib/systemd/systemd-networkd",
					NULL };
static const char *const netplan[] = { "/etc/netplan", "/usr/sbin/netplan", NULL };

struct interfaces {
	const struct task *task;
	struct vn_cidr gateway[2];	/* of the control network; family 0: none */
};

typedef void route_fn(FILE *out, const char *ifname, const struct route_spec *route, unsigned protocol);

static const struct port_spec *
port_at(const struct task *task, size_t i)
{
	if (task->control)
		return i == 0 ? task->control : i <= task->n_ports ? &task->ports[i - 1] : NULL;
	return i < task->n_ports ? &task->ports[i] : NULL;
}

static bool
reaches(const struct port_spec *port, const struct vn_cidr *via)
{
	for (size_t i = 0; i < port->n_addresses; i++)
		if (vn_cidr_overlap(&port->addresses[i], via))
			return true;
	return false;
}

/*
 * The routes that lead through this port: those of the document, and the control network's default. With the
 * protocol that they have already: another would be a second route beside it, or no longer known as ours.
 */
static void
each_route(const struct interfaces *all, const struct port_spec *port, route_fn *fn, FILE *out)
{
	const struct task *task = all->task;

	for (int i = 0; port == task->control && !port->no_default_route && i < 2; i++) {
		struct vn_cidr any = { .family = all->gateway[i].family };

		if (any.family)
			fn(out, port->ifname, &(struct route_spec){ .to = any, .via = all->gateway[i] }, RTPROT_STATIC);
	}
	for (size_t i = 0; i < task->n_routes; i++) {
		const struct route_spec *route = &task->routes[i];
		const struct port_spec *first = NULL;

		for (size_t k = 0; !first && port_at(task, k); k++)
			if (reaches(port_at(task, k), &route->via))
				first = port_at(task, k);
		if (first == port)
			fn(out, port->ifname, route, ROUTE_PROTOCOL);
	}
}

static unsigned
mtu_of(const struct port_spec *port)
{
	return port->mtu ? port->mtu : MTU;
}

static const char *
end_text(struct vn_arena *arena, FILE *out, char **text)
{
	const char *copy;

	fclose(out);
	copy = vn_arena_strdup(arena, *text);
	free(vn_take_ptr(text));
	return copy;
}

static FILE *
begin_text(char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);

	if (!out)
		abort();
	fputs(HEAD, out);
	return out;
}

/* ---- ifupdown ---- */

static void
put_up_route(FILE *out, const char *ifname, const struct route_spec *route, unsigned protocol)
{
	char network[VN_CIDR_TEXT], next[INET6_ADDRSTRLEN];

	vn_cidr_print(&route->to, network);
	vn_cidr_print_address(&route->via, next);
	fprintf(out, "\tup ip %sroute replace %s via %s dev %s", route->to.family == AF_INET6 ? "-6 " : "",
		route->to.prefix ? network : "default", next, ifname);
	if (route->metric)
		fprintf(out, " metric %u", route->metric);
	fprintf(out, " proto %u", protocol);
	fputc('\n', out);
}

/* "manual" with commands that replace: "static" would add, and fail at what is there already. */
static const char *
print_ifupdown(const struct interfaces *all, struct vn_arena *arena)
{
	const struct port_spec *port;
	char *text = NULL, address[VN_CIDR_TEXT];
	size_t size;
	FILE *out = begin_text(&text, &size);

	for (size_t i = 0; (port = port_at(all->task, i)); i++) {
		if (!port->n_addresses)
			continue;
		fprintf(out, "\nauto %s\niface %s inet manual\n\tmtu %u\n", port->ifname, port->ifname,
			mtu_of(port));
		for (size_t k = 0; k < port->n_addresses; k++) {
			vn_cidr_print(&port->addresses[k], address);
			fprintf(out, "\tup ip addr replace %s%s dev %s\n", address,
				port->addresses[k].family == AF_INET && port->addresses[k].prefix < 31 ? " brd +"
				: "", port->ifname);
		}
		each_route(all, port, put_up_route, out);
	}
	return end_text(arena, out, &text);
}

/* ---- systemd-networkd ---- */

static void
put_route_section(FILE *out, const char *ifname, const struct route_spec *route, unsigned protocol)
{
	char network[VN_CIDR_TEXT], next[INET6_ADDRSTRLEN];

	(void)ifname;
	vn_cidr_print(&route->to, network);
	vn_cidr_print_address(&route->via, next);
	fprintf(out, "\n[Route]\nDestination=%s\nGateway=%s\n", network, next);
	if (route->metric)
		fprintf(out, "Metric=%u\n", route->metric);
	if (protocol != RTPROT_STATIC)
		fprintf(out, "Protocol=%u\n", protocol);
}

static const char *
print_networkd(const struct interfaces *all, const struct port_spec *port, struct vn_arena *arena)
{
	char *text = NULL, mac[VN_MAC_TEXT], address[VN_CIDR_TEXT];
	size_t size;
	FILE *out = begin_text(&text, &size);

	vn_mac_print(&port->mac, mac);
	fprintf(out, "[Match]\nName=%s\nMACAddress=%s\n\n[Link]\nMTUBytes=%u\n\n[Network]\nDHCP=no\n"
		"IPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\nKeepConfiguration=yes\n", port->ifname, mac,
		mtu_of(port));
	for (size_t k = 0; k < port->n_addresses; k++) {
		vn_cidr_print(&port->addresses[k], address);
		fprintf(out, "Address=%s\n", address);
	}
	each_route(all, port, put_route_section, out);
	return end_text(arena, out, &text);
}

/* ---- netplan ---- */

static void
put_yaml_route(FILE *out, const char *ifname, const struct route_spec *route, unsigned protocol)
{
	char network[VN_CIDR_TEXT], next[INET6_ADDRSTRLEN];

	(void)ifname;
	(void)protocol;		/* netplan has no word for it */
	vn_cidr_print(&route->to, network);
	vn_cidr_print_address(&route->via, next);
	fprintf(out, "        - {to: \"%s\", via: \"%s\"", network, next);
	if (route->metric)
		fprintf(out, ", metric: %u", route->metric);
	fputs("}\n", out);
}

static bool
has_routes(const struct interfaces *all, const struct port_spec *port)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	each_route(all, port, put_yaml_route, out);
	fclose(out);
	free(text);
	return size > 0;
}

static const char *
print_netplan(const struct interfaces *all, struct vn_arena *arena)
{
	const struct port_spec *port;
	char *text = NULL, address[VN_CIDR_TEXT], mac[VN_MAC_TEXT];
	size_t size, shown = 0;
	FILE *out = begin_text(&text, &size);

	fputs("network:\n  version: 2\n", out);
	for (size_t i = 0; (port = port_at(all->task, i)); i++) {
		if (!port->n_addresses)
			continue;
		vn_mac_print(&port->mac, mac);
		fprintf(out, "%s    %s:\n      match: {macaddress: \"%s\"}\n      dhcp4: false\n"
			"      dhcp6: false\n      accept-ra: false\n      mtu: %u\n      addresses:\n",
			shown++ ? "" : "  ethernets:\n", port->ifname, mac, mtu_of(port));
		for (size_t k = 0; k < port->n_addresses; k++) {
			vn_cidr_print(&port->addresses[k], address);
			fprintf(out, "        - \"%s\"\n", address);
		}
		if (has_routes(all, port))
			fputs("      routes:\n", out);
		each_route(all, port, put_yaml_route, out);
	}
	return end_text(arena, out, &text);
}

/* ---- all of them ---- */

size_t
guest_net_count(const struct task *task)
{
	return task->n_ports + 1 + 4;
}

static void
add(struct guest_files *files, const struct vnode *vnode, const char *path, const char *text, unsigned mode,
    const char *const *where)
{
	struct guest_file *file = guest_files_add(files, vnode, path, text, mode);

	if (file)
		file->where = where;
}

/* An interface that is gone, or has no address any more, must not get back what its old file says. */
static void
add_networkd(struct guest_files *files, struct task *task, const struct vnode *vnode,
	     const struct interfaces *all)
{
	struct guest_file *others = guest_files_add(files, vnode, "/etc/systemd/network/05-vnoded-", HEAD, 0);
	const struct port_spec *port;

	if (others)
		others->how = GUEST_FILE_PRUNE;
	for (size_t i = 0; (port = port_at(task, i)); i++) {
		vn_autofree char *path = vn_format("/etc/systemd/network/05-vnoded-%s.network",
						   port->ifname);

		if (port->n_addresses)
			add(files, vnode, vn_arena_strdup(&task->arena, path),
			    print_networkd(all, port, &task->arena), 0644, networkd);
	}
}

void
guest_net_add(struct guest_files *files, struct task *task, const struct vnode *vnode)
{
	struct interfaces all = { .task = task };

	if (task->control)
		vnode_control_gateways(vnode, &all.gateway[0], &all.gateway[1]);
	add(files, vnode, "/etc/network/interfaces", HEAD "auto lo\niface lo inet loopback\n\n"
	    "source /etc/network/interfaces.d/*\n", 0644, ifupdown);
	add(files, vnode, "/etc/network/interfaces.d/vnoded", print_ifupdown(&all, &task->arena), 0644,
	    ifupdown);
	add_networkd(files, task, vnode, &all);
	add(files, vnode, "/etc/netplan/99-vnoded.yaml", print_netplan(&all, &task->arena), 0600, netplan);
}
