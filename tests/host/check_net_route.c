/* Routes of vnodes as the kernel has them: what vnoded set, and what it must leave alone. */
#include "tests/host/net_world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

static struct route_spec
route(const char *to, const char *via, uint32_t metric)
{
	struct route_spec spec = { .to = cidr(to), .via = cidr(via), .index = PORT_ANY,
				   .metric = metric };

	spec.via.prefix = spec.via.family == AF_INET ? 32 : 128;
	return spec;
}

/* All routes of vnode 1, sorted, without the kernel's own; to be freed. */
static char *
routes_inside(void)
{
	char *text = vn_alloc(1 << 16);

	shell_into(text, 1 << 16, "nsenter --net=" BASE "/run/netns/vnoded-1 sh -c 'ip -N route; "
		   "ip -N -6 route' | grep -v 'proto 2 ' | sed 's/ *$//; s/ pref medium//' | sort");
	return text;
}

static void
check_routes(const char *wanted)
{
	vn_autofree char *found = routes_inside();

	ck_assert_msg(strcmp(found, wanted) == 0, "wanted:\n%sfound:\n%s", wanted, found);
}

#define CONTROL4 "default via 198.18.0.1 dev eth0 proto 4\n"
#define CONTROL6 "default via fd11:2222:3333:4444::1 dev eth0 proto 4 metric 1024\n"

#define set_routes(routes, count) net_linux.routes_set(net, &one.ns, routes, count, &err)

START_TEST(routes_are_set_and_replaced)
{
	struct route_spec all[] = {
		route("10.9.0.0/16", "10.1.0.3", 0), route("10.9.0.0/16", "10.1.0.3", 50),
		route("fd09::/64", "fd01::2", 0), route("fd09::/64", "fd01::2", 7),
		route("203.0.113.9/32", "198.18.0.1", 0),
	};

	bring_up_two();
	check_routes(CONTROL4 CONTROL6);
	check_ok(set_routes(all, 5));
	check_routes("10.9.0.0/16 via 10.1.0.3 dev eth1 proto 86\n"
		     "10.9.0.0/16 via 10.1.0.3 dev eth1 proto 86 metric 50\n"
		     "203.0.113.9 via 198.18.0.1 dev eth0 proto 86\n"
		     CONTROL4 CONTROL6
		     "fd09::/64 via fd01::2 dev eth1 proto 86 metric 1024\n"
		     "fd09::/64 via fd01::2 dev eth1 proto 86 metric 7\n");
	check_ok(set_routes(all, 5));
	all[0] = route("10.9.0.0/16", "10.1.0.4", 0);
	all[2] = route("fd0a::/64", "fd01::2", 0);
	check_ok(set_routes(all, 3));
	check_routes("10.9.0.0/16 via 10.1.0.3 dev eth1 proto 86 metric 50\n"
		     "10.9.0.0/16 via 10.1.0.4 dev eth1 proto 86\n"
		     CONTROL4 CONTROL6
		     "fd0a::/64 via fd01::2 dev eth1 proto 86 metric 1024\n");
	check_ok(set_routes(NULL, 0));
	check_routes(CONTROL4 CONTROL6);
}
END_TEST

/* What stays is not taken away for a moment: the kernel would tell. */
START_TEST(routes_that_stay_are_left_alone)
{
	struct route_spec both[] = { route("10.9.0.0/16", "10.1.0.3", 0),
				     route("10.8.0.0/16", "10.1.0.3", 0) };

	bring_up_two();
	check_ok(set_routes(both, 1));
	ck_assert_int_eq(shell("nsenter --net=%s sh -c 'ip -o monitor route >/media/told & "
			       "echo $! >/media/monitor'; "
			       "until nsenter --net=%s sh -c 'ip route add 10.7.0.0/16 via 10.1.0.3; "
			       "ip route del 10.7.0.0/16; grep -q 10.7 /media/told'; do :; done",
			       one.netns, one.netns), 0);
	check_ok(set_routes(both, 2));
	check_ok(set_routes(both, 1));
	ck_assert_int_eq(shell("until nsenter --net=%s sh -c 'ip route add 10.6.0.0/16 via 10.1.0.3; "
			       "ip route del 10.6.0.0/16; grep -q 10.6 /media/told'; do :; done; "
			       "kill $(cat /media/monitor)", one.netns), 0);
	ck_assert_int_eq(shell("grep -q '10.8.0.0/16' /media/told"), 0);
	ck_assert_int_ne(shell("grep -q '10.9.0.0/16' /media/told"), 0);
}
END_TEST

