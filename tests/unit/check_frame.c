/* Lines and descriptors out of a stream, however it is cut; no descriptor is ever left open. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/frame.h"
#include "tests/unit/run.h"

static int
count_open(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = -1;		/* the folder itself */

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void
feed(struct frame *frame, const char *text)
{
	struct frame_fds none = { 0 };

	frame_feed(frame, text, strlen(text), &none);
}

static void
feed_with(struct frame *frame, const char *text, unsigned count)
{
	struct frame_fds fds = { .count = count };

	for (unsigned i = 0; i < count; i++)
		fds.fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	frame_feed(frame, text, strlen(text), &fds);
}

static void
close_all(const struct frame_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		ck_assert_int_eq(close(fds->fd[i]), 0);
}

/* Takes the next line and compares it; closes and counts its descriptors. */
static unsigned
expect_line(struct frame *frame, const char *text)
{
	struct vn_error err = { 0 };
	struct frame_fds fds = { 0 };
	char *line = NULL;
	size_t length = 0;

	ck_assert_int_eq(frame_next(frame, &line, &length, &fds, &err), 1);
	ck_assert_str_eq(line, text);
	ck_assert_uint_eq(length, strlen(text));
	close_all(&fds);
	return fds.count;
}

static void
expect_none(struct frame *frame)
{
	struct vn_error err = { 0 };
	struct frame_fds fds = { 0 };
	char *line;
	size_t length;

	ck_assert_int_eq(frame_next(frame, &line, &length, &fds, &err), 0);
}

static void
expect_lost(struct frame *frame, const char *says)
{
	struct vn_error err = { 0 };
	struct frame_fds fds = { 0 };
	char *line;
	size_t length;

	ck_assert_int_eq(frame_next(frame, &line, &length, &fds, &err), -1);
	ck_assert_int_eq(err.code, VN_E_REQUEST);
	ck_assert_msg(strstr(err.text, says), "%s", err.text);
}

START_TEST(lines_come_out_whatever_the_size_of_the_pieces)
{
	static const char text[] = "one\n\ntwo two\nthree\n";
	struct frame *frame = frame_new(64);
	size_t piece = (size_t)_i;
	char copy[32];
	int lines = 0;

	for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
		static const char *const expected[] = { "one", "", "two two", "three" };
		struct vn_error err = { 0 };
		struct frame_fds fds = { 0 };
		char *line;
		size_t length;

		snprintf(copy, sizeof(copy), "%.*s", (int)piece, text + at);
		feed(frame, copy);
		while (frame_next(frame, &line, &length, &fds, &err) == 1)
			ck_assert_str_eq(line, expected[lines++]);
	}
	ck_assert_int_eq(lines, 4);
	ck_assert_uint_eq(frame_pending(frame), 0);
	frame_free(frame);
}
END_TEST

START_TEST(half_a_line_is_pending)
{
	struct frame *frame = frame_new(64);

	feed(frame, "one\ntw");
	expect_line(frame, "one");
	expect_none(frame);
	ck_assert_uint_eq(frame_pending(frame), 2);
	feed(frame, "o\n");
	expect_line(frame, "two");
	frame_free(frame);
}
END_TEST

START_TEST(a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not)
{
	struct frame *frame = frame_new(8);

	feed(frame, "1234567\n");
	expect_line(frame, "1234567");
	feed(frame, "12345678\n");
	expect_lost(frame, "at most 8 bytes");
	feed(frame, "ok\n");
	expect_lost(frame, "at most 8 bytes");
	frame_free(frame);
}
END_TEST

START_TEST(a_line_that_never_ends_is_refused_at_the_limit)
{
	struct frame *frame = frame_new(8);

	feed(frame, "1234567");
	expect_none(frame);
	feed(frame, "8");
	expect_lost(frame, "at most 8 bytes");
	ck_assert_uint_eq(frame_pending(frame), 0);
	frame_free(frame);
}
END_TEST

START_TEST(a_megabyte_byte_by_byte_is_linear)
{
	struct frame *frame = frame_new(PROTOCOL_LINE_MAX);
	struct vn_error err = { 0 };
	struct frame_fds fds = { 0 };
	char *line;
	size_t length = 0;
	int early = 0;

	for (size_t i = 0; i + 1 < PROTOCOL_LINE_MAX; i++) {
		feed(frame, "x");
		early |= frame_next(frame, &line, &length, &fds, &err);
	}
	ck_assert_int_eq(early, 0);
	feed(frame, "\n");
	ck_assert_int_eq(frame_next(frame, &line, &length, &fds, &err), 1);
	ck_assert_uint_eq(length, PROTOCOL_LINE_MAX - 1);
	frame_free(frame);
}
END_TEST

