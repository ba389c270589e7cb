/*
 * Numbered events: committed before they are told, told once, in order, without a gap; kept,
 * filtered, trimmed. Handlers are the test's own (door.h), but for those of event.*.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "tests/unit/door.h"

#define CALL_WITH "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}"

static void
append(enum event_type type, const char *topology)
{
	struct event_about about = { .topology = topology, .vnode = topology ? "a" : NULL,
				     .vmid = topology ? 3 : 0 };

	event_append(&door.daemon, type, &about, json_pack("{si}", "x", 1));
}

static void
append_many(int n)
{
	for (int i = 0; i < n; i++)
		append(EVENT_VNODE_STATE, "t");
}

static json_t *
call(struct client *client, const char *method, const char *params)
{
	client_say(client, CALL_WITH, 1, method, params);
	return client_hears_result(client, 1);
}

static int64_t
number(json_t *object, const char *key)
{
	ck_assert_msg(json_is_integer(json_object_get(object, key)), "%s", key);
	return json_integer_value(json_object_get(object, key));
}

/* Subscribes; returns the answer's `subscription`, and its seq. */
static int64_t
subscribe(struct client *client, const char *params, int64_t *ret_seq)
{
	json_t *answer = call(client, "event.subscribe", params);
	int64_t id = number(answer, "subscription");

	*ret_seq = number(answer, "seq");
	ck_assert_str_eq(json_string_value(json_object_get(answer, "epoch")), "test");
	json_decref(answer);
	return id;
}

/* The next line must be an event of this subscription; returns the event. */
static json_t *
hear_event(struct client *client, int64_t subscription)
{
	json_t *line = client_hear(client);
	json_t *params = json_object_get(line, "params");
	json_t *event = json_incref(json_object_get(params, "event"));

	ck_assert_ptr_nonnull(event);
	ck_assert_str_eq(json_string_value(json_object_get(line, "method")), "event");
	ck_assert_ptr_null(json_object_get(line, "id"));
	ck_assert_int_eq(number(params, "subscription"), subscription);
	json_decref(line);
	return event;
}

static void
hear_seq(struct client *client, int64_t subscription, int64_t seq)
{
	json_t *event = hear_event(client, subscription);

	ck_assert_int_eq(number(event, "seq"), seq);
	json_decref(event);
}

static void
hear_gap(struct client *client, int64_t subscription, int64_t from, int64_t to)
{
	json_t *event = hear_event(client, subscription);
	json_t *data = json_object_get(event, "data");

	ck_assert_str_eq(json_string_value(json_object_get(event, "type")), "gap");
	ck_assert_int_eq(number(data, "from"), from);
	ck_assert_int_eq(number(data, "to"), to);
	json_decref(event);
}

/* ---- numbers -------------------------------------------------------------------------------- */

START_TEST(numbers_go_on_after_a_restart_and_a_crash)
{
	door_open();
	append_many(3);
	ck_assert_int_eq(event_last(door.daemon.events), 3);
	door_restart();
	ck_assert_int_eq(event_last(door.daemon.events), 3);
	append_many(2);
	door_settle();
	door_crash();
	ck_assert_int_eq(event_last(door.daemon.events), 5);
	door_close();
}
END_TEST

START_TEST(an_event_is_told_when_it_is_on_disk_and_not_before)
{
	struct client *client;
	int64_t id, seq;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	id = subscribe(client, "{}", &seq);
	ck_assert_int_eq(seq, 0);
	append_many(3);
	ck_assert(store_is_pending(door.daemon.store));
	for (int64_t i = 1; i <= 3; i++)
		hear_seq(client, id, i);
	ck_assert(!store_is_pending(door.daemon.store));
	client_close(client);
	door_close();
}
END_TEST

