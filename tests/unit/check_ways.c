/*
 * Uplinks and tunnels from documents to what the backend makes, on the fake world: planned, checked against the
 * host, live, whole or not at all.
 */
#include "tests/unit/lab.h"

#include <string.h>

#define TOPOLOGY(lans) "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}},\"lans\":{" lans "}}"
#define BOTH "\"members\":{\"a\":{\"address\":\"10.0.0.1/24\"},\"b\":{\"address\":\"10.0.0.2/24\"}}"
#define WEST "\"west\":{\"kind\":\"vxlan\",\"remote\":\"192.0.2.1\",\"key\":7}"
#define EAST "\"east\":{\"kind\":\"egre\",\"remote\":\"192.0.2.2\",\"local\":\"192.0.2.9\"}"
#define WIDE TOPOLOGY("\"l\":{" BOTH ",\"tunnels\":{" WEST "," EAST "},\"learning\":false," \
	"\"uplink\":{\"device\":\"eth3\",\"vlan\":100}}")

static struct lab *
lab_with_host(void)
{
	struct lab *lab = lab_new();

	world_device(lab->world, "eth0", true);
	world_device(lab->world, "eth3", false);
	world_address(lab->world, "192.0.2.9");
	world_address(lab->world, "127.0.0.1");
	world_address(lab->world, "127.0.0.2");
	return lab;
}

static json_t *
parse(const char *text)
{
	json_t *document = json_loads(text, 0, NULL);

	ck_assert_msg(document != NULL, "%s", text);
	return document;
}

static void
apply(struct lab *lab, const char *text)
{
	lab_do(lab, "topology.apply", "{so sb sb}", "document", parse(text), "wait", 1, "prune", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "apply");
}

/* A part of a bridge as the world has it, by path; NULL: none. To be released. */
static json_t *
bridge(struct lab *lab, const char *name, const char *key, const char *below)
{
	json_t *world = world_describe(lab->world);
	json_t *part = json_object_get(json_object_get(world, "bridges"), name);

	ck_assert_msg(part != NULL, "no bridge %s", name);
	part = json_object_get(part, key);
	if (below)
		part = json_object_get(part, below);
	json_incref(part);
	json_decref(world);
	return part;
}

static void
check_bridge(struct lab *lab, const char *name, const char *key, const char *below, const char *wanted)
{
	json_t *part = bridge(lab, name, key, below);
	vn_autofree char *text = json_dumps(part, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	ck_assert_msg(wanted ? text && strcmp(text, wanted) == 0 : !text, "%s %s: wanted %s, got %s", name,
		      key, wanted ? wanted : "-", text ? text : "-");
	json_decref(part);
}

static void
check_refused(struct lab *lab, const char *text, const char *code, const char *path)
{
	json_t *error = lab_error(lab, code, "topology.plan", "{so}", "document", parse(text));

	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), path);
	json_decref(error);
}

/* "create tunnel l/west live" and so on, joined by ", ". */
static void
check_plan(struct lab *lab, const char *text, const char *wanted)
{
	json_t *plan = lab_result(lab, "topology.plan", "{so}", "document", parse(text)), *action;
	char got[1000] = "";
	size_t i, used = 0;

	json_array_foreach(json_object_get(plan, "actions"), i, action) {
		vn_autofree char *fields = json_dumps(json_object_get(action, "fields"), JSON_COMPACT);

		used += (size_t)snprintf(got + used, sizeof(got) - used, "%s%s %s %s%s%s", i ? ", " : "",
			json_string_value(json_object_get(action, "action")),
			json_string_value(json_object_get(action, "kind")),
			json_string_value(json_object_get(action, "name")), fields ? " " : "",
			fields ? fields : "");
	}
	ck_assert_str_eq(got, wanted);
	json_decref(plan);
}

