/* Images as the daemon keeps them: sharing of downloads and files, layers, kinds, quota, prune. */
#include "tests/unit/lab.h"
#include "tests/unit/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define URL_A "http://images/a"
#define URL_B "http://images/b"

static struct lab *
lab_with_urls(void)
{
	struct lab *lab = lab_new();

	world_url(lab->world, URL_A, "archive a", 9);
	world_url(lab->world, URL_B, "layer b", 7);
	return lab;
}

static void
add(struct lab *lab, const char *name, const char *url, const char *base)
{
	lab_do(lab, "image.add", "{ss ss ss? sb sb}", "image", name, "url", url, "base", base,
	       "insecure_no_digest", 1, "wait", 1);
}

static const char *
text_of(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void
assert_refused(struct lab *lab, const char *word, const char *path, const char *method,
	       const char *params)
{
	json_t *error = lab_error(lab, word, method, "o", json_loads(params, 0, NULL));

	ck_assert_str_eq(text_of(error, "path") ? text_of(error, "path") : "", path);
	json_decref(error);
}

/* ---- sharing --------------------------------------------------------------------------------- */

START_TEST(two_names_for_one_url_are_one_download_and_one_unpacking)
{
	struct lab *lab = lab_with_urls();
	unsigned fetches = world_count(lab->world, "fetch.start");
	char first[65];
	int ids[20];

	world_url_hold(lab->world, URL_A, true);
	for (int i = 0; i < 20; i++) {
		char name[] = { 'n', (char)('a' + i), 0 };

		ids[i] = lab_send(lab, "image.add", "{ss ss sb sb}", "image", name, "url", URL_A,
				  "insecure_no_digest", 1, "wait", 1);
	}
	lab_do(lab, "host.info", NULL);
	world_url_hold(lab->world, URL_A, false);
	for (int i = 0; i < 20; i++) {
		json_t *answer = lab_hear(lab, ids[i]);

		ck_assert_str_eq(lab_word(answer), "ok");
		json_decref(answer);
	}
	ck_assert_uint_eq(world_count(lab->world, "fetch.start") - fetches, 1);
	snprintf(first, sizeof(first), "%s", image_find(lab->daemon, "na")->sha256);
	ck_assert_str_eq(image_find(lab->daemon, "nt")->sha256, first);
	lab_check_quiet(lab, "one download");
	lab_clean(lab, "one download");
	lab_free(lab);
}
END_TEST

START_TEST(who_leaves_a_shared_download_does_not_end_it)
{
	struct lab *lab = lab_with_urls();
	json_t *job, *answer;
	int id;

	world_url_hold(lab->world, URL_A, true);
	job = lab_result(lab, "image.add", "{ss ss sb}", "image", "one", "url", URL_A,
			 "insecure_no_digest", 1);
	id = lab_send(lab, "image.add", "{ss ss sb sb}", "image", "two", "url", URL_A,
		      "insecure_no_digest", 1, "wait", 1);
	lab_do(lab, "job.cancel", "{sO}", "job", json_object_get(job, "job"));
	world_url_hold(lab->world, URL_A, false);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "ok");
	ck_assert(lab_settle(lab));
	ck_assert_ptr_null(image_find(lab->daemon, "one"));
	json_decref(job);
	json_decref(answer);
	lab_clean(lab, "shared download");
	lab_free(lab);
}
END_TEST

START_TEST(a_download_joined_while_it_is_being_cancelled_begins_again)
{
	struct lab *lab = lab_with_urls();
	json_t *job;

	world_url_hold(lab->world, URL_A, true);
	job = lab_result(lab, "image.add", "{ss ss sb}", "image", "one", "url", URL_A,
			 "insecure_no_digest", 1);
	lab_do(lab, "job.cancel", "{sO}", "job", json_object_get(job, "job"));
	world_url_hold(lab->world, URL_A, false);
	add(lab, "two", URL_A, NULL);
	json_decref(job);
	lab_clean(lab, "joined late");
	lab_free(lab);
}
END_TEST

/* ---- layers ---------------------------------------------------------------------------------- */

