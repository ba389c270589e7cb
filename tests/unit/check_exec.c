/*
 * Commands and consoles: captured, with passed descriptors, with a terminal; what becomes of them when the
 * client, the guest or the daemon goes. And jobs as their clients see them.
 */
#include "tests/unit/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/base/base64.h"

static struct lab *
lab_running(void)
{
	struct lab *lab = lab_new();

	lab_do(lab, "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	return lab;
}

static int
exit_code(json_t *result)
{
	return (int)json_integer_value(json_object_get(result, "exit_code"));
}

/* Everything that comes until the end, as text to be freed. */
static char *
read_all(struct lab *lab, int fd)
{
	char *text = vn_strdup(""), buffer[256];

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		ssize_t n = read(fd, buffer, sizeof(buffer) - 1);

		if (n > 0) {
			char *longer;

			buffer[n] = '\0';
			longer = vn_format("%s%s", text, buffer);
			free(text);
			text = longer;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			return text;
		} else if (!loop_run_once(lab->loop, false)) {
			struct pollfd more = { .fd = fd, .events = POLLIN };

			if (poll(&more, 1, 0) != 1)
				return text;
		}
	}
}

/* ---- captured ------------------------------------------------------------------------------- */

START_TEST(a_captured_command_gives_its_words_and_its_code)
{
	struct lab *lab = lab_running();
	vn_autofree uint8_t *out = NULL;
	struct vn_error err = { 0 };
	json_t *result;
	size_t size;

	result = lab_result(lab, "vnode.exec", "{ss s[sss] ss}", "vnode", "a", "argv", "echo", "hello",
			    "world", "stdio", "capture");
	ck_assert_int_eq(exit_code(result), 0);
	ck_assert_int_eq(vn_base64_decode(json_string_value(json_object_get(result, "stdout")), &out,
					  &size, &err), 0);
	ck_assert_uint_eq(size, 12);
	ck_assert(memcmp(out, "hello world\n", 12) == 0);
	ck_assert(json_is_false(json_object_get(result, "truncated")));
	json_decref(result);
	result = lab_result(lab, "vnode.exec", "{ss s[ss] ss}", "vnode", "a", "argv", "exit", "7",
			    "stdio", "capture");
	ck_assert_int_eq(exit_code(result), 7);
	json_decref(result);
	result = lab_result(lab, "vnode.exec", "{ss s[s] ss}", "vnode", "a", "argv", "no-such",
			    "stdio", "capture");
	ck_assert_int_eq(exit_code(result), 127);
	json_decref(result);
	lab_refuse(lab, "invalid", "vnode.exec", "{ss s[s] ss ss}", "vnode", "a", "argv", "true",
		   "stdio", "capture", "input", "not base64!");
	result = lab_result(lab, "vnode.exec", "{ss s[s] ss ss}", "vnode", "a", "argv", "true", "stdio",
			    "capture", "input", "aGVsbG8=");
	ck_assert_int_eq(exit_code(result), 0);
	json_decref(result);
	lab_free(lab);
}
END_TEST

START_TEST(a_command_ends_with_its_guest)
{
	struct lab *lab = lab_running();
	struct guest_exit exit = { EXIT_POWEROFF, 0, 0 };
	int id = lab_send(lab, "vnode.exec", "{ss s[s] ss}", "vnode", "a", "argv", "sleep", "stdio",
			  "capture");
	json_t *answer, *result;

	lab_do(lab, "host.info", NULL);
	world_guest_exit(lab->world, lab_vnode(lab, "a")->uuid, &exit);
	answer = lab_hear(lab, id);
	result = json_object_get(answer, "result");
	ck_assert_int_eq(json_integer_value(json_object_get(result, "signal")), SIGKILL);
	json_decref(answer);
	ck_assert(lab_settle(lab));
	lab_clean(lab, "exec");
	lab_free(lab);
}
END_TEST

START_TEST(a_client_that_goes_away_hangs_its_command_up)
{
	struct lab *lab = lab_running();

	for (int i = 0; i < 3; i++) {
		lab_send(lab, "vnode.exec", "{ss s[s] ss}", "vnode", "a", "argv", "sleep", "stdio",
			 "capture");
		lab_do(lab, "host.info", NULL);
		lab_connect(lab, 0, ROLE_ADMIN);
		lab_do(lab, "host.info", NULL);
		ck_assert(lab_settle(lab));
	}
	ck_assert_uint_eq(world_count(lab->world, "compute.exec_signal"), 3);
	lab_clean(lab, "exec");
	lab_free(lab);
}
END_TEST