START_TEST(what_a_document_says_is_made_and_shown)
{
	struct lab *lab = lab_with_host();
	json_t *lan, *document = parse(WIDE), *exported, *tunnel;

	check_plan(lab, WIDE, "create vnode a, create vnode b, create lan l, create uplink l, "
		   "create tunnel l/west, create tunnel l/east");
	apply(lab, WIDE);
	check_bridge(lab, "l1", "uplink", NULL, "\"eth3 100\"");
	check_bridge(lab, "l1", "learning", NULL, "false");
	check_bridge(lab, "l1", "mtu", NULL, "1450");
	check_bridge(lab, "l1", "tunnels", "t1n0", "{\"key\":7,\"kind\":\"vxlan\",\"local\":\"\",\"own\":false,"
		     "\"port\":4789,\"remote\":\"192.0.2.1\"}");
	check_bridge(lab, "l1", "tunnels", "t1n1", "{\"key\":-1,\"kind\":\"egre\",\"local\":\"192.0.2.9\","
		     "\"own\":false,\"port\":0,\"remote\":\"192.0.2.2\"}");
	check_plan(lab, WIDE, "");
	lan = lab_result(lab, "lan.get", "{ss}", "lan", "l");
	ck_assert_int_eq(json_integer_value(json_object_get(lan, "mtu")), 1450);
	ck_assert(json_is_false(json_object_get(lan, "learning")));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(lan, "uplink"), "vlan")), 100);
	tunnel = json_array_get(json_object_get(lan, "tunnels"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(tunnel, "name")), "east");
	ck_assert_str_eq(json_string_value(json_object_get(tunnel, "device")), "t1n1");
	ck_assert(json_is_null(json_object_get(tunnel, "key")));
	json_decref(lan);
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	lab_same(json_object_get(document, "lans"), json_object_get(exported, "lans"), "export");
	json_decref(exported);
	json_decref(document);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	check_plan(lab, WIDE, "");
	check_bridge(lab, "l1", "uplink", NULL, "\"eth3 100\"");
	lab_clean(lab, "ways");
	lab_free(lab);
}
END_TEST

START_TEST(a_change_names_what_comes_changes_and_goes)
{
	static const char changed[] = TOPOLOGY("\"l\":{" BOTH ",\"tunnels\":{\"north\":{\"kind\":\"vxlan\","
		"\"remote\":\"192.0.2.3\",\"key\":8},\"east\":{\"kind\":\"egre\",\"remote\":\"192.0.2.4\"}},"
		"\"mtu\":1400}");
	struct lab *lab = lab_with_host();

	apply(lab, WIDE);
	check_plan(lab, changed, "change lan l [\"mtu\",\"tunnels\",\"learning\",\"uplink\"], "
		   "destroy uplink l, create tunnel l/north, change tunnel l/east [\"remote\",\"local\"], "
		   "destroy tunnel l/west");
	apply(lab, changed);
	check_bridge(lab, "l1", "uplink", NULL, NULL);
	check_bridge(lab, "l1", "learning", NULL, NULL);
	check_bridge(lab, "l1", "mtu", NULL, "1400");
	check_bridge(lab, "l1", "tunnels", "t1n0", NULL);	/* never of another tunnel at once */
	check_bridge(lab, "l1", "tunnels", "t1n1", "{\"key\":-1,\"kind\":\"egre\",\"local\":\"\",\"own\":false,"
		     "\"port\":0,\"remote\":\"192.0.2.4\"}");
	check_bridge(lab, "l1", "tunnels", "t1n2", "{\"key\":8,\"kind\":\"vxlan\",\"local\":\"\",\"own\":false,"
		     "\"port\":4789,\"remote\":\"192.0.2.3\"}");
	apply(lab, TOPOLOGY("\"l\":{" BOTH "}"));
	check_bridge(lab, "l1", "tunnels", NULL, NULL);
	check_bridge(lab, "l1", "mtu", NULL, "1500");
	lab_clean(lab, "changed");
	lab_free(lab);
}
END_TEST