START_TEST(a_base_stays_as_long_as_there_are_layers_on_it)
{
	struct lab *lab = lab_with_urls();
	json_t *image, *error;

	add(lab, "base", URL_A, NULL);
	add(lab, "delta", URL_B, "base");
	image = lab_result(lab, "image.get", "{ss}", "image", "delta");
	ck_assert_str_eq(text_of(image, "base"), "base");
	ck_assert_str_eq(text_of(image, "format"), "tar");
	ck_assert_uint_eq(json_array_size(json_object_get(image, "layers")), 2);
	json_decref(image);
	error = lab_error(lab, "state", "image.remove", "{ss}", "image", "base");
	json_decref(error);
	image = lab_result(lab, "image.get", "{ss}", "image", "base");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(image, "users"), 0)),
			 "image delta");
	json_decref(image);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	lab_refuse(lab, "state", "image.remove", "{ss}", "image", "base");
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "v", "image", "delta", "wait", 1);
	lab_refuse(lab, "state", "image.remove", "{ss}", "image", "delta");
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "v", "wait", 1);
	lab_do(lab, "image.remove", "{ss sb}", "image", "delta", "wait", 1);
	lab_do(lab, "image.remove", "{ss sb}", "image", "base", "wait", 1);
	lab_check_quiet(lab, "layers");
	lab_clean(lab, "layers");
	lab_free(lab);
}
END_TEST

START_TEST(a_layer_waits_for_a_base_that_is_on_its_way)
{
	struct lab *lab = lab_with_urls();
	json_t *answer;
	int id;

	world_url_hold(lab->world, URL_A, true);
	lab_do(lab, "image.add", "{ss ss sb}", "image", "base", "url", URL_A, "insecure_no_digest", 1);
	id = lab_send(lab, "image.add", "{ss ss ss sb sb}", "image", "delta", "url", URL_B, "base",
		      "base", "insecure_no_digest", 1, "wait", 1);
	lab_refuse(lab, "state", "image.remove", "{ss}", "image", "base");
	world_url_hold(lab->world, URL_A, false);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	lab_clean(lab, "waiting layer");
	lab_free(lab);
}
END_TEST

START_TEST(a_layer_whose_base_fails_fails_too)
{
	struct lab *lab = lab_with_urls();
	json_t *answer;
	int id;

	world_url_hold(lab->world, URL_A, true);
	lab_do(lab, "image.add", "{ss ss sb}", "image", "base", "url", URL_A, "insecure_no_digest", 1);
	id = lab_send(lab, "image.add", "{ss ss ss sb sb}", "image", "delta", "url", URL_B, "base",
		      "base", "insecure_no_digest", 1, "wait", 1);
	lab_do(lab, "host.info", NULL);
	world_url(lab->world, URL_A, "broken archive", 14);
	world_url_hold(lab->world, URL_A, false);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "not_found");
	json_decref(answer);
	ck_assert(lab_settle(lab));
	ck_assert_ptr_null(image_find(lab->daemon, "delta"));
	lab_check_quiet(lab, "base failed");
	lab_clean(lab, "base failed");
	lab_free(lab);
}
END_TEST

START_TEST(one_archive_is_a_layer_on_one_base_only)
{
	struct lab *lab = lab_with_urls();

	add(lab, "base", URL_A, NULL);
	add(lab, "delta", URL_B, "base");
	lab_refuse(lab, "exists", "image.add", "{ss ss ss sb sb}", "image", "other", "url", URL_B, "base",
		   "img", "insecure_no_digest", 1, "wait", 1);
	add(lab, "same", URL_B, "base");
	lab_check_quiet(lab, "one base");
	lab_clean(lab, "one base");
	lab_free(lab);
}
END_TEST

/* What is refused at once; "disk" is an image of that kind, "x" none. */
static const struct {
	const char *word, *path, *params;
} bad_adds[] = {
	{ "not_found", "/base", "{\"image\":\"n\",\"url\":\"http://h/x\",\"base\":\"x\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/base", "{\"image\":\"n\",\"url\":\"http://h/x\",\"base\":\"n\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/base", "{\"image\":\"n\",\"url\":\"http://h/x\",\"base\":\"disk\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/base", "{\"image\":\"n\",\"url\":\"http://h/x\",\"base\":\"img\","
	  "\"format\":\"qcow2\",\"insecure_no_digest\":true}" },
	{ "invalid", "/format", "{\"image\":\"n\",\"url\":\"http://h/x\",\"format\":\"vmdk\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/image", "{\"image\":\"a-b,c\",\"url\":\"http://h/x\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/image", "{\"image\":\"a,b-c\",\"url\":\"http://h/x\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/image", "{\"image\":\"a\",\"name\":\"a\",\"url\":\"http://h/x\","
	  "\"insecure_no_digest\":true}" },
	{ "invalid", "/image", "{\"url\":\"http://h/x\",\"insecure_no_digest\":true}" },
	{ "invalid", "/sha256", "{\"image\":\"n\",\"url\":\"http://h/x\"}" },
	{ "invalid", "/url", "{\"image\":\"n\",\"url\":\"ftp://h/x\",\"insecure_no_digest\":true}" },
	{ "denied", "/url", "{\"image\":\"n\",\"url\":\"file:///etc/passwd\","
	  "\"insecure_no_digest\":true}" },
	{ "denied", "/source", "{\"image\":\"n\",\"source\":\"x\",\"insecure_no_digest\":true}" },
	{ "invalid", "", "{\"image\":\"n\",\"url\":\"http://h/x\",\"source\":\"x\","
	  "\"insecure_no_digest\":true}" },
};

