/* Several addresses of an interface: their order, and changes while the guest uses them. */
#include "tests/host/net_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

#define MOST 6

static struct vn_cidr list[MOST];

/* Gives eth1 of vnode 1 these; ends with NULL. */
static void
give(const char *first, ...)
{
	va_list args;

	one.ports[1].addresses = list;
	one.ports[1].n_addresses = 0;
	va_start(args, first);
	for (const char *text = first; text; text = va_arg(args, const char *))
		list[one.ports[1].n_addresses++] = cidr(text);
	va_end(args);
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
}

/* What eth1 has, in the kernel's order, link-local addresses left out. */
static void
check_has(const char *wanted)
{
	char found[4096];

	shell_into(found, sizeof(found), "nsenter --net=" BASE "/run/netns/vnoded-1 sh -c 'ip -o addr show "
		   "dev eth1 scope global' | sed -E 's/.*inet6? ([^ ]+) .*/\\1/' | tr '\\n' ' '");
	ck_assert_msg(strcmp(found, wanted) == 0, "wanted %s, found %s", wanted, found);
}

static void
check_source(const char *to, const char *wanted)
{
	ck_assert_msg(shell(INSIDE "ip route get %s | grep -q 'src %s '", 1, to, wanted) == 0,
		      "to %s: not from %s", to, wanted);
}

START_TEST(aliases_of_both_families)
{
	bring_up_two();
	give("10.1.0.2/16", "10.1.0.9/16", "192.0.2.1/24", "fd01::1/64", "fd02::1/48", NULL);
	check_has("10.1.0.2/16 192.0.2.1/24 10.1.0.9/16 fd02::1/48 fd01::1/64 ");
	check_source("10.1.0.3", "10.1.0.2");
	ck_assert_int_eq(ping(2, "10.1.0.9"), 0);
	ck_assert_int_eq(ping(2, "10.1.0.2"), 0);
	ck_assert_int_eq(ping(2, "fd01::1"), 0);
	give("10.1.0.9/16", "192.0.2.1/24", "fd02::1/48", NULL);
	check_has("192.0.2.1/24 10.1.0.9/16 fd02::1/48 ");
	check_source("10.1.0.3", "10.1.0.9");
	ck_assert_int_ne(ping(2, "10.1.0.2"), 0);
	ck_assert_int_eq(ping(2, "10.1.0.9"), 0);
}
END_TEST

START_TEST(the_first_of_a_network_is_the_source)
{
	bring_up_two();
	give("10.1.0.2/16", NULL);
	give("10.1.0.9/16", "10.1.0.2/16", NULL);
	check_has("10.1.0.9/16 10.1.0.2/16 ");
	check_source("10.1.0.3", "10.1.0.9");
	give("10.1.0.2/16", "10.1.0.8/16", "10.1.0.9/16", NULL);
	check_has("10.1.0.2/16 10.1.0.8/16 10.1.0.9/16 ");
	check_source("10.1.0.3", "10.1.0.2");
	give("10.1.0.7/16", "10.1.0.2/16", "10.1.0.6/16", "10.1.0.9/16", NULL);
	check_has("10.1.0.7/16 10.1.0.2/16 10.1.0.6/16 10.1.0.9/16 ");
	give("10.1.0.8/16", NULL);
	check_has("10.1.0.8/16 ");
	ck_assert_int_eq(ping(2, "10.1.0.8"), 0);
}
END_TEST

/* The kernel takes all routes of an interface that has no IPv4 address for a moment. */
START_TEST(routes_outlive_a_change_of_address)
{
	struct route_spec ours = { .to = cidr("10.9.0.0/16"), .via = cidr("10.1.0.3"),
				   .index = PORT_ANY };

	bring_up_two();
	give("10.1.0.2/16", "fd01::1/64", NULL);
	check_ok(net_linux.routes_set(net, &one.ns, &ours, 1, &err));
	ck_assert_int_eq(shell(INSIDE "ip route add 10.7.0.0/16 via 10.1.0.3", 1), 0);
	give("10.1.5.5/16", "fd01::5/64", NULL);
	check_has("10.1.5.5/16 fd01::5/64 ");
	ck_assert_int_eq(shell(INSIDE "ip route | grep -q '10.7.0.0/16 via 10.1.0.3'", 1), 0);
	ck_assert_int_eq(shell(INSIDE "ip route | grep -q '10.9.0.0/16 via 10.1.0.3'", 1), 0);
	ck_assert_int_eq(ping(2, "10.1.5.5"), 0);
	ck_assert_int_eq(ping(2, "fd01::5"), 0);
}
END_TEST

START_TEST(prefixes_change)
{
	bring_up_two();
	give("10.1.0.2/16", "fd01::1/64", NULL);
	give("10.1.0.2/24", "fd01::1/48", NULL);
	check_has("10.1.0.2/24 fd01::1/48 ");
	ck_assert_int_eq(ping(2, "fd01::1"), 0);
	give("fd01::1/64", NULL);
	check_has("fd01::1/64 ");
	give(NULL);
	check_has("");
	give("10.1.0.2/16", "fd01::1/64", NULL);
	check_pings();
}
END_TEST

const struct net_case address_cases[] = {
	{ "alias", &aliases_of_both_families, 1 },
	{ "alias_order", &the_first_of_a_network_is_the_source, 1 },
	{ "alias_route", &routes_outlive_a_change_of_address, 1 },
	{ "alias_prefix", &prefixes_change, 1 },
	{ 0 },
};