/* With one vnode: what it sends is shaped where the tunnel leaves, what comes where its port does. */
START_TEST(a_vnode_and_a_tunnel_are_a_link)
{
#define LINK(more) "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}},\"lans\":{\"l\":{\"shape\":{\"rate\":" \
	"\"9Mbit\"},\"members\":{\"a\":{\"shape\":{\"to\":{\"rate\":\"1Mbit\"}}}" more "},\"tunnels\":{\"w\":{" \
	"\"kind\":\"vxlan\",\"remote\":\"192.0.2.1\",\"key\":7,\"shape\":{\"to\":{\"rate\":\"2Mbit\"}}}}}}}"
	struct lab *lab = lab_with_host();
	json_t *part, *world;

	apply(lab, LINK(""));
	part = bridge(lab, "l1", "tunnels", "t1n0");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(part, "out"), "rate_bps")),
			 1000000);
	ck_assert_ptr_null(json_object_get(part, "in"));
	json_decref(part);
	world = world_describe(lab->world);
	part = json_object_get(json_object_get(world, "ports"), "v1e1");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(part, "out"), "rate_bps")),
			 2000000);
	ck_assert_ptr_null(json_object_get(part, "in"));
	json_decref(world);
	lab_do(lab, "lan.set", "{ss s{s{s{ss}}} sb}", "lan", "l", "members", "a", "to", "rate", "3Mbit", "wait",
	       1);
	part = bridge(lab, "l1", "tunnels", "t1n0");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(part, "out"), "rate_bps")),
			 3000000);
	json_decref(part);
	/* A third makes it a LAN: each side by itself. */
	apply(lab, LINK(",\"b\":{}"));
	part = bridge(lab, "l1", "tunnels", "t1n0");
	ck_assert_ptr_null(json_object_get(part, "out"));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(part, "in"), "rate_bps")),
			 2000000);
	json_decref(part);
	world = world_describe(lab->world);
	part = json_object_get(json_object_get(world, "ports"), "v1e1");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(part, "in"), "rate_bps")),
			 1000000);
	ck_assert_ptr_null(json_object_get(part, "out"));
	json_decref(world);
	lab_clean(lab, "link");
	lab_free(lab);
}
END_TEST

START_TEST(plain_gre_does_without_arp_and_learning)
{
#define PLAIN(kind) "{\"topology\":\"t\",\"vnodes\":{\"a\":{}},\"lans\":{\"l\":{\"members\":{\"a\":{}}," \
	"\"tunnels\":{\"w\":{\"kind\":\"" kind "\",\"remote\":\"192.0.2.1\"}}}}}"
	struct lab *lab = lab_with_host();

	for (int i = 0; i < 3; i++) {
		json_t *world, *port;

		apply(lab, i == 1 ? PLAIN("egre") : PLAIN("gre"));
		check_bridge(lab, "l1", "learning", NULL, i == 1 ? NULL : "false");
		world = world_describe(lab->world);
		port = json_object_get(json_object_get(world, "ports"), "v1e1");
		ck_assert_int_eq(json_is_true(json_object_get(port, "no_arp")), i != 1);
		json_decref(world);
	}
	lab_clean(lab, "plain");
	lab_free(lab);
}
END_TEST

