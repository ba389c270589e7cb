/*
 * What a line does: refusals of bad ones, roles, batches, notifications, answers now and later,
 * descriptors. Handlers are the test's own (door.h).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/message.h"
#include "tests/unit/door.h"

#define CALL "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\"}"
#define CALL_WITH "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}"

/* ---- bad lines ------------------------------------------------------------------------------ */

static void
each_bad_line_is_refused(void)
{
	static const struct {
		const char *line;
		int number;
		const char *word;
		int id;
	} cases[] = {
		{ "", -32700, "invalid", 0 },
		{ "{", -32700, "invalid", 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,", -32700, "invalid", 0 },
		{ "{} {}", -32700, "invalid", 0 },
		{ "{\"a\":1,\"a\":2}", -32700, "invalid", 0 },
		{ "{\"a\":\"\xff\"}", -32700, "invalid", 0 },
		{ "{\"a\":\"\xed\xa0\x80\"}", -32700, "invalid", 0 },
		{ "{\"a\":\"\\u0000\"}", -32700, "invalid", 0 },
		{ "{\"a\":1e999}", -32700, "invalid", 0 },
		{ "nonsense", -32700, "invalid", 0 },
		{ "1", -32600, "invalid", 0 },
		{ "\"text\"", -32600, "invalid", 0 },
		{ "[]", -32600, "invalid", 0 },
		{ "{}", -32600, "invalid", 0 },
		{ "{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"host.info\"}", -32600, "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3}", -32600, "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":7}", -32600, "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"host.info\"}", -32600, "invalid", 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"host.info\",\"x\":1}", -32600, "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"no.such\"}", -32601, "unsupported", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"vnode.get\"}", -32602, "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"vnode.get\",\"params\":[\"a\"]}", -32602,
		  "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"vnode.get\",\"params\":{\"vnode\":1}}", -32602,
		  "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"vnode.get\",\"params\":{\"vnode\":\"a\","
		  "\"x\":1}}", -32602, "invalid", 3 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"lan.get\",\"params\":{\"lan\":\"a\"}}", -32000,
		  "not_found", 3 },
	};
	struct client *client = client_new(0, ROLE_ADMIN);

	for (size_t i = 0; i < VN_COUNT(cases); i++) {
		client_say(client, "%s", cases[i].line);
		client_hears_error(client, cases[i].number, cases[i].word, cases[i].id);
	}
	client_say(client, CALL, 9, "host.info");
	json_decref(client_hears_result(client, 9));
	client_close(client);
}

START_TEST(a_bad_line_is_answered_with_what_is_wrong_and_the_next_is_served)
{
	door_open();
	each_bad_line_is_refused();
	door_close();
}
END_TEST

