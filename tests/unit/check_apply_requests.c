/* Jobs of topology.apply: told apart by their request_id, ended by their timeout, with locks on what they touch. */
#include "tests/unit/check_apply.h"

#include <sqlite3.h>

#include "proto/base/mem.h"

START_TEST(the_same_request_is_the_same_job)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *other = ring("ring", 4), *first, *second, *error;

	world_hang(lab->world, "compute.start", 1);
	first = lab_result(lab, "topology.apply", "{sO ss}", "document", document, "request_id", "r1");
	ck_assert(lab_await_hang(lab));
	second = lab_result(lab, "topology.apply", "{sO ss}", "document", document, "request_id", "r1");
	lab_same(first, second, "while it runs");
	lab_refuse(lab, "busy", "topology.apply", "{sO ss}", "document", document, "request_id", "r2");
	error = lab_error(lab, "invalid", "topology.apply", "{sO ss}", "document", other, "request_id",
			  "r1");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/request_id");
	lab_release(lab);
	json_decref(second);
	second = lab_result(lab, "topology.apply", "{sO ss}", "document", document, "request_id", "r1");
	lab_same(first, second, "after it");
	lab_kill(lab);
	ck_assert(lab_open(lab));
	json_decref(second);
	second = lab_result(lab, "topology.apply", "{sO ss}", "document", document, "request_id", "r1");
	lab_same(first, second, "in another life");
	json_decref(document);
	json_decref(other);
	json_decref(first);
	json_decref(second);
	json_decref(error);
	lab_free(lab);
}
END_TEST

/* Every verb that makes its own name invalid for the second time. */
START_TEST(a_repeated_request_meets_its_job_whatever_has_become_of_its_object)
{
	struct lab *lab = lab_new();
	json_t *first, *second;

	for (int i = 0; i < 2; i++)
		lab_do(lab, "vnode.create", "{ss sb ss}", "name", "a", "wait", 1, "request_id", "c");
	first = lab_result(lab, "vnode.halt", "{ss ss}", "vnode", "a", "request_id", "h");
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	second = lab_result(lab, "vnode.halt", "{ss ss}", "vnode", "a", "request_id", "h");
	lab_same(first, second, "halt");
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	ck_assert_int_eq(lab_vnode(lab, "a")->wanted, VNODE_RUNNING);
	for (int i = 0; i < 2; i++)
		lab_do(lab, "vnode.destroy", "{ss sb ss}", "vnode", "a", "wait", 1, "request_id", "d");
	for (int i = 0; i < 2; i++)
		lab_do(lab, "image.remove", "{ss sb ss}", "image", "img", "wait", 1, "request_id", "i");
	lab_refuse(lab, "not_found", "image.remove", "{ss}", "image", "img");
	json_decref(first);
	json_decref(second);
	lab_free(lab);
}
END_TEST

/* What only a step can tell has a path into the document as well. */
START_TEST(a_refusal_of_a_step_names_the_field_of_the_document)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *answer;
	int id;

	json_object_set_new(at(document, "vnodes", "n1"), "vcpus", json_integer(1024));
	id = lab_send(lab, "topology.apply", "{sO sb}", "document", document, "wait", 1);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "limit");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(json_object_get(answer, "error"),
		"data"), "path")), "/document/vnodes/n1/vcpus");
	json_decref(answer);
	json_decref(document);
	lab_free(lab);
}
END_TEST

/* As if the machine had been off for a minute. */
static void
age_jobs(const struct lab *lab)
{
	vn_autofree char *path = vn_format("%s/vnoded.db", lab->folder);
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "UPDATE jobs SET created = created - 60000000", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
}

START_TEST(timeout_ms_goes_on_counting_after_a_crash)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *before = lab_picture(lab), *after, *id, *job, *error;

	world_hang(lab->world, "compute.start", 2);
	job = lab_result(lab, "topology.apply", "{sO si}", "document", document, "timeout_ms", 5000);
	id = json_object_get(job, "job");
	ck_assert(lab_await_hang(lab));
	lab_kill(lab);
	age_jobs(lab);
	ck_assert(lab_open(lab));
	ck_assert(lab_settle(lab));
	after = lab_result(lab, "job.get", "{sO}", "job", id);
	error = json_object_get(after, "error");
	ck_assert_str_eq(json_string_value(json_object_get(error, "code")), "timeout");
	json_decref(after);
	after = lab_picture(lab);
	lab_same(before, after, "timeout_ms");
	lab_check_quiet(lab, "timeout_ms");
	json_decref(document);
	json_decref(before);
	json_decref(after);
	json_decref(job);
	lab_free(lab);
}
END_TEST

START_TEST(timeout_ms_undoes_the_whole)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *before = lab_picture(lab), *after, *answer;
	int id;

	world_hang(lab->world, "compute.start", 2);
	id = lab_send(lab, "topology.apply", "{sO sb si}", "document", document, "wait", 1,
		      "timeout_ms", 5000);
	ck_assert(lab_await_hang(lab));
	lab_advance(lab, 5000);
	lab_release(lab);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "timeout");
	after = lab_picture(lab);
	lab_same(before, after, "timeout_ms");
	lab_check_quiet(lab, "timeout_ms");
	json_decref(document);
	json_decref(before);
	json_decref(after);
	json_decref(answer);
	lab_free(lab);
}
END_TEST

START_TEST(an_apply_holds_all_it_touches)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *job, *error;
	int64_t id;

	apply(lab, document);
	world_hang(lab->world, "compute.stop", 1);
	json_object_set_new(at(document, "vnodes", "n1"), "vcpus", json_integer(1));
	job = lab_result(lab, "topology.apply", "{sO}", "document", document);
	id = json_integer_value(json_object_get(job, "job"));
	ck_assert(lab_await_hang(lab));
	error = lab_error(lab, "busy", "vnode.halt", "{ss}", "vnode", "n0");
	ck_assert_int_eq(json_integer_value(json_object_get(error, "job")), id);
	ck_assert(json_is_true(json_object_get(error, "retryable")));
	json_decref(error);
	lab_refuse(lab, "busy", "lan.down", "{ss}", "lan", "link0");
	lab_refuse(lab, "busy", "topology.delete", "{ss}", "topology", "ring");
	lab_refuse(lab, "busy", "vnode.create", "{ss ss}", "name", "new", "topology", "ring");
	lab_do(lab, "vnode.get", "{ss}", "vnode", "n1");
	lab_do(lab, "vnode.create", "{ss sb}", "name", "elsewhere", "wait", 1);
	lab_release(lab);
	lab_check_quiet(lab, "held");
	lab_clean(lab, "held");
	json_decref(document);
	json_decref(job);
	lab_free(lab);
}
END_TEST

void
add_request_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		the_same_request_is_the_same_job,
		a_repeated_request_meets_its_job_whatever_has_become_of_its_object,
		a_refusal_of_a_step_names_the_field_of_the_document,
		timeout_ms_undoes_the_whole,
		timeout_ms_goes_on_counting_after_a_crash,
		an_apply_holds_all_it_touches,
		NULL });
}
