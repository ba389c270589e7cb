/* Copies a vnode into what its job's steps need. */
#include "daemon/task.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"
#include "daemon/ways.h"

static const char *print(struct vn_arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *
print(struct vn_arena *arena, const char *format, ...)
{
	char text[PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return vn_arena_strdup(arena, text);
}

/* The address is form_address: checked by the schema. 127.0.0.1 is a fine one to listen on. */
static struct vn_cidr
host_address(const char *text)
{
	struct vn_cidr address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	address.prefix = address.family == AF_INET6 ? 128 : 32;
	if (inet_pton(address.family, text, address.byte) != 1)
		abort();
	return address;
}

struct forward_spec *
task_forwards(struct vn_arena *arena, const struct vnode *vnode, const struct doc_vnode *spec,
	      size_t *ret_count)
{
	const struct doc_forward *from = spec->forwards.items;
	struct forward_spec *forwards = vn_arena_alloc(arena, (spec->forwards.count + 1) *
						       sizeof(*forwards));

	for (size_t i = 0; i < spec->forwards.count; i++) {
		forwards[i].vmid = vnode->vmid;
		forwards[i].protocol = from[i].protocol == FORWARD_UDP ? IPPROTO_UDP : IPPROTO_TCP;
		forwards[i].host = (uint16_t)from[i].host;
		forwards[i].guest = (uint16_t)from[i].guest;
		vnode_control_addresses(vnode, &forwards[i].to4, &forwards[i].to6);
		if (from[i].address)
			forwards[i].address = host_address(from[i].address);
	}
	*ret_count = spec->forwards.count;
	return forwards;
}

struct disk_extra *
task_extras(struct vn_arena *arena, const struct doc_vnode *spec)
{
	const struct doc_extra *from = spec->extras.items;
	struct disk_extra *extras = vn_arena_alloc(arena, (spec->extras.count + 1) * sizeof(*extras));

	for (size_t i = 0; i < spec->extras.count; i++)
		extras[i] = (struct disk_extra){ .name = vn_arena_strdup(arena, from[i].key),
			.size_bytes = from[i].size_bytes, .filesystem = from[i].filesystem,
			.mount = vn_arena_strdup(arena, from[i].mount) };
	return extras;
}

static void
copy_ports(struct task *task, const struct vnode *vnode)
{
	struct vn_cidr *control = vn_arena_alloc(&task->arena, 2 * sizeof(*control));
	size_t n = 0;

	vnode_control_addresses(vnode, &control[0], &control[1]);
	if (control[0].family) {
		task->control = vn_arena_alloc(&task->arena, sizeof(*task->control));
		*task->control = (struct port_spec){ .lan = NET_CONTROL, .ifname = "eth0",
			.mac = digest_mac(vnode->uuid, 0), .addresses = control,
			.n_addresses = control[1].family ? 2 : 1, .up = true,
			.no_default_route = vnode->spec.default_route == DEFAULT_NONE };
	}
	vn_list_each(struct member, member, &vnode->members, in_vnode)
		n++;
	task->ports = vn_arena_alloc(&task->arena, (n + 1) * sizeof(*task->ports));
	vn_list_each(struct member, member, &vnode->members, in_vnode) {
		struct lan_shaping shaping;
		struct shape out, in;
		struct vn_cidr *addresses = vn_arena_alloc(&task->arena,
			(member->n_addresses + 1) * sizeof(*addresses));

		memcpy(addresses, member->addresses, member->n_addresses * sizeof(*addresses));
		shaping = shaping_now(member->lan);
		shaping_port(&shaping, member, &out, &in);
		task->ports[task->n_ports++] = (struct port_spec){ .lan = member->lan->id,
			.index = member->index,
			.ifname = vn_arena_strdup(&task->arena, member->ifname),
			.mac = member->mac, .addresses = addresses,
			.n_addresses = member->n_addresses, .mtu = lan_mtu(member->lan),
			.up = member->up && member->lan->up, .out = out, .in = in,
			.no_arp = ways_is_plain(member->lan->ways) };
	}
}

static void
copy_routes(struct task *task, const struct vnode *vnode)
{
	const struct doc_route *routes = vnode->spec.routes.items;
	struct vn_error err;

	task->n_routes = vnode->spec.routes.count;
	task->routes = vn_arena_alloc(&task->arena, (task->n_routes + 1) * sizeof(*task->routes));
	for (size_t i = 0; i < task->n_routes; i++) {
		struct route_spec *route = &task->routes[i];

		*route = (struct route_spec){ .index = PORT_ANY, .metric = (uint32_t)routes[i].metric };
		if (doc_route_read(&routes[i], &route->to, &route->via, &err) < 0)
			abort();		/* checked with the document */
	}
}

static struct ns_ref
ns_of(struct vn_arena *arena, const struct vnode *vnode)
{
	const char *run_dir = vnode->daemon->env.run_dir;

	return (struct ns_ref){ .vmid = vnode->vmid, .uuid = vn_arena_strdup(arena, vnode->uuid),
		.netns = print(arena, "%s/netns/vnoded-%lld", run_dir, (long long)vnode->vmid),
		.userns = vnode->spec.privileged ? NULL :
			  print(arena, "%s/userns/vnoded-%lld", run_dir, (long long)vnode->vmid),
		.idmap_base = vnode->idmap_base };
}

void
task_copy_network(struct task *task, const struct vnode *vnode)
{
	task->guest.ns = ns_of(&task->arena, vnode);
	copy_ports(task, vnode);
	copy_routes(task, vnode);
}

static void
copy_guest(struct task *task, const struct vnode *vnode)
{
	const struct daemon *daemon = vnode->daemon;
	struct vn_arena *arena = &task->arena;
	const char **init = NULL;
	char hostname[VN_NAME_MAX + 1];

	if (vnode->spec.init.count) {
		init = vn_arena_alloc(arena, (vnode->spec.init.count + 1) * sizeof(*init));
		for (size_t i = 0; i < vnode->spec.init.count; i++)
			init[i] = vn_arena_strdup(arena, ((const char **)vnode->spec.init.items)[i]);
	}
	hosts_name(vnode, hostname);
	task->guest = (struct guest_spec){
		.domain = vn_arena_strdup(arena, vnode->domain),
		.uuid = vn_arena_strdup(arena, vnode->uuid),
		.title = vn_arena_strdup(arena, vnode_title(vnode)),
		.hostname = vn_arena_strdup(arena, hostname),
		.ns = task->guest.ns,
		.memory_bytes = vnode->spec.memory_bytes,
		.vcpus = (unsigned)vnode->spec.vcpus,
		.pids = (unsigned)(vnode->spec.pids ? vnode->spec.pids
						    : daemon->config.pids_default),
		.init = init,
		.dir = print(arena, "%s/vnodes/%lld", daemon->env.state_dir,
			     (long long)vnode->vmid),
		.console_bytes = daemon->config.console_bytes,
	};
	task->disk_spec = (struct disk_spec){ .vmid = vnode->vmid, .uuid = task->guest.uuid,
		.image_sha256 = vn_arena_strdup(arena, vnode->image_sha256),
		.type = vnode->disk_type < 0 ? DISK_OVERLAY : vnode->disk_type,
		.size_bytes = vnode->spec.disk.size_bytes,
		.userns = task->guest.ns.userns, .idmap_base = vnode->idmap_base,
		.extras = task_extras(arena, &vnode->spec), .n_extras = vnode->spec.extras.count };
}

int
task_init(struct task *task, struct vnode *vnode, struct vn_error *err)
{
	struct daemon *daemon = vnode->daemon;
	const char *backend = vnode->spec.backend ? vnode->spec.backend
						  : daemon->config.default_backend;

	task->compute = daemon_compute(daemon, backend);
	if (!task->compute)
		return vn_fail_at(err, "/backend", VN_E_UNSUPPORTED, "no backend '%s' here",
				  backend);
	task->net = daemon->net;
	task->disk = daemon->disk;
	task->vmid = vnode->vmid;
	task->id = vnode->runtime.id;
	task->grace_ms = (unsigned)((vnode->spec.grace_ns ? vnode->spec.grace_ns
				     : daemon->config.grace_ns) / 1000000);
	task->network_stands = vnode->runtime.network &&
			       strcmp(vnode->runtime.boot_id, daemon->boot_id) == 0;
	task_copy_network(task, vnode);
	task->network_used = vnode->last_exit.at_us || vnode->runtime.id.init;
	copy_guest(task, vnode);
	task->forwards = task_forwards(&task->arena, vnode, &vnode->spec, &task->n_forwards);
	guest_files_choose(task, vnode);
	task->files_stand = strcmp(vnode->runtime.injected, task->files.digest) == 0;
	return 0;
}

void
task_fini(struct task *task)
{
	guest_files_fini(&task->files);
	vn_arena_fini(&task->arena);
}

void
task_free(void *ctx)
{
	task_fini(ctx);
	free(ctx);
}
