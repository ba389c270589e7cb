/* See scenario.h. */
#include "tests/unit/scenario.h"

#include <string.h>

#define A "{\"memory\":\"64MiB\",\"restart\":\"on-failure\"," \
	  "\"forwards\":[{\"host\":2201,\"guest\":22}]}"
#define PAIR(a_fields, a_member, link_fields) \
	"{\"document\":{\"topology\":\"pair\",\"dns\":[\"192.0.2.1\"],\"vnodes\":{" \
	"\"a\":{\"memory\":\"64MiB\"" a_fields "},\"b\":{\"vcpus\":1}},\"lans\":{" \
	"\"link\":{\"members\":{" a_member "\"b\":{\"address\":\"10.1.0.2/24\"}}" link_fields "}," \
	"\"side\":{\"members\":{\"b\":{\"address\":\"10.2.0.2/24\"}}}}}"
#define A_MEMBER "\"a\":{\"address\":[\"10.1.0.1/24\",\"fd01::1/64\"]},"
#define APPLY PAIR("", A_MEMBER, "") "}"
#define DISKS "\"disks\":{\"data\":{\"size\":\"1GiB\",\"mount\":\"/data\"}," \
	"\"logs\":{\"size\":\"1GiB\",\"mount\":\"/logs\"}}"
#define EMPTY "{\"document\":{\"topology\":\"pair\",\"dns\":[\"192.0.2.1\"],\"vnodes\":{" \
	"\"b\":{\"vcpus\":1}},\"lans\":{\"side\":{\"members\":{\"b\":{\"address\":" \
	"\"10.2.0.2/24\"}}}}},\"prune\":true}"
#define WAYS_BEFORE ",\"uplink\":{\"device\":\"eth3\",\"vlan\":7},\"tunnels\":{" \
	"\"west\":{\"kind\":\"vxlan\",\"remote\":\"192.0.2.1\",\"key\":7}}"
#define WAYS_AFTER ",\"mtu\":1400,\"learning\":false,\"uplink\":{\"device\":\"eth3\",\"vlan\":8}," \
	"\"tunnels\":{\"west\":{\"kind\":\"vxlan\",\"remote\":\"192.0.2.2\",\"key\":7,\"shape\":{\"to\":" \
	"{\"rate\":\"1Mbit\"}}},\"east\":{\"kind\":\"egre\",\"remote\":\"192.0.2.3\"}}"
#define SECOND_URL "http://images/second"
#define THIRD_URL  "http://images/third"

static void
ask(struct lab *lab, const char *method, const char *params)
{
	json_t *object = json_loads(params, 0, NULL), *answer;

	ck_assert_msg(object != NULL, "%s", params);
	json_object_set_new(object, "wait", json_true());
	answer = lab_hear(lab, lab_send_json(lab, method, object));
	if (strcmp(lab_word(answer), "ok") != 0)
		ck_abort_msg("%s: %s", method, json_dumps(answer, 0));
	json_decref(answer);
	ck_assert(lab_settle(lab));
}

static void
stopped(struct lab *lab)
{
	json_t *params = json_loads(A, 0, NULL);
	vn_autofree char *text = NULL;

	json_object_set_new(params, "name", json_string("a"));
	text = json_dumps(params, 0);
	json_decref(params);
	ask(lab, "vnode.create", text);
}

static void
running(struct lab *lab)
{
	stopped(lab);
	ask(lab, "vnode.boot", "{\"vnode\":\"a\"}");
}

#define FILES(zone, text) "{\"vnode\":\"a\",\"restart\":true,\"set\":{\"timezone\":\"" zone \
	"\",\"files\":[{\"path\":\"/etc/motd\",\"content\":\"" text "\"}]}}"

static void
running_with_files(struct lab *lab)
{
	running(lab);
	ask(lab, "vnode.set", FILES("UTC", "hello"));
}

static void
mounted(struct lab *lab)
{
	stopped(lab);
	ask(lab, "vnode.mount", "{\"vnode\":\"a\"}");
}

static void
mounted_twice(struct lab *lab)
{
	mounted(lab);
	ask(lab, "vnode.mount", "{\"vnode\":\"a\"}");
}

