/*
 * Connections: lines in any pieces, floods, readers that do not read, halves that close, limits,
 * and the socket's place in the file system. Handlers are the test's own (door.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/listen.h"
#include "daemon/roles.h"
#include "tests/unit/door.h"

#define CALL "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\"}"
#define CALL_WITH "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}"
#define WAIT "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"job.wait\",\"params\":{\"job\":1}}"

/* ---- lines in ------------------------------------------------------------------------------- */

START_TEST(a_line_may_come_byte_by_byte)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"host.info\"}\n";
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		client_hears_nothing(client);
		client_send(client, line + i, 1);
	}
	json_decref(client_hears_result(client, 4));
	client_close(client);
	door_close();
}
END_TEST

/* One buffer of n requests with the ids 0, 1, …; to be freed. */
static char *
many_requests(int n, const char *method, const char *params, size_t *ret_length)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, ret_length);

	for (int i = 0; i < n; i++) {
		fprintf(to, CALL_WITH, i, method, params);
		fputc('\n', to);
	}
	fclose(to);
	return text;
}

START_TEST(ten_thousand_pipelined_requests_are_answered_in_order)
{
	vn_autofree char *text = NULL;
	struct client *client;
	size_t length;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	text = many_requests(10000, "host.info", "{}", &length);
	client_send(client, text, length);
	for (int i = 0; i < 10000; i++) {
		json_t *result = client_hears_result(client, i);

		ck_assert_int_eq(json_integer_value(json_object_get(result, "n")), i + 1);
		json_decref(result);
	}
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_flood_of_one_client_does_not_hold_up_another)
{
	vn_autofree char *text = NULL;
	struct client *flood, *other;
	json_t *result;
	size_t length;

	door_open();
	flood = client_new(0, ROLE_ADMIN);
	other = client_new(0, ROLE_ADMIN);
	text = many_requests(1000, "host.info", "{}", &length);
	ck_assert_int_eq(send(flood->fd, text, length, MSG_DONTWAIT), (ssize_t)length);
	client_say(other, CALL, 1, "host.info");
	result = client_hears_result(other, 1);
	ck_assert_int_le(json_integer_value(json_object_get(result, "n")), 200);
	json_decref(result);
	client_close(flood);
	client_close(other);
	ck_assert_uint_eq(door.n_info, 1001);	/* what was sent before the end is carried out */
	door_close();
}
END_TEST

START_TEST(half_a_line_is_refused_when_the_client_ends_it)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_send(client, "{\"jsonrpc\":", 11);
	client_hears_nothing(client);
	shutdown(client->fd, SHUT_WR);
	client_hears_error(client, -32700, "invalid", 0);
	client_hears_end(client);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_line_over_a_megabyte_ends_its_connection_and_no_other)
{
	static char line[3 << 20];
	struct client *client, *other;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	other = client_new(0, ROLE_ADMIN);
	memset(line, 'x', sizeof(line));
	client_send(client, line, sizeof(line));
	client_hears_error(client, -32600, "invalid", 0);
	client_hears_end(client);
	client_close(client);
	ck_assert_uint_eq(control_clients(door.daemon.control), 1);
	client_say(other, CALL, 1, "host.info");
	json_decref(client_hears_result(other, 1));
	client_close(other);
	door_close();
}
END_TEST

START_TEST(a_client_that_stays_after_its_stream_was_lost_is_left)
{
	static char line[(1 << 20) + 1];
	struct client *client;

	door_open();
	loop_clock_hold(door.daemon.loop);
	client = client_new(0, ROLE_ADMIN);
	memset(line, 'x', sizeof(line));
	client_send(client, line, sizeof(line));
	client_hears_end(client);
	ck_assert_uint_eq(control_clients(door.daemon.control), 1);
	loop_clock_advance(door.daemon.loop, 2000);
	door_settle();
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	client_close(client);
	door_close();
}
END_TEST

/* ---- lines out ------------------------------------------------------------------------------ */