START_TEST(what_this_host_cannot_do_is_refused_in_the_plan)
{
	struct lab *lab = lab_with_host();

	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"uplink\":{\"device\":\"eth9\"}}"), "not_found",
		      "/document/lans/l/uplink/device");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"uplink\":{\"device\":\"eth0\"}}"), "denied",
		      "/document/lans/l/uplink/default_route");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"tunnels\":{\"w\":{\"kind\":\"egre\",\"remote\":"
		      "\"192.0.2.1\",\"local\":\"192.0.2.8\"}}}"), "invalid",
		      "/document/lans/l/tunnels/w/local");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"tunnels\":{\"w\":{\"kind\":\"egre\",\"remote\":"
		      "\"192.0.2.9\"}}}"), "invalid", "/document/lans/l/tunnels/w/remote");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"mtu\":1500,\"tunnels\":{" WEST "}}"), "invalid",
		      "/document/lans/l/mtu");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"mtu\":1501,\"uplink\":{\"device\":\"eth3\"}}"),
		      "invalid", "/document/lans/l/mtu");
	world_lacks(lab->world, "net", "this kernel has no vxlan and no vlan here");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"tunnels\":{" WEST "}}"), "unsupported",
		      "/document/lans/l/tunnels/west/kind");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"uplink\":{\"device\":\"eth3\",\"vlan\":7}}"),
		      "unsupported", "/document/lans/l/uplink/vlan");
	world_lacks(lab->world, "net", "this kernel has no netem");
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"tunnels\":{\"w\":{\"kind\":\"egre\",\"remote\":"
		      "\"192.0.2.1\",\"shape\":{\"to\":{\"delay\":\"1ms\"}}}}}"), "unsupported",
		      "/document/lans/l/tunnels/w/shape/to/delay");
	lab_clean(lab, "refused");
	lab_free(lab);
}
END_TEST

START_TEST(a_living_lan_is_not_made_too_large_for_its_tunnel)
{
	struct lab *lab = lab_with_host();
	json_t *error;

	apply(lab, WIDE);
	error = lab_error(lab, "invalid", "lan.set", "{ss si}", "lan", "l", "mtu", 1451);
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/mtu");
	json_decref(error);
	lab_do(lab, "lan.set", "{ss si sb}", "lan", "l", "mtu", 1300, "wait", 1);
	check_bridge(lab, "l1", "mtu", NULL, "1300");
	lab_clean(lab, "mtu");
	lab_free(lab);
}
END_TEST

START_TEST(ports_of_the_host_are_lent_by_admins)
{
	struct lab *lab = lab_with_host();

	lab_connect(lab, 1000, ROLE_OPERATOR);
	check_refused(lab, WIDE, "denied", "/document/lans/l/uplink");
	lab_connect(lab, 0, ROLE_ADMIN);
	apply(lab, WIDE);
	/* Whoever changes something else need not be one. */
	lab_connect(lab, 1000, ROLE_OPERATOR);
	check_plan(lab, WIDE, "");
	apply(lab, TOPOLOGY("\"l\":{" BOTH ",\"uplink\":{\"device\":\"eth3\",\"vlan\":100}}"));
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH ",\"uplink\":{\"device\":\"eth3\",\"vlan\":101}}"),
		      "denied", "/document/lans/l/uplink");
	lab_connect(lab, 0, ROLE_ADMIN);
	lab_clean(lab, "roles");
	lab_free(lab);
}
END_TEST

START_TEST(what_another_lan_has_is_refused)
{
#define OTHER(lan) "{\"topology\":\"u\",\"vnodes\":{},\"lans\":{\"m\":{" lan "}}}"
	struct lab *lab = lab_with_host();

	apply(lab, WIDE);
	check_refused(lab, OTHER("\"uplink\":{\"device\":\"eth3\"}"), "busy", "/document/lans/m/uplink");
	check_refused(lab, OTHER("\"uplink\":{\"device\":\"eth3\",\"vlan\":100}"), "busy",
		      "/document/lans/m/uplink");
	check_refused(lab, OTHER("\"tunnels\":{\"w\":{\"kind\":\"vxlan\",\"remote\":\"192.0.2.7\",\"key\":7}}"),
		      "exists", "/document/lans/m/tunnels/w");
	apply(lab, OTHER("\"uplink\":{\"device\":\"eth3\",\"vlan\":101},\"tunnels\":{\"w\":{\"kind\":\"vxlan\","
		   "\"remote\":\"192.0.2.7\",\"key\":8}}"));
	/* Nor does one apply take from one LAN what it gives to another. */
	check_refused(lab, TOPOLOGY("\"l\":{" BOTH "},\"n\":{\"uplink\":{\"device\":\"eth3\",\"vlan\":100}}"),
		      "busy", "/document/lans/n/uplink");
	lab_clean(lab, "others");
	lab_free(lab);
}
END_TEST

