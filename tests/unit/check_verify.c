/*
 * host.verify, host.repair and foreign changes as events, on the fake world: each kind of thing that someone
 * may alter is found, named, told and mended; what the daemon does itself is no difference.
 */
#include "tests/unit/scenario.h"

#include <stdio.h>
#include <string.h>

#include "daemon/event_log.h"

/* Vnodes 1 (a) and 2 (b), LANs 1 (link, shaped) and 2 (side); a has a forward and a route. */
#define PAIR "{\"topology\":\"pair\",\"vnodes\":{\"a\":{\"forwards\":[{\"host\":2201,\"guest\":22}]," \
	"\"routes\":[{\"to\":\"10.9.0.0/16\",\"via\":\"10.1.0.2\"}]},\"b\":{}},\"lans\":{" \
	"\"link\":{\"shape\":{\"rate\":\"10Mbit\",\"delay\":\"5ms\",\"loss\":\"1%\"},\"members\":{" \
	"\"a\":{\"address\":[\"10.1.0.1/24\",\"fd01::1/64\"]},\"b\":{\"address\":\"10.1.0.2/24\"}}}," \
	"\"side\":{\"members\":{\"b\":{\"address\":\"10.2.0.2/24\"}}}}}"

static struct lab *
pair_new(void)
{
	struct lab *lab = lab_new();
	json_t *document = json_loads(PAIR, 0, NULL);

	lab_do(lab, "topology.apply", "{so sb}", "document", document, "wait", 1);
	ck_assert(lab_settle(lab));
	ck_assert_int_eq(lab_vnode(lab, "pair/a")->vmid, 1);
	return lab;
}

/* A line each: "pair/a eth1 qdisc v1e1 delay_ns 5000000 3000000". */
static char *
lines_of(json_t *list)
{
	char *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);
	json_t *one;

	json_array_foreach(list, i, one) {
		const char *names[] = { "vnode", "interface", "kind", "object", "field" };

		for (size_t k = 0; k < VN_COUNT(names); k++) {
			const char *word = json_string_value(json_object_get(one, names[k]));

			fprintf(out, "%s%s", word ? word : "", word ? " " : "");
		}
		for (size_t k = 0; k < 2; k++) {
			vn_autofree char *value = json_dumps(json_object_get(one, k ? "found" : "wanted"),
							     JSON_ENCODE_ANY);

			fprintf(out, "%s%s", value, k ? "\n" : " ");
		}
	}
	fclose(out);
	return text;
}

static char *
verify(struct lab *lab)
{
	json_t *answer = lab_result(lab, "host.verify", NULL);
	char *text = lines_of(json_object_get(answer, "differences"));

	json_decref(answer);
	return text;
}

static void
check_clean(struct lab *lab, const char *when)
{
	vn_autofree char *text = verify(lab);

	ck_assert_msg(*text == '\0', "%s:\n%s", when, text);
}

/* Repairs and returns what is left, as lines; *ret: how many were mended. */
static char *
repair(struct lab *lab, json_int_t *ret)
{
	json_t *answer = lab_result(lab, "host.repair", "{sb}", "wait", 1);
	json_t *result = json_object_get(answer, "result");
	char *text = lines_of(json_object_get(result, "left"));

	*ret = json_integer_value(json_object_get(result, "mended"));
	json_decref(answer);
	ck_assert(lab_settle(lab));
	return text;
}