START_TEST(an_event_says_what_it_is_about)
{
	struct event_about about = { "t", "a", "l", 3, 7 };
	struct client *client;
	json_t *events, *event;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	event_append(&door.daemon, EVENT_JOB_STATE, &about, json_pack("{ss}", "state", "done"));
	event_append(&door.daemon, EVENT_HOST_WARNING, NULL, NULL);
	event_warn(&door.daemon, "odd: %s", "\xc3");
	door_settle();
	events = call(client, "event.list", "{}");
	event = json_array_get(json_object_get(events, "events"), 0);
	ck_assert_int_eq(number(event, "vmid"), 3);
	ck_assert_int_eq(number(event, "job"), 7);
	ck_assert_str_eq(json_string_value(json_object_get(event, "type")), "job.state");
	ck_assert_str_eq(json_string_value(json_object_get(event, "lan")), "l");
	ck_assert_uint_eq(strlen(json_string_value(json_object_get(event, "time"))), 27);
	event = json_array_get(json_object_get(events, "events"), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(event, "data"), "text")),
			 "odd: ?");
	json_decref(events);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(times_are_printed_in_utc_with_microseconds)
{
	char text[EVENT_TIME_TEXT];

	event_time_print(0, text);
	ck_assert_str_eq(text, "1970-01-01T00:00:00.000000Z");
	event_time_print(1764000000000042, text);
	ck_assert_str_eq(text, "2025-11-24T16:00:00.000042Z");
	event_time_print(-1, text);
	ck_assert_str_eq(text, "1969-12-31T23:59:59.999999Z");
}
END_TEST

/* ---- the past and the present --------------------------------------------------------------- */

START_TEST(since_gives_what_was_kept_then_what_comes_each_once)
{
	struct client *client;
	int64_t id, seq;

	door_open();
	append_many(2000);
	door_settle();
	client = client_new(0, ROLE_VIEWER);
	append_many(100);			/* given out, not committed */
	id = subscribe(client, "{\"since\":500}", &seq);
	ck_assert_int_eq(seq, 2100);
	for (int64_t i = 501; i <= 2700; i++) {
		if (i % 10 == 0 && i <= 2600)
			append_many(3);		/* 633 while the past is still being told */
		hear_seq(client, id, i);
	}
	client_close(client);
	door_close();
}
END_TEST

START_TEST(the_past_is_not_held_in_memory_for_a_slow_reader)
{
	struct client *client;

	door_open();
	door.daemon.config.max_output_bytes = 256 << 10;
	append_many(20000);			/* 3 MiB of lines */
	door_settle();
	client = client_new(0, ROLE_VIEWER);
	client_say(client, CALL_WITH, 1, "event.subscribe", "{\"since\":0}");
	door_settle();
	ck_assert_uint_eq(control_clients(door.daemon.control), 1);
	json_decref(client_hears_result(client, 1));
	for (int64_t i = 1; i <= 20000; i++)
		hear_seq(client, 1, i);
	append_many(1);
	hear_seq(client, 1, 20001);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_subscriber_that_does_not_read_is_dropped_and_others_hear_all)
{
	struct client *slow, *other;
	int64_t id, seq;

	door_open();
	door.daemon.config.max_output_bytes = 64 << 10;
	slow = client_new(0, ROLE_VIEWER);
	other = client_new(0, ROLE_VIEWER);
	subscribe(slow, "{}", &seq);
	id = subscribe(other, "{}", &seq);
	for (int64_t i = 1; i <= 5000; i++) {
		append_many(1);
		hear_seq(other, id, i);
	}
	ck_assert_uint_eq(control_clients(door.daemon.control), 1);
	client_close(slow);
	client_close(other);
	door_close();
}
END_TEST

START_TEST(what_was_trimmed_is_named_as_a_gap)
{
	struct client *client;
	int64_t id, seq;

	door_open();
	door.daemon.config.event_keep = 100;
	for (int i = 0; i < 20; i++) {
		append_many(50);
		door_settle();
	}
	client = client_new(0, ROLE_VIEWER);
	id = subscribe(client, "{\"since\":10,\"types\":[\"vnode.exit\"]}", &seq);
	ck_assert_int_eq(seq, 1000);
	hear_gap(client, id, 11, 3 * 256);	/* 256 are deleted at a time */
	client_hears_nothing(client);
	append(EVENT_VNODE_EXIT, "t");
	hear_seq(client, id, 1001);
	client_close(client);
	door_close();
}
END_TEST