START_TEST(nesting_is_bounded_before_it_is_followed)
{
	static char line[400000];
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	memset(line, '[', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	client_send(client, line, sizeof(line));
	client_hears_error(client, -32700, "invalid", 0);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(an_error_names_its_field_its_job_and_whether_to_try_again)
{
	struct client *client;
	json_t *answer, *data;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, CALL_WITH, 1, "lan.get", "{\"lan\":\"a\"}");
	answer = client_hear(client);
	data = json_object_get(json_object_get(answer, "error"), "data");
	ck_assert_str_eq(json_string_value(json_object_get(data, "path")), "/lan");
	ck_assert_int_eq(json_integer_value(json_object_get(data, "job")), 7);
	ck_assert(json_is_false(json_object_get(data, "retryable")));
	json_decref(answer);
	client_close(client);
	door_close();
}
END_TEST

/* ---- who may -------------------------------------------------------------------------------- */

START_TEST(every_method_is_denied_below_its_role)
{
	door_open();
	for (enum role role = ROLE_NONE; role <= ROLE_ADMIN; role++) {
		struct client *client = client_new(1000, role);

		for (int i = 0; i < METHOD_COUNT; i++) {
			if (methods[i].role <= role)
				continue;
			client_say(client, CALL, i + 1, methods[i].name);
			client_hears_error(client, -32000, "denied", i + 1);
		}
		if (role == ROLE_NONE) {
			client_say(client, CALL, 1, "no.such");
			client_hears_error(client, -32000, "denied", 1);
		}
		client_close(client);
	}
	door_close();
}
END_TEST

START_TEST(changes_wait_until_recovery_is_over_and_reads_do_not)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	door.daemon.ready = false;
	client_say(client, CALL_WITH, 1, "vnode.boot", "{\"vnode\":\"a\"}");
	client_hears_error(client, -32000, "busy", 1);
	client_say(client, CALL, 2, "host.info");
	json_decref(client_hears_result(client, 2));
	door.daemon.ready = true;
	client_say(client, CALL_WITH, 3, "vnode.boot", "{\"vnode\":\"a\"}");
	json_decref(client_hears_result(client, 3));
	door.daemon.refusal = "the host's set-up was undone; restart vnoded";
	client_say(client, CALL_WITH, 4, "vnode.boot", "{\"vnode\":\"a\"}");
	client_hears_error(client, -32000, "state", 4);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(discover_names_every_method)
{
	struct client *client;
	json_t *document;

	door_open();
	client = client_new(0, ROLE_VIEWER);
	client_say(client, CALL, 1, "rpc.discover");
	document = client_hears_result(client, 1);
	ck_assert(json_is_string(json_object_get(document, "openrpc")));
	ck_assert_uint_eq(json_array_size(json_object_get(document, "methods")), METHOD_COUNT);
	json_decref(document);
	client_close(client);
	door_close();
}
END_TEST

/* ---- notifications and batches -------------------------------------------------------------- */

START_TEST(a_notification_is_carried_out_and_never_answered)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"host.info\"}");
	client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}");
	client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"vnode.get\"}");
	client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"vnode.console\",\"params\":"
		   "{\"vnode\":\"a\"}}");
	client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"job.wait\",\"params\":{\"job\":1}}");
	client_say(client, "[{\"jsonrpc\":\"2.0\",\"method\":\"host.info\"},"
		   "{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}]");
	client_hears_nothing(client);
	ck_assert_uint_eq(door.n_info, 2);
	door_answer(0);
	client_hears_nothing(client);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_batch_is_answered_as_one_when_its_last_member_is)
{
	struct client *client;
	json_t *answers;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, "[" CALL "," CALL_WITH "," CALL ",5,"
		   "{\"jsonrpc\":\"2.0\",\"method\":\"host.info\"}," CALL_WITH "]", 1, "host.info", 2,
		   "job.wait", "{\"job\":1}", 3, "no.such", 4, "job.wait", "{\"job\":1}");
	client_say(client, CALL, 10, "host.info");
	json_decref(client_hears_result(client, 10));
	door_answer(1);
	client_hears_nothing(client);
	door_answer(0);
	answers = client_hear(client);
	ck_assert_uint_eq(json_array_size(answers), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(answers, 3), "id")), 4);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(answers, 4), "id")), 2);
	json_decref(answers);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_batch_has_a_bounded_number_of_members)
{
	struct client *client;

	door_open();
	door.daemon.config.max_requests_per_client = 3;
	client = client_new(0, ROLE_ADMIN);
	client_say(client, "[1,2,3,4]");
	client_hears_error(client, -32600, "invalid", 0);
	client_say(client, "[1,2,3]");
	json_decref(client_hear(client));
	client_close(client);
	door_close();
}
END_TEST

START_TEST(answers_too_large_for_a_line_become_errors)
{
	struct client *client;
	json_t *answers;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, "[" CALL_WITH "," CALL_WITH "," CALL_WITH "]",
		   1, "vnode.list", "{\"limit\":100000}", 2, "vnode.list", "{\"limit\":100000}",
		   3, "vnode.list", "{\"limit\":100000}");
	answers = client_hear(client);
	ck_assert_uint_eq(json_array_size(answers), 3);
	json_decref(answers);
	client_close(client);
	door_close();
}
END_TEST

/* ---- answers that come later ---------------------------------------------------------------- */

START_TEST(answers_leave_in_the_order_they_are_ready_and_once)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	for (int i = 0; i < 3; i++)
		client_say(client, CALL_WITH, i + 1, "job.wait", "{\"job\":1}");
	client_say(client, CALL, 10, "host.info");
	json_decref(client_hears_result(client, 10));
	for (unsigned i = 3; i-- > 0;)
		door_answer(i);
	for (int i = 3; i > 0; i--)
		json_decref(client_hears_result(client, i));
	door_answer(1);
	client_hears_nothing(client);
	ck_assert_uint_eq(door.n_gone, 0);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_ticket_may_be_answered_before_its_handler_returns)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, CALL_WITH, 1, "job.get", "{\"job\":1}");
	json_decref(client_hears_result(client, 1));
	client_say(client, CALL_WITH, 2, "job.cancel", "{\"job\":1}");
	client_hears_error(client, -32000, "state", 2);
	client_close(client);
	ck_assert_uint_eq(door.n_gone, 0);
	door_close();
}
END_TEST