/* What someone does, what verify says, and whether repair leaves it. */
static const struct {
	const char *meddling, *lines;
	bool stays;
} meddlings[] = {
	{ "v1e1 del", "pair/a eth1 port v1e1 exists true false\n" },
	{ "v1e1 up 0", "pair/a eth1 port v1e1 up true false\n" },
	{ "v1e1 mtu 900", "pair/a eth1 port v1e1 mtu 1500 900\n" },
	{ "v1e1 bridge 2", "pair/a eth1 port v1e1 bridge \"l1\" \"l2\"\n" },
	{ "v1e1 name foo", "pair/a eth1 port v1e1 interface \"eth1\" \"foo\"\n" },
	{ "v1e0 up 0", "pair/a eth0 port v1e0 up true false\n" },
	{ "v1e1 address 10.9.9.9/24", "pair/a eth1 address v1e1 address null \"10.9.9.9/24\"\n" },
	{ "v2e1 strip", "pair/b eth1 address v2e1 address \"10.1.0.2/24\" null\n" },
	{ "v1e1 delay 3000000", "pair/a eth1 qdisc v1e1 delay_ns 5000000 3000000\n" },
	{ "v1e1 rate 1000", "pair/a eth1 qdisc v1e1 rate_bps 10000000 1000\n" },
	{ "v1e1 loss 0.5", "pair/a eth1 qdisc v1e1 loss 0.01 0.5\n" },
	{ "v2e2 in-rate 7", "pair/b eth2 qdisc i2e2 rate_bps 0 7\n" },
	{ "l1 del", "bridge l1 exists true false\npair/a eth1 port v1e1 bridge \"l1\" null\n"
	  "pair/b eth1 port v2e1 bridge \"l1\" null\n" },
	{ "l2 mtu 900", "bridge l2 mtu 1500 900\n" },
	{ "n1 unroute", "pair/a route vnoded-1 route \"10.9.0.0/16 via 10.1.0.2\" null\n" },
	{ "f2201 del", "pair/a forward tcp 2201 target \"198.18.0.2 . 22\" null\n" },
	{ "f2201 guest 99", "pair/a forward tcp 2201 target \"198.18.0.2 . 22\" \"198.18.0.2 . 99\"\n" },
	{ "f99 new 7", "forward tcp 99 target null \" . 7\"\n" },
	{ "u down", "uplink uplink up true false\n" },
	{ "l9 new 99999999-0000-4000-8000-000000000000", "bridge l9 exists false true\n" },
	{ "v9e1 new 99999999-0000-4000-8000-000000000000", "port v9e1 exists false true\n" },
	{ "d1 mount", "pair/a mount 1 exists false true\n" },
	{ "g1 hide", "pair/a domain vnoded-0b5e55ed-1 state \"running\" \"absent\"\n", true },
};

static struct lab *
meddle(int i)
{
	struct lab *lab = pair_new();

	check_clean(lab, "before");
	ck_assert_msg(world_meddle(lab->world, meddlings[i].meddling), "%s", meddlings[i].meddling);
	return lab;
}

START_TEST(what_someone_changes_is_found_and_mended)
{
	for (int i = 0; i < (int)VN_COUNT(meddlings); i++) {
		struct lab *lab = meddle(i);
		json_t *before = lab_picture(lab);
		vn_autofree char *found = verify(lab), *left = NULL;
		json_int_t mended;

		ck_assert_msg(strstr(found, meddlings[i].lines) && strlen(found) ==
			      strlen(meddlings[i].lines), "%s:\n%s", meddlings[i].meddling, found);
		json_t *after = lab_picture(lab);

		lab_same(before, after, "looking");
		left = repair(lab, &mended);
		ck_assert_str_eq(left, meddlings[i].stays ? meddlings[i].lines : "");
		ck_assert_int_eq(mended > 0, !meddlings[i].stays);
		if (meddlings[i].stays)
			ck_assert(world_meddle(lab->world, meddlings[i].meddling));
		check_clean(lab, meddlings[i].meddling);
		lab_check_quiet(lab, meddlings[i].meddling);
		lab_clean(lab, meddlings[i].meddling);
		json_decref(before);
		json_decref(after);
		lab_free(lab);
	}
}
END_TEST

START_TEST(it_says_how_much_it_looked_at)
{
	struct lab *lab = pair_new();
	json_t *answer = lab_result(lab, "host.verify", NULL);
	json_t *checked = json_object_get(answer, "checked");
	static const struct {
		const char *what;
		int count;
	} counts[] = { { "ports", 5 }, { "routes", 1 }, { "forwards", 1 }, { "domains", 2 },
		       { "mounts", 2 }, { "addresses", 8 } };

	for (size_t i = 0; i < VN_COUNT(counts); i++)
		ck_assert_int_eq(json_integer_value(json_object_get(checked, counts[i].what)),
				 counts[i].count);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "busy")), 0);
	ck_assert(json_is_integer(json_object_get(answer, "ms")));
	json_decref(answer);
	lab_clean(lab, "counts");
	lab_free(lab);
}
END_TEST