static void
count_row(void *arg, struct store_row *row)
{
	*(int64_t *)arg = store_int(row, 0);
}

START_TEST(only_so_many_are_kept)
{
	struct vn_error err = { 0 };
	int64_t count = 0;

	door_open();
	door.daemon.config.event_keep = 10;
	for (int i = 0; i < 20; i++)
		append_many(200);
	door_settle();
	ck_assert_int_eq(store_read(door.daemon.store, count_row, &count, &err,
				    "SELECT count(*) FROM events", ""), 0);
	ck_assert_int_ge(count, 10);
	ck_assert_int_lt(count, 10 + 256);
	door_restart();
	ck_assert_int_eq(event_last(door.daemon.events), 4000);
	door_close();
}
END_TEST

START_TEST(a_snapshot_is_valid_at_its_number)
{
	struct client *client;
	json_t *answer;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	append_many(5);				/* not committed when the call is made */
	answer = call(client, "event.subscribe", "{\"snapshot\":true}");
	ck_assert_int_eq(number(answer, "seq"), 5);
	ck_assert_int_eq(number(json_object_get(answer, "snapshot"), "valid_at"), 5);
	json_decref(answer);
	append_many(1);
	hear_seq(client, 1, 6);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(who_leaves_before_its_subscription_began_is_forgotten)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	append_many(5);
	client_say(client, CALL_WITH, 1, "event.subscribe", "{\"snapshot\":true}");
	loop_run_once(door.daemon.loop, false);
	client_close(client);
	door_settle();
	append_many(1);
	client = client_new(0, ROLE_VIEWER);
	client_say(client, CALL_WITH, 1, "event.subscribe", "{\"snapshot\":true}");
	loop_run_once(door.daemon.loop, false);
	door_crash();				/* and so is one that the daemon left */
	client_close(client);
	door_close();
}
END_TEST

START_TEST(several_pasts_are_told_at_once_and_one_with_nothing_to_say_ends)
{
	int64_t heard[3] = { 0 };
	struct client *client;

	door_open();
	append_many(3000);
	door_settle();
	client = client_new(0, ROLE_VIEWER);
	client_say(client, CALL_WITH, 1, "event.subscribe", "{\"since\":0}");
	client_say(client, CALL_WITH, 1, "event.subscribe",
		   "{\"since\":0,\"types\":[\"lan.change\"]}");
	client_say(client, CALL_WITH, 1, "event.subscribe", "{\"since\":1000}");
	for (int i = 0; i < 3 + 3000 + 2000; i++) {
		json_t *line = client_hear(client);
		json_t *params = json_object_get(line, "params");

		if (params)
			heard[number(params, "subscription") - 1]++;
		json_decref(line);
	}
	client_hears_nothing(client);
	ck_assert_int_eq(heard[0], 3000);
	ck_assert_int_eq(heard[1], 0);
	ck_assert_int_eq(heard[2], 2000);
	client_close(client);
	door_close();
}
END_TEST

/* ---- who hears what ------------------------------------------------------------------------- */