static void
failed(struct lab *lab)
{
	stopped(lab);
	world_fail(lab->world, "compute.start", 1, VN_E_BACKEND);
	lab_refuse(lab, "backend", "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	world_fault_clear(lab->world);
	ck_assert(lab_settle(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "failed");
}

static void
pair(struct lab *lab)
{
	ask(lab, "topology.apply", APPLY);
	ck_assert_str_eq(lab_observed(lab, "pair/a"), "running");
}

static void
running_thin(struct lab *lab)
{
	ask(lab, "vnode.create", "{\"name\":\"a\",\"disk\":{\"type\":\"lvm-thin\",\"size\":\"2GiB\"}}");
	ask(lab, "vnode.boot", "{\"vnode\":\"a\"}");
}

static void
stopped_with_disks(struct lab *lab)
{
	ask(lab, "vnode.create", "{\"name\":\"a\"," DISKS "}");
}

static void
mounted_with_disks(struct lab *lab)
{
	stopped_with_disks(lab);
	ask(lab, "vnode.mount", "{\"vnode\":\"a\"}");
}

static void
pair_with_disks(struct lab *lab)
{
	ask(lab, "topology.apply", PAIR("," DISKS, A_MEMBER, "") "}");
}

static void
host_port(struct lab *lab)
{
	world_device(lab->world, "eth3", false);
}

static void
pair_with_ways(struct lab *lab)
{
	host_port(lab);
	ask(lab, "topology.apply", PAIR("", A_MEMBER, WAYS_BEFORE) "}");
}

static void
pair_down(struct lab *lab)
{
	pair(lab);
	ask(lab, "lan.down", "{\"lan\":\"link\"}");
}

static void
pair_scheduled(struct lab *lab)
{
	pair(lab);
	ask(lab, "lan.schedule", "{\"lan\":\"link\",\"schedule\":[{\"after\":\"9s\",\"up\":false}]}");
}

static void
pair_halted(struct lab *lab)
{
	pair(lab);
	ask(lab, "host.halt", "{}");
	ck_assert_str_eq(lab_observed(lab, "pair/a"), "stopped");
}

/* Ports, a bridge, a forward and the uplink by a foreign hand. */
static void
pair_meddled(struct lab *lab)
{
	static const char *const deeds[] = { "v1e1 del", "v2e1 mtu 900", "l2 del", "f99 new 7", "u down" };

	pair(lab);
	for (size_t i = 0; i < VN_COUNT(deeds); i++)
		ck_assert(world_meddle(lab->world, deeds[i]));
}

static void
second_url(struct lab *lab)
{
	world_url(lab->world, SECOND_URL, "another archive", 15);
}

static void
second_image(struct lab *lab)
{
	second_url(lab);
	ask(lab, "image.add", "{\"name\":\"second\",\"url\":\"" SECOND_URL "\",\"insecure_no_digest\":true}");
}

static void
second_and_third_url(struct lab *lab)
{
	second_image(lab);
	world_url(lab->world, THIRD_URL, "a layer", 7);
}

/* "third" on "second". */
static void
layers(struct lab *lab)
{
	second_and_third_url(lab);
	ask(lab, "image.add", "{\"image\":\"third\",\"url\":\"" THIRD_URL "\",\"base\":\"second\","
			      "\"insecure_no_digest\":true}");
}

/* An image of what is there already: only a name is added. */
static void
captured(struct lab *lab)
{
	stopped(lab);
	ask(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"taken\"}");
}

static void
pair_and_image(struct lab *lab)
{
	second_image(lab);
	pair(lab);
}

/* name, prepare, method, params, kind */
const struct scenario scenarios[] = {
	{ "create", NULL, "vnode.create", "{\"name\":\"a\",\"memory\":\"64MiB\",\"forwards\":"
	  "[{\"host\":2201,\"guest\":22},{\"host\":2202,\"guest\":23,\"protocol\":\"udp\"}]}", WHOLE },
	{ "create privileged", NULL, "vnode.create", "{\"name\":\"a\",\"privileged\":true,"
	  "\"control\":false}", WHOLE },
	{ "create reflink", NULL, "vnode.create", "{\"name\":\"a\",\"disk\":{\"type\":\"reflink\"}}", WHOLE },
	{ "create thin", NULL, "vnode.create", "{\"name\":\"a\",\"disk\":{\"type\":\"lvm-thin\",\"size\":"
	  "\"2GiB\"}}", WHOLE },
	{ "set size", running_thin, "vnode.set", "{\"vnode\":\"a\",\"restart\":true,\"set\":{\"vcpus\":1,\"disk\":"
	  "{\"type\":\"lvm-thin\",\"size\":\"3GiB\"}}}", FORWARD },
	{ "create with disks", NULL, "vnode.create", "{\"name\":\"a\"," DISKS "}", WHOLE },
	{ "boot with disks", stopped_with_disks, "vnode.boot", "{\"vnode\":\"a\"}", WORLD_WHOLE },
	{ "reload with disks", stopped_with_disks, "vnode.reload", "{\"vnode\":\"a\"}", FORWARD },
	{ "destroy with disks", mounted_with_disks, "vnode.destroy", "{\"vnode\":\"a\"}", FORWARD },
	{ "set disks", running, "vnode.set", "{\"vnode\":\"a\",\"restart\":true,\"set\":{" DISKS "}}", WHOLE },
	{ "boot", stopped, "vnode.boot", "{\"vnode\":\"a\"}", WORLD_WHOLE },
	{ "boot failed", failed, "vnode.boot", "{\"vnode\":\"a\"}", WORLD_WHOLE },
	{ "halt", running, "vnode.halt", "{\"vnode\":\"a\"}", FORWARD },
	{ "halt failed", failed, "vnode.halt", "{\"vnode\":\"a\"}", FORWARD },
	{ "reboot", running, "vnode.reboot", "{\"vnode\":\"a\"}", FORWARD },
	{ "reload", running, "vnode.reload", "{\"vnode\":\"a\"}", FORWARD },
	{ "reload stopped", stopped, "vnode.reload", "{\"vnode\":\"a\"}", FORWARD },
	{ "destroy", running, "vnode.destroy", "{\"vnode\":\"a\"}", FORWARD },
	{ "destroy mounted", mounted, "vnode.destroy", "{\"vnode\":\"a\"}", FORWARD },
	{ "mount", stopped, "vnode.mount", "{\"vnode\":\"a\"}", WHOLE },
	{ "unmount", mounted, "vnode.unmount", "{\"vnode\":\"a\"}", FORWARD },
	{ "mount again", mounted, "vnode.mount", "{\"vnode\":\"a\"}", WHOLE },
	{ "unmount one of two", mounted_twice, "vnode.unmount", "{\"vnode\":\"a\"}", WHOLE },
	{ "halt mounted", mounted_twice, "vnode.halt", "{\"vnode\":\"a\"}", FORWARD },
	{ "set live", running, "vnode.set", "{\"vnode\":\"a\",\"set\":{\"memory\":\"128MiB\","
	  "\"forwards\":[{\"host\":2201,\"guest\":22},{\"host\":2203,\"guest\":80}]}}", WHOLE },
	{ "set forwards", running, "vnode.set", "{\"vnode\":\"a\",\"set\":{"
	  "\"forwards\":[{\"host\":2209,\"guest\":22}]}}", WHOLE },
	{ "set restart", running, "vnode.set", "{\"vnode\":\"a\",\"restart\":true,"
	  "\"set\":{\"vcpus\":1,\"forwards\":[{\"host\":2203,\"guest\":80}]}}", WHOLE },
	{ "set routes", running, "vnode.set", "{\"vnode\":\"a\",\"set\":{\"default_route\":\"none\","
	  "\"routes\":[{\"to\":\"default\",\"via\":\"198.18.0.9\"}]}}", WHOLE },
	{ "set files", running_with_files, "vnode.set", FILES("Europe/Berlin", "good day"), WHOLE },
	{ "reload files", running_with_files, "vnode.reload", "{\"vnode\":\"a\"}", FORWARD },
	{ "set inject", running, "vnode.set", "{\"vnode\":\"a\",\"restart\":true,\"set\":{\"inject\":"
	  "false}}", WHOLE },
	{ "set stopped", stopped, "vnode.set", "{\"vnode\":\"a\",\"set\":{\"vcpus\":1,"
	  "\"forwards\":null}}", WHOLE },
	{ "lan.down", pair, "lan.down", "{\"lan\":\"link\"}", WHOLE },
	{ "lan.up", pair_down, "lan.up", "{\"lan\":\"link\"}", WHOLE },
	{ "lan.down member", pair, "lan.down", "{\"lan\":\"link\",\"member\":\"a\"}", WHOLE },
	{ "lan.set", pair, "lan.set", "{\"lan\":\"link\",\"mtu\":9000}", WHOLE },
	{ "lan.set shape", pair, "lan.set", "{\"lan\":\"link\",\"mtu\":9000,\"shape\":{\"rate\":"
	  "\"10Mbit\"},\"members\":{\"a\":{\"to\":{\"delay\":\"5ms\"}}}}", WHOLE },
	{ "lan.probe", pair, "lan.probe", "{\"lan\":\"link\"}", WHOLE },
	{ "lan.schedule", pair_scheduled, "lan.schedule", "{\"lan\":\"link\",\"schedule\":[{\"after\":\"5s\","
	  "\"up\":false},{\"after\":\"2s\",\"shape\":{\"rate\":\"1Mbit\"}}]}", WHOLE },
	{ "apply schedule", pair_scheduled, "topology.apply", PAIR("", A_MEMBER, ",\"mtu\":9000,\"schedule\":"
	  "[{\"after\":\"1s\",\"shape\":{\"rate\":\"2Mbit\"}}]") "}", WHOLE },
	{ "apply new", NULL, "topology.apply", APPLY, WHOLE },
	{ "apply live", pair, "topology.apply", PAIR(",\"memory\":\"96MiB\",\"forwards\":[{\"host\":"
	  "2201,\"guest\":22}]", A_MEMBER, "") "}", WHOLE },
	{ "apply restart", pair, "topology.apply", PAIR(",\"vcpus\":1", A_MEMBER, "") "}", WHOLE },
	{ "apply mtu", pair, "topology.apply", PAIR("", A_MEMBER, ",\"mtu\":9000") "}", WHOLE },
	{ "apply shape", pair, "topology.apply", PAIR("", A_MEMBER, ",\"mtu\":9000,\"shape\":"
	  "{\"rate\":\"1Mbit\",\"loss\":\"1%\"}") "}", WHOLE },
	{ "apply new ways", host_port, "topology.apply", PAIR("", A_MEMBER, WAYS_BEFORE) "}", WHOLE },
	{ "apply ways", pair_with_ways, "topology.apply", PAIR("", A_MEMBER, WAYS_AFTER) "}", WHOLE },
	{ "apply ways gone", pair_with_ways, "topology.apply", APPLY, WHOLE },
	{ "delete ways", pair_with_ways, "topology.delete", "{\"topology\":\"pair\"}", FORWARD },
	{ "apply routes", pair, "topology.apply", PAIR(",\"routes\":[{\"to\":\"10.9.0.0/16\",\"via\":"
	  "\"10.1.0.2\",\"metric\":7}]", A_MEMBER, "") "}", WHOLE },
	{ "apply address", pair, "topology.apply", PAIR("", "\"a\":{\"address\":\"10.1.0.7/24\","
	  "\"interface\":\"lan0\"},", "") "}", WHOLE },
	{ "apply aliases", pair, "topology.apply", PAIR(",\"routes\":[{\"to\":\"10.9.0.0/16\",\"via\":"
	  "\"10.5.0.2\"}]", "\"a\":{\"address\":[\"10.5.0.1/24\",\"fd01::1/64\",\"10.1.0.7/24\"]},",
	  "") "}", WHOLE },
	{ "apply member gone", pair, "topology.apply", PAIR("", "", "") "}", WHOLE },
	{ "apply recreate", pair_and_image, "topology.apply", PAIR(",\"image\":\"second\"", A_MEMBER,
	  "") ",\"allow_recreate\":true}", FORWARD },
	{ "apply disk", pair, "topology.apply", PAIR(",\"vcpus\":1,\"disk\":{\"type\":\"reflink\"}",
	  A_MEMBER, "") ",\"allow_recreate\":true}", FORWARD },
	{ "apply disk said", pair, "topology.apply", PAIR(",\"disk\":{\"type\":\"overlay\"}", A_MEMBER,
	  "") "}", WHOLE },
	{ "apply disks", pair, "topology.apply", PAIR("," DISKS, A_MEMBER, "") "}", WHOLE },
	{ "apply disks gone", pair_with_disks, "topology.apply", PAIR(",\"vcpus\":1,\"disks\":{\"data\":{\"size\":"
	  "\"2GiB\",\"mount\":\"/srv\"}}", A_MEMBER, "") ",\"allow_recreate\":true}", FORWARD },
	{ "apply prune", pair, "topology.apply", EMPTY, FORWARD },
	{ "apply boots", pair_halted, "topology.apply", PAIR(",\"pids\":99", A_MEMBER, "") "}",
	  FORWARD },
	{ "delete", pair, "topology.delete", "{\"topology\":\"pair\"}", FORWARD },
	{ "image.add", second_url, "image.add", "{\"name\":\"second\",\"url\":\"" SECOND_URL "\","
	  "\"insecure_no_digest\":true}", WHOLE },
	{ "image.add layer", second_and_third_url, "image.add", "{\"image\":\"third\",\"url\":\""
	  THIRD_URL "\",\"base\":\"second\",\"insecure_no_digest\":true}", WHOLE },
	{ "image.add disk", second_and_third_url, "image.add", "{\"image\":\"third\",\"url\":\""
	  THIRD_URL "\",\"format\":\"raw\",\"insecure_no_digest\":true}", WHOLE },
	{ "image.capture", stopped, "image.capture", "{\"vnode\":\"a\",\"name\":\"taken\"}", WHOLE },
	{ "image.capture delta", stopped, "image.capture", "{\"vnode\":\"a\",\"name\":\"taken\",\"delta\":true}",
	  WHOLE },
	{ "image.capture again", captured, "image.capture", "{\"vnode\":\"a\",\"name\":\"again\"}", WHOLE },
	{ "image.remove layer", layers, "image.remove", "{\"image\":\"third\"}", FORWARD },
	{ "image.prune", layers, "image.prune", "{}", FORWARD },
	{ "image.remove", second_image, "image.remove", "{\"image\":\"second\"}", FORWARD },
	{ "host.boot", pair_halted, "host.boot", "{}", FORWARD },
	{ "host.halt", pair, "host.halt", "{}", FORWARD },
	{ "host.repair", pair_meddled, "host.repair", "{}", FORWARD },
	{ "host.teardown", pair, "host.teardown", "{}", FORWARD },
	{ 0 }
};

struct lab *
scenario_new(const struct scenario *scenario)
{
	struct lab *lab = lab_new();

	if (scenario->prepare)
		scenario->prepare(lab);
	lab_check_quiet(lab, scenario->name);
	return lab;
}

int
scenario_send(const struct scenario *scenario, struct lab *lab, bool wait)
{
	json_t *params = json_loads(scenario->params, 0, NULL);

	ck_assert_msg(params != NULL, "%s: %s", scenario->name, scenario->params);
	json_object_set_new(params, "wait", json_boolean(wait));
	return lab_send_json(lab, scenario->method, params);
}

const char *
scenario_run(const struct scenario *scenario, struct lab *lab)
{
	json_t *answer = lab_hear(lab, scenario_send(scenario, lab, true));
	const char *word = lab_word(answer);

	if (getenv("LAB_LOG") && strcmp(word, "ok") != 0)
		fprintf(stderr, "\tanswer: %s\n", json_dumps(answer, 0));
	if (strcmp(word, "crash") != 0 && !lab_settle(lab))
		word = "crash";
	json_decref(answer);
	return word;
}

unsigned
scenario_stride(void)
{
	const char *text = getenv("LAB_STRIDE");
	int stride = text ? atoi(text) : 1;

	return stride > 1 ? (unsigned)stride : 1;
}
