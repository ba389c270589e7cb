/*
 * A foreign hand: what someone does on the machine with ip, tc, nft and umount, in one line of words. A row a
 * deed; nothing here is a call of a daemon, so nothing is counted, refused or logged.
 */
#include "backends/fake/model.h"

#include <stdio.h>
#include <string.h>

struct meddling {
	struct world *world;
	int64_t id;			/* number after the object's letter */
	unsigned index;
	const char *word;		/* what follows the deed; "" */
};

/* False: there is no such thing. */
typedef bool deed_fn(const struct meddling *m);

static uint64_t
number(const struct meddling *m)
{
	return strtoull(m->word, NULL, 10);
}

static struct port *
port_of(const struct meddling *m)
{
	return port_find(m->world, m->id, m->index);
}

#define PORT_DEED(name, change)                                                                    \
	static bool                                                                                \
	name(const struct meddling *m)                                                             \
	{                                                                                          \
		struct port *port = port_of(m);                                                    \
                                                                                                   \
		if (!port)                                                                         \
			return false;                                                              \
		change;                                                                            \
		return true;                                                                       \
	}

PORT_DEED(port_del, port_free(port))
PORT_DEED(port_up, port->up = number(m) != 0)
PORT_DEED(port_mtu, port->mtu = (unsigned)number(m))
PORT_DEED(port_bridge, port->lan = strtoll(m->word, NULL, 10))
PORT_DEED(port_mac, port->mac.byte[5] ^= 1)
PORT_DEED(port_strip, port->n_addresses = 0)
PORT_DEED(port_rate, port->out.rate_bps = number(m))
PORT_DEED(port_delay, port->out.delay_ns = number(m))
PORT_DEED(port_loss, port->out.loss = strtod(m->word, NULL))
PORT_DEED(port_in_rate, port->in.rate_bps = number(m))

static bool
port_name(const struct meddling *m)
{
	struct port *port = port_of(m);

	if (!port)
		return false;
	free(port->ifname);
	port->ifname = vn_strdup(m->word);
	return true;
}

static bool
port_address(const struct meddling *m)
{
	struct port *port = port_of(m);
	struct vn_error err;
	struct vn_cidr cidr;

	if (!port || vn_cidr_parse(m->word, &cidr, &err) < 0)
		return false;
	port->addresses = vn_realloc_array(port->addresses, port->n_addresses + 1,
					   sizeof(*port->addresses));
	port->addresses[port->n_addresses++] = cidr;
	return true;
}

/* With our tag, as an earlier life may have left it; word: the uuid. */
static bool
port_new(const struct meddling *m)
{
	struct port *port = vn_alloc(sizeof(*port));

	*port = (struct port){ .vmid = m->id, .index = m->index, .lan = -1, .mtu = 1500 };
	port->uuid = vn_strdup(m->word);
	port->ifname = vn_strdup("left");
	vn_list_append(&m->world->ports, &port->link);
	return true;
}

static bool
bridge_del(const struct meddling *m)
{
	struct bridge *bridge = bridge_find(m->world, m->id);

	if (!bridge)
		return false;
	bridge_free(bridge);
	vn_list_each(struct port, port, &m->world->ports, link)
		if (port->lan == m->id)
			port->lan = -1;
	return true;
}

static bool
bridge_mtu(const struct meddling *m)
{
	struct bridge *bridge = bridge_find(m->world, m->id);

	if (bridge)
		bridge->mtu = (unsigned)number(m);
	return bridge;
}

static bool
bridge_new(const struct meddling *m)
{
	struct bridge *bridge = vn_alloc(sizeof(*bridge));

	*bridge = (struct bridge){ .id = m->id, .uuid = vn_strdup(m->word), .mtu = 1500 };
	vn_list_append(&m->world->bridges, &bridge->link);
	return true;
}

static bool
netns_del(const struct meddling *m)
{
	struct netns *netns = netns_find(m->world, m->id);

	if (!netns)
		return false;
	netns_free(netns);
	ports_free(m->world, m->id);
	return true;
}

static bool
routes_del(const struct meddling *m)
{
	struct netns *netns = netns_find(m->world, m->id);

	if (!netns || !netns->n_routes)
		return false;
	netns->n_routes = 0;
	return true;
}