START_TEST(a_client_that_does_not_read_is_dropped_and_others_are_served)
{
	struct client *slow, *other;

	door_open();
	door.daemon.config.max_output_bytes = 1 << 20;
	slow = client_new(1000, ROLE_ADMIN);
	other = client_new(1000, ROLE_ADMIN);
	for (int i = 0; i < 40 && control_clients(door.daemon.control) == 2; i++) {
		client_say(slow, CALL_WITH, i, "vnode.list", "{\"limit\":100000}");
		door_settle();
	}
	ck_assert_uint_eq(control_clients(door.daemon.control), 1);
	client_say(other, CALL, 1, "host.info");
	json_decref(client_hears_result(other, 1));
	client_hears_end(slow);
	client_close(slow);
	client_close(other);
	door_close();
}
END_TEST

START_TEST(who_asks_too_much_at_a_time_waits)
{
	struct client *client;

	door_open();
	door.daemon.config.max_requests_per_client = 4;
	client = client_new(0, ROLE_ADMIN);
	for (int i = 0; i < 10; i++)
		client_say(client, WAIT, i);
	client_hears_nothing(client);
	ck_assert_uint_eq(door.n_tickets, 4);
	door_answer(2);
	json_decref(client_hears_result(client, 2));
	client_hears_nothing(client);
	ck_assert_uint_eq(door.n_tickets, 5);
	for (unsigned i = 0; i < 10; i++) {
		door_answer(i);
		door_settle();
	}
	ck_assert_uint_eq(door.n_tickets, 10);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(who_leaves_while_it_waits_is_noticed)
{
	struct client *client;

	door_open();
	door.daemon.config.max_requests_per_client = 4;
	client = client_new(0, ROLE_ADMIN);
	for (int i = 0; i < 10; i++)
		client_say(client, WAIT, i);
	client_hears_nothing(client);
	client_close(client);
	ck_assert_uint_eq(door.n_gone, 10);
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	door_close();
}
END_TEST

START_TEST(a_client_that_sends_nothing_more_still_gets_its_answers)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, WAIT, 1);
	client_say(client, CALL, 2, "host.info");
	shutdown(client->fd, SHUT_WR);
	json_decref(client_hears_result(client, 2));
	client_hears_nothing(client);
	ck_assert(!client->closed);
	door_answer(0);
	json_decref(client_hears_result(client, 1));
	client_hears_end(client);
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	client_close(client);
	door_close();
}
END_TEST

START_TEST(a_half_closed_client_that_goes_away_is_noticed_without_a_word_to_it)
{
	struct client *client;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	client_say(client, WAIT, 1);
	shutdown(client->fd, SHUT_WR);
	client_hears_nothing(client);
	client_close(client);
	ck_assert_uint_eq(door.n_gone, 1);
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	door_close();
}
END_TEST

/* ---- coming in ------------------------------------------------------------------------------ */

static struct sockaddr_un
address(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", door.daemon.config.socket);
	return address;
}

/* A client over the socket in the file system. */
static struct client *
client_connect(void)
{
	struct client *client = vn_alloc(sizeof(*client));
	struct sockaddr_un to = address();

	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(client->fd, 0);
	ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return client;
}

START_TEST(the_socket_serves_everyone_who_connects)
{
	struct client *client;
	struct stat stat_;

	door_open();
	ck_assert_int_eq(stat(door.daemon.config.socket, &stat_), 0);
	ck_assert_int_eq(stat_.st_mode & 07777, 0666);
	client = client_connect();
	client_say(client, CALL, 1, "host.info");
	if (getuid() == 0)
		json_decref(client_hears_result(client, 1));
	else
		json_decref(client_hear(client));
	client_close(client);
	door_close();
}
END_TEST

START_TEST(too_many_clients_are_told_so)
{
	struct client *clients[17], *more;

	door_open();
	door.daemon.config.max_clients = 1;
	for (size_t i = 0; i < VN_COUNT(clients); i++) {
		clients[i] = client_connect();	/* root has 16 places more than others */
		if (getuid() != 0 && i > 0)
			continue;
		client_say(clients[i], CALL, 1, "host.info");
		json_decref(client_hear(clients[i]));
	}
	more = client_connect();
	client_hears_error(more, -32000, "limit", 0);
	client_hears_end(more);
	client_close(more);
	for (size_t i = 0; i < VN_COUNT(clients); i++)
		client_close(clients[i]);
	door_close();
}
END_TEST

