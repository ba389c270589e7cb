/*
 * topology.apply as people use it: twice, changed, pruned, exported and applied again, cancelled, repeated
 * with its request_id, refused whole; large ones with reads in between. What fails within it is in
 * check_faults, check_crash and check_hangs.
 */
#include "tests/unit/lab.h"

#include <sqlite3.h>
#include <string.h>

#define RING 5

static json_t *
member(int i, int side)
{
	return json_pack("{so}", "address", json_sprintf("10.%d.0.%d/24", i, side));
}

/* n vnodes in a ring of links. */
static json_t *
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

static json_t *
at(json_t *document, const char *kind, const char *name)
{
	return json_object_get(json_object_get(document, kind), name);
}

static void
apply(struct lab *lab, json_t *document)
{
	lab_do(lab, "topology.apply", "{sO sb}", "document", document, "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "apply");
}

/* Whether the plan is empty; `first` is checked against its first action where it is not. */
static bool
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

/* The path and the sentence of a refused apply. */
static void
refuses(struct lab *lab, json_t *document, const char *code, const char *path, const char *words)
{
	json_t *params = json_pack("{sO}", "document", document);
	json_t *answer = lab_hear(lab, lab_send_json(lab, "topology.apply", params));
	json_t *error = json_object_get(answer, "error");
	const char *text = json_string_value(json_object_get(error, "message"));
	json_t *data = json_object_get(error, "data");

	ck_assert_str_eq(lab_word(answer), code);
	ck_assert_str_eq(json_string_value(json_object_get(data, "path")), path);
	ck_assert_msg(text && strstr(text, words), "%s", text);
	json_decref(answer);
}

static void
set_disk(json_t *document, json_t *disk)
{
	json_object_set_new(at(document, "vnodes", "n1"), "disk", disk);
}

static const char *
disk_type(struct lab *lab)
{
	static char text[32];
	json_t *vnode = lab_result(lab, "vnode.get", "{ss}", "vnode", "n1");

	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(json_object_get(vnode, "disk"),
									     "type")));
	json_decref(vnode);
	return text;
}

START_TEST(a_type_of_disk_changes_only_with_leave)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2);

	apply(lab, document);
	ck_assert_str_eq(disk_type(lab), "overlay");
	set_disk(document, json_pack("{ss}", "type", "reflink"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk", "allow_recreate");
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", document, "allow_recreate", 1, "wait", 1);
	ck_assert_str_eq(disk_type(lab), "reflink");
	ck_assert_str_eq(lab_observed(lab, "n1"), "running");
	ck_assert(plans(lab, document, NULL, NULL));
	/* What is no longer said stays as it is, also through a reload and another life. */
	json_object_del(at(document, "vnodes", "n1"), "disk");
	apply(lab, document);
	lab_do(lab, "vnode.reload", "{ss sb}", "vnode", "n1", "wait", 1);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	ck_assert_str_eq(disk_type(lab), "reflink");
	ck_assert(plans(lab, document, NULL, NULL));
	lab_check_quiet(lab, "disk");
	lab_clean(lab, "disk");
	json_decref(document);
	lab_free(lab);
}
END_TEST

START_TEST(a_disk_that_cannot_be_is_refused_by_its_field)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2);

	world_lacks(lab->world, "disk", "disks of type reflink : no clones here");
	set_disk(document, json_pack("{ss}", "type", "reflink"));
	refuses(lab, document, "unsupported", "/document/vnodes/n1/disk/type", "no clones here");
	set_disk(document, json_pack("{ss}", "type", "floppy"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk/type", "overlay");
	set_disk(document, json_pack("{ss ss}", "type", "overlay", "size", "1GiB"));
	refuses(lab, document, "unsupported", "/document/vnodes/n1/disk/size", "no size of its own");
	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "1025B"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk/size", "1MiB");
	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "1023MiB"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk/size", "has at least 1073741824 bytes");
	set_disk(document, json_pack("{ss}", "type", "qcow2"));
	refuses(lab, document, "unsupported", "/document/vnodes/n1/disk/type", "disk of a virtual machine");
	set_disk(document, json_pack("{ss}", "size", "1GiB"));
	refuses(lab, document, "unsupported", "/document/vnodes/n1/disk/size", "no size of its own");
	lab_clean(lab, "disk");
	json_decref(document);
	lab_free(lab);
}
END_TEST

/* Also one that is there, and had no size. */
START_TEST(a_disk_smaller_than_its_image_is_never_begun)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2);

	image_find(lab->daemon, "img")->bytes = 1ull << 30;
	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "2047MiB"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk/size", "made from the image 'img' has at least");
	set_disk(document, json_pack("{ss}", "type", "lvm-thin"));
	apply(lab, document);
	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "2047MiB"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk/size", "has at least 2147483648 bytes");
	image_find(lab->daemon, "img")->bytes = 100;
	lab_check_quiet(lab, "small");
	lab_clean(lab, "small");
	json_decref(document);
	lab_free(lab);
}
END_TEST

