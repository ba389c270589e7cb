/*
 * The table is written anew each time: in one transaction the chains are flushed and filled, and
 * what is there already (table, maps, chains) is left by "add". No packet sees a half of it.
 *
 * Order of a packet: `guard` drops what pretends to be loopback on the uplink (route_localnet lets
 * it in); `inward` and `local` look the port up in the maps; `outward` gives a source address to
 * what leaves the host, to forwards of 127.0.0.1, and to a vnode that talks to its own or another
 * vnode by the host's address (the answer must come back through the host). ::1 is left alone: the
 * kernel lets it out of no interface, so a client would hang there instead of trying 127.0.0.1.
 */
#include "backends/nft/table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

const char *const table_map_names[MAP_COUNT] = { "any4", "any6", "at4", "at6" };

/* In all of these: $T table, $I instance, $U uplink, $4 and $6 the control networks. */
static const char *const objects[] = {
	"table inet $T",
	"set inet $T owner-$I { type mark; }",
	"map inet $T any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }",
	"map inet $T any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }",
	"map inet $T at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }",
	"map inet $T at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }",
	"set inet $T except4 { type ipv4_addr; flags interval; }",
	"set inet $T except6 { type ipv6_addr; flags interval; }",
};

static const char *const chains[][2] = {
	{ "forwards", "" },
	{ "guard",    "{ type filter hook prerouting priority -300; policy accept; }" },
	{ "inward",   "{ type nat hook prerouting priority -100; policy accept; }" },
	{ "local",    "{ type nat hook output priority -100; policy accept; }" },
	{ "between",  "{ type filter hook forward priority 0; policy accept; }" },
	{ "silence",  "{ type filter hook output priority 0; policy accept; }" },
	{ "outward",  "{ type nat hook postrouting priority 100; policy accept; }" },
};

static const char *const rules[] = {
	"forwards dnat ip to ip daddr . meta l4proto . th dport map @at4",
	"forwards dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6",
	"forwards meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4",
	"forwards meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6",
	"guard iifname \"$U\" ip daddr 127.0.0.0/8 drop",
	"guard iifname \"$U\" ip saddr 127.0.0.0/8 drop",
	"inward meta l4proto { 6, 17 } fib daddr type local jump forwards",
	"local ip6 daddr ::1 return",
	"local meta l4proto { 6, 17 } fib daddr type local jump forwards",
	"silence oifname \"$U\" icmp type redirect drop",
	"silence oifname \"$U\" icmpv6 type nd-redirect drop",
	"outward oifname \"$U\" ct status dnat ip saddr { 127.0.0.0/8, $4 } masquerade",
	"outward oifname \"$U\" ct status dnat ip6 saddr $6 masquerade",
	"outward oifname != { \"$U\", \"lo\" } ip saddr $4 ip daddr != @except4 masquerade",
	"outward oifname != { \"$U\", \"lo\" } ip6 saddr $6 ip6 daddr != @except6 masquerade",
};

/* From vnode to vnode through the host: what the guard in the fabric keeps apart would meet here. */
static const char *const isolation[] = {
	"between iifname \"$U\" oifname \"$U\" ct status dnat accept",
	"between iifname \"$U\" oifname \"$U\" drop",
};

/* Appends a template with its $ names filled in. */
static void
add_filled(struct commands *commands, const struct nat *nat, const char *template)
{
	char control4[VN_CIDR_TEXT], control6[VN_CIDR_TEXT];

	vn_cidr_print(&nat->env->control4, control4);
	vn_cidr_print(&nat->env->control6, control6);
	for (const char *at = template; *at; at++) {
		if (*at != '$') {
			commands_add(commands, "%c", *at);
			continue;
		}
		switch (*++at) {
		case 'T': commands_add(commands, "%s", nat->env->nft_table); break;
		case 'I': commands_add(commands, "%s", nat->env->instance); break;
		case 'U': commands_add(commands, "%s", nat->uplink); break;
		case '4': commands_add(commands, "%s", control4); break;
		case '6': commands_add(commands, "%s", control6); break;
		}
	}
	commands_add(commands, "\n");
}

static void
add_rules(struct commands *commands, const struct nat *nat, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		commands_add(commands, "add rule inet %s ", nat->env->nft_table);
		add_filled(commands, nat, list[i]);
	}
}

/* A set of intervals takes no network that lies in another one. */
static bool
is_covered(const struct backend_env *env, size_t at)
{
	const struct vn_cidr *one = &env->nat_except[at];

	for (size_t i = 0; i < env->n_nat_except; i++) {
		const struct vn_cidr *other = &env->nat_except[i];

		if (i != at && vn_cidr_overlap(one, other) &&
		    (other->prefix < one->prefix || (other->prefix == one->prefix && i < at)))
			return true;
	}
	return false;
}

