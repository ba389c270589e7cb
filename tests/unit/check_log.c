/* The log's lines, and what systemd is told. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/log.h"
#include "daemon/notify.h"
#include "proto/base/mem.h"
#include "tests/unit/support.h"

static char last[8192];
static int n_lines;

static void
keep_line(enum log_level level, const char *subject, const char *text)
{
	snprintf(last, sizeof(last), "%d %s: %s", (int)level, subject, text);
	n_lines++;
}

START_TEST(lines_have_level_subject_text_and_the_threads_context)
{
	log_set_sink(keep_line);
	vn_log_info("vnode", "vnode '%s': started", "a");
	ck_assert_str_eq(last, "6 vnode: vnode 'a': started");
	log_context("vnode=a job=7");
	vn_log_warning("job", "step failed");
	ck_assert_str_eq(last, "4 job: step failed (vnode=a job=7)");
	log_context(NULL);
	vn_log_error("job", "step failed");
	ck_assert_str_eq(last, "3 job: step failed");
	log_set_sink(NULL);
}
END_TEST

START_TEST(only_lines_of_the_level_are_written)
{
	enum log_level level;

	log_set_sink(keep_line);
	n_lines = 0;
	vn_log_debug("x", "not shown");
	ck_assert_int_eq(n_lines, 0);
	ck_assert(log_level_find("debug", &level));
	log_set_level(level);
	vn_log_debug("x", "shown");
	ck_assert_int_eq(n_lines, 1);
	ck_assert(log_level_find("error", &level));
	log_set_level(level);
	vn_log_warning("x", "not shown");
	ck_assert_int_eq(n_lines, 1);
	ck_assert(!log_level_find("loud", &level));
	log_set_level(LOG_LEVEL_INFO);
	log_set_sink(NULL);
}
END_TEST

START_TEST(a_client_cannot_forge_a_line)
{
	char many[4000];

	log_set_sink(keep_line);
	vn_log_info("rpc", "name '%s'", "a\n<3>vnoded: all is lost\r\033[31m\x7f");
	ck_assert_str_eq(last, "6 rpc: name 'a\\x0a<3>vnoded: all is lost\\x0d\\x1b[31m\\x7f'");
	memset(many, '\n', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	log_context("job=1");
	vn_log_info("rpc", "%s", many);
	ck_assert_ptr_null(strchr(last, '\n'));
	ck_assert_uint_lt(strlen(last), 4200);
	log_context(NULL);
	log_set_sink(NULL);
}
END_TEST

/* Writes through stderr into a file, as a journal's stream or not, and reads it back. */
static void
write_through(bool is_journal, char *ret, size_t size)
{
	vn_autofree char *dir = folder_new();
	vn_autofree char *path = vn_format("%s/stderr", dir);
	vn_autoclose int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), was = dup(2);
	vn_autofree char *stream = NULL;
	struct stat stat;
	ssize_t length;

	fstat(file, &stat);
	stream = vn_format("%ju:%ju", (uintmax_t)stat.st_dev, (uintmax_t)stat.st_ino + !is_journal);
	setenv("JOURNAL_STREAM", stream, 1);
	dup2(file, 2);
	vn_log_warning("net", "lan 'x': is down");
	dup2(was, 2);
	unsetenv("JOURNAL_STREAM");
	length = pread(file, ret, size - 1, 0);
	ck_assert_int_gt(length, 0);
	ret[length] = '\0';
	folder_remove(vn_take_ptr(&dir));
}

START_TEST(the_journal_gets_levels_and_people_get_the_time)
{
	char text[200];
	int year, month, day, hour, minute, second, ms, at = 0;

	write_through(true, text, sizeof(text));
	ck_assert_str_eq(text, "<4>net: lan 'x': is down\n");
	write_through(false, text, sizeof(text));
	ck_assert_int_eq(sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d.%3d %n", &year, &month, &day, &hour,
				&minute, &second, &ms, &at), 7);
	ck_assert_str_eq(text + at, "net: lan 'x': is down\n");
}
END_TEST

/* A socket in systemd's place. */
struct manager {
	char *dir;
	int fd;
};

static void
manager_open(struct manager *manager)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	manager->dir = folder_new();
	manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", manager->dir);
	ck_assert_int_eq(bind(manager->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static const char *
manager_read(struct manager *manager)
{
	static char text[1024];
	ssize_t length = recv(manager->fd, text, sizeof(text) - 1, 0);

	text[length < 0 ? 0 : length] = '\0';
	return text;
}

START_TEST(systemd_is_told_and_the_watchdog_fed_at_a_third_of_its_time)
{
	struct loop *loop = test_loop();
	struct manager manager;
	struct notify *notify;

	manager_open(&manager);
	setenv("WATCHDOG_USEC", "30000000", 1);
	loop_clock_hold(loop);
	notify = notify_open(loop);
	notify_ready(notify);
	ck_assert_str_eq(manager_read(&manager), "READY=1");
	notify_status(notify, "%d vnodes", 3);
	ck_assert_str_eq(manager_read(&manager), "STATUS=3 vnodes");
	notify_reloading(notify);
	ck_assert_ptr_nonnull(strstr(manager_read(&manager), "RELOADING=1\nMONOTONIC_USEC="));
	loop_clock_advance(loop, 9999);
	ck_assert(!loop_run_once(loop, false));
	for (int i = 0; i < 3; i++) {
		loop_clock_advance(loop, i == 0 ? 1 : 10000);
		ck_assert(loop_run_once(loop, true));
		ck_assert_str_eq(manager_read(&manager), "WATCHDOG=1");
	}
	notify_stopping(notify);
	ck_assert_str_eq(manager_read(&manager), "STOPPING=1");
	notify_close(notify);
	unsetenv("WATCHDOG_USEC");
	unsetenv("NOTIFY_SOCKET");
	close(manager.fd);
	folder_remove(manager.dir);
	loop_close(loop);
}
END_TEST

START_TEST(without_systemd_nothing_happens)
{
	struct loop *loop = test_loop();
	struct notify *notify = notify_open(loop);

	notify_ready(notify);
	notify_status(notify, "alone");
	ck_assert(!loop_run_once(loop, false));
	ck_assert_int_eq(notify_listen_fd(), -1);
	notify_close(notify);
	loop_close(loop);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		lines_have_level_subject_text_and_the_threads_context,
		only_lines_of_the_level_are_written,
		a_client_cannot_forge_a_line,
		the_journal_gets_levels_and_people_get_the_time,
		systemd_is_told_and_the_watchdog_fed_at_a_third_of_its_time,
		without_systemd_nothing_happens,
		NULL
	};

	return run_suite("log", tests);
}