START_TEST(one_user_may_not_take_all_places)
{
	struct client *clients[2];
	struct vn_error err = { 0 };
	int ends[2];

	door_open();
	door.daemon.config.max_clients_per_uid = 2;
	for (int i = 0; i < 2; i++)
		clients[i] = client_new(1000, ROLE_VIEWER);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(control_add(door.daemon.control, ends[1], 1000, ROLE_VIEWER, &err), -1);
	ck_assert_int_eq(err.code, VN_E_LIMIT);
	close(ends[0]);
	client_close(client_new(1001, ROLE_VIEWER));
	client_close(client_new(0, ROLE_ADMIN));
	for (int i = 0; i < 2; i++)
		client_close(clients[i]);
	door_close();
}
END_TEST

START_TEST(without_descriptors_a_client_is_told_and_accepting_pauses)
{
	struct rlimit before, none;
	struct client *first, *second;

	door_open();
	loop_clock_hold(door.daemon.loop);
	first = client_connect();
	second = client_connect();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 10; i++)
		loop_run_once(door.daemon.loop, false);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	loop_clock_advance(door.daemon.loop, 100);
	door_settle();
	ck_assert_uint_eq(control_clients(door.daemon.control), 2);
	client_close(first);
	client_close(second);
	door_close();
}
END_TEST

START_TEST(with_the_last_descriptor_a_client_is_told_why)
{
	struct client *clients[2];
	int spent[4096];
	unsigned n = 0;
	struct rlimit before, low;

	door_open();
	loop_clock_hold(door.daemon.loop);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 256;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 2; i++)
		clients[i] = client_connect();
	while ((spent[n] = dup(0)) >= 0)
		n++;
	client_hears_error(clients[0], -32000, "limit", 0);
	client_hears_end(clients[0]);
	ck_assert_uint_eq(control_clients(door.daemon.control), 0);
	while (n)
		close(spent[--n]);
	loop_clock_advance(door.daemon.loop, 100);
	client_say(clients[1], CALL, 1, "host.info");
	json_decref(client_hear(clients[1]));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (int i = 0; i < 2; i++)
		client_close(clients[i]);
	door_close();
}
END_TEST

/* ---- the socket's file ---------------------------------------------------------------------- */

START_TEST(a_living_daemon_is_not_replaced_and_a_dead_ones_socket_is)
{
	struct vn_error err = { 0 };
	vn_autofree char *kept = NULL;
	struct control *second = NULL;
	struct client *client;

	door_open();
	kept = vn_format("%s/kept", door.folder);
	ck_assert_int_eq(control_open(&door.daemon, &second, &err), -1);
	ck_assert_int_eq(err.code, VN_E_BUSY);
	ck_assert_ptr_nonnull(strstr(err.text, door.daemon.config.socket));
	ck_assert_int_eq(link(door.daemon.config.socket, kept), 0);	/* a crash leaves it */
	control_close(door.daemon.control);
	ck_assert_int_eq(access(door.daemon.config.socket, F_OK), -1);
	ck_assert_int_eq(rename(kept, door.daemon.config.socket), 0);
	ck_assert_msg(control_open(&door.daemon, &door.daemon.control, &err) == 0, "%s", err.text);
	control_start(door.daemon.control);
	client = client_connect();
	client_say(client, CALL, 1, "host.info");
	json_decref(client_hear(client));
	client_close(client);
	door_close();
}
END_TEST

START_TEST(what_is_no_socket_is_left_alone)
{
	vn_autofree char *path = NULL, *longer = NULL;
	struct vn_error err = { 0 };
	struct stat at;
	int fd = -1;

	door_open();
	path = vn_format("%s/file", door.folder);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(listen_open(path, &fd, &at, &err), -1);
	ck_assert_int_eq(err.code, VN_E_EXISTS);
	ck_assert_int_eq(access(path, F_OK), 0);
	longer = vn_format("%s/%0120d", door.folder, 1);
	ck_assert_int_eq(listen_open(longer, &fd, &at, &err), -1);
	ck_assert_int_eq(err.code, VN_E_INVALID);
	door_close();
}
END_TEST