START_TEST(descriptors_belong_to_the_line_of_their_first_byte)
{
	int before = count_open();
	struct frame *frame = frame_new(64);

	feed(frame, "one");
	feed_with(frame, "\ntwo\n", 2);		/* with the LF of the first line */
	feed_with(frame, "three\nfour\n", 1);
	feed_with(frame, "fi", 3);
	feed_with(frame, "ve\n", 4);
	ck_assert_uint_eq(expect_line(frame, "one"), 2);
	ck_assert_uint_eq(expect_line(frame, "two"), 0);
	ck_assert_uint_eq(expect_line(frame, "three"), 1);
	ck_assert_uint_eq(expect_line(frame, "four"), 0);
	ck_assert_uint_eq(expect_line(frame, "five"), 7);
	expect_none(frame);
	frame_free(frame);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(too_many_descriptors_lose_the_stream_and_are_closed)
{
	int before = count_open();
	struct frame *frame = frame_new(64);

	for (int i = 0; i < 5; i++) {
		feed_with(frame, "x", 4);
		if (_i)
			expect_none(frame);
	}
	feed(frame, "\n");
	expect_lost(frame, "descriptors");
	feed_with(frame, "more", 2);
	frame_free(frame);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(what_nobody_took_is_closed)
{
	int before = count_open();
	struct frame *frame = frame_new(64);

	feed_with(frame, "one\n", 3);
	feed_with(frame, "tw", 3);
	frame_free(frame);
	frame_free(NULL);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(a_line_too_long_closes_what_came_with_it)
{
	int before = count_open();
	struct frame *frame = frame_new(4);

	feed_with(frame, "123456", 3);
	expect_lost(frame, "at most");
	ck_assert_int_eq(count_open(), before);
	frame_free(frame);
}
END_TEST

static void
make_pair(int pair[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
}

START_TEST(descriptors_travel_over_a_socket_and_are_closed_on_exec)
{
	int before = count_open(), pair[2], sent[2];
	struct frame *frame = frame_new(64);
	struct frame_fds fds = { 0 };
	struct vn_error err = { 0 };
	char *line;
	size_t length;

	make_pair(pair);
	make_pair(sent);
	ck_assert_int_eq(frame_read(frame, pair[1], &err), -1);
	ck_assert_int_eq(err.code, VN_E_BUSY);
	ck_assert_int_eq(frame_write(pair[0], "one\n", 4, NULL, 0), 4);
	ck_assert_int_eq(frame_write(pair[0], "two\n", 4, sent, 2), 1);
	ck_assert_int_eq(frame_write(pair[0], "wo\nthree\n", 9, NULL, 0), 9);
	while (frame_read(frame, pair[1], &err) > 0)
		;
	ck_assert_uint_eq(expect_line(frame, "one"), 0);
	ck_assert_int_eq(frame_next(frame, &line, &length, &fds, &err), 1);
	ck_assert_str_eq(line, "two");
	ck_assert_uint_eq(fds.count, 2);
	ck_assert_int_eq(fcntl(fds.fd[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(write(fds.fd[0], "x", 1), 1);
	close_all(&fds);
	ck_assert_uint_eq(expect_line(frame, "three"), 0);
	close(pair[0]);
	ck_assert_int_eq(frame_read(frame, pair[1], &err), 0);
	close(pair[1]);
	close(sent[0]);
	close(sent[1]);
	frame_free(frame);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(more_descriptors_than_allowed_in_one_message_are_all_closed)
{
	enum { MANY = 200 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(MANY * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec piece = { .iov_base = (char[]){ "x\n" }, .iov_len = 2 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int before = count_open(), pair[2];
	struct frame *frame = frame_new(64);
	struct vn_error err = { 0 };

	make_pair(pair);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(MANY * sizeof(int));
	for (size_t i = 0; i < MANY; i++)
		memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &pair[0], sizeof(int));
	ck_assert_int_eq(sendmsg(pair[0], &message, 0), 2);
	ck_assert_int_eq(frame_read(frame, pair[1], &err), 2);
	expect_lost(frame, "descriptors");
	close(pair[0]);
	close(pair[1]);
	frame_free(frame);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(writing_to_a_closed_socket_is_an_error_and_no_signal)
{
	int pair[2];

	make_pair(pair);
	close(pair[1]);
	ck_assert_int_eq(frame_write(pair[0], "x", 1, NULL, 0), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(pair[0]);
}
END_TEST

START_TEST(random_streams_lose_nothing)
{
	unsigned random = 12345;
	struct frame *frame = frame_new(5000);
	unsigned sent = 0, received = 0, sent_fds = 0, received_fds = 0;
	int before = count_open();

	for (int round = 0; round < 3000; round++) {
		char text[4200];
		struct vn_error err = { 0 };
		struct frame_fds fds = { 0 };
		char *line;
		size_t length;
		unsigned size;

		random = random * 1103515245 + 12345;
		size = (random >> 16) % 100 < 95 ? (random >> 8) % 40 : (random >> 8) % 4000;
		memset(text, 'a' + round % 26, size);
		text[size] = '\n';
		text[size + 1] = '\0';
		feed_with(frame, text, random % 3);
		sent++;
		sent_fds += random % 3;
		if (round % 7 != 0 && round < 2999)
			continue;
		while (frame_next(frame, &line, &length, &fds, &err) == 1) {
			received++;
			received_fds += fds.count;
			close_all(&fds);
		}
	}
	ck_assert_uint_eq(received, sent);
	ck_assert_uint_eq(received_fds, sent_fds);
	frame_free(frame);
	ck_assert_int_eq(count_open(), before);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("frame");

	tcase_add_loop_test(tcase, lines_come_out_whatever_the_size_of_the_pieces, 1, 20);
	tcase_add_test(tcase, half_a_line_is_pending);
	tcase_add_test(tcase, a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not);
	tcase_add_test(tcase, a_line_that_never_ends_is_refused_at_the_limit);
	tcase_add_test(tcase, a_megabyte_byte_by_byte_is_linear);
	tcase_add_test(tcase, descriptors_belong_to_the_line_of_their_first_byte);
	tcase_add_loop_test(tcase, too_many_descriptors_lose_the_stream_and_are_closed, 0, 2);
	tcase_add_test(tcase, what_nobody_took_is_closed);
	tcase_add_test(tcase, a_line_too_long_closes_what_came_with_it);
	tcase_add_test(tcase, descriptors_travel_over_a_socket_and_are_closed_on_exec);
	tcase_add_test(tcase, more_descriptors_than_allowed_in_one_message_are_all_closed);
	tcase_add_test(tcase, writing_to_a_closed_socket_is_an_error_and_no_signal);
	tcase_add_test(tcase, random_streams_lose_nothing);
	return run_tcase("frame", tcase);
}