START_TEST(filters_hold_for_the_past_and_the_present)
{
	struct client *client;
	int64_t id, seq;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	for (int i = 0; i < 2; i++) {
		append(EVENT_VNODE_STATE, "t");
		append(EVENT_VNODE_EXIT, "t");
		append(EVENT_VNODE_EXIT, "other");
		append(EVENT_HOST_WARNING, NULL);
		if (i == 0) {
			door_settle();
			id = subscribe(client, "{\"since\":0,\"types\":[\"vnode.exit\",\"host.warning\"],"
				       "\"topology\":\"t\"}", &seq);
			hear_seq(client, id, 2);
		}
	}
	hear_seq(client, id, 6);
	client_hears_nothing(client);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(lists_are_filtered_and_bounded)
{
	static const struct {
		const char *params;
		size_t count;
		int64_t first;
	} cases[] = {
		{ "{}", 1000, 1 },
		{ "{\"limit\":3}", 3, 1 },
		{ "{\"since\":1990}", 10, 1991 },
		{ "{\"since\":5000}", 0, 0 },
		{ "{\"types\":[\"vnode.exit\"]}", 200, 10 },
		{ "{\"types\":[\"vnode.exit\"],\"since\":10,\"limit\":2}", 2, 20 },
		{ "{\"topology\":\"none\"}", 0, 0 },
	};
	struct client *client;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	for (int i = 1; i <= 2000; i++)
		append(i % 10 ? EVENT_VNODE_STATE : EVENT_VNODE_EXIT, "t");
	door_settle();
	for (size_t i = 0; i < VN_COUNT(cases); i++) {
		json_t *answer = call(client, "event.list", cases[i].params);
		json_t *events = json_object_get(answer, "events");

		ck_assert_uint_eq(json_array_size(events), cases[i].count);
		if (cases[i].count)
			ck_assert_int_eq(number(json_array_get(events, 0), "seq"), cases[i].first);
		json_decref(answer);
	}
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_subscription_ends_when_told_so_and_only_by_its_owner)
{
	struct client *client, *other;
	int64_t id, seq;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	other = client_new(0, ROLE_VIEWER);
	id = subscribe(client, "{}", &seq);
	client_say(other, CALL_WITH, 2, "event.unsubscribe", "{\"subscription\":1}");
	client_hears_error(other, -32000, "not_found", 2);
	append_many(1);
	hear_seq(client, id, 1);
	json_decref(call(client, "event.unsubscribe", "{\"subscription\":1}"));
	append_many(1);
	client_hears_nothing(client);
	client_say(client, CALL_WITH, 3, "event.unsubscribe", "{\"subscription\":1}");
	client_hears_error(client, -32000, "not_found", 3);
	client_say(client, CALL_WITH, 4, "event.subscribe", "{\"since\":99}");
	client_hears_error(client, -32602, "invalid", 4);
	client_say(client, CALL_WITH, 5, "event.subscribe", "{\"types\":[\"no.such\"]}");
	client_hears_error(client, -32602, "invalid", 5);
	client_close(client);
	client_close(other);
	door_close();
}
END_TEST

START_TEST(several_subscriptions_of_one_client_are_told_apart)
{
	struct client *client;
	int64_t seq;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	for (int64_t i = 1; i <= 32; i++)
		ck_assert_int_eq(subscribe(client, "{}", &seq), i);
	client_say(client, CALL_WITH, 2, "event.subscribe", "{}");
	client_hears_error(client, -32000, "limit", 2);
	append_many(1);
	for (int64_t i = 1; i <= 32; i++)
		hear_seq(client, i, 1);
	client_close(client);
	door_close();
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		numbers_go_on_after_a_restart_and_a_crash,
		an_event_is_told_when_it_is_on_disk_and_not_before,
		an_event_says_what_it_is_about,
		times_are_printed_in_utc_with_microseconds,
		since_gives_what_was_kept_then_what_comes_each_once,
		the_past_is_not_held_in_memory_for_a_slow_reader,
		a_subscriber_that_does_not_read_is_dropped_and_others_hear_all,
		what_was_trimmed_is_named_as_a_gap,
		several_pasts_are_told_at_once_and_one_with_nothing_to_say_ends,
		only_so_many_are_kept,
		a_snapshot_is_valid_at_its_number,
		who_leaves_before_its_subscription_began_is_forgotten,
		filters_hold_for_the_past_and_the_present,
		lists_are_filtered_and_bounded,
		a_subscription_ends_when_told_so_and_only_by_its_owner,
		several_subscriptions_of_one_client_are_told_apart,
		NULL
	};

	return run_suite("event_log", tests);
}
