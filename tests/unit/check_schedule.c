/*
 * Schedules on the fake world and a held clock: when entries happen, what waits for what, what outlives the
 * daemon and the machine, and that each happens once wherever the daemon dies.
 */
#include "daemon/schedule.h"
#include "tests/unit/lab.h"

#include <stdio.h>
#include <string.h>

#define STEP "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}}]"
#define ALL_AT_ONCE "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"},\"members\":{\"a\":{\"shape\":{\"to\":" \
	"{\"delay\":\"5ms\"}},\"up\":false}}}]"
#define DOCUMENT(schedule) "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{},\"c\":{}},\"lans\":{\"l\":{\"shape\":" \
	"{\"rate\":\"10Mbit\",\"delay\":\"1ms\"},\"members\":{\"a\":{},\"b\":{},\"c\":{}}" schedule "}}}"

static json_t *
parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	ck_assert_msg(value != NULL, "%s", text);
	return value;
}

static void
apply(struct lab *lab, const char *text)
{
	lab_do(lab, "topology.apply", "{so sb}", "document", parse(text), "wait", 1);
	ck_assert(lab_settle(lab));
}

static void
set_schedule(struct lab *lab, const char *text)
{
	lab_do(lab, "lan.schedule", "{ss so sb}", "lan", "l", "schedule", parse(text), "wait", 1);
	ck_assert(lab_settle(lab));
}

static struct lab *
star(void)
{
	struct lab *lab = lab_new();

	apply(lab, DOCUMENT(""));
	return lab;
}

/* Lets time pass and everything that it brings. */
static void
pass(struct lab *lab, uint64_t ms)
{
	lab_advance(lab, ms);
	ck_assert(lab_settle(lab));
}

/* What the world has of a vnode's experiment port; a new reference. */
static json_t *
port_of(struct lab *lab, const char *vnode)
{
	json_t *world = world_describe(lab->world), *port;
	char name[32];

	snprintf(name, sizeof(name), "v%llde1", (long long)lab_vnode(lab, vnode)->vmid);
	port = json_incref(json_object_get(json_object_get(world, "ports"), name));
	ck_assert_ptr_nonnull(port);
	json_decref(world);
	return port;
}

static double
rate_of(struct lab *lab, const char *vnode)
{
	json_t *port = port_of(lab, vnode);
	double rate = json_number_value(json_object_get(json_object_get(port, "in"), "rate_bps"));

	json_decref(port);
	return rate;
}

static bool
is_up(struct lab *lab, const char *vnode)
{
	json_t *port = port_of(lab, vnode);
	bool up = json_is_true(json_object_get(port, "up"));

	json_decref(port);
	return up;
}

/* A field of the i-th entry in the order of time; a new reference. */
static json_t *
entry_field(struct lab *lab, size_t i, const char *field)
{
	json_t *lan = lab_result(lab, "lan.get", "{ss}", "lan", "l");
	json_t *entry = json_array_get(json_object_get(lan, "schedule"), i);
	json_t *value = json_incref(json_object_get(entry, field));

	ck_assert_msg(entry != NULL, "no entry %zu", i);
	json_decref(lan);
	return value;
}

static void
check_state(struct lab *lab, size_t i, const char *state)
{
	json_t *value = entry_field(lab, i, "state");

	ck_assert_str_eq(json_string_value(value), state);
	json_decref(value);
}

/* How many firings the event log tells of. */
static unsigned
count_fired(struct lab *lab)
{
	json_t *list = lab_result(lab, "event.list", "{s[s]}", "types", "lan.change"), *event;
	unsigned count = 0;
	size_t i;

	json_array_foreach(json_object_get(list, "events"), i, event) {
		json_t *data = json_object_get(event, "data");
		const char *state = json_string_value(json_object_get(data, "state"));

		if (!json_object_get(data, "what"))
			continue;
		ck_assert_str_eq(json_string_value(json_object_get(data, "what")), "schedule");
		ck_assert(json_is_integer(json_object_get(data, "entry")));
		ck_assert(json_is_integer(json_object_get(data, "late_ns")));
		count += strcmp(state, "fired") == 0;
	}
	json_decref(list);
	return count;
}