START_TEST(a_disk_grows_and_never_shrinks)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2);

	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "2GiB"));
	apply(lab, document);
	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "1GiB"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disk/size", "not shrink");
	set_disk(document, json_pack("{ss ss}", "type", "lvm-thin", "size", "3GiB"));
	ck_assert(!plans(lab, document, "change", "restart"));
	apply(lab, document);
	ck_assert(plans(lab, document, NULL, NULL));
	lab_check_quiet(lab, "disk");
	lab_clean(lab, "disk");
	json_decref(document);
	lab_free(lab);
}
END_TEST

static void
set_extras(json_t *document, json_t *extras)
{
	json_object_set_new(at(document, "vnodes", "n1"), "disks", extras);
}

static json_t *
extra(const char *size, const char *mount)
{
	return json_pack("{ss ss}", "size", size, "mount", mount);
}

/* The world's extra disks of n1, as JSON: {"VMID/NAME": {...}}; to be released. */
static json_t *
extras_of(struct lab *lab)
{
	json_t *world = world_describe(lab->world), *extras = json_incref(json_object_get(world, "extras"));

	json_decref(world);
	return extras;
}

START_TEST(extra_disks_stay_until_they_may_go)
{
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2), *extras;

	apply(lab, document);
	set_extras(document, json_pack("{so so}", "data", extra("1GiB", "/data"), "logs", extra("1GiB", "/logs")));
	apply(lab, document);
	ck_assert(plans(lab, document, NULL, NULL));
	lab_do(lab, "vnode.reload", "{ss sb}", "vnode", "n1", "wait", 1);
	extras = extras_of(lab);
	ck_assert_uint_eq(json_object_size(extras), 2);
	json_decref(extras);
	json_object_del(json_object_get(at(document, "vnodes", "n1"), "disks"), "data");
	refuses(lab, document, "invalid", "/document/vnodes/n1/disks/data", "allow_recreate");
	extras = extras_of(lab);
	ck_assert_uint_eq(json_object_size(extras), 2);
	json_decref(extras);
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", document, "allow_recreate", 1, "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "n1"), "running");
	extras = extras_of(lab);
	ck_assert_uint_eq(json_object_size(extras), 1);
	ck_assert(json_object_iter(extras) && strstr(json_object_iter_key(json_object_iter(extras)), "/logs"));
	json_decref(extras);
	ck_assert(plans(lab, document, NULL, NULL));
	lab_check_quiet(lab, "disks");
	lab_clean(lab, "disks");
	json_decref(document);
	lab_free(lab);
}
END_TEST

/* Of all vnodes of a document together; and what they take images have no more. */
START_TEST(extra_disks_count_against_the_storage_quota)
{
	struct lab *lab = lab_new();
	struct model *model = lab->daemon->model;
	json_t *document = ring("ring", 3), *before = json_deep_copy(document);
	uint64_t used = model->images_used;

	apply(lab, document);
	lab->daemon->config.image_storage_bytes = used + (3ull << 30);
	for (int i = 1; i <= 2; i++) {
		vn_autofree char *name = vn_format("n%d", i);

		json_object_set_new(at(document, "vnodes", name), "disks", json_pack("{so}", "data", extra("2GiB", "/data")));
	}
	refuses(lab, document, "limit", "/document/vnodes/n2/disks/data/size", "image_storage has room for 3221225472");
	json_object_del(at(document, "vnodes", "n2"), "disks");
	apply(lab, document);
	ck_assert_uint_eq(model->images_used, used + (2ull << 30));
	ck_assert(plans(lab, document, NULL, NULL));
	set_extras(document, json_pack("{so}", "data", extra("4GiB", "/data")));
	refuses(lab, document, "limit", "/document/vnodes/n1/disks/data/size", "2147483648 bytes are asked for");
	set_extras(document, json_pack("{so}", "data", extra("3GiB", "/data")));
	apply(lab, document);
	lab_refuse(lab, "limit", "image.capture", "{ss ss}", "vnode", "ring/n1", "name", "y");
	/* An unchanged document stays fine whatever the quota is; and all is counted anew after a restart. */
	lab->daemon->config.image_storage_bytes = 1;
	ck_assert(plans(lab, document, NULL, NULL));
	lab->daemon->config.image_storage_bytes = 0;
	lab_kill(lab);
	ck_assert(lab_open(lab));
	model = lab->daemon->model;
	ck_assert_uint_eq(model->images_used, used + (3ull << 30));
	lab_do(lab, "topology.apply", "{sO sb sb}", "document", before, "allow_recreate", 1, "wait", 1);
	ck_assert_uint_eq(model->images_used, used);
	lab_check_quiet(lab, "quota");
	lab_clean(lab, "quota");
	ck_assert_uint_eq(model->extras_used, 0);
	json_decref(before);
	json_decref(document);
	lab_free(lab);
}
END_TEST