START_TEST(after_every_verb_all_is_as_wanted)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct lab *lab;

		if (strcmp(scenario->method, "host.repair") == 0)
			continue;	/* begins with what is not */
		lab = scenario_new(scenario);
		check_clean(lab, scenario->name);
		ck_assert_str_eq(scenario_run(scenario, lab), "ok");
		if (strcmp(scenario->name, "host.teardown") == 0)
			lab_refuse(lab, "state", "host.verify", NULL);
		else
			check_clean(lab, scenario->name);
		lab_free(lab);
	}
}
END_TEST

START_TEST(one_topology_alone)
{
	struct lab *lab = pair_new();
	json_t *answer;

	lab_do(lab, "vnode.create", "{ss sb}", "name", "other", "wait", 1);
	ck_assert(world_meddle(lab->world, "v3e0 up 0"));
	ck_assert(world_meddle(lab->world, "l9 new 99999999-0000-4000-8000-000000000000"));
	answer = lab_result(lab, "host.verify", "{ss}", "topology", "pair");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "differences")), 0);
	json_decref(answer);
	answer = lab_result(lab, "host.verify", "{ss}", "topology", "default");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "differences")), 1);
	json_decref(answer);
	lab_do(lab, "host.repair", "{ss sb}", "topology", "default", "wait", 1);
	answer = lab_result(lab, "host.verify", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "differences")), 1);
	json_decref(answer);
	lab_refuse(lab, "not_found", "host.verify", "{ss}", "topology", "nosuch");
	lab_refuse(lab, "not_found", "host.repair", "{ss}", "topology", "nosuch");
	lab_free(lab);
}
END_TEST

/* Until a call hangs that no job made. */
static void
await_hang(struct lab *lab)
{
	while (!world_hanging(lab->world))
		loop_run_once(lab->loop, false);
}

/* ---- beside jobs ----------------------------------------------------------------------------- */

START_TEST(what_a_job_works_on_is_left_out)
{
	struct lab *lab = pair_new();
	json_t *answer, *busy;
	int halt;

	world_hang(lab->world, "compute.stop", 1);
	halt = lab_send(lab, "vnode.halt", "{ss sb}", "vnode", "pair/a", "wait", 1);
	ck_assert(lab_await_hang(lab));
	ck_assert(world_meddle(lab->world, "v1e1 mtu 900"));
	ck_assert(world_meddle(lab->world, "v2e2 mtu 901"));
	answer = lab_result(lab, "host.verify", NULL);
	busy = json_object_get(answer, "busy");
	ck_assert_uint_eq(json_array_size(busy), 1);
	ck_assert_str_eq(json_string_value(json_array_get(busy, 0)), "pair/a");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "differences")), 1);
	json_decref(answer);
	lab_release(lab);
	json_decref(lab_hear(lab, halt));
	ck_assert(lab_settle(lab));
	answer = lab_result(lab, "host.verify", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "differences")), 2);
	json_decref(answer);
	lab_free(lab);
}
END_TEST

/* A change between the copy of what is wanted and the look: looked at again. */
START_TEST(what_a_job_has_overtaken_is_looked_at_again)
{
	struct lab *lab = pair_new();
	json_t *answer;
	int asked;

	world_hang(lab->world, "net.verify", 1);
	asked = lab_send(lab, "host.verify", NULL);
	await_hang(lab);
	lab_do(lab, "lan.set", "{ss si sb}", "lan", "link", "mtu", 9000, "wait", 1);
	lab_release(lab);
	answer = lab_hear(lab, asked);
	ck_assert_str_eq(lab_word(answer), "ok");
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(answer, "result"),
							  "differences")), 0);
	ck_assert_uint_eq(world_count(lab->world, "net.verify"), 2);
	json_decref(answer);
	lab_clean(lab, "overtaken");
	lab_free(lab);
}
END_TEST