START_TEST(entries_happen_in_their_time)
{
	struct lab *lab = star();

	set_schedule(lab, "[{\"after\":\"20s\",\"up\":false},{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}},"
		     "{\"after\":\"30s\",\"up\":true}]");
	pass(lab, 9999);
	ck_assert_double_eq_tol(rate_of(lab, "a"), 10e6, 1);
	check_state(lab, 0, "pending");
	pass(lab, 1);
	ck_assert_double_eq_tol(rate_of(lab, "a"), 1e6, 1);
	check_state(lab, 0, "done");
	ck_assert(is_up(lab, "b"));
	pass(lab, 10000);
	ck_assert(!is_up(lab, "b"));
	check_state(lab, 2, "pending");
	pass(lab, 10000);
	ck_assert(is_up(lab, "b"));
	ck_assert_uint_eq(count_fired(lab), 3);
	lab_check_quiet(lab, "times");
	lab_clean(lab, "times");
	lab_free(lab);
}
END_TEST

/* lan.set's words: what is not named stays, null takes away; the document's base is what they change. */
START_TEST(a_document_brings_shapes_members_and_carriers)
{
	struct lab *lab = lab_new();
	json_t *lan, *members, *error;

	apply(lab, DOCUMENT(",\"schedule\":[{\"after\":\"10s\",\"shape\":{\"rate\":null,\"loss\":\"5%\"},\"members\":"
			    "{\"a\":{\"shape\":{\"from\":{\"rate\":\"2Mbit\"}},\"up\":false}}},"
			    "{\"after\":\"20s\",\"up\":true,\"members\":{\"b\":{\"up\":false}}}]"));
	pass(lab, 10000);
	lan = lab_result(lab, "lan.get", "{ss}", "lan", "l");
	members = json_object_get(lan, "members");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(lan, "shape"), "rate_bps")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(lan, "shape"), "delay_ns")),
			 1000000);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json_array_get(members, 0), "from"),
							    "rate_bps")), 2000000);
	error = entry_field(lab, 0, "error");
	ck_assert_ptr_null(error);
	ck_assert(!is_up(lab, "a"));
	ck_assert(is_up(lab, "b"));
	pass(lab, 10000);
	ck_assert(is_up(lab, "a"));		/* up of the LAN takes single downs back */
	ck_assert(!is_up(lab, "b"));
	json_decref(lan);
	lab_clean(lab, "document");
	lab_free(lab);
}
END_TEST

START_TEST(the_same_list_starts_nothing_anew)
{
	struct lab *lab = lab_new();
	json_t *document = parse(DOCUMENT(",\"schedule\":" STEP)), *plan, *exported;

	apply(lab, DOCUMENT(",\"schedule\":" STEP));
	pass(lab, 6000);
	plan = lab_result(lab, "topology.plan", "{sO}", "document", document);
	ck_assert(json_is_true(json_object_get(plan, "empty")));
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	lab_same(json_object_get(document, "lans"), json_object_get(exported, "lans"), "export");
	apply(lab, DOCUMENT(",\"schedule\":" STEP));
	pass(lab, 4000);
	check_state(lab, 0, "done");
	ck_assert_double_eq_tol(rate_of(lab, "a"), 1e6, 1);
	/* The shape is the file's again, the entry has had its turn. */
	apply(lab, DOCUMENT(",\"schedule\":" STEP));
	ck_assert_double_eq_tol(rate_of(lab, "a"), 10e6, 1);
	pass(lab, 60000);
	ck_assert_double_eq_tol(rate_of(lab, "a"), 10e6, 1);
	ck_assert_uint_eq(count_fired(lab), 1);
	json_decref(document);
	json_decref(plan);
	json_decref(exported);
	lab_clean(lab, "same");
	lab_free(lab);
}
END_TEST

static bool
plan_names_schedule(struct lab *lab, const char *document)
{
	json_t *plan = lab_result(lab, "topology.plan", "{so}", "document", parse(document)), *action;
	bool named = false;
	size_t i;

	json_array_foreach(json_object_get(plan, "actions"), i, action) {
		json_t *fields = json_object_get(action, "fields");

		named |= json_array_size(fields) == 1 &&
			 strcmp(json_string_value(json_array_get(fields, 0)), "schedule") == 0 &&
			 strcmp(json_string_value(json_object_get(action, "how")), "live") == 0;
	}
	json_decref(plan);
	return named;
}

