/*
 * Schedules on the fake world and a held clock: when entries happen, and what becomes of them when the list
 * is another one. What stands in their way, up to kill -9, is in check_schedule_ends.
 */
#include "tests/unit/check_schedule.h"

#include <stdio.h>
#include <string.h>

json_t *
parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	ck_assert_msg(value != NULL, "%s", text);
	return value;
}

void
apply(struct lab *lab, const char *text)
{
	lab_do(lab, "topology.apply", "{so sb}", "document", parse(text), "wait", 1);
	ck_assert(lab_settle(lab));
}

void
set_schedule(struct lab *lab, const char *text)
{
	lab_do(lab, "lan.schedule", "{ss so sb}", "lan", "l", "schedule", parse(text), "wait", 1);
	ck_assert(lab_settle(lab));
}

struct lab *
star(void)
{
	struct lab *lab = lab_new();

	apply(lab, DOCUMENT(""));
	return lab;
}

void
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

double
rate_of(struct lab *lab, const char *vnode)
{
	json_t *port = port_of(lab, vnode);
	double rate = json_number_value(json_object_get(json_object_get(port, "in"), "rate_bps"));

	json_decref(port);
	return rate;
}

bool
is_up(struct lab *lab, const char *vnode)
{
	json_t *port = port_of(lab, vnode);
	bool up = json_is_true(json_object_get(port, "up"));

	json_decref(port);
	return up;
}

json_t *
entry_field(struct lab *lab, size_t i, const char *field)
{
	json_t *lan = lab_result(lab, "lan.get", "{ss}", "lan", "l");
	json_t *entry = json_array_get(json_object_get(lan, "schedule"), i);
	json_t *value = json_incref(json_object_get(entry, field));

	ck_assert_msg(entry != NULL, "no entry %zu", i);
	json_decref(lan);
	return value;
}

void
check_state(struct lab *lab, size_t i, const char *state)
{
	json_t *value = entry_field(lab, i, "state");

	ck_assert_str_eq(json_string_value(value), state);
	json_decref(value);
}

unsigned
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

static void
add_time_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		entries_happen_in_their_time,
		a_document_brings_shapes_members_and_carriers,
		the_same_list_starts_nothing_anew,
		another_list_replaces_and_an_empty_one_ends,
		a_date_that_has_had_its_turn_gets_no_other,
		NULL });
}

int
main(void)
{
	return run_files("schedule", (const add_cases_fn[]){ add_time_cases, add_refusal_cases, add_end_cases, NULL });
}