START_TEST(a_backend_that_hangs_is_given_up)
{
	struct lab *lab = pair_new();
	json_t *answer;
	int asked;

	world_hang(lab->world, "compute.list", 1);
	asked = lab_send(lab, "host.verify", NULL);
	await_hang(lab);
	lab_advance(lab, lab->daemon->config.step_timeout_ns / 1000000 + 1);
	answer = lab_hear(lab, asked);
	ck_assert_str_eq(lab_word(answer), "timeout");
	json_decref(answer);
	lab_release(lab);
	check_clean(lab, "released");
	lab_clean(lab, "released");
	lab_free(lab);
}
END_TEST

START_TEST(a_backend_that_fails_says_so)
{
	struct lab *lab = pair_new();
	vn_autofree char *text = NULL;

	world_fail(lab->world, "net.verify", 1, VN_E_BACKEND);
	lab_refuse(lab, "backend", "host.verify", NULL);
	world_fault_clear(lab->world);
	world_link(lab->world, false);
	ck_assert(lab_settle(lab));
	text = verify(lab);
	ck_assert_msg(strncmp(text, "hypervisor fake answer ", 23) == 0, "%s", text);
	world_link(lab->world, true);
	ck_assert(lab_settle(lab));
	check_clean(lab, "back");
	lab_clean(lab, "back");
	lab_free(lab);
}
END_TEST

/* A difference that is left because mending it failed fails the job, which says why. */
START_TEST(a_repair_that_fails_says_why)
{
	struct lab *lab = pair_new();
	json_int_t mended;

	ck_assert(world_meddle(lab->world, "v1e1 mtu 900"));
	world_fail(lab->world, "net.ports_up", 0, VN_E_BACKEND);
	lab_refuse(lab, "backend", "host.repair", "{sb}", "wait", 1);
	world_fault_clear(lab->world);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "failed repair");
	free(repair(lab, &mended));
	ck_assert_int_eq(mended, 1);
	check_clean(lab, "second repair");
	lab_free(lab);
}
END_TEST

/* ---- events ---------------------------------------------------------------------------------- */

/* The events of a type behind `since`, as the array. */
static json_t *
events(struct lab *lab, int64_t since, const char *type)
{
	json_t *answer = lab_result(lab, "event.list", "{sI s[s]}", "since", (json_int_t)since, "types",
				    type);
	json_t *list = json_incref(json_object_get(answer, "events"));

	json_decref(answer);
	return list;
}

static size_t
count_foreign(json_t *list)
{
	size_t count = 0, i;
	json_t *event;

	json_array_foreach(list, i, event) {
		const char *what = json_string_value(json_object_get(json_object_get(event, "data"), "what"));

		count += what && strcmp(what, "foreign") == 0;
	}
	return count;
}

static int64_t
last_event(struct lab *lab)
{
	return event_last(lab->daemon->events);
}

/* Lets the monitor's timer fall due and its look end. */
static void
look(struct lab *lab)
{
	unsigned before = world_count(lab->world, "net.verify");

	ck_assert(lab_settle(lab));
	lab_advance(lab, 1000);
	while (world_count(lab->world, "net.verify") == before)
		ck_assert(lab_turn(lab));
	json_decref(lab_result(lab, "host.verify", NULL));	/* comes back behind the look */
	ck_assert(lab_settle(lab));
}

START_TEST(a_foreign_change_is_told_once)
{
	struct lab *lab = pair_new();
	int64_t since;
	json_t *list, *event;

	look(lab);
	since = last_event(lab);
	ck_assert(world_meddle(lab->world, "v1e1 delay 3000000"));
	ck_assert(world_meddle(lab->world, "v1e1 rate 1000"));
	look(lab);
	list = events(lab, since, "lan.change");
	ck_assert_uint_eq(count_foreign(list), 1);
	event = json_array_get(list, 0);
	ck_assert_str_eq(json_string_value(json_object_get(event, "vnode")), "a");
	ck_assert_str_eq(json_string_value(json_object_get(event, "lan")), "link");
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(event, "data"),
							  "differences")), 2);
	json_decref(list);
	since = last_event(lab);
	ck_assert(world_meddle(lab->world, "v2e2 mtu 800"));	/* another: the first is not told again */
	look(lab);
	list = events(lab, since, "lan.change");
	ck_assert_uint_eq(count_foreign(list), 1);
	json_decref(list);
	since = last_event(lab);
	lab_do(lab, "host.repair", "{sb}", "wait", 1);
	look(lab);
	ck_assert(world_meddle(lab->world, "v1e1 delay 3000000"));	/* mended, so it is news */
	look(lab);
	list = events(lab, since, "lan.change");
	ck_assert_uint_eq(count_foreign(list), 1);
	json_decref(list);
	lab_free(lab);
}
END_TEST