START_TEST(another_list_replaces_and_an_empty_one_ends)
{
	struct lab *lab = lab_new();
	json_t *exported;

	apply(lab, DOCUMENT(",\"schedule\":" STEP));
	pass(lab, 6000);
	ck_assert(plan_names_schedule(lab, DOCUMENT(",\"schedule\":[{\"after\":\"8s\",\"up\":false}]")));
	apply(lab, DOCUMENT(",\"schedule\":[{\"after\":\"8s\",\"up\":false}]"));
	pass(lab, 7999);
	ck_assert_double_eq_tol(rate_of(lab, "a"), 10e6, 1);
	ck_assert(is_up(lab, "a"));
	set_schedule(lab, "[]");
	pass(lab, 60000);
	ck_assert(is_up(lab, "a"));
	ck_assert_uint_eq(count_fired(lab), 0);
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	ck_assert_ptr_null(json_object_get(json_object_get(json_object_get(exported, "lans"), "l"),
					   "schedule"));
	json_decref(exported);
	set_schedule(lab, STEP);
	ck_assert(plan_names_schedule(lab, DOCUMENT("")));
	apply(lab, DOCUMENT(""));
	pass(lab, 60000);
	ck_assert_uint_eq(count_fired(lab), 0);
	lab_clean(lab, "replaced");
	lab_free(lab);
}
END_TEST

/* A list with dates: those that are over and known are kept, new ones are refused. */
START_TEST(a_date_that_has_had_its_turn_gets_no_other)
{
	struct lab *lab = star();
	char at[EVENT_TIME_TEXT], list[400];
	json_t *error;

	event_time_print(loop_wall_us(lab->loop) + 5000000, at);
	snprintf(list, sizeof(list), "[{\"at\":\"%s\",\"up\":false}]", at);
	set_schedule(lab, list);
	pass(lab, 5000);
	ck_assert(!is_up(lab, "a"));
	lab_do(lab, "lan.up", "{ss sb}", "lan", "l", "wait", 1);
	snprintf(list, sizeof(list), "[{\"after\":\"1s\",\"shape\":{\"rate\":\"1Mbit\"}},{\"at\":\"%s\",\"up\":false}]",
		 at);
	set_schedule(lab, list);
	check_state(lab, 0, "done");
	pass(lab, 1000);
	ck_assert(is_up(lab, "a"));
	ck_assert_double_eq_tol(rate_of(lab, "a"), 1e6, 1);
	snprintf(list, sizeof(list), "[{\"at\":\"%s\",\"up\":true}]", at);
	error = lab_error(lab, "invalid", "lan.schedule", "{ss so}", "lan", "l", "schedule", parse(list));
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/schedule/0/at");
	json_decref(error);
	lab_clean(lab, "dates");
	lab_free(lab);
}
END_TEST

/* path, entry, code */
static const char *const refusals[][3] = {
	{ "", "{\"up\":true}", "invalid" },
	{ "/at", "{\"after\":\"1s\",\"at\":\"2100-01-01T00:00:00Z\",\"up\":true}", "invalid" },
	{ "", "{\"after\":\"1s\"}", "invalid" },
	{ "", "{\"after\":\"1s\",\"members\":{}}", "invalid" },
	{ "", "7", "invalid" },
	{ "/members/a", "{\"after\":\"1s\",\"members\":{\"a\":{}}}", "invalid" },
	{ "/members/a", "{\"after\":\"1s\",\"members\":{\"a\":{\"shape\":{}}}}", "invalid" },
	{ "/members/z", "{\"after\":\"1s\",\"members\":{\"z\":{\"up\":true}}}", "invalid" },
	{ "/after", "{\"after\":1,\"up\":true}", "invalid" },
	{ "/after", "{\"after\":\"-1s\",\"up\":true}", "invalid" },
	{ "/up", "{\"after\":\"1s\",\"up\":1}", "invalid" },
	{ "/mtu", "{\"after\":\"1s\",\"mtu\":1400}", "invalid" },
	{ "/at", "{\"at\":\"2020-01-01T00:00:00Z\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"2030-02-30T00:00:00Z\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"2030-01-01 00:00:00Z\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"2030-01-01T00:00:00+01:00\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"tomorrow\",\"up\":true}", "invalid" },
	{ "/shape/rate", "{\"after\":\"1s\",\"shape\":{\"rate\":\"fast\"}}", "invalid" },
	{ "/shape/jitter", "{\"after\":\"1s\",\"shape\":{\"jitter\":\"2ms\"}}", "invalid" },
	{ "/shape", "{\"after\":\"1s\",\"shape\":3}", "invalid" },
	{ "/members/a/shape/to/reorder",
	  "{\"after\":\"1s\",\"members\":{\"a\":{\"shape\":{\"to\":{\"delay\":null,\"reorder\":\"1%\"}}}}}", "invalid" },
	{ "/members/a/shape/side", "{\"after\":\"1s\",\"members\":{\"a\":{\"shape\":{\"side\":{}}}}}", "invalid" },
};