START_TEST(who_goes_away_is_told_on_and_its_tickets_are_void)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, CALL_WITH, 1, "job.wait", "{\"job\":1}");
	client_say(client, "[" CALL_WITH "," CALL "]", 2, "job.wait", "{\"job\":1}", 3, "host.info");
	client_hears_nothing(client);
	client_close(client);
	ck_assert_uint_eq(door.n_gone, 2);
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	door_answer(0);
	door_answer(1);
	door_close();
}
END_TEST

/* ---- descriptors ---------------------------------------------------------------------------- */

/* Sends a line with descriptors of an unlinked file of `size` bytes each. */
static void
say_with_fds(struct client *client, unsigned n, size_t size, const char *line)
{
	int fds[PROTOCOL_FDS_MAX] = { 0 };

	for (unsigned i = 0; i < n; i++) {
		FILE *file = tmpfile();

		fds[i] = dup(fileno(file));
		fclose(file);
		ck_assert_int_eq(ftruncate(fds[i], (off_t)size), 0);
	}
	ck_assert_int_eq(frame_write(client->fd, line, strlen(line), fds, n), 1);
	client_send(client, line + 1, strlen(line) - 1);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

#define IMAGE_ADD \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"image.add\",\"params\":{\"name\":\"a\",\"fd\":%d," \
	"\"insecure_no_digest\":true}}\n"

START_TEST(a_handler_takes_the_descriptor_it_is_told_of)
{
	struct client *client;
	char line[200];
	json_t *result;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	/* the descriptors belong to the second line, though both are read at once */
	client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"host.info\"}");
	snprintf(line, sizeof(line), IMAGE_ADD, 2);
	say_with_fds(client, 3, 12345, line);
	result = client_hears_result(client, 1);
	ck_assert_int_eq(json_integer_value(json_object_get(result, "size")), 12345);
	json_decref(result);
	snprintf(line, sizeof(line), IMAGE_ADD, 3);
	say_with_fds(client, 3, 1, line);
	client_hears_error(client, -32602, "invalid", 1);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(descriptors_that_nobody_takes_are_closed)
{
	static const char *const lines[] = {
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host.info\"}\n", "nonsense\n", "[]\n", "[1]\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no.such\"}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"job.get\",\"params\":{\"job\":1}}\n",
	};
	struct client *client;
	unsigned before;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	before = count_fds();
	for (size_t i = 0; i < VN_COUNT(lines); i++) {
		say_with_fds(client, 16, 0, lines[i]);
		json_decref(client_hear(client));
		ck_assert_uint_eq(count_fds(), before);
	}
	say_with_fds(client, 3, 0, "{\"jsonrpc\":\"2.0\",\"id\":1");	/* half a line */
	client_hears_nothing(client);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(an_answer_may_bring_a_descriptor)
{
	struct client *client;
	char text[16] = "";

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, CALL_WITH, 1, "vnode.console", "{\"vnode\":\"a\"}");
	client_say(client, "[" CALL_WITH "," CALL_WITH "]", 2, "vnode.console", "{\"vnode\":\"a\"}",
		   3, "vnode.console", "{\"vnode\":\"a\"}");
	json_decref(client_hears_result(client, 1));
	json_decref(client_hear(client));
	ck_assert_uint_eq(client->n_fds, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(read(client->fds[i], text, sizeof(text)), 7);
		ck_assert_str_eq(text, "console");
	}
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_descriptor_for_a_client_that_left_is_closed)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, CALL_WITH, 1, "vnode.console", "{\"vnode\":\"a\"}");
	client_say(client, CALL_WITH, 1, "job.wait", "{\"job\":1}");
	door_settle();
	client_close(client);
	call_answer_fd(&door.daemon, door.tickets[0], json_object(), dup(0));
	door_close();
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_bad_line_is_answered_with_what_is_wrong_and_the_next_is_served,
		nesting_is_bounded_before_it_is_followed,
		an_error_names_its_field_its_job_and_whether_to_try_again,
		every_method_is_denied_below_its_role,
		changes_wait_until_recovery_is_over_and_reads_do_not,
		discover_names_every_method,
		a_notification_is_carried_out_and_never_answered,
		a_batch_is_answered_as_one_when_its_last_member_is,
		a_batch_has_a_bounded_number_of_members,
		answers_too_large_for_a_line_become_errors,
		answers_leave_in_the_order_they_are_ready_and_once,
		a_ticket_may_be_answered_before_its_handler_returns,
		who_goes_away_is_told_on_and_its_tickets_are_void,
		a_handler_takes_the_descriptor_it_is_told_of,
		descriptors_that_nobody_takes_are_closed,
		an_answer_may_bring_a_descriptor,
		a_descriptor_for_a_client_that_left_is_closed,
		NULL
	};

	return run_suite("rpc", tests);
}