START_TEST(a_daemon_that_ends_hangs_its_commands_up)
{
	struct lab *lab = lab_running();

	lab_send(lab, "vnode.exec", "{ss s[s] ss}", "vnode", "a", "argv", "sleep", "stdio", "capture");
	lab_do(lab, "host.info", NULL);
	lab_close(lab);
	ck_assert_uint_ge(world_count(lab->world, "compute.exec_signal"), 1);
	ck_assert(lab_open(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_free(lab);
}
END_TEST

/* ---- descriptors ---------------------------------------------------------------------------- */

static void
send_with_fds(struct lab *lab, const char *line, const int *fds, size_t count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec piece = { (char *)line, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	ck_assert_int_eq(sendmsg(lab->fd, &message, 0), 1);
	ck_assert_int_eq(send(lab->fd, line + 1, strlen(line) - 1, 0), (ssize_t)strlen(line) - 1);
}

START_TEST(passed_descriptors_are_the_commands_own)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"vnode.exec\",\"params\":"
		"{\"vnode\":\"a\",\"argv\":[\"echo\",\"direct\"],\"stdio\":\"fds\"}}\n";
	struct lab *lab = lab_running();
	vn_autofree char *text = NULL;
	json_t *answer;
	int out[2];

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	send_with_fds(lab, line, (int[]){ out[1], out[1], out[1] }, 3);
	answer = lab_hear(lab, 900);
	ck_assert_int_eq(exit_code(json_object_get(answer, "result")), 0);
	close(out[1]);
	text = read_all(lab, out[0]);		/* ends: the daemon holds no copy */
	ck_assert_str_eq(text, "direct\n");
	close(out[0]);
	json_decref(answer);
	lab_refuse(lab, "invalid", "vnode.exec", "{ss s[s] ss}", "vnode", "a", "argv", "true", "stdio",
		   "fds");
	lab_free(lab);
}
END_TEST

START_TEST(a_terminal_comes_with_the_answer_and_its_end_is_told)
{
	struct lab *lab = lab_running();
	json_t *result = lab_result(lab, "vnode.exec", "{ss s[ss] sb}", "vnode", "a", "argv", "echo",
				    "on a terminal", "tty", 1);
	vn_autofree char *text = NULL;
	json_t *line = NULL;
	size_t i;

	ck_assert_uint_eq(lab->n_fds, 1);
	ck_assert(isatty(lab->fds[0]));
	text = read_all(lab, lab->fds[0]);
	ck_assert_str_eq(text, "on a terminal\r\n");
	lab_do(lab, "host.info", NULL);
	json_array_foreach(lab->heard, i, line)
		if (json_object_get(line, "method"))
			break;
	ck_assert_str_eq(json_string_value(json_object_get(line, "method")), "exec");
	ck_assert_int_eq(exit_code(json_object_get(line, "params")), 0);
	json_decref(result);
	lab_free(lab);
}
END_TEST

START_TEST(a_terminal_outlives_neither_client_nor_daemon)
{
	struct lab *lab = lab_running();

	for (int i = 0; i < 2; i++) {
		lab_do(lab, "vnode.exec", "{ss s[s] sb}", "vnode", "a", "argv", "sleep", "tty", 1);
		lab_connect(lab, 0, ROLE_ADMIN);
		lab_do(lab, "host.info", NULL);
		ck_assert(lab_settle(lab));
	}
	ck_assert_uint_eq(world_count(lab->world, "compute.exec_signal"), 2);
	lab_do(lab, "vnode.exec", "{ss s[s] sb}", "vnode", "a", "argv", "sleep", "tty", 1);
	lab_close(lab);
	ck_assert_uint_ge(world_count(lab->world, "compute.exec_signal"), 3);
	lab_free(lab);
}
END_TEST

START_TEST(a_console_is_one_descriptor)
{
	struct lab *lab = lab_running();

	lab_do(lab, "vnode.console", "{ss}", "vnode", "a");
	ck_assert_uint_eq(lab->n_fds, 1);
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	lab_refuse(lab, "state", "vnode.console", "{ss}", "vnode", "a");
	lab_free(lab);
}
END_TEST

START_TEST(a_viewer_enters_no_guest)
{
	struct lab *lab = lab_running();

	lab_connect(lab, 1000, ROLE_VIEWER);
	lab_refuse(lab, "denied", "vnode.exec", "{ss s[s] ss}", "vnode", "a", "argv", "true", "stdio",
		   "capture");
	lab_refuse(lab, "denied", "vnode.console", "{ss}", "vnode", "a");
	lab_do(lab, "vnode.get", "{ss}", "vnode", "a");
	lab_free(lab);
}
END_TEST

/* ---- jobs ----------------------------------------------------------------------------------- */

START_TEST(a_job_is_found_waited_for_and_kept)
{
	struct lab *lab = lab_new();
	json_t *made, *job, *id, *answer;
	int wait, short_wait;

	world_hang(lab->world, "disk.create", 1);
	made = lab_result(lab, "vnode.create", "{ss}", "name", "a");
	id = json_object_get(made, "job");
	ck_assert(lab_await_hang(lab));
	wait = lab_send(lab, "job.wait", "{sO}", "job", id);
	short_wait = lab_send(lab, "job.wait", "{sO si}", "job", id, "timeout_ms", 100);
	job = lab_result(lab, "job.get", "{sO}", "job", id);
	ck_assert_str_eq(json_string_value(json_object_get(job, "state")), "running");
	ck_assert_str_eq(json_string_value(json_object_get(job, "step")), "create");
	json_decref(job);
	lab_advance(lab, 100);
	answer = lab_hear(lab, short_wait);
	ck_assert_str_eq(lab_word(answer), "timeout");
	json_decref(answer);
	lab_release(lab);
	answer = lab_hear(lab, wait);
	job = json_object_get(answer, "result");
	ck_assert_str_eq(json_string_value(json_object_get(job, "state")), "done");
	lab_kill(lab);
	ck_assert(lab_open(lab));
	{
		json_t *again = lab_result(lab, "job.get", "{sO}", "job", id);

		lab_same(job, again, "another life");
		json_decref(again);
	}
	lab_refuse(lab, "state", "job.cancel", "{sO}", "job", id);
	lab_refuse(lab, "not_found", "job.get", "{si}", "job", 99999);
	lab_refuse(lab, "not_found", "job.cancel", "{si}", "job", 99999);
	lab_do(lab, "job.wait", "{sO}", "job", id);
	json_decref(answer);
	json_decref(made);
	lab_free(lab);
}
END_TEST

START_TEST(a_cancelled_job_stays_cancelled_over_a_crash)
{
	struct lab *lab = lab_new();
	json_t *made, *job, *before = lab_picture(lab), *after;

	world_hang(lab->world, "disk.create", 1);
	made = lab_result(lab, "vnode.create", "{ss}", "name", "a");
	ck_assert(lab_await_hang(lab));
	lab_do(lab, "job.cancel", "{sO}", "job", json_object_get(made, "job"));
	lab_do(lab, "lan.list", NULL);
	while (store_is_pending(lab->daemon->store))
		loop_run_once(lab->loop, true);
	lab_kill(lab);
	world_fault_clear(lab->world);
	ck_assert(lab_open(lab));
	job = lab_result(lab, "job.get", "{sO}", "job", json_object_get(made, "job"));
	ck_assert_str_eq(json_string_value(json_object_get(job, "state")), "cancelled");
	after = lab_picture(lab);
	lab_same(before, after, "cancelled");
	lab_check_quiet(lab, "cancelled");
	json_decref(made);
	json_decref(job);
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(a_client_that_goes_away_changes_no_outcome)
{
	struct lab *lab = lab_new();

	world_hang(lab->world, "disk.create", 1);
	lab_send(lab, "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	lab_send(lab, "vnode.wait", "{ss ss}", "vnode", "a", "observed", "stopped");
	ck_assert(lab_await_hang(lab));
	lab_connect(lab, 0, ROLE_ADMIN);
	lab_do(lab, "host.info", NULL);
	lab_release(lab);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_clean(lab, "gone");
	lab_free(lab);
}
END_TEST

START_TEST(a_wait_for_a_state_is_answered_when_it_comes)
{
	struct lab *lab = lab_new();
	int running, absent, never;
	json_t *answer;

	lab_do(lab, "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	lab_do(lab, "vnode.wait", "{ss ss}", "vnode", "a", "observed", "stopped");
	running = lab_send(lab, "vnode.wait", "{ss s[ss]}", "vnode", "a", "observed", "running",
			   "failed");
	absent = lab_send(lab, "vnode.wait", "{ss ss}", "vnode", "a", "observed", "absent");
	never = lab_send(lab, "vnode.wait", "{ss ss si}", "vnode", "a", "observed", "paused",
			 "timeout_ms", 50);
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	answer = lab_hear(lab, running);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	lab_advance(lab, 50);
	answer = lab_hear(lab, never);
	ck_assert_str_eq(lab_word(answer), "timeout");
	json_decref(answer);
	never = lab_send(lab, "vnode.wait", "{ss ss}", "vnode", "a", "observed", "paused");
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "a", "wait", 1);
	answer = lab_hear(lab, absent);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	answer = lab_hear(lab, never);
	ck_assert_str_eq(lab_word(answer), "not_found");
	json_decref(answer);
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("exec", (const TTest *const[]){
		a_captured_command_gives_its_words_and_its_code,
		a_command_ends_with_its_guest,
		a_client_that_goes_away_hangs_its_command_up,
		a_daemon_that_ends_hangs_its_commands_up,
		passed_descriptors_are_the_commands_own,
		a_terminal_comes_with_the_answer_and_its_end_is_told,
		a_terminal_outlives_neither_client_nor_daemon,
		a_console_is_one_descriptor,
		a_viewer_enters_no_guest,
		a_job_is_found_waited_for_and_kept,
		a_cancelled_job_stays_cancelled_over_a_crash,
		a_client_that_goes_away_changes_no_outcome,
		a_wait_for_a_state_is_answered_when_it_comes,
		NULL });
}