/* In a document and by itself: the same refusal, with the place, and nothing is changed. */
START_TEST(what_cannot_be_is_refused_with_its_place)
{
	struct lab *lab = star();
	json_t *before = lab_picture(lab), *after;

	for (size_t i = 0; i < VN_COUNT(refusals); i++) {
		vn_autofree char *list = vn_format("[{\"after\":\"1s\",\"up\":true},%s]", refusals[i][1]);
		vn_autofree char *document = vn_format(DOCUMENT(",\"schedule\":%s"), list);
		vn_autofree char *path = vn_format("/schedule/1%s", refusals[i][0]);
		vn_autofree char *long_path = vn_format("/document/lans/l%s", path);
		json_t *error = lab_error(lab, refusals[i][2], "lan.schedule", "{ss so}", "lan", "l",
					  "schedule", parse(list));

		ck_assert_str_eq(json_string_value(json_object_get(error, "path")), path);
		json_decref(error);
		error = lab_error(lab, refusals[i][2], "topology.apply", "{so}", "document",
				  parse(document));
		ck_assert_str_eq(json_string_value(json_object_get(error, "path")), long_path);
		json_decref(error);
	}
	after = lab_picture(lab);
	lab_same(before, after, "refused");
	json_decref(before);
	json_decref(after);
	lab_clean(lab, "refusals");
	lab_free(lab);
}
END_TEST

static json_t *
refused_path(struct lab *lab, const char *word, VN_TAKES json_t *list)
{
	json_t *error = lab_error(lab, word, "lan.schedule", "{ss so}", "lan", "l", "schedule", list);
	json_t *path = json_incref(json_object_get(error, "path"));

	json_decref(error);
	return path;
}

/* A shape that an earlier entry leaves without what it needs; a kernel that lacks what it needs. */
START_TEST(entries_are_tried_in_the_order_of_time)
{
	struct lab *lab = star();
	json_t *path, *list = json_array();

	path = refused_path(lab, "invalid", parse("[{\"after\":\"2s\",\"shape\":{\"reorder\":\"1%\"}},"
						  "{\"after\":\"1s\",\"shape\":{\"delay\":null}}]"));
	ck_assert_str_eq(json_string_value(path), "/schedule/0/shape/reorder");
	json_decref(path);
	for (int i = 0; i <= SCHEDULE_MAX; i++)
		json_array_append_new(list, json_pack("{ss sb}", "after", "1s", "up", 1));
	path = refused_path(lab, "invalid", list);
	ck_assert_str_eq(json_string_value(path), "/schedule");
	json_decref(path);
	world_lacks(lab->world, "net", "this kernel has no netem");
	path = refused_path(lab, "unsupported", parse("[{\"after\":\"1s\",\"shape\":{\"delay\":\"2ms\"}}]"));
	ck_assert_str_eq(json_string_value(path), "/schedule/0/shape/delay");
	json_decref(path);
	lab_clean(lab, "tried");
	lab_free(lab);
}
END_TEST

START_TEST(on_a_link_from_is_refused)
{
	struct lab *lab = lab_new();
	json_t *path;

	apply(lab, "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}},\"lans\":{\"l\":{\"members\":{\"a\":{},\"b\":{}}}}}");
	path = refused_path(lab, "invalid", parse("[{\"after\":\"2s\",\"members\":{\"b\":{\"shape\":{\"from\":"
						  "{\"rate\":\"1Mbit\"}}}}}]"));
	ck_assert_str_eq(json_string_value(path), "/schedule/0/members/b/shape/from");
	json_decref(path);
	lab_clean(lab, "link");
	lab_free(lab);
}
END_TEST