START_TEST(what_cannot_be_is_refused_at_once_with_its_place)
{
	struct lab *lab = lab_with_urls();
	json_t *before, *after;

	lab_do(lab, "image.add", "{ss ss ss sb sb}", "image", "disk", "url", URL_A, "format", "raw",
	       "insecure_no_digest", 1, "wait", 1);
	before = lab_picture(lab);
	for (size_t i = 0; i < VN_COUNT(bad_adds); i++)
		assert_refused(lab, bad_adds[i].word, bad_adds[i].path, "image.add",
			       bad_adds[i].params);
	after = lab_picture(lab);
	lab_same(before, after, "bad adds");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

/* ---- kinds ----------------------------------------------------------------------------------- */

START_TEST(a_disk_is_kept_but_no_container_is_made_from_it)
{
	struct lab *lab = lab_with_urls();
	json_t *image, *error;

	world_url(lab->world, URL_A, "QFI\xfb disk", 9);
	add(lab, "disk", URL_A, NULL);
	image = lab_result(lab, "image.get", "{ss}", "image", "disk");
	ck_assert_str_eq(text_of(image, "format"), "qcow2");
	ck_assert_int_eq(json_integer_value(json_object_get(image, "virtual_bytes")), 9);
	ck_assert_int_eq(json_integer_value(json_object_get(image, "archive_bytes")), 9);
	error = lab_error(lab, "unsupported", "vnode.create", "{ss ss}", "name", "v", "image", "disk");
	ck_assert_str_eq(text_of(error, "path"), "/image");
	json_decref(error);
	json_decref(image);
	lab_clean(lab, "disk");
	lab_free(lab);
}
END_TEST

START_TEST(a_vnode_that_waited_for_a_disk_is_told_so)
{
	struct lab *lab = lab_with_urls();
	json_t *answer;
	int id;

	world_url_hold(lab->world, URL_A, true);
	lab_do(lab, "image.add", "{ss ss ss sb}", "image", "disk", "url", URL_A, "format", "raw",
	       "insecure_no_digest", 1);
	id = lab_send(lab, "vnode.create", "{ss ss sb}", "name", "v", "image", "disk", "wait", 1);
	lab_do(lab, "host.info", NULL);
	world_url_hold(lab->world, URL_A, false);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "unsupported");
	json_decref(answer);
	lab_clean(lab, "disk");
	lab_free(lab);
}
END_TEST

/* ---- quota, prune ---------------------------------------------------------------------------- */

START_TEST(what_does_not_fit_into_the_storage_is_refused_and_nothing_stays)
{
	struct lab *lab = lab_with_urls();
	uint64_t used = lab->daemon->model->images_used;
	json_t *before, *after;

	ck_assert_uint_gt(used, 0);
	lab->daemon->config.image_storage_bytes = used + 10;
	add(lab, "a", URL_A, NULL);
	ck_assert_uint_eq(lab->daemon->model->images_used, used + 9);
	before = lab_picture(lab);
	lab_refuse(lab, "limit", "image.add", "{ss ss sb sb}", "image", "b", "url", URL_B,
		   "insecure_no_digest", 1, "wait", 1);
	ck_assert(lab_settle(lab));
	after = lab_picture(lab);
	lab_same(before, after, "over the quota");
	ck_assert_uint_eq(lab->daemon->model->images_used, used + 9);
	lab->daemon->config.image_storage_bytes = used + 9;
	assert_refused(lab, "limit", "/url", "image.add", "{\"image\":\"b\",\"url\":\"" URL_B "\","
		       "\"insecure_no_digest\":true}");
	lab_do(lab, "image.remove", "{ss sb}", "image", "a", "wait", 1);
	ck_assert_uint_eq(lab->daemon->model->images_used, used);
	add(lab, "b", URL_B, NULL);
	json_decref(before);
	json_decref(after);
	lab_clean(lab, "quota");
	lab_free(lab);
}
END_TEST