static void
add_exceptions(struct commands *commands, const struct nat *nat)
{
	const struct backend_env *env = nat->env;
	char text[VN_CIDR_TEXT];

	commands_add(commands, "flush set inet %s except4\nflush set inet %s except6\n", env->nft_table,
		     env->nft_table);
	for (size_t i = 0; i < env->n_nat_except; i++) {
		if (is_covered(env, i))
			continue;
		vn_cidr_print(&env->nat_except[i], text);
		commands_add(commands, "add element inet %s except%d { %s }\n", env->nft_table,
			     env->nat_except[i].family == AF_INET ? 4 : 6, text);
	}
}

static void
add_all(struct commands *commands, const struct nat *nat)
{
	const char *table = nat->env->nft_table;

	for (size_t i = 0; i < VN_COUNT(objects); i++) {
		commands_add(commands, "add ");
		add_filled(commands, nat, objects[i]);
	}
	for (size_t i = 0; i < VN_COUNT(chains); i++) {
		commands_add(commands, "add chain inet %s %s %s\n", table, chains[i][0], chains[i][1]);
		commands_add(commands, "flush chain inet %s %s\n", table, chains[i][0]);
	}
	add_exceptions(commands, nat);
	add_rules(commands, nat, rules, VN_COUNT(rules));
	if (nat->env->control_isolation)
		add_rules(commands, nat, isolation, VN_COUNT(isolation));
}

/* ---- ownership ------------------------------------------------------------------------------- */

/* Whether a list names an object of `kind` with that name in our table (or as our table). */
static bool
holds(json_t *list, const char *kind, const char *table, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		json_t *object = json_object_get(item, kind);
		const char *family = json_string_value(json_object_get(object, "family"));
		const char *called = json_string_value(json_object_get(object, "name"));
		const char *in = json_string_value(json_object_get(object, "table"));

		if (family && called && strcmp(family, "inet") == 0 && strcmp(called, name) == 0 &&
		    (!table || (in && strcmp(in, table) == 0)))
			return true;
	}
	return false;
}

int
table_look(struct nat *nat, enum table_state *ret, struct vn_error *err)
{
	vn_autofree char *owner = vn_format("owner-%s", nat->env->instance);
	vn_autofree char *sets = vn_format("list sets table inet %s", nat->env->nft_table);
	json_t *list;
	bool there;

	if (context_query(nat, "list tables inet", false, &list, err) < 0)
		return -1;
	there = holds(list, "table", NULL, nat->env->nft_table);
	json_decref(list);
	*ret = TABLE_ABSENT;
	if (!there)
		return 0;
	if (context_query(nat, sets, false, &list, err) < 0)
		return -1;
	*ret = holds(list, "set", nat->env->nft_table, owner) ? TABLE_OURS : TABLE_FOREIGN;
	json_decref(list);
	return 0;
}

static int
refuse_foreign(const struct nat *nat, struct vn_error *err)
{
	return vn_fail(err, VN_E_EXISTS,
		       "the host has a foreign nftables table 'inet %s': remove it or set another "
		       "nft_table", nat->env->nft_table);
}

/* A table of another version of ours may hold chains that "add" refuses: then it is replaced. */
static int
write_table(struct nat *nat, bool is_there, struct vn_error *err)
{
	struct commands mend = { 0 }, replace = { 0 };
	int result;

	add_all(&mend, nat);
	result = context_run(nat, mend.text, "write the nftables table", err);
	if (result < 0 && is_there) {
		commands_add(&replace, "delete table inet %s\n%s", nat->env->nft_table, mend.text);
		result = context_run(nat, replace.text, "replace the nftables table", err);
	}
	free(mend.text);
	free(replace.text);
	return result;
}

int
table_expected(const struct nat *nat, char **ret, struct vn_error *err)
{
	vn_autofree char *list = vn_format("list table inet %s", nat->env->nft_table);
	struct commands commands = { 0 };
	int result;

	add_all(&commands, nat);
	result = context_rehearse(nat, commands.text, list, ret, err);
	free(commands.text);
	return result;
}

int
table_ensure(struct nat *nat, struct vn_error *err)
{
	enum table_state state;

	if (table_look(nat, &state, err) < 0)
		return -1;
	if (state == TABLE_FOREIGN)
		return refuse_foreign(nat, err);
	return state == TABLE_OURS ? 0 : write_table(nat, false, err);
}

int
nat_up(struct nat *nat, struct vn_error *err)
{
	enum table_state state = TABLE_ABSENT;
	int result;

	pthread_mutex_lock(&nat_lock);
	result = table_look(nat, &state, err);
	if (result == 0 && state == TABLE_FOREIGN)
		result = refuse_foreign(nat, err);
	else if (result == 0)
		result = write_table(nat, state == TABLE_OURS, err);
	pthread_mutex_unlock(&nat_lock);
	return result;
}

int
nat_down(struct nat *nat, struct vn_error *err)
{
	vn_autofree char *command = vn_format("delete table inet %s", nat->env->nft_table);
	enum table_state state;
	int result;

	pthread_mutex_lock(&nat_lock);
	result = table_look(nat, &state, err);
	if (result == 0 && state == TABLE_OURS)
		result = context_run(nat, command, "delete the nftables table", err);
	pthread_mutex_unlock(&nat_lock);
	return result;
}