START_TEST(an_entry_waits_for_the_job_that_holds_the_lan)
{
	struct lab *lab = star();
	json_t *late;

	set_schedule(lab, "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}},{\"after\":\"11s\",\"up\":false}]");
	world_hang(lab->world, "net.ports_shape", 1);
	lab_send(lab, "lan.set", "{ss s{ss}}", "lan", "l", "shape", "rate", "5Mbit");
	ck_assert(lab_await_hang(lab));
	lab_advance(lab, 12000);
	check_state(lab, 0, "pending");
	lab_release(lab);
	check_state(lab, 0, "done");
	check_state(lab, 1, "done");
	ck_assert_double_eq_tol(rate_of(lab, "a"), 1e6, 1);
	ck_assert(!is_up(lab, "a"));
	late = entry_field(lab, 0, "late_ms");
	ck_assert_double_eq_tol(json_number_value(late), 2000, 0.001);
	json_decref(late);
	lab_check_quiet(lab, "waited");
	lab_clean(lab, "waited");
	lab_free(lab);
}
END_TEST

/* Three became due while nobody was there; the machine's clock went on. */
START_TEST(what_became_due_meanwhile_is_made_up_for_in_order)
{
	static void (*const ends[])(struct lab *lab) = { lab_kill, lab_close, lab_reboot };

	for (size_t i = 0; i < VN_COUNT(ends); i++) {
		struct lab *lab = star();

		set_schedule(lab, "[{\"after\":\"10s\",\"shape\":{\"rate\":\"1Mbit\"}},{\"after\":\"20s\",\"shape\":{\"rate\":"
			     "\"2Mbit\"}},{\"after\":\"30s\",\"up\":false},{\"after\":\"60s\",\"up\":true}]");
		ends[i](lab);
		lab_advance(lab, 40000);
		ck_assert(lab_open(lab));
		check_state(lab, 1, "done");
		check_state(lab, 2, "done");
		check_state(lab, 3, "pending");
		lab_do(lab, "host.boot", "{sb}", "wait", 1);
		ck_assert(lab_settle(lab));
		ck_assert_double_eq_tol(rate_of(lab, "a"), 2e6, 1);
		ck_assert(!is_up(lab, "a"));
		pass(lab, 20000);
		ck_assert(is_up(lab, "a"));
		ck_assert_uint_eq(count_fired(lab), 4);
		lab_check_quiet(lab, "meanwhile");
		lab_clean(lab, "meanwhile");
		lab_free(lab);
	}
}
END_TEST

START_TEST(when_the_wall_clock_is_set_dates_move_with_it)
{
	struct lab *lab = star();
	int64_t now_us = loop_wall_us(lab->loop);

	set_schedule(lab, STEP);
	loop_wall_set(lab->loop, now_us - 3600000000);
	pass(lab, 11000);
	check_state(lab, 0, "pending");
	loop_wall_set(lab->loop, now_us + 10000000);
	ck_assert(lab_settle(lab));
	check_state(lab, 0, "done");
	lab_clean(lab, "set");
	lab_free(lab);
}
END_TEST

START_TEST(what_is_due_on_a_host_that_was_torn_down_is_missed)
{
	struct lab *lab = star();

	set_schedule(lab, STEP);
	lab_do(lab, "host.teardown", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	pass(lab, 10000);
	check_state(lab, 0, "missed");
	ck_assert_uint_eq(count_fired(lab), 0);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	check_state(lab, 0, "missed");
	lab_clean(lab, "torn down");
	lab_free(lab);
}
END_TEST

START_TEST(an_entry_whose_member_is_gone_fails_and_the_next_goes_on)
{
	struct lab *lab = star();

	set_schedule(lab, "[{\"after\":\"1s\",\"members\":{\"c\":{\"shape\":{\"to\":{\"rate\":\"1Mbit\"}}}}},"
		     "{\"after\":\"1s\",\"shape\":{\"rate\":\"3Mbit\"}}]");
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "c", "wait", 1);
	ck_assert(lab_settle(lab));
	pass(lab, 1000);
	check_state(lab, 0, "failed");
	check_state(lab, 1, "done");
	ck_assert_double_eq_tol(rate_of(lab, "a"), 3e6, 1);
	lab_clean(lab, "gone");
	lab_free(lab);
}
END_TEST