START_TEST(two_lans_of_one_host_are_linked)
{
#define END(name, local, remote) "\"" name "\":{\"tunnels\":{\"t\":{\"kind\":\"vxlan\",\"local\":\"" local \
	"\",\"remote\":\"" remote "\",\"key\":1}}}"
	struct lab *lab = lab_with_host();
	json_t *part;

	apply(lab, TOPOLOGY("\"l\":{" BOTH "}," END("m", "127.0.0.1", "127.0.0.2") ","
			    END("n", "127.0.0.2", "127.0.0.1")));
	part = bridge(lab, "l2", "tunnels", "t2n0");
	ck_assert(json_is_true(json_object_get(part, "own")));
	json_decref(part);
	check_bridge(lab, "l2", "mtu", NULL, "1500");
	check_refused(lab, "{\"topology\":\"u\",\"lans\":{" END("o", "127.0.0.1", "127.0.0.2") "}}", "exists",
		      "/document/lans/o/tunnels/t");
	lab_clean(lab, "own");
	lab_free(lab);
}
END_TEST

/* A device that has gone does not keep the host down: its LAN is cut off, and a warning tells. */
START_TEST(a_lost_device_is_told_and_the_rest_comes_up)
{
	struct lab *lab = lab_with_host();
	json_t *events, *event;
	bool told = false;
	size_t i;

	apply(lab, WIDE);
	world_device_gone(lab->world, "eth3");
	lab_reboot(lab);
	ck_assert(lab_open(lab));
	check_bridge(lab, "l1", "uplink", NULL, NULL);
	check_bridge(lab, "l1", "tunnels", "t1n0", "{\"key\":7,\"kind\":\"vxlan\",\"local\":\"\",\"own\":false,"
		     "\"port\":4789,\"remote\":\"192.0.2.1\"}");
	events = lab_result(lab, "event.list", "{s[s]}", "types", "host.warning");
	json_array_foreach(json_object_get(events, "events"), i, event) {
		vn_autofree char *text = json_dumps(event, 0);

		told |= strstr(text, "t/l") && strstr(text, "eth3");
	}
	ck_assert(told);
	json_decref(events);
	world_device(lab->world, "eth3", false);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	check_bridge(lab, "l1", "uplink", NULL, "\"eth3 100\"");
	lab_clean(lab, "lost");
	lab_free(lab);
}
END_TEST

START_TEST(lost_ways_are_told_and_mended)
{
	struct lab *lab = lab_with_host();
	json_t *found;

	apply(lab, WIDE);
	found = lab_result(lab, "host.verify", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(found, "differences")), 0);
	json_decref(found);
	ck_assert(world_meddle(lab->world, "l1 del"));
	found = lab_result(lab, "host.verify", NULL);
	ck_assert_uint_ge(json_array_size(json_object_get(found, "differences")), 4);
	json_decref(found);
	lab_do(lab, "host.repair", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	check_bridge(lab, "l1", "uplink", NULL, "\"eth3 100\"");
	check_bridge(lab, "l1", "mtu", NULL, "1450");
	found = lab_result(lab, "host.verify", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(found, "differences")), 0);
	json_decref(found);
	lab_clean(lab, "mended");
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("ways", (const TTest *const[]){
		what_a_document_says_is_made_and_shown,
		a_change_names_what_comes_changes_and_goes,
		a_vnode_and_a_tunnel_are_a_link,
		plain_gre_does_without_arp_and_learning,
		what_this_host_cannot_do_is_refused_in_the_plan,
		a_living_lan_is_not_made_too_large_for_its_tunnel,
		ports_of_the_host_are_lent_by_admins,
		what_another_lan_has_is_refused,
		two_lans_of_one_host_are_linked,
		a_lost_device_is_told_and_the_rest_comes_up,
		lost_ways_are_told_and_mended,
		NULL });
}
