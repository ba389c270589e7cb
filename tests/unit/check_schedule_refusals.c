/* Schedules that cannot be: refused with the place, in a document and by themselves. */
#include "tests/unit/check_schedule.h"

#include "daemon/schedule.h"
#include "proto/base/mem.h"

/* path, entry, code */
static const char *const refusals[][3] = {
	{ "", "{\"up\":true}", "invalid" },
	{ "/at", "{\"after\":\"1s\",\"at\":\"2100-01-01T00:00:00Z\",\"up\":true}", "invalid" },
	{ "", "{\"after\":\"1s\"}", "invalid" },
	{ "", "{\"after\":\"1s\",\"members\":{}}", "invalid" },
	{ "", "7", "invalid" },
	{ "/members/a", "{\"after\":\"1s\",\"members\":{\"a\":{}}}", "invalid" },
	{ "/members/a", "{\"after\":\"1s\",\"members\":{\"a\":{\"shape\":{}}}}", "invalid" },
	{ "/members/z", "{\"after\":\"1s\",\"members\":{\"z\":{\"up\":true}}}", "invalid" },
	{ "/after", "{\"after\":1,\"up\":true}", "invalid" },
	{ "/after", "{\"after\":\"-1s\",\"up\":true}", "invalid" },
	{ "/up", "{\"after\":\"1s\",\"up\":1}", "invalid" },
	{ "/mtu", "{\"after\":\"1s\",\"mtu\":1400}", "invalid" },
	{ "/at", "{\"at\":\"2020-01-01T00:00:00Z\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"2030-02-30T00:00:00Z\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"2030-01-01 00:00:00Z\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"2030-01-01T00:00:00+01:00\",\"up\":true}", "invalid" },
	{ "/at", "{\"at\":\"tomorrow\",\"up\":true}", "invalid" },
	{ "/shape/rate", "{\"after\":\"1s\",\"shape\":{\"rate\":\"fast\"}}", "invalid" },
	{ "/shape/jitter", "{\"after\":\"1s\",\"shape\":{\"jitter\":\"2ms\"}}", "invalid" },
	{ "/shape", "{\"after\":\"1s\",\"shape\":3}", "invalid" },
	{ "/members/a/shape/to/reorder",
	  "{\"after\":\"1s\",\"members\":{\"a\":{\"shape\":{\"to\":{\"delay\":null,\"reorder\":\"1%\"}}}}}", "invalid" },
	{ "/members/a/shape/side", "{\"after\":\"1s\",\"members\":{\"a\":{\"shape\":{\"side\":{}}}}}", "invalid" },
};

/* In a document and by itself: the same refusal, with the place, and nothing is changed. */
START_TEST(what_cannot_be_is_refused_with_its_place)
{
	struct lab *lab = star();
	json_t *before = lab_picture(lab), *after;

	for (size_t i = 0; i < VN_COUNT(refusals); i++) {
		vn_autofree char *list = vn_format("[{\"after\":\"1s\",\"up\":true},%s]", refusals[i][1]);
		vn_autofree char *document = vn_format(DOCUMENT(",\"schedule\":%s"), list);
		vn_autofree char *path = vn_format("/schedule/1%s", refusals[i][0]);
		vn_autofree char *long_path = vn_format("/document/lans/l%s", path);
		json_t *error = lab_error(lab, refusals[i][2], "lan.schedule", "{ss so}", "lan", "l",
					  "schedule", parse(list));

		ck_assert_str_eq(json_string_value(json_object_get(error, "path")), path);
		json_decref(error);
		error = lab_error(lab, refusals[i][2], "topology.apply", "{so}", "document",
				  parse(document));
		ck_assert_str_eq(json_string_value(json_object_get(error, "path")), long_path);
		json_decref(error);
	}
	after = lab_picture(lab);
	lab_same(before, after, "refused");
	json_decref(before);
	json_decref(after);
	lab_clean(lab, "refusals");
	lab_free(lab);
}
END_TEST

static json_t *
refused_path(struct lab *lab, const char *word, VN_TAKES json_t *list)
{
	json_t *error = lab_error(lab, word, "lan.schedule", "{ss so}", "lan", "l", "schedule", list);
	json_t *path = json_incref(json_object_get(error, "path"));

	json_decref(error);
	return path;
}

/* A shape that an earlier entry leaves without what it needs; a kernel that lacks what it needs. */
START_TEST(entries_are_tried_in_the_order_of_time)
{
	struct lab *lab = star();
	json_t *path, *list = json_array();

	path = refused_path(lab, "invalid", parse("[{\"after\":\"2s\",\"shape\":{\"reorder\":\"1%\"}},"
						  "{\"after\":\"1s\",\"shape\":{\"delay\":null}}]"));
	ck_assert_str_eq(json_string_value(path), "/schedule/0/shape/reorder");
	json_decref(path);
	for (int i = 0; i <= SCHEDULE_MAX; i++)
		json_array_append_new(list, json_pack("{ss sb}", "after", "1s", "up", 1));
	path = refused_path(lab, "invalid", list);
	ck_assert_str_eq(json_string_value(path), "/schedule");
	json_decref(path);
	world_lacks(lab->world, "net", "this kernel has no netem");
	path = refused_path(lab, "unsupported", parse("[{\"after\":\"1s\",\"shape\":{\"delay\":\"2ms\"}}]"));
	ck_assert_str_eq(json_string_value(path), "/schedule/0/shape/delay");
	json_decref(path);
	lab_clean(lab, "tried");
	lab_free(lab);
}
END_TEST

START_TEST(on_a_link_from_is_refused)
{
	struct lab *lab = lab_new();
	json_t *path;

	apply(lab, "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}},\"lans\":{\"l\":{\"members\":{\"a\":{},\"b\":{}}}}}");
	path = refused_path(lab, "invalid", parse("[{\"after\":\"2s\",\"members\":{\"b\":{\"shape\":{\"from\":"
						  "{\"rate\":\"1Mbit\"}}}}}]"));
	ck_assert_str_eq(json_string_value(path), "/schedule/0/members/b/shape/from");
	json_decref(path);
	lab_clean(lab, "link");
	lab_free(lab);
}
END_TEST

void
add_refusal_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		what_cannot_be_is_refused_with_its_place,
		entries_are_tried_in_the_order_of_time,
		on_a_link_from_is_refused,
		NULL });
}
