/*
 * Shapes from documents and calls to the two directions of ports, on the fake world: which side, which way,
 * live, whole or not at all.
 */
#include "tests/unit/lab.h"

#include <string.h>

#define DOCUMENT(lan) "{\"topology\":\"t\",\"vnodes\":{\"a\":{},\"b\":{}" lan "}}"
#define TWO_MEMBERS "\"a\":{\"address\":\"10.0.0.1/24\"},\"b\":{\"address\":\"10.0.0.2/24\"}"
#define LINK "},\"lans\":{\"l\":{\"shape\":{\"rate\":\"10Mbit\"},\"members\":{\"a\":{\"address\":\"10.0.0.1/24\"," \
	"\"shape\":{\"to\":{\"rate\":\"2Mbit\",\"delay\":\"5ms\"}}},\"b\":{\"address\":\"10.0.0.2/24\"}}}"
#define STAR ",\"c\":{}},\"lans\":{\"l\":{\"shape\":{\"rate\":\"10Mbit\"},\"members\":{\"a\":{\"shape\":" \
	"{\"to\":{\"delay\":\"5ms\"},\"from\":{\"loss\":\"1%\"}}},\"b\":{\"shape\":{\"to\":{}}},\"c\":{}}}"

static void
apply_json(struct lab *lab, json_t *document, bool prune)
{
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", document, "wait", 1, "prune", prune);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "apply");
}

static void
apply(struct lab *lab, const char *text)
{
	json_t *document = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(document);
	apply_json(lab, document, false);
	json_decref(document);
}

/* A number of a direction of a vnode's only experiment port as the world has it; -1: not shaped. */
static double
shaped(struct lab *lab, const char *vnode, const char *way, const char *field)
{
	json_t *world = world_describe(lab->world), *port, *value;
	char name[32];
	double result;

	snprintf(name, sizeof(name), "v%llde1", (long long)lab_vnode(lab, vnode)->vmid);
	port = json_object_get(json_object_get(world, "ports"), name);
	ck_assert_msg(port, "no port %s", name);
	value = json_object_get(json_object_get(port, way), field);
	result = value ? json_number_value(value) : -1;
	json_decref(world);
	return result;
}

#define ck_assert_shaped(lab, vnode, way, field, wanted) \
	ck_assert_double_eq_tol(shaped(lab, vnode, way, field), wanted, 1e-12)

/* A link needs no IFB: each side's `to` is the egress of the other's port. */
START_TEST(to_on_a_link_is_the_egress_towards_the_other)
{
	struct lab *lab = lab_new();

	apply(lab, DOCUMENT(LINK));
	ck_assert_shaped(lab, "b", "out", "rate_bps", 2e6);
	ck_assert_shaped(lab, "b", "out", "delay_ns", 5e6);
	ck_assert_shaped(lab, "a", "out", "rate_bps", 10e6);
	ck_assert_shaped(lab, "a", "out", "delay_ns", 0);
	ck_assert_shaped(lab, "a", "in", "rate_bps", -1);
	ck_assert_shaped(lab, "b", "in", "rate_bps", -1);
	lab_clean(lab, "link");
	lab_free(lab);
}
END_TEST

START_TEST(on_a_lan_to_is_ingress_and_from_egress)
{
	struct lab *lab = lab_new();

	apply(lab, DOCUMENT(STAR));
	ck_assert_shaped(lab, "a", "in", "delay_ns", 5e6);
	ck_assert_shaped(lab, "a", "in", "rate_bps", 0);	/* its own shape, not the LAN's as well */
	ck_assert_shaped(lab, "a", "out", "loss", 0.01);
	ck_assert_shaped(lab, "b", "in", "rate_bps", -1);	/* "to": {} */
	ck_assert_shaped(lab, "c", "in", "rate_bps", 10e6);
	ck_assert_shaped(lab, "c", "out", "rate_bps", -1);
	lab_clean(lab, "star");
	lab_free(lab);
}
END_TEST

START_TEST(applied_twice_it_does_nothing_and_exports_the_same)
{
	static const char *const documents[] = { DOCUMENT(LINK), DOCUMENT(STAR) };
	struct lab *lab = lab_new();

	for (size_t i = 0; i < VN_COUNT(documents); i++) {
		json_t *document = json_loads(documents[i], 0, NULL), *plan, *exported;

		apply_json(lab, document, true);
		plan = lab_result(lab, "topology.plan", "{sO}", "document", document);
		ck_assert(json_is_true(json_object_get(plan, "empty")));
		exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
		lab_same(json_object_get(document, "lans"), json_object_get(exported, "lans"), "export");
		json_decref(plan);
		json_decref(exported);
		json_decref(document);
	}
	lab_clean(lab, "twice");
	lab_free(lab);
}
END_TEST

