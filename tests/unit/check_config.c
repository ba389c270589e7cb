/*
 * The configuration: presets, files with their errors, the command line, and what a reload takes
 * over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"
#include "proto/base/mem.h"
#include "tests/unit/support.h"

struct bench {
	struct config config;
	struct vn_error err;
	char *dir, *path;
};

static void
bench_open(struct bench *b)
{
	*b = (struct bench){ .dir = folder_new() };
	b->path = vn_format("%s/vnoded.conf", b->dir);
	config_init(&b->config);
}

static void
bench_close(struct bench *b)
{
	config_fini(&b->config);
	free(b->path);
	folder_remove(b->dir);
}

static int
read_bytes(struct bench *b, const char *data, size_t size)
{
	FILE *file = fopen(b->path, "we");

	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	fclose(file);
	return config_read(&b->config, b->path, &b->err);
}

static int
read_text(struct bench *b, const char *text)
{
	return read_bytes(b, text, strlen(text));
}

START_TEST(presets_are_those_of_the_header)
{
	struct bench b;

	bench_open(&b);
	ck_assert_str_eq(b.config.state_dir, "/var/lib/vnoded");
	ck_assert_str_eq(b.config.socket, "/run/vnoded/vnoded.sock");
	ck_assert_str_eq(b.config.control_network, "198.18.0.0/16");
	ck_assert_ptr_null(b.config.import_dir);
	ck_assert_ptr_null(b.config.default_image);
	ck_assert_ptr_null(b.config.control_network6);
	ck_assert_ptr_null(b.config.control_nat_except);
	ck_assert_uint_eq(b.config.control_isolation, 0);
	ck_assert_int_eq(b.config.event_keep, 100000);
	ck_assert_uint_eq(b.config.max_output_bytes, 32u << 20);
	ck_assert_uint_eq(b.config.grace_ns, 10000000000u);
	ck_assert_uint_eq(b.config.restart_delay_ns, 250000000);
	ck_assert_uint_eq(b.config.restart_window_ns, 600000000000u);
	ck_assert_uint_eq(b.config.image_unpacked_bytes, 64ull << 30);
	bench_close(&b);
}
END_TEST

START_TEST(a_file_is_read_with_comments_and_white_space)
{
	struct bench b;

	bench_open(&b);
	ck_assert_msg(read_text(&b, "# a comment\n\n  event_keep=500  # kept\n\tgrace =  2.5s\r\n"
				"libvirt_uri = lxc:///#system\ncontrol_network6 = fd12::/64\n"
				"control_isolation = yes\ncontrol_nat_except = 10.0.0.0/8, fd00::/8\n"
				"import_dir = /srv/images") == 0, "%s", b.err.text);
	ck_assert_int_eq(b.config.event_keep, 500);
	ck_assert_uint_eq(b.config.grace_ns, 2500000000u);
	ck_assert_str_eq(b.config.libvirt_uri, "lxc:///#system");
	ck_assert_str_eq(b.config.control_network6, "fd12::/64");
	ck_assert_uint_eq(b.config.control_isolation, 1);
	ck_assert_str_eq(b.config.control_nat_except, "10.0.0.0/8, fd00::/8");
	ck_assert_str_eq(b.config.import_dir, "/srv/images");
	ck_assert_int_eq(b.config.job_keep, 10000);
	bench_close(&b);
}
END_TEST

START_TEST(the_socket_follows_run_dir_until_it_is_set)
{
	struct bench b;

	bench_open(&b);
	ck_assert_int_eq(config_set(&b.config, "run_dir=/tmp/r", &b.err), 0);
	ck_assert_str_eq(b.config.socket, "/tmp/r/vnoded.sock");
	ck_assert_int_eq(config_set(&b.config, "socket=/tmp/s", &b.err), 0);
	ck_assert_int_eq(config_set(&b.config, "run_dir=/tmp/q", &b.err), 0);
	ck_assert_str_eq(b.config.socket, "/tmp/s");
	ck_assert_int_eq(config_set(&b.config, "socket=", &b.err), 0);
	ck_assert_str_eq(b.config.socket, "/tmp/q/vnoded.sock");
	bench_close(&b);
}
END_TEST

/* file, what the error must contain */
static const struct {
	const char *text, *error;
} refusals[] = {
	{ "control_isolation = on",     "control_isolation: expected yes or no, got \"on\"" },
	{ "control_nat_except = 10.0.0.0/8, 10.1.0.0/33", "got \"10.1.0.0/33\"" },
	{ "control_nat_except = 10.0.0.1/8", "\"10.0.0.1/8\" is no network" },
	{ "control_nat_except = fd00::/8 10.0.0.0", "got \"10.0.0.0\"" },
	{ "event_kep = 5",              ":1: no key \"event_kep\"; the nearest is \"event_keep\"" },
	{ "\n\nimage_limits = 5GiB",    ":3: no key \"image_limits\"; the nearest is \"image_limit\"" },
	{ "event_keep",                 ":1: expected \"key = value\", got \"event_keep\"" },
	{ "event_keep = many",          ":1: event_keep: expected a whole number, got \"many\"" },
	{ "event_keep = -5",            "expected a whole number" },
	{ "event_keep = 5",             "event_keep: \"5\" lies outside of 100 to 100000000" },
	{ "event_keep = 99999999999999999999", "expected a whole number" },
	{ "grace = 10",                 "grace: \"10\" lacks its unit" },
	{ "console_size = 1B",          "console_size: \"1B\" lies outside of 4KiB to 1GiB" },
	{ "state_dir = here",           "state_dir: expected a path that begins with \"/\", got \"here\"" },
	{ "state_dir =",                "state_dir: expected a path" },
	{ "libvirt_uri =",              "libvirt_uri: expected a text" },
	{ "fabric = a/b",               "fabric: " },
	{ "log_level = loud",           "expected error, warning, info or debug, got \"loud\"" },
	{ "control_network = 10.0.0.1/8", "is no network" },
	{ "control_network = 10.0.0.0", "expected a network such as \"198.18.0.0/16\"" },
	{ "control_network = fd00::/64", "expected a network such as \"198.18.0.0/16\"" },
	{ "control_network6 = fd00::1/64", "is no network" },
	{ "job_keep = 10\njob_keep = 11", ":2: job_keep is already in line 1" },
};

