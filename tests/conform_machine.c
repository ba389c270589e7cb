/* Opens and closes what the conformance cases work on, and fills the vnode they play with. */
#include "tests/conform.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "backends/digest.h"

#define LIMIT_MS 20000			/* a net for broken code */

static void
on_exit_told(void *arg, const char *uuid, const struct guest_exit *exit)
{
	struct machine *machine = arg;

	machine->has_exited = true;
	machine->exits++;
	machine->exit = *exit;
	snprintf(machine->exited, sizeof(machine->exited), "%s", uuid);
}

static void
on_link_told(void *arg, bool up, const char *text)
{
	(void)arg, (void)up, (void)text;
}

static void
open_backends(struct machine *machine)
{
	const struct rig *rig = machine->rig;
	const struct compute_events events = { machine, on_exit_told, on_link_told };
	struct vn_error err;

	if (rig->net)
		ck_assert_msg(rig->net->open(&machine->env, &machine->net, &err) == 0,
			      "%s", err.text);
	if (rig->disk)
		ck_assert_msg(rig->disk->open(&machine->env, &machine->disk, &err) == 0,
			      "%s", err.text);
	if (rig->fetch)
		ck_assert_msg(rig->fetch->open(&machine->env, &machine->fetcher, &err) == 0, "%s",
			      err.text);
	if (rig->compute)
		ck_assert_msg(rig->compute->open(&machine->env, &events, &machine->compute, &err) == 0,
			      "%s", err.text);
}

static void
close_backends(struct machine *machine)
{
	const struct rig *rig = machine->rig;

	if (rig->compute)
		rig->compute->close(machine->compute);
	if (rig->fetch)
		rig->fetch->close(machine->fetcher);
	if (rig->disk)
		rig->disk->close(machine->disk);
	if (rig->net)
		rig->net->close(machine->net);
}

void
machine_open(struct machine *machine, const struct rig *rig)
{
	struct vn_error err;

	*machine = (struct machine){ .rig = rig, .loop = mini_loop_new() };
	machine->env.watch = mini_loop_ops(machine->loop);
	rig->open(machine);
	open_backends(machine);
	if (machine->net)
		ck_assert_msg(rig->net->host_up(machine->net, &err) == 0, "%s", err.text);
	if (machine->disk)
		ck_assert_msg(rig->disk->host_up(machine->disk, &err) == 0, "%s", err.text);
}

void
machine_close(struct machine *machine)
{
	struct vn_error err;

	if (machine->net)
		ck_assert_msg(machine->net->ops->host_down(machine->net, &err) == 0,
			      "%s", err.text);
	if (machine->disk)
		ck_assert_msg(machine->disk->ops->host_down(machine->disk, &err) == 0,
			      "%s", err.text);
	close_backends(machine);
	ck_assert_uint_eq(mini_loop_watches(machine->loop), 0);
	machine->rig->close(machine);
	mini_loop_free(machine->loop);
}

void
machine_reopen(struct machine *machine)
{
	close_backends(machine);
	open_backends(machine);
}

void
machine_run(struct machine *machine, const bool *done)
{
	ck_assert_msg(mini_loop_run(machine->loop, done, LIMIT_MS), "what was awaited never came");
}

static void
set_true(void *arg)
{
	*(bool *)arg = true;
}

/* Twice: what runs may post once more. */
void
machine_settle(struct machine *machine)
{
	for (int i = 0; i < 2; i++) {
		bool done = false;

		machine->env.watch->post(machine->env.watch->loop, set_true, &done);
		machine_run(machine, &done);
	}
}

static struct vn_cidr
cidr(int family, const char *text, uint8_t prefix)
{
	struct vn_cidr cidr = { .family = family, .prefix = prefix };

	ck_assert_int_eq(inet_pton(family, text, cidr.byte), 1);
	return cidr;
}

static void
fill_net(struct subject *s, int64_t vmid)
{
	char text[32];

	snprintf(text, sizeof(text), "198.18.0.%lld", (long long)vmid + 1);
	s->addresses[0] = cidr(AF_INET, text, 16);
	s->addresses[1] = cidr(AF_INET6, "fd01::2", 64);
	s->lan = (struct lan_spec){ 1, "11111111-1111-4111-8111-111111111111", 1500 };
	s->ports[0] = (struct port_spec){ .lan = NET_CONTROL, .index = 0, .ifname = "eth0",
		.mac = digest_mac(s->uuid, 0), .addresses = &s->addresses[0], .n_addresses = 1,
		.up = true };
	s->ports[1] = (struct port_spec){ .lan = 1, .index = 1, .ifname = "eth1",
		.mac = digest_mac(s->uuid, 1), .addresses = &s->addresses[1], .n_addresses = 1,
		.up = true };
	s->forward = (struct forward_spec){ .vmid = vmid, .protocol = IPPROTO_TCP,
		.host = (uint16_t)(42200 + vmid), .guest = 22, .to4 = s->addresses[0] };
}

void
subject_init(struct subject *s, const struct machine *machine, int64_t vmid)
{
	const struct backend_env *env = &machine->env;

	*s = (struct subject){ 0 };
	snprintf(s->uuid, sizeof(s->uuid), "22222222-2222-4222-8222-%012lld", (long long)vmid);
	snprintf(s->domain, sizeof(s->domain), "vnoded-%.8s-%lld", env->instance, (long long)vmid);
	snprintf(s->netns, sizeof(s->netns), "%s/netns/vnoded-%lld", env->run_dir, (long long)vmid);
	snprintf(s->userns, sizeof(s->userns), "%s/userns/vnoded-%lld", env->run_dir, (long long)vmid);
	snprintf(s->dir, sizeof(s->dir), "%s/vnodes/%lld", env->state_dir, (long long)vmid);
	s->ns = (struct ns_ref){ vmid, s->uuid, s->netns, s->userns, 1u << 20 };
	s->disk = (struct disk_spec){ .vmid = vmid, .uuid = s->uuid, .image_sha256 = machine->sha256,
		.userns = s->userns, .idmap_base = 1u << 20 };
	s->guest = (struct guest_spec){ .domain = s->domain, .uuid = s->uuid, .title = "t/subject",
		.hostname = "subject", .root = s->root, .ns = s->ns, .memory_bytes = 64 << 20,
		.vcpus = 1, .dir = s->dir, .console_bytes = 65536 };
	fill_net(s, vmid);
}
