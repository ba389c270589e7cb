/* Many clients at once: what all of them leave unread, those without a role, and what the log says. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/log.h"
#include "tests/unit/door.h"

#define CALL	  "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\"}"
#define CALL_WITH "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}"

/* Leaves `count` answers of about 100 KiB unread, less what the socket holds. */
static void
leave_unread(struct client *client, int count)
{
	for (int i = 0; i < count; i++) {
		client_say(client, CALL_WITH, i, "vnode.list", "{\"limit\":100000}");
		door_settle();
	}
}

START_TEST(of_all_who_do_not_read_the_one_that_left_most_is_dropped)
{
	struct client *clients[6], *most;

	door_open();
	door.daemon.config.max_output_bytes = 2 << 20;
	most = client_new(1000, ROLE_VIEWER);
	leave_unread(most, 20);
	for (size_t i = 0; i < VN_COUNT(clients); i++) {
		clients[i] = client_new(1000, ROLE_VIEWER);
		leave_unread(clients[i], i < 5 ? 18 : 1);
	}
	ck_assert_uint_eq(control_clients(door.daemon.control), 6);
	client_hears_end(most);
	for (size_t i = 0; i < VN_COUNT(clients); i++) {
		json_decref(client_hears_result(clients[i], 0));
		client_close(clients[i]);
	}
	client_close(most);
	door_close();
}
END_TEST

static unsigned
admit_strangers(uid_t uid, int *fds, unsigned most)
{
	struct vn_error err = { 0 };
	unsigned count = 0;
	int ends[2];

	for (;;) {
		ck_assert_uint_le(count, most);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		if (control_add(door.daemon.control, ends[1], uid, ROLE_NONE, &err) < 0)
			break;
		fds[count++] = ends[0];
	}
	close(ends[0]);
	ck_assert_int_eq(err.code, VN_E_LIMIT);
	return count;
}

START_TEST(users_without_a_role_leave_room_for_those_who_have_one)
{
	int fds[80];
	unsigned count = 0;

	door_open();
	count += admit_strangers(2000, fds, 8);
	ck_assert_uint_eq(count, 8);
	for (uid_t uid = 2001; uid < 2009; uid++)
		count += admit_strangers(uid, fds + count, 8);
	ck_assert_uint_eq(count, 64);
	client_close(client_new(2000, ROLE_VIEWER));
	client_close(client_new(0, ROLE_ADMIN));
	while (count)
		close(fds[--count]);
	door_close();
}
END_TEST

START_TEST(a_user_without_a_role_may_send_short_lines_only)
{
	static char line[(64 << 10) + 1];
	struct client *client;

	door_open();
	client = client_new(2000, ROLE_NONE);
	client_say(client, CALL, 1, "host.info");
	client_hears_error(client, -32000, "denied", 1);
	memset(line, 'x', sizeof(line));
	client_send(client, line, sizeof(line));
	client_hears_error(client, -32600, "invalid", 0);
	client_hears_end(client);
	client_close(client);
	door_close();
}
END_TEST

static unsigned n_refusals;

static void
count_refusal(enum log_level level, const char *subject, const char *text)
{
	(void)level;
	n_refusals += !strcmp(subject, "control") && strstr(text, "refused");
}

static int
connect_to_door(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, door.daemon.config.socket);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

START_TEST(clients_refused_in_a_row_are_one_line_of_the_log)
{
	int fds[100];

	door_open();
	loop_clock_hold(door.daemon.loop);
	door.daemon.config.max_clients = 1;
	log_set_sink(count_refusal);
	for (size_t i = 0; i < VN_COUNT(fds); i++) {
		fds[i] = connect_to_door();
		door_settle();
	}
	ck_assert_uint_eq(n_refusals, 1);
	loop_clock_advance(door.daemon.loop, 1000);
	close(fds[0]);
	fds[0] = connect_to_door();
	close(fds[1]);
	fds[1] = connect_to_door();
	close(fds[99]);
	fds[99] = connect_to_door();
	door_settle();
	ck_assert_uint_le(n_refusals, 2);
	log_set_sink(NULL);
	for (size_t i = 0; i < VN_COUNT(fds); i++)
		close(fds[i]);
	door_close();
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		of_all_who_do_not_read_the_one_that_left_most_is_dropped,
		users_without_a_role_leave_room_for_those_who_have_one,
		a_user_without_a_role_may_send_short_lines_only,
		clients_refused_in_a_row_are_one_line_of_the_log,
		NULL
	};

	return run_suite("crowd", tests);
}