static json_t *
prune(struct lab *lab, const char *params)
{
	json_t *object = json_loads(params, 0, NULL), *answer, *removed;

	json_object_set_new(object, "wait", json_true());
	answer = lab_result(lab, "image.prune", "o", object);
	removed = json_incref(json_object_get(json_object_get(answer, "result"), "removed"));
	json_decref(answer);
	return removed;
}

static void
assert_pruned(struct lab *lab, const char *params, const char *names)
{
	json_t *expected = json_loads(names, 0, NULL), *removed = prune(lab, params);

	ck_assert_msg(json_equal(expected, removed), "%s: %s", params, json_dumps(removed, 0));
	json_decref(expected);
	json_decref(removed);
}

START_TEST(prune_takes_what_nothing_uses_the_layers_before_their_base)
{
	struct lab *lab = lab_with_urls();

	add(lab, "base", URL_A, NULL);
	add(lab, "delta", URL_B, "base");
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "v", "image", "delta", "wait", 1);
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "w", "image", "img", "wait", 1);
	assert_pruned(lab, "{}", "[]");
	assert_pruned(lab, "{\"older_than\":\"1000s\"}", "[]");
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "v", "wait", 1);
	assert_pruned(lab, "{\"older_than\":\"1000s\"}", "[]");
	assert_pruned(lab, "{\"keep_bytes\":\"1MiB\"}", "[]");
	assert_pruned(lab, "{\"dry_run\":true}", "[\"delta\",\"base\"]");
	ck_assert_ptr_nonnull(image_find(lab->daemon, "base"));
	assert_pruned(lab, "{}", "[\"delta\",\"base\"]");
	ck_assert_ptr_null(image_find(lab->daemon, "base"));
	ck_assert_ptr_nonnull(image_find(lab->daemon, "img"));
	lab_check_quiet(lab, "prune");
	lab_clean(lab, "prune");
	lab_free(lab);
}
END_TEST

START_TEST(prune_stops_when_little_enough_is_kept)
{
	struct lab *lab = lab_with_urls();
	uint64_t used = lab->daemon->model->images_used;
	char params[64];

	add(lab, "a", URL_A, NULL);
	add(lab, "b", URL_B, NULL);
	image_find(lab->daemon, "a")->used_us -= 2000000;
	image_find(lab->daemon, "img")->used_us -= 1000000;
	snprintf(params, sizeof(params), "{\"keep_bytes\":\"%lluB\"}",
		 (unsigned long long)used + 7);
	assert_pruned(lab, params, "[\"a\"]");
	assert_pruned(lab, params, "[]");
	lab_clean(lab, "prune by size");
	lab_free(lab);
}
END_TEST

/* ---- parts ----------------------------------------------------------------------------------- */

START_TEST(old_parts_are_swept_and_young_ones_stay)
{
	struct lab *lab = lab_with_urls();
	vn_autofree char *old = vn_format("%s/incoming/old.part", lab->folder);
	vn_autofree char *young = vn_format("%s/incoming/young.part", lab->folder);
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	fclose(fopen(old, "we"));
	fclose(fopen(young, "we"));
	ck_assert_int_eq(utimensat(AT_FDCWD, old, times, 0), 0);
	add(lab, "a", URL_A, NULL);
	ck_assert_int_ne(access(old, F_OK), 0);
	ck_assert_int_eq(access(young, F_OK), 0);
	lab_clean(lab, "parts");
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("images", (const TTest *const[]){
		two_names_for_one_url_are_one_download_and_one_unpacking,
		who_leaves_a_shared_download_does_not_end_it,
		a_download_joined_while_it_is_being_cancelled_begins_again,
		a_base_stays_as_long_as_there_are_layers_on_it,
		a_layer_waits_for_a_base_that_is_on_its_way,
		a_layer_whose_base_fails_fails_too,
		one_archive_is_a_layer_on_one_base_only,
		what_cannot_be_is_refused_at_once_with_its_place,
		a_disk_is_kept_but_no_container_is_made_from_it,
		a_vnode_that_waited_for_a_disk_is_told_so,
		what_does_not_fit_into_the_storage_is_refused_and_nothing_stays,
		prune_takes_what_nothing_uses_the_layers_before_their_base,
		prune_stops_when_little_enough_is_kept,
		old_parts_are_swept_and_young_ones_stay,
		NULL });
}
