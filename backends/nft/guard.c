/*
 * Order of a frame: `guard` looks at what comes from a guest before the bridge learns its source, and
 * lets pass only ARP, IPv4 and IPv6 (untagged) with the port's own MAC and addresses; `inside` keeps
 * link-local groups, from which a bridge learns too, from reaching it; `between` gives a guest only
 * frames that are for it, and keeps guests apart where control_isolation says so.
 *
 * own6 holds plain integers and not ipv6_addr: so the target of a neighbour advertisement, for which
 * nftables 1.0.6 has no word, can be looked up in it too. An IPv6 packet whose transport header cannot
 * be read matches no rule about that and is dropped: the next fragment might hold a router's message.
 *
 * Deleting an element that is not there would fail, adding one that is there does not: what goes is
 * added first, in the same transaction.
 */
#include "backends/nft/guard_inner.h"

#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/nft/context.h"
#include "proto/base/mem.h"

const char *const guard_sets[] = { "macs", "own4", "own6", NULL };

static const char *const objects[] = {
	"set bridge $T macs { type ifname . ether_addr; }",
	"set bridge $T own4 { type ifname . ether_addr . ipv4_addr; }",
	"set bridge $T own6 { typeof iifname . ether saddr . @nh,64,128; }",
};

static const char *const chains[][2] = {
	{ "asks", "" },
	{ "sends4", "" },
	{ "sends6", "" },
	{ "guard",   "{ type filter hook prerouting priority -300; policy accept; }" },
	{ "inside",  "{ type filter hook input priority -200; policy accept; }" },
	{ "between", "{ type filter hook forward priority -200; policy accept; }" },
};

/* $G: the device group. In numbers: nothing depends on the names in /etc. */
static const char *const rules[] = {
	("asks arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 arp operation { 1, 2 } "
	 "iifname . arp saddr ether . arp saddr ip @own4 accept"),
	"asks drop",
	"sends4 iifname . ether saddr . ip saddr != @own4 drop",
	"sends4 udp dport 68 drop",			/* a DHCP server's answers */
	"sends4 icmp type { 5, 9 } drop",			/* redirects, router advertisements */
	"sends4 accept",
	"sends6 iifname . ether saddr . @nh,64,128 != @own6 drop",
	"sends6 icmpv6 type { 134, 137 } drop",
	"sends6 icmpv6 type 136 iifname . ether saddr . @th,64,128 != @own6 drop",
	"sends6 icmpv6 type != 255 accept",
	"sends6 udp dport != 546 accept",
	"sends6 frag frag-off != 0 accept",		/* the rest of what has been looked at */
	"sends6 meta l4proto != { 17, 58 } accept",
	"sends6 drop",
	"guard iifgroup < $G accept",
	"guard iifname . ether saddr != @macs drop",
	"guard ether type vmap { 0x0806 : goto asks, 0x0800 : goto sends4, 0x86dd : goto sends6 }",
	"guard drop",
	"inside iifgroup >= $G drop",
	"between oifgroup >= $G ether daddr & 01:00:00:00:00:00 == 0 oifname . ether daddr != @macs drop",
};

static const char isolation[] = "between iifgroup >= $G oifgroup >= $G drop";

struct guard *
guard_new(const struct backend_env *env)
{
	struct guard *guard = vn_alloc(sizeof(*guard));

	guard->nat.env = env;
	return guard;
}

static void
close_context(struct guard *guard)
{
	if (guard->nat.context)
		nft_ctx_free(guard->nat.context);
	guard->nat.context = NULL;
}

void
guard_free(struct guard *guard)
{
	if (!guard)
		return;
	close_context(guard);
	free(guard->nat.expected);
	free(guard->ports);
	free(guard);
}

int
guard_open(struct guard *guard, struct vn_error *err)
{
	int result = 0;

	pthread_mutex_lock(&nat_lock);
	if (!guard->nat.context)
		result = context_open(&guard->nat.context, err);
	pthread_mutex_unlock(&nat_lock);
	return result;
}

bool
guard_is_open(struct guard *guard)
{
	bool is_open;

	pthread_mutex_lock(&nat_lock);
	is_open = guard->nat.context;
	pthread_mutex_unlock(&nat_lock);
	return is_open;
}