START_TEST(extra_disks_that_cannot_be_are_refused_by_their_fields)
{
	static const struct { const char *size, *mount, *code, *field, *words; } cases[] = {
		{ "1GiB", "data", "invalid", "/mount", "absolute" },
		{ "1GiB", "/", "invalid", "/mount", "absolute" },
		{ "1GiB", "/a//b", "invalid", "/mount", "without" },
		{ "1GiB", "/a/../b", "invalid", "/mount", "without" },
		{ "1GiB", "/a/..", "invalid", "/mount", "without" },
		{ "1GiB", "/./a", "invalid", "/mount", "without" },
		{ "1GiB", "/a\nb", "invalid", "/mount", "control" },
		{ "1GiB", "/proc/data", "invalid", "/mount", "guest's own" },
		{ "1GiB", "/run", "invalid", "/mount", "guest's own" },
		{ "1KiB", "/data", "invalid", "/size", "1MiB" },
		{ "1048577B", "/data", "invalid", "/size", "multiple" },
	};
	struct lab *lab = lab_new();
	json_t *document = ring("ring", 2);

	for (size_t i = 0; i < VN_COUNT(cases); i++) {
		vn_autofree char *path = vn_format("/document/vnodes/n1/disks/data%s", cases[i].field);

		set_extras(document, json_pack("{so}", "data", extra(cases[i].size, cases[i].mount)));
		refuses(lab, document, cases[i].code, path, cases[i].words);
	}
	set_extras(document, json_pack("{s{ss ss}}", "data", "size", "1GiB", "filesystem", "none"));
	refuses(lab, document, "unsupported", "/document/vnodes/n1/disks/data/filesystem", "container");
	set_extras(document, json_pack("{s{ss}}", "data", "size", "1GiB"));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disks/data/mount", "mount point");
	set_extras(document, json_pack("{so so}", "a", extra("1GiB", "/data"), "b", extra("1GiB", "/data")));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disks/b/mount", "already");
	set_extras(document, json_pack("{so}", "data", extra("1GiB", "/data")));
	apply(lab, document);
	set_extras(document, json_pack("{so}", "data", extra("512MiB", "/data")));
	refuses(lab, document, "invalid", "/document/vnodes/n1/disks/data/size", "grow");
	world_lacks(lab->world, "disk", "there is no loop device");
	set_extras(document, json_pack("{so so}", "data", extra("1GiB", "/data"), "new", extra("1GiB", "/new")));
	refuses(lab, document, "unsupported", "/document/vnodes/n1/disks/new", "loop");
	lab_check_quiet(lab, "disks");
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

/* ---- refusals ------------------------------------------------------------------------------- */

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

/* ---- requests ------------------------------------------------------------------------------- */

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

int
main(void)
{
	return run_suite("apply", (const TTest *const[]){
		applied_twice_it_does_nothing,
		what_is_exported_applies_to_nothing,
		a_plan_changes_nothing,
		a_live_change_leaves_the_guest_running,
		a_restart_change_restarts_only_that_guest,
		an_image_changes_only_with_leave, a_type_of_disk_changes_only_with_leave,
		a_disk_that_cannot_be_is_refused_by_its_field, a_disk_smaller_than_its_image_is_never_begun, a_disk_grows_and_never_shrinks,
		extra_disks_stay_until_they_may_go,
		extra_disks_count_against_the_storage_quota,
		extra_disks_that_cannot_be_are_refused_by_their_fields,
		vnodes_and_members_come_and_go,
		interface_names_stay_for_ever,
		what_cannot_be_is_refused_with_its_place_and_changes_nothing,
		an_ambiguous_name_lists_its_candidates,
		a_port_that_another_program_has_undoes_the_whole,
		the_same_request_is_the_same_job,
		a_repeated_request_meets_its_job_whatever_has_become_of_its_object,
		a_refusal_of_a_step_names_the_field_of_the_document,
		timeout_ms_undoes_the_whole,
		timeout_ms_goes_on_counting_after_a_crash,
		an_apply_holds_all_it_touches,
		two_hundred_vnodes_with_lists_in_between,
		NULL });
}