START_TEST(what_is_wrong_is_named_with_its_line_and_what_is_expected)
{
	for (size_t i = 0; i < VN_COUNT(refusals); i++) {
		struct bench b;

		bench_open(&b);
		ck_assert_msg(read_text(&b, refusals[i].text) == -1, "%s", refusals[i].text);
		ck_assert_int_eq(b.err.code, VN_E_INVALID);
		ck_assert_msg(strstr(b.err.text, refusals[i].error), "%s", b.err.text);
		ck_assert_msg(strstr(b.err.text, b.path), "%s", b.err.text);
		bench_close(&b);
	}
}
END_TEST

START_TEST(missing_and_binary_files_are_refused)
{
	struct bench b;

	bench_open(&b);
	ck_assert_int_eq(config_read(&b.config, b.path, &b.err), -1);
	ck_assert_int_eq(b.err.code, VN_E_NOT_FOUND);
	ck_assert_int_eq(read_bytes(&b, "event_keep = 500\0\n", 18), -1);
	ck_assert_ptr_nonnull(strstr(b.err.text, "a byte is 0"));
	ck_assert_int_eq(config_read(&b.config, b.dir, &b.err), -1);
	ck_assert_int_eq(config_set(&b.config, "nothing", &b.err), -1);
	ck_assert_int_eq(config_set(&b.config, "=", &b.err), -1);
	ck_assert_int_eq(b.err.code, VN_E_INVALID);
	bench_close(&b);
}
END_TEST

START_TEST(a_reload_takes_over_what_may_change_and_names_the_rest)
{
	struct bench b;
	struct config fresh;
	char text[64], small[12];

	bench_open(&b);
	config_init(&fresh);
	ck_assert_int_eq(config_set(&fresh, "event_keep=700", &b.err), 0);
	ck_assert_int_eq(config_set(&fresh, "default_image=busybox", &b.err), 0);
	ck_assert_int_eq(config_set(&fresh, "run_dir=/tmp/elsewhere", &b.err), 0);
	config_reload(&b.config, &fresh, text, sizeof(text));
	ck_assert_str_eq(text, "run_dir, socket");
	config_reload(&b.config, &fresh, small, sizeof(small));
	ck_assert_str_eq(small, "run_dir, so");
	config_fini(&fresh);
	ck_assert_int_eq(b.config.event_keep, 700);
	ck_assert_str_eq(b.config.default_image, "busybox");
	ck_assert_str_eq(b.config.run_dir, "/run/vnoded");
	bench_close(&b);
}
END_TEST

START_TEST(the_description_can_be_read_back)
{
	struct bench b;
	json_t *list = config_describe(), *row;
	size_t i;

	bench_open(&b);
	ck_assert_uint_gt(json_array_size(list), 25);
	json_array_foreach(list, i, row) {
		const char *key = json_string_value(json_object_get(row, "key"));
		const char *preset = json_string_value(json_object_get(row, "preset"));
		vn_autofree char *line = vn_format("%s=%s", key, preset);

		ck_assert_msg(config_set(&b.config, line, &b.err) == 0, "%s", b.err.text);
		ck_assert_uint_gt(strlen(json_string_value(json_object_get(row, "help"))), 4);
		ck_assert(json_is_boolean(json_object_get(row, "reload")));
	}
	json_decref(list);
	bench_close(&b);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		presets_are_those_of_the_header,
		a_file_is_read_with_comments_and_white_space,
		the_socket_follows_run_dir_until_it_is_set,
		what_is_wrong_is_named_with_its_line_and_what_is_expected,
		missing_and_binary_files_are_refused,
		a_reload_takes_over_what_may_change_and_names_the_rest,
		the_description_can_be_read_back,
		NULL
	};

	return run_suite("config", tests);
}