START_TEST(a_foreign_change_of_the_host_is_a_warning)
{
	struct lab *lab = pair_new();
	int64_t since;
	json_t *list;

	look(lab);
	since = last_event(lab);
	ck_assert(world_meddle(lab->world, "u down"));
	ck_assert(world_meddle(lab->world, "l2 mtu 900"));
	look(lab);
	list = events(lab, since, "host.warning");
	ck_assert_uint_eq(json_array_size(list), 1);
	json_decref(list);
	list = events(lab, since, "lan.change");
	ck_assert_uint_eq(count_foreign(list), 1);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "lan")), "side");
	json_decref(list);
	lab_free(lab);
}
END_TEST

START_TEST(nothing_of_our_own_making_is_told)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct lab *lab;
		json_t *list;

		if (strcmp(scenario->method, "host.repair") == 0 ||
		    strcmp(scenario->name, "host.teardown") == 0)
			continue;
		lab = scenario_new(scenario);
		ck_assert_str_eq(scenario_run(scenario, lab), "ok");
		ck_assert(world_meddle(lab->world, "u touch"));
		look(lab);
		list = events(lab, 0, "lan.change");
		ck_assert_msg(count_foreign(list) == 0, "%s", scenario->name);
		json_decref(list);
		lab_free(lab);
	}
}
END_TEST

/* Without changes there is no look, however much time passes. */
START_TEST(nobody_looks_while_nothing_changes)
{
	struct lab *lab = pair_new();
	unsigned before;

	look(lab);
	before = world_count(lab->world, "net.verify");
	for (int i = 0; i < 100; i++) {
		lab_advance(lab, 1000);
		ck_assert(lab_settle(lab));
	}
	ck_assert_uint_eq(world_count(lab->world, "net.verify"), before);
	lab_clean(lab, "idle");
	lab_free(lab);
}
END_TEST

/* A change of what a job works on is told when the job has ended. */
START_TEST(what_was_spared_is_looked_at_later)
{
	struct lab *lab = pair_new();
	int64_t since;
	json_t *list;
	int halt;

	look(lab);
	since = last_event(lab);
	world_hang(lab->world, "compute.stop", 1);
	halt = lab_send(lab, "vnode.halt", "{ss sb}", "vnode", "pair/a", "wait", 1);
	ck_assert(lab_await_hang(lab));
	ck_assert(world_meddle(lab->world, "v1e1 mtu 900"));
	lab_advance(lab, 500);
	while (world_count(lab->world, "net.verify") < 2)
		loop_run_once(lab->loop, true);
	json_decref(lab_result(lab, "host.verify", NULL));
	list = events(lab, since, "lan.change");
	ck_assert_uint_eq(count_foreign(list), 0);
	json_decref(list);
	lab_release(lab);
	json_decref(lab_hear(lab, halt));
	look(lab);
	list = events(lab, since, "lan.change");
	ck_assert_uint_eq(count_foreign(list), 1);
	json_decref(list);
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("verify", (const TTest *const[]){
		what_someone_changes_is_found_and_mended,
		it_says_how_much_it_looked_at,
		after_every_verb_all_is_as_wanted,
		one_topology_alone,
		what_a_job_works_on_is_left_out,
		what_a_job_has_overtaken_is_looked_at_again,
		a_backend_that_hangs_is_given_up,
		a_backend_that_fails_says_so,
		a_repair_that_fails_says_why,
		a_foreign_change_is_told_once,
		a_foreign_change_of_the_host_is_a_warning,
		nothing_of_our_own_making_is_told,
		nobody_looks_while_nothing_changes,
		what_was_spared_is_looked_at_later,
		NULL });
}