START_TEST(a_default_route_over_an_experiment_network)
{
	struct route_spec all[] = { route("0.0.0.0/0", "10.1.0.3", 0), route("::/0", "fd01::2", 0) };

	bring_up_two();
	one.ports[0].no_default_route = true;
	for (int i = 0; i < 2; i++) {
		check_ok(net_linux.ports_up(net, &one.ns, one.ports, 1, &err));
		check_ok(set_routes(all, 2));
		check_routes("default via 10.1.0.3 dev eth1 proto 86\n"
			     "default via fd01::2 dev eth1 proto 86 metric 1024\n");
	}
	one.ports[0].no_default_route = false;
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 1, &err));
	check_ok(set_routes(NULL, 0));
	check_routes(CONTROL4 CONTROL6);
	/* beside the control network's, with a metric */
	all[0].metric = all[1].metric = 2000;
	check_ok(set_routes(all, 2));
	check_routes("default via 10.1.0.3 dev eth1 proto 86 metric 2000\n" CONTROL4
		     "default via fd01::2 dev eth1 proto 86 metric 2000\n" CONTROL6);
	check_pings();
}
END_TEST

START_TEST(one_bad_route_undoes_all)
{
	struct route_spec good[] = { route("10.9.0.0/16", "10.1.0.3", 0),
				     route("fd09::/64", "fd01::2", 0) };
	struct route_spec bad[] = { route("10.8.0.0/16", "10.1.0.3", 0),
				    route("10.7.0.0/16", "192.0.2.1", 0),
				    route("fd08::/64", "fd01::2", 0) };
	vn_autofree char *before = NULL, *after = NULL;

	bring_up_two();
	check_ok(set_routes(good, 2));
	before = dump();
	check_fails(set_routes(bad, 3), VN_E_INVALID, "10.7.0.0/16 by 192.0.2.1");
	after = dump();
	check_same(before, after);
	bad[1] = route("fd07::/64", "fd77::1", 0);
	check_fails(set_routes(bad, 3), VN_E_INVALID, "fd07::/64 by fd77::1");
	free(vn_take_ptr(&after));
	after = dump();
	check_same(before, after);
	bad[1].index = 9;
	check_fails(set_routes(bad, 3), VN_E_NOT_FOUND, "v1e9");
	free(vn_take_ptr(&after));
	after = dump();
	check_same(before, after);
}
END_TEST

START_TEST(the_guests_own_routes_stay)
{
	struct route_spec all[] = { route("10.9.0.0/16", "10.1.0.3", 0),
				    route("10.8.0.0/16", "10.1.0.3", 0) };
	static const char mine[] = "10.7.0.0/16 via 10.1.0.3 dev eth1\n"
				   "10.8.0.0/16 via 10.1.0.4 dev eth1\n" CONTROL4 CONTROL6;
	static const char with_ours[] = "10.7.0.0/16 via 10.1.0.3 dev eth1\n"
		"10.8.0.0/16 via 10.1.0.4 dev eth1\n10.9.0.0/16 via 10.1.0.3 dev eth1 proto 86\n"
		CONTROL4 CONTROL6;

	bring_up_two();
	shell(INSIDE "sh -c 'ip route add 10.7.0.0/16 via 10.1.0.3; "
	      "ip route add 10.8.0.0/16 via 10.1.0.4'", 1);
	check_ok(set_routes(all, 1));
	check_routes(with_ours);
	check_fails(set_routes(all, 2), VN_E_EXISTS, "the guest has one of its own");
	check_routes(with_ours);
	check_ok(set_routes(NULL, 0));
	check_routes(mine);
	shell(INSIDE "ip route del 10.8.0.0/16", 1);
	check_ok(set_routes(all, 2));
}
END_TEST

/* An interface that goes down, or is made anew, takes its routes with it. */
START_TEST(routes_come_back_with_their_interface)
{
	struct route_spec all[] = { route("10.9.0.0/16", "10.1.0.3", 0),
				    route("fd09::/64", "fd01::2", 0) };
	vn_autofree char *before = NULL, *after = NULL;

	bring_up_two();
	check_ok(set_routes(all, 2));
	before = routes_inside();
	shell(INSIDE "ip link set eth1 down", 1);
	check_fails(set_routes(all, 2), VN_E_INVALID, "10.9.0.0/16");
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
	check_ok(set_routes(all, 2));
	after = routes_inside();
	check_same(before, after);
	check_ok(net_linux.ports_down(net, &one.ns, &(unsigned){ 1 }, 1, &err));
	check_ok(net_linux.ports_up(net, &one.ns, one.ports, 2, &err));
	check_ok(set_routes(all, 2));
	free(vn_take_ptr(&after));
	after = routes_inside();
	check_same(before, after);
	check_pings();
}
END_TEST

const struct net_case route_cases[] = {
	{ "routes", &routes_are_set_and_replaced, 1 },
	{ "route_stay", &routes_that_stay_are_left_alone, 1 },
	{ "route_default", &a_default_route_over_an_experiment_network, 1 },
	{ "route_undo", &one_bad_route_undoes_all, 1 },
	{ "route_guest", &the_guests_own_routes_stay, 1 },
	{ "route_back", &routes_come_back_with_their_interface, 1 },
	{ 0 },
};
