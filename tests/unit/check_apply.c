/*
 * topology.apply as people use it: twice, changed, pruned, exported and applied again, cancelled, repeated
 * with its request_id, refused whole; large ones with reads in between. What fails within it is in
 * check_faults, check_crash and check_hangs.
 */
#include "tests/unit/check_apply.h"

#include <stdio.h>

#define RING 5

static json_t *
member(int i, int side)
{
	return json_pack("{so}", "address", json_sprintf("10.%d.0.%d/24", i, side));
}

json_t *
ring(const char *name, int n)
{
	json_t *vnodes = json_object(), *lans = json_object();

	for (int i = 0; i < n; i++) {
		char a[16], b[16], link[16];

		snprintf(a, sizeof(a), "n%d", i);
		snprintf(b, sizeof(b), "n%d", (i + 1) % n);
		snprintf(link, sizeof(link), "link%d", i);
		json_object_set_new(vnodes, a, json_pack("{ss}", "memory", "32MiB"));
		json_object_set_new(lans, link, json_pack("{s{so so}}", "members", a, member(i, 1), b,
							  member(i, 2)));
	}
	return json_pack("{ss so so}", "topology", name, "vnodes", vnodes, "lans", lans);
}

json_t *
at(json_t *document, const char *kind, const char *name)
{
	return json_object_get(json_object_get(document, kind), name);
}

void
apply(struct lab *lab, json_t *document)
{
	lab_do(lab, "topology.apply", "{sO sb}", "document", document, "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "apply");
}

bool
plans(struct lab *lab, json_t *document, const char *action, const char *how)
{
	json_t *plan = lab_result(lab, "topology.plan", "{sO}", "document", document);
	json_t *first = json_array_get(json_object_get(plan, "actions"), 0);
	bool empty = json_is_true(json_object_get(plan, "empty"));

	if (action)
		ck_assert_str_eq(json_string_value(json_object_get(first, "action")), action);
	if (how)
		ck_assert_str_eq(json_string_value(json_object_get(first, "how")), how);
	json_decref(plan);
	return empty;
}

static int64_t
start_of(struct lab *lab, const char *name)
{
	return (int64_t)world_guest_starts(lab->world, lab_vnode(lab, name)->uuid);
}

/* ---- the same again ------------------------------------------------------------------------- */

START_TEST(applied_twice_it_does_nothing)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", RING), *before, *after;
	unsigned calls;

	ck_assert(!plans(lab, document, "create", NULL));
	apply(lab, document);
	before = lab_picture(lab);
	calls = world_calls(lab->world);
	ck_assert(plans(lab, document, NULL, NULL));
	apply(lab, document);
	after = lab_picture(lab);
	lab_same(before, after, "twice");
	ck_assert_uint_eq(world_calls(lab->world), calls);
	lab_clean(lab, "twice");
	json_decref(document);
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(what_is_exported_applies_to_nothing)
{
	struct lab *lab = lab_new();
	json_t *document = json_loads("{\"topology\":\"t\",\"domain\":\"lab.test\",\"dns\":["
		"\"192.0.2.1\",\"2001:db8::1\"],\"vnodes\":{\"a\":{\"memory\":\"64MiB\",\"vcpus\":1,"
		"\"pids\":99,\"restart\":\"always\",\"grace\":\"3s\",\"init\":[\"/init\",\"x\"],"
		"\"image\":\"img\",\"backend\":\"fake\",\"forwards\":[{\"host\":2201,\"guest\":22,"
		"\"protocol\":\"udp\",\"address\":\"127.0.0.1\"}]},\"b\":{\"control\":false}},"
		"\"lans\":{\"l\":{\"mtu\":9000,\"members\":{\"a\":{\"address\":[\"10.1.0.1/24\","
		"\"fd01::1/64\"],\"interface\":\"lan0\",\"mac\":\"02:00:00:00:00:01\"},\"b\":{}}},"
		"\"empty\":{}}}", 0, NULL);
	json_t *exported, *again;

	apply(lab, document);
	ck_assert(plans(lab, document, NULL, NULL));
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	ck_assert(plans(lab, exported, NULL, NULL));
	lab_kill(lab);
	ck_assert(lab_open(lab));
	again = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	lab_same(exported, again, "export");
	lab_do(lab, "topology.delete", "{ss sb}", "topology", "t", "wait", 1);
	ck_assert(lab_settle(lab));
	apply(lab, exported);
	json_decref(again);
	again = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	lab_same(exported, again, "applied export");
	json_decref(document);
	json_decref(exported);
	json_decref(again);
	lab_free(lab);
}
END_TEST

START_TEST(a_plan_changes_nothing)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", RING), *before = lab_picture(lab), *after;
	uint64_t commits = store_commits(lab->daemon->store);

	plans(lab, document, "create", NULL);
	after = lab_picture(lab);
	lab_same(before, after, "plan");
	ck_assert_uint_eq(store_commits(lab->daemon->store), commits);
	json_decref(document);
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

/* ---- changes -------------------------------------------------------------------------------- */

START_TEST(a_live_change_leaves_the_guest_running)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", RING);

	apply(lab, document);
	json_object_set_new(at(document, "vnodes", "n1"), "memory", json_string("48MiB"));
	json_object_set_new(at(document, "vnodes", "n1"), "restart", json_string("always"));
	ck_assert(!plans(lab, document, "change", "live"));
	apply(lab, document);
	ck_assert_int_eq(start_of(lab, "n1"), 1);
	ck_assert(plans(lab, document, NULL, NULL));
	lab_clean(lab, "live");
	json_decref(document);
	lab_free(lab);
}
END_TEST

