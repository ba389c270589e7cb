/*
 * The world as JSON. What is random or counted (uuids, pids, inodes) is left out or replaced by what
 * it should follow from, so that a history with a crash in it can be compared with one without.
 */
#include "backends/digest.h"
#include "backends/fake/model.h"

#include <stdio.h>
#include <string.h>

static json_t *
addresses_json(const struct vn_cidr *addresses, size_t count)
{
	json_t *array = json_array();
	char text[VN_CIDR_TEXT];

	for (size_t i = 0; i < count; i++) {
		vn_cidr_print(&addresses[i], text);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static void
put(json_t *section, VN_TAKES char *key, VN_TAKES json_t *value)
{
	json_object_set_new(section, key, value);
	free(key);
}

static json_t *
describe_guests(const struct world *world)
{
	json_t *section = json_object();

	vn_list_each(struct guest, guest, &world->guests, link)
		put(section, vn_strdup(guest->domain),
		    json_pack("{s:I, s:b, s:b, s:s?, s:s?, s:s, s:I, s:i, s:i}",
			      "vmid", (json_int_t)guest->vmid, "running", guest->is_running,
			      "privileged", guest->privileged, "title", guest->title,
			      "hostname", guest->hostname, "init", guest->init,
			      "memory_bytes", (json_int_t)guest->memory_bytes,
			      "vcpus", (int)guest->vcpus, "pids", (int)guest->pids));
	return section;
}

/* "10.2.0.0/16 10.1.0.2/32 0": network, next hop, metric. */
static json_t *
routes_json(const struct netns *netns)
{
	json_t *list = json_array();

	for (size_t i = 0; i < netns->n_routes; i++) {
		char to[VN_CIDR_TEXT], via[VN_CIDR_TEXT];

		vn_cidr_print(&netns->routes[i].to, to);
		vn_cidr_print(&netns->routes[i].via, via);
		json_array_append_new(list, json_sprintf("%s %s %u", to, via, netns->routes[i].metric));
	}
	return list;
}

static json_t *
describe_namespaces(const struct world *world)
{
	json_t *section = json_object();

	vn_list_each(struct netns, netns, &world->namespaces, link)
		put(section, vn_format("%lld", (long long)netns->vmid),
		    json_pack("{s:s, s:s?, s:I, s:o*}", "netns", netns->netns, "userns",
			      netns->userns, "idmap_base", (json_int_t)netns->idmap_base, "routes",
			      netns->n_routes ? routes_json(netns) : NULL));
	return section;
}

static json_t *
describe_bridges(const struct world *world)
{
	json_t *section = json_object();

	vn_list_each(struct bridge, bridge, &world->bridges, link) {
		json_t *object = json_pack("{s:i}", "mtu", (int)bridge->mtu);

		ways_describe(world, bridge, object);
		put(section, vn_format("l%lld", (long long)bridge->id), object);
	}
	return section;
}

/* "own": the one that follows from the vnode's uuid. */
static const char *
mac_word(const struct port *port, char text[static VN_MAC_TEXT])
{
	struct vn_mac own = digest_mac(port->uuid, port->index);

	if (memcmp(&own, &port->mac, sizeof(own)) == 0)
		return "own";
	vn_mac_print(&port->mac, text);
	return text;
}

static bool
is_shaped(const struct shape *shape)
{
	return shape->rate_bps || shape->delay_ns || shape->loss > 0 || shape->duplicate > 0 ||
	       shape->corrupt > 0 || shape->limit_bytes || shape->limit_packets;
}

void
describe_shape(json_t *port, const char *key, const struct shape *shape)
{
	if (is_shaped(shape))
		json_object_set_new(port, key, json_pack("{s:I, s:I, s:I, s:i, s:f, s:f, s:f, s:f, s:I, "
			"s:I}", "rate_bps", (json_int_t)shape->rate_bps, "delay_ns",
			(json_int_t)shape->delay_ns, "jitter_ns", (json_int_t)shape->jitter_ns,
			"distribution", shape->distribution, "loss", shape->loss, "duplicate",
			shape->duplicate, "corrupt", shape->corrupt, "reorder", shape->reorder,
			"limit_bytes", (json_int_t)shape->limit_bytes, "limit_packets",
			(json_int_t)shape->limit_packets));
}

static json_t *
describe_ports(const struct world *world)
{
	json_t *section = json_object();
	char mac[VN_MAC_TEXT];

	vn_list_each(struct port, port, &world->ports, link) {
		json_t *object = json_pack("{s:I, s:s, s:s, s:o, s:i, s:b}", "lan",
			(json_int_t)port->lan, "ifname", port->ifname, "mac", mac_word(port, mac),
			"addresses", addresses_json(port->addresses, port->n_addresses),
			"mtu", (int)port->mtu, "up", port->up);

		if (!port->may_send)
			json_object_set_new(object, "silenced", json_true());
		if (port->no_arp)
			json_object_set_new(object, "no_arp", json_true());
		describe_shape(object, "out", &port->out);
		describe_shape(object, "in", &port->in);
		put(section, vn_format("v%llde%u", (long long)port->vmid, port->index), object);
	}
	return section;
}

static json_t *
describe_rules(const struct vn_list *rules)
{
	json_t *section = json_object();

	vn_list_each(struct rule, rule, rules, link) {
		const struct forward_spec *forward = &rule->forward;
		char address[INET6_ADDRSTRLEN] = "*";

		if (forward->address.family != 0)
			vn_cidr_print_address(&forward->address, address);
		put(section,
		    vn_format("%s %s %u", forward->protocol == IPPROTO_UDP ? "udp" : "tcp", address,
			      forward->host),
		    json_pack("{s:I, s:i, s:o, s:o}", "vmid", (json_int_t)forward->vmid,
			      "guest", (int)forward->guest,
			      "to4", addresses_json(&forward->to4, forward->to4.family != 0),
			      "to6", addresses_json(&forward->to6, forward->to6.family != 0)));
	}
	return section;
}

static json_t *
describe_images(const struct world *world, bool is_partial)
{
	json_t *section = json_object();

	vn_list_each(struct image, image, &world->images, link)
		if (image->is_partial == is_partial)
			put(section, vn_strdup(image->sha256),
			    json_pack("{s:I, s:i, s:s}", "bytes", (json_int_t)image->facts.bytes, "format",
					      image->facts.format, "base", image->facts.base));
	return section;
}

static json_t *
describe_disks(const struct world *world)
{
	json_t *section = json_object();

	vn_list_each(struct vdisk, disk, &world->disks, link) {
		json_t *files = json_object();

		vn_list_each(struct injected, file, &disk->files, link)
			put(files, vn_strdup(file->path),
			    json_pack("[i, i]", (int)file->mode, (int)strlen(file->text)));
		put(section, vn_format("%lld", (long long)disk->vmid),
		    json_pack("{s:s, s:s, s:I, s:b, s:I, s:s?, s:o}", "image", disk->image, "type",
			      disk_type_words[disk->type], "size", (json_int_t)disk->size_bytes,
			      "privileged", disk->privileged, "idmap_base", (json_int_t)disk->idmap_base,
			      "mount", disk->mount, "files", files));
	}
	return section;
}

static json_t *
describe_extras(const struct world *world)
{
	json_t *section = json_object();

	vn_list_each(struct vextra, extra, &world->extras, link)
		put(section, vn_format("%lld/%s", (long long)extra->vmid, extra->name),
		    json_pack("{s:I, s:s, s:b}", "size", (json_int_t)extra->size_bytes, "filesystem",
			      disk_filesystem_words[extra->filesystem], "mounted", extra->is_mounted));
	return section;
}

static json_t *
describe_trash(const struct world *world)
{
	json_t *section = json_object();

	vn_list_each(struct word, trash, &world->trash, link)
		put(section, vn_strdup(trash->text), json_true());
	return section;
}

static json_t *
describe_host(const struct world *world)
{
	json_t *section = json_object();

	if (world->net_is_up)
		json_object_set_new(section, "net", json_true());
	if (world->disk_is_up)
		json_object_set_new(section, "disk", json_true());
	return section;
}

json_t *
world_describe(struct world *world)
{
	json_t *all = json_object();

	pthread_mutex_lock(&world->lock);
	json_object_set_new(all, "bridges", describe_bridges(world));
	json_object_set_new(all, "disks", describe_disks(world));
	json_object_set_new(all, "extras", describe_extras(world));
	json_object_set_new(all, "forwards", describe_rules(&world->rules));
	json_object_set_new(all, "guests", describe_guests(world));
	json_object_set_new(all, "host", describe_host(world));
	json_object_set_new(all, "images", describe_images(world, false));
	json_object_set_new(all, "namespaces", describe_namespaces(world));
	json_object_set_new(all, "partial_images", describe_images(world, true));
	json_object_set_new(all, "ports", describe_ports(world));
	json_object_set_new(all, "reservations", describe_rules(&world->reservations));
	json_object_set_new(all, "trash", describe_trash(world));
	pthread_mutex_unlock(&world->lock);
	return all;
}

char *
world_text(struct world *world)
{
	json_t *all = world_describe(world);
	char *text = json_dumps(all, JSON_SORT_KEYS | JSON_INDENT(1));

	json_decref(all);
	return text;
}

/* Takes out empty sections; what is left is what is there. */
static bool
is_all_empty(json_t *all, char *text, size_t size)
{
	vn_autofree char *dump = NULL;
	const char *key;
	json_t *section;
	void *next;
	bool is_empty;

	json_object_foreach_safe(all, next, key, section)
		if (json_object_size(section) == 0)
			json_object_del(all, key);
	is_empty = json_object_size(all) == 0;
	dump = json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT);
	if (text && size > 0)
		snprintf(text, size, "%s", is_empty ? "" : dump);
	json_decref(all);
	return is_empty;
}

bool
world_is_empty(struct world *world, char *text, size_t size)
{
	json_t *all = world_describe(world);

	json_object_del(all, "images");
	json_object_del(all, "host");
	return is_all_empty(all, text, size);
}

bool
world_is_bare(struct world *world, char *text, size_t size)
{
	return is_all_empty(world_describe(world), text, size);
}
