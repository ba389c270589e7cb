/* topology.apply and disks: their types and sizes, and extra disks. */
#include "tests/unit/check_apply.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

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

void
add_disk_cases(TCase *tcase)
{
	add_tests(tcase, (const TTest *const[]){
		a_type_of_disk_changes_only_with_leave,
		a_disk_that_cannot_be_is_refused_by_its_field,
		a_disk_smaller_than_its_image_is_never_begun,
		a_disk_grows_and_never_shrinks,
		extra_disks_stay_until_they_may_go,
		extra_disks_count_against_the_storage_quota,
		extra_disks_that_cannot_be_are_refused_by_their_fields,
		NULL });
}