START_TEST(a_restart_change_restarts_only_that_guest)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", RING);

	apply(lab, document);
	json_object_set_new(at(document, "vnodes", "n1"), "vcpus", json_integer(1));
	ck_assert(!plans(lab, document, "change", "restart"));
	apply(lab, document);
	ck_assert_int_eq(start_of(lab, "n1"), 2);
	ck_assert_int_eq(start_of(lab, "n2"), 1);
	lab_clean(lab, "restart");
	json_decref(document);
	lab_free(lab);
}
END_TEST

START_TEST(an_image_changes_only_with_leave)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2), *error;

	world_url(lab->world, "http://images/two", "two", 3);
	lab_do(lab, "image.add", "{ss ss sb sb}", "name", "two", "url", "http://images/two",
	       "insecure_no_digest", 1, "wait", 1);
	apply(lab, document);
	json_object_set_new(at(document, "vnodes", "n1"), "image", json_string("two"));
	error = lab_error(lab, "invalid", "topology.apply", "{sO}", "document", document);
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")),
			 "/document/vnodes/n1/image");
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", document, "allow_recreate", 1, "wait",
	       1);
	ck_assert_str_eq(lab_observed(lab, "n1"), "running");
	ck_assert(plans(lab, document, NULL, NULL));
	json_object_set_new(at(document, "vnodes", "n1"), "control", json_false());
	lab_refuse(lab, "invalid", "topology.apply", "{sO sb}", "document", document,
		   "allow_recreate", 1);
	lab_check_quiet(lab, "recreate");
	lab_clean(lab, "recreate");
	json_decref(error);
	json_decref(document);
	lab_free(lab);
}
END_TEST

START_TEST(vnodes_and_members_come_and_go)
{
	struct lab *lab = lab_new();
	json_t *three = ring("ring", 3), *four = ring("ring", 4), *reference, *now;

	apply(lab, three);
	reference = lab_result(lab, "topology.export", "{ss}", "topology", "ring");
	apply(lab, four);
	ck_assert(plans(lab, four, NULL, NULL));
	ck_assert_str_eq(lab_observed(lab, "n3"), "running");
	/* Without prune nothing is lost, and the plan says what is kept. */
	apply(lab, three);
	ck_assert_str_eq(lab_observed(lab, "n3"), "running");
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", three, "prune", 1, "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "prune");
	ck_assert_str_eq(lab_observed(lab, "n3"), "none");
	now = lab_result(lab, "topology.export", "{ss}", "topology", "ring");
	lab_same(reference, now, "pruned");
	lab_clean(lab, "prune");
	json_decref(three);
	json_decref(four);
	json_decref(reference);
	json_decref(now);
	lab_free(lab);
}
END_TEST

START_TEST(interface_names_stay_for_ever)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 3), *link0;

	apply(lab, document);
	link0 = json_deep_copy(at(document, "lans", "link0"));
	json_object_del(json_object_get(document, "lans"), "link0");
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", document, "prune", 1, "wait", 1);
	ck_assert(lab_settle(lab));
	vn_list_each(struct member, m, &lab_vnode(lab, "n0")->members, in_vnode)
		ck_assert_str_eq(m->ifname, "eth2");	/* not renumbered */
	json_object_set_new(json_object_get(document, "lans"), "link0", link0);
	apply(lab, document);
	ck_assert(plans(lab, document, NULL, NULL));
	lab_clean(lab, "names");
	json_decref(document);
	lab_free(lab);
}
END_TEST

/* ---- many ----------------------------------------------------------------------------------- */

START_TEST(two_hundred_vnodes_with_lists_in_between)
{
	struct lab *lab = lab_new();
	json_t *document = ring("large", 200), *answer, *list, *jobs;
	unsigned lists = 0;
	int id;

	id = lab_send(lab, "topology.apply", "{sO sb}", "document", document, "wait", 1);
	while (jobs_active(lab->daemon->jobs) || !lists) {
		list = lab_result(lab, "vnode.list", NULL);
		lists += json_array_size(json_object_get(list, "vnodes")) == 200;
		json_decref(list);
		if (jobs_active(lab->daemon->jobs))
			ck_assert(lab_turn(lab));
	}
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "ok");
	ck_assert_uint_ge(lists, 10);
	lab_check_quiet(lab, "large");
	vn_list_each(struct vnode, vnode, &lab->daemon->model->vnodes, link)
		ck_assert_int_eq(vnode->observed, VNODE_RUNNING);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	jobs = lab_result(lab, "job.list", "{sb si}", "all", 1, "limit", 10000);
	ck_assert_uint_ge(json_array_size(json_object_get(jobs, "jobs")), 601);
	lab_clean(lab, "large");
	json_decref(document);
	json_decref(answer);
	json_decref(jobs);
	lab_free(lab);
}
END_TEST

static void
add_apply_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		applied_twice_it_does_nothing,
		what_is_exported_applies_to_nothing,
		a_plan_changes_nothing,
		a_live_change_leaves_the_guest_running,
		a_restart_change_restarts_only_that_guest,
		an_image_changes_only_with_leave,
		vnodes_and_members_come_and_go,
		interface_names_stay_for_ever,
		two_hundred_vnodes_with_lists_in_between,
		NULL });
}

int
main(void)
{
	return run_files("apply", (const add_cases_fn[]){ add_apply_cases, add_disk_cases, add_refusal_cases,
							   add_request_cases, NULL });
}