START_TEST(a_passed_socket_is_checked_and_kept)
{
	struct sockaddr_un at;
	struct vn_error err = { 0 };
	int passed, mine = -1;

	door_open();
	at = address();
	strcat(at.sun_path, "2");
	passed = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(listen_adopt(passed, &mine, &err), -1);
	ck_assert_int_eq(bind(passed, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(passed, 1), 0);
	ck_assert_int_eq(listen_adopt(passed, &mine, &err), 0);
	ck_assert_int_ne(fcntl(mine, F_GETFL) & O_NONBLOCK, 0);
	close(mine);
	close(passed);
	door_close();
}
END_TEST

START_TEST(groups_give_the_highest_role_they_stand_for)
{
	const struct roles roles = {
		.gids = { [ROLE_VIEWER] = 10, [ROLE_OPERATOR] = 20, [ROLE_ADMIN] = 0 },
		.known = { [ROLE_VIEWER] = true, [ROLE_OPERATOR] = true },
	};
	const gid_t viewer[] = { 5, 10 }, both[] = { 10, 20 }, none[] = { 0, 5 };

	ck_assert_int_eq(roles_of(&roles, 0, none, 0), ROLE_ADMIN);
	ck_assert_int_eq(roles_of(&roles, 1000, viewer, 2), ROLE_VIEWER);
	ck_assert_int_eq(roles_of(&roles, 1000, both, 2), ROLE_OPERATOR);
	ck_assert_int_eq(roles_of(&roles, 1000, none, 2), ROLE_NONE);	/* gid 0 is no role */
}
END_TEST

/* ---- measure -------------------------------------------------------------------------------- */

START_TEST(small_requests_a_second_are_printed)
{
	const int n = 20000;
	vn_autofree char *text = NULL;
	struct timespec began, ended;
	struct client *client;
	size_t length;
	double seconds;

	door_open();
	client = client_new(0, ROLE_ADMIN);
	text = many_requests(n, "vnode.get", "{\"vnode\":\"alice\"}", &length);
	clock_gettime(CLOCK_MONOTONIC, &began);
	client_send(client, text, length);
	for (size_t lines = 0; lines < (size_t)n;) {
		char scratch[65536];
		ssize_t got = recv(client->fd, scratch, sizeof(scratch), MSG_DONTWAIT);

		for (size_t i = client->start; i < client->length; i++)
			lines += client->data[i] == '\n';
		client->start = client->length;
		for (ssize_t i = 0; i < got; i++)
			lines += scratch[i] == '\n';
		if (got < 0)
			loop_run_once(door.daemon.loop, true);
	}
	clock_gettime(CLOCK_MONOTONIC, &ended);
	seconds = (double)(ended.tv_sec - began.tv_sec) +
		  (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
	printf("session: %.0f small requests a second on one pipelined connection\n", n / seconds);
	client_close(client);
	door_close();
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_line_may_come_byte_by_byte,
		ten_thousand_pipelined_requests_are_answered_in_order,
		a_flood_of_one_client_does_not_hold_up_another,
		half_a_line_is_refused_when_the_client_ends_it,
		a_line_over_a_megabyte_ends_its_connection_and_no_other,
		a_client_that_stays_after_its_stream_was_lost_is_left,
		a_client_that_does_not_read_is_dropped_and_others_are_served,
		who_asks_too_much_at_a_time_waits,
		who_leaves_while_it_waits_is_noticed,
		a_client_that_sends_nothing_more_still_gets_its_answers,
		a_half_closed_client_that_goes_away_is_noticed_without_a_word_to_it,
		the_socket_serves_everyone_who_connects,
		too_many_clients_are_told_so,
		one_user_may_not_take_all_places,
		without_descriptors_a_client_is_told_and_accepting_pauses,
		with_the_last_descriptor_a_client_is_told_why,
		a_living_daemon_is_not_replaced_and_a_dead_ones_socket_is,
		what_is_no_socket_is_left_alone,
		a_passed_socket_is_checked_and_kept,
		groups_give_the_highest_role_they_stand_for,
		small_requests_a_second_are_printed,
		NULL
	};

	return run_suite("session", tests);
}