/* Shape, carrier: whichever call fails, all of the entry is as before and the entry says so. */
START_TEST(an_entry_happens_whole_or_not_at_all)
{
	static const char *const ops[] = { "net.ports_shape", "net.ports_carrier" };

	for (size_t i = 0; i < 2 * VN_COUNT(ops); i++) {
		struct lab *lab = star();
		json_t *error;

		set_schedule(lab, ALL_AT_ONCE);
		(i & 1 ? world_fail_after : world_fail)(lab->world, ops[i / 2], 1, VN_E_BACKEND);
		pass(lab, 10000);
		world_fault_clear(lab->world);
		check_state(lab, 0, "failed");
		error = entry_field(lab, 0, "error");
		ck_assert(json_is_string(error));
		ck_assert_double_eq_tol(rate_of(lab, "a"), 10e6, 1);
		ck_assert_double_eq_tol(rate_of(lab, "b"), 10e6, 1);
		ck_assert(is_up(lab, "a"));
		ck_assert(lab_vnode(lab, "a") && is_up(lab, "b"));
		lab_check_quiet(lab, ops[i / 2]);
		lab_clean(lab, ops[i / 2]);
		json_decref(error);
		lab_free(lab);
	}
}
END_TEST

/* ---- kill -9 at any point of a firing ---- */

enum death { DEATH_CALL, DEATH_COMMIT };

static void
check_once(struct lab *lab, json_t *wanted, const char *what)
{
	json_t *got;

	lab_check_quiet(lab, what);
	got = lab_picture(lab);
	lab_same(wanted, got, what);
	ck_assert_msg(count_fired(lab) == 1, "%s: fired %u times", what, count_fired(lab));
	json_decref(got);
}

/* Dies at the kth point; false: there were not so many. Afterwards the entry has happened once. */
static bool
die(enum death death, unsigned k, enum world_point point, json_t *wanted)
{
	struct lab *lab = star();
	bool crashed;
	char what[80];

	snprintf(what, sizeof(what), "dies %s %u, %d", death == DEATH_CALL ? "at call" : "after commit", k,
		 (int)point);
	set_schedule(lab, ALL_AT_ONCE);
	if (death == DEATH_CALL)
		world_freeze_at(lab->world, k, point);
	else
		lab->crash_at = store_commits(lab->daemon->store) + k;
	loop_clock_advance(lab->loop, 10000);
	crashed = !lab_settle(lab);
	if (crashed) {
		lab_kill(lab);
		ck_assert(lab_open(lab));
		check_once(lab, wanted, what);
		lab_kill(lab);
		ck_assert(lab_open(lab));
		check_once(lab, wanted, what);
		lab_clean(lab, what);
	}
	lab_free(lab);
	return crashed;
}

static json_t *
picture_after(void)
{
	struct lab *lab = star();
	json_t *picture;

	set_schedule(lab, ALL_AT_ONCE);
	pass(lab, 10000);
	picture = lab_picture(lab);
	lab_free(lab);
	return picture;
}

START_TEST(kill_at_any_point_of_a_firing_neither_loses_nor_repeats_it)
{
	json_t *wanted = picture_after();
	unsigned calls = 0, commits = 0;

	for (enum world_point point = WORLD_BEFORE; point <= WORLD_AFTER; point++)
		for (unsigned k = 1; die(DEATH_CALL, k, point, wanted); k++)
			calls++;
	for (unsigned k = 1; die(DEATH_COMMIT, k, WORLD_AFTER, wanted); k++)
		commits++;
	ck_assert_uint_ge(calls, 6);		/* the shapes and the carrier, at three points each */
	ck_assert_uint_ge(commits, 3);
	json_decref(wanted);
}
END_TEST

int
main(void)
{
	return run_suite("schedule", (const TTest *const[]){
		entries_happen_in_their_time,
		a_document_brings_shapes_members_and_carriers,
		the_same_list_starts_nothing_anew,
		another_list_replaces_and_an_empty_one_ends,
		a_date_that_has_had_its_turn_gets_no_other,
		what_cannot_be_is_refused_with_its_place,
		entries_are_tried_in_the_order_of_time,
		on_a_link_from_is_refused,
		an_entry_waits_for_the_job_that_holds_the_lan,
		what_became_due_meanwhile_is_made_up_for_in_order,
		when_the_wall_clock_is_set_dates_move_with_it,
		what_is_due_on_a_host_that_was_torn_down_is_missed,
		an_entry_whose_member_is_gone_fails_and_the_next_goes_on,
		an_entry_happens_whole_or_not_at_all,
		kill_at_any_point_of_a_firing_neither_loses_nor_repeats_it,
		NULL });
}