/* From link to LAN and back: what is shaped stays shaped, whichever side does it. */
START_TEST(members_come_and_go)
{
	struct lab *lab = lab_new();
	json_t *link = json_loads(DOCUMENT(LINK), 0, NULL);

	apply(lab, DOCUMENT(LINK));
	apply(lab, DOCUMENT(STAR));
	ck_assert_shaped(lab, "a", "in", "delay_ns", 5e6);
	ck_assert_shaped(lab, "a", "out", "loss", 0.01);
	ck_assert_shaped(lab, "c", "in", "rate_bps", 10e6);
	apply_json(lab, link, true);
	ck_assert_shaped(lab, "a", "in", "rate_bps", 2e6);
	ck_assert_shaped(lab, "b", "in", "rate_bps", 10e6);
	ck_assert_shaped(lab, "a", "out", "loss", -1);
	apply_json(lab, link, true);
	lab_clean(lab, "members");
	json_decref(link);
	lab_free(lab);
}
END_TEST

START_TEST(a_link_that_loses_a_member_keeps_what_the_other_sends)
{
	struct lab *lab = lab_new();

	apply(lab, DOCUMENT(LINK));
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "b", "wait", 1);
	ck_assert(lab_settle(lab));
	ck_assert_shaped(lab, "a", "in", "rate_bps", 2e6);
	ck_assert_shaped(lab, "a", "out", "rate_bps", -1);
	apply(lab, DOCUMENT(LINK));
	ck_assert_shaped(lab, "a", "in", "delay_ns", 5e6);
	ck_assert_shaped(lab, "b", "in", "rate_bps", 10e6);
	lab_clean(lab, "lost");
	lab_free(lab);
}
END_TEST

START_TEST(set_changes_what_it_names)
{
	struct lab *lab = lab_new();
	json_t *lan;

	apply(lab, DOCUMENT(STAR));
	lab_do(lab, "lan.set", "{ss s{ss} sb}", "lan", "l", "shape", "delay", "1ms", "wait", 1);
	ck_assert_shaped(lab, "c", "in", "rate_bps", 10e6);
	ck_assert_shaped(lab, "c", "in", "delay_ns", 1e6);
	lab_do(lab, "lan.set", "{ss s{sn} s{s{s{ss}} s{sn}} sb}", "lan", "l", "shape", "rate", "members",
	       "a", "to", "rate", "3Mbit", "b", "to", "wait", 1);
	ck_assert_shaped(lab, "c", "in", "rate_bps", 0);
	ck_assert_shaped(lab, "a", "in", "rate_bps", 3e6);
	ck_assert_shaped(lab, "a", "in", "delay_ns", 5e6);
	ck_assert_shaped(lab, "b", "in", "delay_ns", 1e6);	/* the LAN's again */
	lab_do(lab, "lan.set", "{ss sn sb}", "lan", "l", "shape", "wait", 1);
	ck_assert_shaped(lab, "c", "in", "delay_ns", -1);
	lan = lab_result(lab, "lan.get", "{ss}", "lan", "l");
	ck_assert(json_is_null(json_object_get(lan, "shape")));
	json_decref(lan);
	lab_clean(lab, "set");
	lab_free(lab);
}
END_TEST

START_TEST(set_refuses_with_the_place)
{
	struct lab *lab = lab_new();
	json_t *error;

	apply(lab, DOCUMENT(LINK));
	error = lab_error(lab, "invalid", "lan.set", "{ss s{ss}}", "lan", "l", "shape", "reorder", "1%");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/shape/reorder");
	json_decref(error);
	error = lab_error(lab, "invalid", "lan.set", "{ss s{s{s{ss}}}}", "lan", "l", "members", "a",
			  "from", "rate", "1Mbit");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/members/a/from");
	json_decref(error);
	error = lab_error(lab, "not_found", "lan.set", "{ss s{s{s{ss}}}}", "lan", "l", "members", "z",
			  "to", "rate", "1Mbit");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/members/z");
	json_decref(error);
	world_lacks(lab->world, "net", "this kernel has no netem");
	error = lab_error(lab, "unsupported", "lan.set", "{ss s{ss}}", "lan", "l", "shape", "delay", "1ms");
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/shape/delay");
	json_decref(error);
	lab_clean(lab, "refused");
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("shaping", (const TTest *const[]){
		to_on_a_link_is_the_egress_towards_the_other,
		on_a_lan_to_is_ingress_and_from_egress,
		applied_twice_it_does_nothing_and_exports_the_same,
		members_come_and_go,
		a_link_that_loses_a_member_keeps_what_the_other_sends,
		set_changes_what_it_names,
		set_refuses_with_the_place,
		NULL });
}