struct rule *
rule_find(struct world *world, int protocol, uint16_t host)
{
	vn_list_each(struct rule, rule, &world->rules, link)
		if (rule->forward.protocol == protocol && rule->forward.host == host)
			return rule;
	return NULL;
}

static bool
forward_del(const struct meddling *m)
{
	struct rule *rule = rule_find(m->world, IPPROTO_TCP, (uint16_t)m->id);

	if (!rule)
		return false;
	vn_list_remove(&rule->link);
	free(rule);
	return true;
}

static bool
forward_guest(const struct meddling *m)
{
	struct rule *rule = rule_find(m->world, IPPROTO_TCP, (uint16_t)m->id);

	if (rule)
		rule->forward.guest = (uint16_t)number(m);
	return rule;
}

static bool
forward_new(const struct meddling *m)
{
	struct rule *rule = vn_alloc(sizeof(*rule));

	rule->forward = (struct forward_spec){ .protocol = IPPROTO_TCP, .host = (uint16_t)m->id,
					       .guest = (uint16_t)number(m) };
	vn_list_append(&m->world->rules, &rule->link);
	return true;
}

static bool
disk_unmount(const struct meddling *m)
{
	struct vdisk *disk = disk_find(m->world, m->id);

	if (!disk || !disk->mount)
		return false;
	free(vn_take_ptr(&disk->mount));
	return true;
}

static bool
disk_mount(const struct meddling *m)
{
	struct vdisk *disk = disk_find(m->world, m->id);

	if (!disk || disk->mount)
		return false;
	disk->mount = vn_strdup("/somewhere");
	return true;
}

/* libvirt has lost the domain; its processes live. */
static bool
guest_hide(const struct meddling *m)
{
	struct guest *guest = guest_by_vmid(m->world, m->id);

	if (!guest)
		return false;
	guest->is_hidden = !guest->is_hidden;
	return true;
}

static bool
uplink_down(const struct meddling *m)
{
	m->world->uplink_is_down = true;
	return true;
}

/* Someone sets what is set already. */
static bool
uplink_touch(const struct meddling *m)
{
	(void)m;
	return true;
}

static const struct {
	char letter;			/* v: port, l: LAN, n: namespaces, f: forward, d: disk, g: guest, u: uplink */
	const char *deed;
	deed_fn *fn;
} deeds[] = {
	{ 'v', "del", port_del }, { 'v', "up", port_up }, { 'v', "mtu", port_mtu },
	{ 'v', "bridge", port_bridge }, { 'v', "mac", port_mac }, { 'v', "name", port_name },
	{ 'v', "address", port_address }, { 'v', "strip", port_strip }, { 'v', "rate", port_rate },
	{ 'v', "delay", port_delay }, { 'v', "loss", port_loss }, { 'v', "in-rate", port_in_rate },
	{ 'v', "new", port_new },
	{ 'l', "del", bridge_del }, { 'l', "mtu", bridge_mtu }, { 'l', "new", bridge_new },
	{ 'n', "del", netns_del }, { 'n', "unroute", routes_del },
	{ 'f', "del", forward_del }, { 'f', "guest", forward_guest }, { 'f', "new", forward_new },
	{ 'd', "unmount", disk_unmount }, { 'd', "mount", disk_mount },
	{ 'g', "hide", guest_hide },
	{ 'u', "down", uplink_down }, { 'u', "touch", uplink_touch },
};

bool
world_meddle(struct world *world, const char *text)
{
	struct meddling m = { .world = world };
	char letter = text[0], deed[16] = "", word[64] = "";
	bool done = false;
	int end = 0;

	sscanf(text + 1, "%ld%n", &m.id, &end);
	if (text[1 + end] == 'e')
		m.index = (unsigned)strtoul(text + 2 + end, NULL, 10);
	sscanf(text, "%*s %15s %63s", deed, word);
	m.word = word;
	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < VN_COUNT(deeds); i++)
		if (deeds[i].letter == letter && strcmp(deeds[i].deed, deed) == 0)
			done = deeds[i].fn(&m);
	if (done)
		net_tell_change(world);
	pthread_mutex_unlock(&world->lock);
	return done;
}
