/* What topology.apply refuses, with its place in the document, and that nothing has changed then. */
#include "tests/unit/check_apply.h"

#include <string.h>

#include "proto/base/mem.h"

START_TEST(what_cannot_be_is_refused_with_its_place_and_changes_nothing)
{
	static const struct {
		const char *document, *word, *path;
	} cases_of[] = {
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"image\":\"none\"}}}", "not_found",
		  "/document/vnodes/a/image" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"backend\":\"none\"}}}", "unsupported",
		  "/document/vnodes/a/backend" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"devices\":[]}}}", "unsupported",
		  "/document/vnodes/a/devices" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"memory\":64}}}", "invalid",
		  "/document/vnodes/a/memory" },
		{ "{\"topology\":\"t\",\"lans\":{\"l\":{\"members\":{\"x\":{}}}}}", "invalid",
		  "/document/lans/l/members/x" },
		{ "{\"topology\":\"t\",\"lans\":{\"l\":{\"shape\":{\"reorder\":\"1%\"}}}}", "invalid",
		  "/document/lans/l/shape/reorder" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{}},\"lans\":{\"l\":{\"members\":{\"a\":"
		  "{\"address\":\"198.18.0.9/24\"}}}}}", "invalid",
		  "/document/lans/l/members/a/address" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"forwards\":[{\"host\":2299,\"guest\":1}]},"
		  "\"b\":{\"forwards\":[{\"host\":2299,\"guest\":1}]}}}", "invalid",
		  "/document/vnodes/b/forwards/0/host" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"forwards\":[{\"host\":2299,\"guest\":1}]}}}",
		  "exists", "/document/vnodes/a/forwards/0/host" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"init\":[\"init\"]}}}", "invalid",
		  "/document/vnodes/a/init/0" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"routes\":[{\"to\":\"10.9.0.0/16\",\"via\":"
		  "\"10.1.0.2\"}]}}}", "invalid", "/document/vnodes/a/routes/0/via" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"routes\":[{\"to\":\"10.9.0.0/16\",\"via\":"
		  "\"10.1.0.2\"}]}},\"lans\":{\"l\":{\"members\":{\"a\":{\"address\":["
		  "\"10.1.0.1/24\",\"10.1.0.2/24\"]}}}}}", "invalid",
		  "/document/vnodes/a/routes/0/via" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"routes\":[{\"to\":\"10.1.0.0/24\",\"via\":"
		  "\"10.1.0.2\"}]}},\"lans\":{\"l\":{\"members\":{\"a\":{\"address\":\"10.1.0.1/24\"}"
		  "}}}}", "invalid", "/document/vnodes/a/routes/0/to" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{\"control\":false,\"routes\":[{\"to\":"
		  "\"10.9.0.0/16\",\"via\":\"198.18.0.1\"}]}}}", "invalid",
		  "/document/vnodes/a/routes/0/via" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}},\"lans\":{\"l\":{\"members\":{"
		  "\"a\":{\"address\":[\"fd01::1/64\",\"10.1.0.1/24\"]},"
		  "\"b\":{\"address\":[\"10.1.0.2/24\",\"fd01:0::1/64\"]}}}}}", "invalid",
		  "/document/lans/l/members/b/address/1" },
		{ "{\"topology\":\"t\",\"vnodes\":{\"a\":{}},\"lans\":{\"l\":{\"members\":{"
		  "\"a\":{\"address\":[\"10.1.0.1/24\",\"10.1.0.1/16\"]}}}}}", "invalid",
		  "/document/lans/l/members/a/address/1" },
		{ "{\"topology\":\"a/b\"}", "invalid", "/document/topology" },
	};
	struct lab *lab = lab_new();
	json_t *before, *after;

	lab_do(lab, "vnode.create", "{ss s[{si si}] sb}", "name", "other", "forwards", "host", 2299,
	       "guest", 22, "wait", 1);
	before = lab_picture(lab);
	for (size_t i = 0; i < VN_COUNT(cases_of); i++) {
		json_t *document = json_loads(cases_of[i].document, 0, NULL);
		json_t *error = lab_error(lab, cases_of[i].word, "topology.apply", "{so}", "document",
					  document);

		ck_assert_msg(strcmp(json_string_value(json_object_get(error, "path")),
				     cases_of[i].path) == 0, "%s: %s", cases_of[i].document,
			      json_string_value(json_object_get(error, "path")));
		json_decref(error);
	}
	after = lab_picture(lab);
	lab_same(before, after, "refused documents");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(an_ambiguous_name_lists_its_candidates)
{
	struct lab *lab = lab_new();
	json_t *one = ring("one", 2), *two = ring("two", 2), *error;
	const char *message;

	apply(lab, one);
	apply(lab, two);
	error = lab_error(lab, "invalid", "vnode.halt", "{ss}", "vnode", "n0");
	message = json_string_value(json_object_get(error, "message"));
	ck_assert_ptr_nonnull(strstr(message, "one/n0"));
	ck_assert_ptr_nonnull(strstr(message, "two/n0"));
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "two/n0", "wait", 1);
	lab_refuse(lab, "invalid", "lan.down", "{ss}", "lan", "link0");
	lab_refuse(lab, "not_found", "vnode.halt", "{ss}", "vnode", "three/n0");
	lab_clean(lab, "ambiguous");
	json_decref(error);
	json_decref(one);
	json_decref(two);
	lab_free(lab);
}
END_TEST

START_TEST(a_port_that_another_program_has_undoes_the_whole)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *before = lab_picture(lab), *after;

	world_foreign_port(lab->world, 2277);
	json_object_set_new(at(document, "vnodes", "n2"), "forwards",
			    json_pack("[{si si}]", "host", 2277, "guest", 22));
	lab_refuse(lab, "exists", "topology.apply", "{sO sb}", "document", document, "wait", 1);
	ck_assert(lab_settle(lab));
	after = lab_picture(lab);
	lab_same(before, after, "foreign port");
	lab_check_quiet(lab, "foreign port");
	json_decref(document);
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

void
add_refusal_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		what_cannot_be_is_refused_with_its_place_and_changes_nothing,
		an_ambiguous_name_lists_its_candidates,
		a_port_that_another_program_has_undoes_the_whole,
		NULL });
}