void
guard_forget(struct guard *guard, bool all)
{
	pthread_mutex_lock(&nat_lock);
	close_context(guard);
	if (all)
		guard->n_ports = 0;
	pthread_mutex_unlock(&nat_lock);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void
add_filled(struct commands *commands, const struct guard *guard, const char *template)
{
	for (const char *at = template; *at; at++) {
		if (*at != '$')
			commands_add(commands, "%c", *at);
		else if (*++at == 'T')
			commands_add(commands, "%s", guard->nat.env->nft_table);
		else
			commands_add(commands, "%u", GUARD_GROUP);
	}
	commands_add(commands, "\n");
}

void
guard_add_table(struct commands *commands, const struct guard *guard)
{
	const char *table = guard->nat.env->nft_table;

	commands_add(commands, "add table bridge %s\n", table);
	for (size_t i = 0; i < VN_COUNT(objects); i++) {
		commands_add(commands, "add ");
		add_filled(commands, guard, objects[i]);
	}
	for (size_t i = 0; i < VN_COUNT(chains); i++) {
		commands_add(commands, "add chain bridge %s %s %s\n", table, chains[i][0],
			     chains[i][1]);
		commands_add(commands, "flush chain bridge %s %s\n", table, chains[i][0]);
	}
	for (size_t i = 0; i < VN_COUNT(rules); i++) {
		commands_add(commands, "add rule bridge %s ", table);
		add_filled(commands, guard, rules[i]);
	}
	if (!guard->nat.env->control_isolation)
		return;
	commands_add(commands, "add rule bridge %s ", table);
	add_filled(commands, guard, isolation);
}

/* ---- elements -------------------------------------------------------------------------------- */

static void
print_own6(char text[static 80], const char *name, const char *mac, const uint8_t address[16])
{
	size_t length = (size_t)snprintf(text, 80, "%s . %s . 0x", name, mac);

	for (int i = 0; i < 16; i++)
		length += (size_t)snprintf(text + length, 80 - length, "%02x", address[i]);
}

void
guard_print_elements(const struct guard_port *port, struct element_text *ret)
{
	const uint8_t *m = port->mac.byte;
	const uint8_t link_local[16] = { 0xfe, 0x80, [8] = m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4],
					 m[5] };
	char mac[VN_MAC_TEXT], address[INET6_ADDRSTRLEN];

	*ret = (struct element_text){ 0 };
	vn_mac_print(&port->mac, mac);
	snprintf(ret->macs, sizeof(ret->macs), "%s . %s", port->name, mac);
	if (port->own4.family) {
		vn_cidr_print_address(&port->own4, address);
		snprintf(ret->own4, sizeof(ret->own4), "%s . %s . %s", port->name, mac, address);
	}
	print_own6(ret->own6[0], port->name, mac, link_local);
	if (port->own6.family)
		print_own6(ret->own6[1], port->name, mac, port->own6.byte);
}

/* One command for each set; verb: "add" or "delete". */
static void
command_elements(struct commands *commands, const struct guard *guard, const char *verb,
		 const struct guard_port *ports, size_t count)
{
	struct commands lists[3] = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct element_text text;

		guard_print_elements(&ports[i], &text);
		commands_add(&lists[0], " %s,", text.macs);
		if (*text.own4)
			commands_add(&lists[1], " %s,", text.own4);
		for (int k = 0; k < 2; k++)
			if (*text.own6[k])
				commands_add(&lists[2], " %s,", text.own6[k]);
	}
	for (int set = 0; set < 3; set++) {
		if (lists[set].length)
			commands_add(commands, "%s element bridge %s %s {%s }\n", verb,
				     guard->nat.env->nft_table, guard_sets[set], lists[set].text);
		free(lists[set].text);
	}
}

static void
command_remove(struct commands *commands, const struct guard *guard, const struct guard_port *ports,
	       size_t count)
{
	command_elements(commands, guard, "add", ports, count);
	command_elements(commands, guard, "delete", ports, count);
}

/* ---- what should be there -------------------------------------------------------------------- */

static struct guard_port *
find(const struct guard *guard, const char *name)
{
	for (size_t i = 0; i < guard->n_ports; i++)
		if (strcmp(guard->ports[i].name, name) == 0)
			return &guard->ports[i];
	return NULL;
}

static void
note(struct guard *guard, const struct guard_port *port)
{
	struct guard_port *known = find(guard, port->name);

	if (!known) {
		guard->ports = vn_realloc_array(guard->ports, guard->n_ports + 1,
						sizeof(*guard->ports));
		known = &guard->ports[guard->n_ports++];
	}
	*known = *port;
}

static void
strike(struct guard *guard, const char *name)
{
	struct guard_port *known = find(guard, name);

	if (known)
		*known = guard->ports[--guard->n_ports];
}

static bool
is_same(const struct guard_port *a, const struct guard_port *b)
{
	return memcmp(&a->mac, &b->mac, sizeof(a->mac)) == 0 && a->own4.family == b->own4.family &&
	       memcmp(a->own4.byte, b->own4.byte, sizeof(a->own4.byte)) == 0 &&
	       a->own6.family == b->own6.family &&
	       memcmp(a->own6.byte, b->own6.byte, sizeof(a->own6.byte)) == 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

/* A table of another version of ours may refuse what is added to it: then it is replaced. */
static int
write_table(struct guard *guard, struct vn_error *err)
{
	const char *table = guard->nat.env->nft_table;
	struct commands commands = { 0 }, replace = { 0 };
	int result;

	guard_add_table(&commands, guard);
	command_elements(&commands, guard, "add", guard->ports, guard->n_ports);
	result = context_run(&guard->nat, commands.text, "guard the control network", err);
	if (result < 0) {
		commands_add(&replace, "add table bridge %s\ndelete table bridge %s\n%s", table, table,
			     commands.text);
		result = context_run(&guard->nat, replace.text, "guard the control network (the kernel "
				     "must have CONFIG_NF_TABLES_BRIDGE)", err);
	}
	free(commands.text);
	free(replace.text);
	return result;
}

/* With the lock held. Assumes the table as we left it; where it is not, makes it anew and tries again. */
static int
run(struct guard *guard, const char *text, const char *what, struct vn_error *err)
{
	if (!guard->nat.context)
		return vn_fail(err, VN_E_NOT_FOUND, "%s: the fabric is not up", what);
	if (context_run(&guard->nat, text, what, err) == 0)
		return 0;
	return write_table(guard, err) < 0 ? -1 : context_run(&guard->nat, text, what, err);
}

/* Once it is known what the sets should hold, what else is in them goes, in the same transaction. */
static int
flush_and_write(struct guard *guard, struct vn_error *err)
{
	struct commands commands = { 0 };
	struct vn_error ignored = { 0 };
	int result = -1;

	for (int set = 0; guard->n_ports && guard_sets[set]; set++)
		commands_add(&commands, "flush set bridge %s %s\n", guard->nat.env->nft_table,
			     guard_sets[set]);
	guard_add_table(&commands, guard);
	command_elements(&commands, guard, "add", guard->ports, guard->n_ports);
	if (guard->n_ports)
		result = context_run(&guard->nat, commands.text, "guard the control network", &ignored);
	free(commands.text);
	return result < 0 ? write_table(guard, err) : 0;
}

int
guard_up(struct guard *guard, struct vn_error *err)
{
	int result;

	pthread_mutex_lock(&nat_lock);
	result = flush_and_write(guard, err);
	pthread_mutex_unlock(&nat_lock);
	return result;
}

int
guard_set(struct guard *guard, const struct guard_port *ports, size_t count, struct vn_error *err)
{
	struct commands commands = { 0 };
	int result;

	if (count == 0)
		return 0;
	pthread_mutex_lock(&nat_lock);
	for (size_t i = 0; i < count; i++) {
		const struct guard_port *known = find(guard, ports[i].name);

		if (known && !is_same(known, &ports[i]))
			command_remove(&commands, guard, known, 1);
	}
	command_elements(&commands, guard, "add", ports, count);
	result = run(guard, commands.text, "guard control ports", err);
	for (size_t i = 0; result == 0 && i < count; i++)
		note(guard, &ports[i]);
	pthread_mutex_unlock(&nat_lock);
	free(commands.text);
	return result;
}

int
guard_remove(struct guard *guard, const char (*names)[16], size_t count, struct vn_error *err)
{
	struct commands commands = { 0 };
	int result = 0;

	pthread_mutex_lock(&nat_lock);
	for (size_t i = 0; i < count; i++)
		if (find(guard, names[i]))
			command_remove(&commands, guard, find(guard, names[i]), 1);
	if (commands.length)
		result = run(guard, commands.text, "take the guard from control ports", err);
	for (size_t i = 0; result == 0 && i < count; i++)
		strike(guard, names[i]);
	pthread_mutex_unlock(&nat_lock);
	free(commands.text);
	return result;
}

int
guard_sync(struct guard *guard, const struct guard_port *ports, size_t count, struct vn_error *err)
{
	const char *table = guard->nat.env->nft_table;
	struct commands commands = { 0 };
	int result;

	commands_add(&commands, "flush set bridge %s macs\nflush set bridge %s own4\n"
		     "flush set bridge %s own6\n", table, table, table);
	command_elements(&commands, guard, "add", ports, count);
	pthread_mutex_lock(&nat_lock);
	result = run(guard, commands.text, "set the guard of control ports", err);
	if (result == 0)
		guard->n_ports = 0;
	for (size_t i = 0; result == 0 && i < count; i++)
		note(guard, &ports[i]);
	pthread_mutex_unlock(&nat_lock);
	free(commands.text);
	return result;
}
