/* Mounts that are counted, and images made of halted vnodes. */
#include "tests/unit/lab.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <string.h>

static const char *
text_of(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static json_t *
done(struct lab *lab, const char *method, const char *params)
{
	json_t *object = json_loads(params, 0, NULL), *answer, *result;

	ck_assert_msg(object != NULL, "%s", params);
	json_object_set_new(object, "wait", json_true());
	answer = lab_result(lab, method, "o", object);
	result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	ck_assert(lab_settle(lab));
	return result;
}

static void
refused(struct lab *lab, const char *word, const char *path, const char *says, const char *method,
	const char *params)
{
	json_t *error = lab_error(lab, word, method, "o", json_loads(params, 0, NULL));

	ck_assert_str_eq(text_of(error, "path") ? text_of(error, "path") : "", path);
	ck_assert_msg(strstr(text_of(error, "message"), says), "%s", text_of(error, "message"));
	json_decref(error);
}

static struct lab *
lab_with_vnode(void)
{
	struct lab *lab = lab_new();

	lab_do(lab, "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	return lab;
}

static int64_t
count_of(VN_TAKES json_t *result)
{
	int64_t count = json_integer_value(json_object_get(result, "count"));

	json_decref(result);
	return count;
}

static int64_t
mount_a(struct lab *lab)
{
	return count_of(done(lab, "vnode.mount", "{\"vnode\":\"a\"}"));
}

static int64_t
unmount_a(struct lab *lab)
{
	return count_of(done(lab, "vnode.unmount", "{\"vnode\":\"a\"}"));
}

/* ---- mounts ---------------------------------------------------------------------------------- */

START_TEST(who_mounts_last_unmounts_and_all_are_told_where)
{
	struct lab *lab = lab_with_vnode();
	json_t *result = done(lab, "vnode.mount", "{\"vnode\":\"a\"}"), *vnode;

	ck_assert_ptr_nonnull(strstr(text_of(result, "path"), "/root/1"));
	ck_assert_int_eq(count_of(result), 1);
	ck_assert_int_eq(mount_a(lab), 2);
	vnode = lab_result(lab, "vnode.get", "{ss}", "vnode", "a");
	ck_assert_str_eq(text_of(vnode, "observed"), "mounted");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(vnode, "mount"), "count")), 2);
	json_decref(vnode);
	ck_assert_int_eq(unmount_a(lab), 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "mounted");
	ck_assert_uint_eq(world_count(lab->world, "disk.mount") - world_count(lab->world, "disk.inject"), 2);
	ck_assert_int_eq(unmount_a(lab), 0);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_do(lab, "vnode.unmount", "{ss sb}", "vnode", "a", "wait", 1);	/* done already */
	vnode = lab_result(lab, "vnode.get", "{ss}", "vnode", "a");
	ck_assert(json_is_null(json_object_get(vnode, "mount")));
	json_decref(vnode);
	lab_clean(lab, "mounts");
	lab_free(lab);
}
END_TEST

START_TEST(what_is_mounted_is_not_booted_by_anyone)
{
	struct lab *lab = lab_new();

	lab_do(lab, "topology.apply", "{s{ss s{s{}}} sb}", "document", "topology", "default", "vnodes", "a",
	       "wait", 1);
	lab_do(lab, "host.halt", "{sb}", "wait", 1);
	ck_assert_int_eq(mount_a(lab), 1);
	refused(lab, "state", "", "unmount it first", "vnode.boot", "{\"vnode\":\"a\"}");
	refused(lab, "state", "", "unmount it first", "vnode.reload", "{\"vnode\":\"a\"}");
	refused(lab, "state", "", "unmount it first", "vnode.reboot", "{\"vnode\":\"a\"}");
	refused(lab, "state", "", "unmount it first", "host.boot", "{\"wait\":true}");
	refused(lab, "state", "/document/vnodes/a", "unmount it first", "topology.apply",
		"{\"document\":{\"topology\":\"default\",\"vnodes\":{\"a\":{}}}}");
	ck_assert_int_eq(unmount_a(lab), 0);
	lab_do(lab, "host.boot", "{sb}", "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_clean(lab, "boot");
	lab_free(lab);
}
END_TEST

START_TEST(a_mount_outlives_the_daemon_but_not_the_machine)
{
	struct lab *lab = lab_with_vnode();

	ck_assert_int_eq(mount_a(lab), 1);
	ck_assert_int_eq(mount_a(lab), 2);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "mounted");
	ck_assert_int_eq(unmount_a(lab), 1);
	lab_reboot(lab);
	ck_assert(lab_open(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	ck_assert_int_eq(mount_a(lab), 1);
	lab_do(lab, "host.halt", "{sb}", "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	ck_assert_int_eq(mount_a(lab), 1);
	lab_clean(lab, "lives");
	lab_free(lab);
}
END_TEST

START_TEST(a_disk_that_cannot_be_mounted_leaves_the_vnode_as_it_is)
{
	struct lab *lab = lab_with_vnode();

	world_fail(lab->world, "disk.mount", 1, VN_E_UNSUPPORTED);
	refused(lab, "unsupported", "", "", "vnode.mount", "{\"vnode\":\"a\",\"wait\":true}");
	world_fault_clear(lab->world);
	ck_assert(lab_settle(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	lab_clean(lab, "unsupported");
	lab_free(lab);
}
END_TEST

/* ---- captures -------------------------------------------------------------------------------- */

START_TEST(a_capture_is_an_image_like_any)
{
	struct lab *lab = lab_with_vnode();
	json_t *result = done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"whole\"}");
	json_t *delta = done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"layer\",\"delta\":true}");

	ck_assert_str_eq(text_of(result, "name"), "whole");
	ck_assert_str_eq(text_of(result, "state"), "ready");
	ck_assert_str_eq(text_of(result, "source"), "vnode default/a");
	ck_assert_int_gt(json_integer_value(json_object_get(result, "bytes")), 0);
	ck_assert(json_is_null(json_object_get(result, "base")));
	ck_assert_str_eq(text_of(delta, "base"), "img");
	ck_assert_str_ne(text_of(delta, "sha256"), text_of(result, "sha256"));
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "b", "image", "layer", "wait", 1);
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "b", "wait", 1);
	refused(lab, "state", "/image", "use image 'img'", "image.remove", "{\"image\":\"img\"}");
	json_decref(result);
	json_decref(delta);
	lab_clean(lab, "captures");
	lab_free(lab);
}
END_TEST

/* Events of jobs that tell in this step how many bytes of how many are done. */
static unsigned
told_bytes(struct lab *lab, const char *step)
{
	json_t *answer = lab_result(lab, "event.list", "{s[s] si}", "types", "job.state", "limit", 1000);
	json_t *event;
	unsigned count = 0;
	size_t i;

	json_array_foreach(json_object_get(answer, "events"), i, event) {
		json_t *data = json_object_get(event, "data"), *bytes = json_object_get(data, "bytes");

		count += bytes && text_of(data, "step") && strcmp(text_of(data, "step"), step) == 0
			 && json_integer_value(json_object_get(bytes, "total")) > 0;
	}
	json_decref(answer);
	return count;
}

START_TEST(packing_and_unpacking_tell_how_far_they_are)
{
	struct lab *lab = lab_with_vnode();
	unsigned before = told_bytes(lab, "unpack");

	ck_assert_uint_gt(before, 0);		/* of the image that the lab has added */
	ck_assert_uint_eq(told_bytes(lab, "pack"), 0);
	json_decref(done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"whole\"}"));
	ck_assert_uint_gt(told_bytes(lab, "pack"), 0);
	ck_assert_uint_gt(told_bytes(lab, "unpack"), before);
	lab_clean(lab, "progress");
	lab_free(lab);
}
END_TEST

START_TEST(the_same_contents_are_stored_once)
{
	struct lab *lab = lab_with_vnode();
	json_t *a = done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"one\"}"), *b;
	uint64_t used = lab->daemon->model->images_used;

	b = done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"two\"}");
	ck_assert_str_eq(text_of(a, "sha256"), text_of(b, "sha256"));
	ck_assert_uint_eq(lab->daemon->model->images_used, used);
	lab_do(lab, "image.remove", "{ss sb}", "image", "one", "wait", 1);
	lab_do(lab, "vnode.create", "{ss ss sb}", "name", "b", "image", "two", "wait", 1);
	json_decref(a);
	json_decref(b);
	lab_clean(lab, "twice");
	lab_free(lab);
}
END_TEST

START_TEST(what_cannot_be_captured_is_refused_and_leaves_no_image)
{
	static const char *const names[] = { "../x", "a/b", ".hidden", "", "-x", "a b" };
	struct lab *lab = lab_with_vnode();

	for (size_t i = 0; i < VN_COUNT(names); i++)
		lab_refuse(lab, "invalid", "image.capture", "{ss ss}", "vnode", "a", "name", names[i]);
	refused(lab, "exists", "/name", "exists already", "image.capture", "{\"vnode\":\"a\",\"name\":\"img\"}");
	refused(lab, "not_found", "/vnode", "no vnode", "image.capture", "{\"vnode\":\"x\",\"name\":\"y\"}");
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "a", "wait", 1);
	refused(lab, "state", "/vnode", "halt it first", "image.capture", "{\"vnode\":\"a\",\"name\":\"y\"}");
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert_int_eq(mount_a(lab), 1);
	refused(lab, "state", "/vnode", "unmount it first", "image.capture", "{\"vnode\":\"a\",\"name\":\"y\"}");
	ck_assert_int_eq(unmount_a(lab), 0);
	ck_assert_ptr_null(image_find(lab->daemon, "y"));
	lab_clean(lab, "refusals");
	lab_free(lab);
}
END_TEST

/* No backend has such guests yet: the model is told that this vnode is one. */
START_TEST(disks_that_only_a_virtual_machine_can_look_into_are_refused_by_name)
{
	struct lab *lab = lab_with_vnode();
	struct image *image = image_find(lab->daemon, "img");
	struct vnode *vnode = lab_vnode(lab, "a");
	int type = vnode->disk_type, format = image->format;

	vnode->disk_type = DISK_QCOW2;
	refused(lab, "unsupported", "/vnode", "type 'qcow2' cannot be mounted on this host", "image.capture",
		"{\"vnode\":\"a\",\"name\":\"y\"}");
	vnode->disk_type = DISK_LVM_THIN;
	refused(lab, "unsupported", "/delta", "capture vnode 'default/a' whole", "image.capture",
		"{\"vnode\":\"a\",\"name\":\"y\",\"delta\":true}");
	image->format = IMAGE_RAW;
	refused(lab, "unsupported", "/vnode", "was made from the raw disk 'img'", "image.capture",
		"{\"vnode\":\"a\",\"name\":\"y\"}");
	vnode->disk_type = type;
	image->format = format;
	ck_assert_ptr_null(image_find(lab->daemon, "y"));
	json_decref(done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"y\"}"));
	lab_clean(lab, "kinds");
	lab_free(lab);
}
END_TEST

START_TEST(a_quota_and_a_full_disk_leave_nothing)
{
	struct lab *lab = lab_with_vnode();
	uint64_t used = lab->daemon->model->images_used;

	lab->daemon->config.image_storage_bytes = used;
	refused(lab, "limit", "/name", "image_storage is used up", "image.capture",
		"{\"vnode\":\"a\",\"name\":\"y\"}");
	lab->daemon->config.image_storage_bytes = used + 1;
	refused(lab, "limit", "", "image_storage", "image.capture", "{\"vnode\":\"a\",\"name\":\"y\",\"wait\":true}");
	ck_assert(lab_settle(lab));
	ck_assert_ptr_null(image_find(lab->daemon, "y"));
	ck_assert_uint_eq(lab->daemon->model->images_used, used);
	lab->daemon->config.image_storage_bytes = 0;
	world_disk_full(lab->world, true);
	refused(lab, "limit", "", "", "image.capture", "{\"vnode\":\"a\",\"name\":\"y\",\"wait\":true}");
	world_disk_full(lab->world, false);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "full");
	json_decref(done(lab, "image.capture", "{\"vnode\":\"a\",\"name\":\"y\"}"));
	lab_clean(lab, "full");
	lab_free(lab);
}
END_TEST

START_TEST(a_capture_holds_the_vnode_and_can_be_called_off)
{
	struct lab *lab = lab_with_vnode();
	json_t *answer;
	int id;

	world_hang(lab->world, "disk.capture", 1);
	id = lab_send(lab, "image.capture", "{ss ss sb}", "vnode", "a", "name", "y", "wait", 1);
	ck_assert(lab_await_hang(lab));
	lab_refuse(lab, "busy", "vnode.boot", "{ss}", "vnode", "a");
	lab_refuse(lab, "busy", "vnode.mount", "{ss}", "vnode", "a");
	lab_refuse(lab, "busy", "image.capture", "{ss ss}", "vnode", "a", "name", "z");
	ck_assert_ptr_null(image_find(lab->daemon, "z"));
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_do(lab, "job.cancel", "{sI}", "job", (json_int_t)lab_vnode(lab, "a")->lock.holder);
	lab_release(lab);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "cancelled");
	json_decref(answer);
	ck_assert(lab_settle(lab));
	ck_assert_ptr_null(image_find(lab->daemon, "y"));
	lab_check_quiet(lab, "cancelled");
	lab_clean(lab, "cancelled");
	lab_free(lab);
}
END_TEST

/* A vnode may be made from an image that is just being captured: it waits for it. */
START_TEST(a_vnode_waits_for_the_capture_it_is_made_from)
{
	struct lab *lab = lab_with_vnode();
	json_t *answer;
	int id;

	world_hang(lab->world, "disk.capture", 1);
	lab_send(lab, "image.capture", "{ss ss}", "vnode", "a", "name", "y");
	ck_assert(lab_await_hang(lab));
	id = lab_send(lab, "vnode.create", "{ss ss sb}", "name", "b", "image", "y", "wait", 1);
	lab_do(lab, "host.info", NULL);
	lab_release(lab);
	answer = lab_hear(lab, id);
	ck_assert_str_eq(lab_word(answer), "ok");
	json_decref(answer);
	lab_check_quiet(lab, "waits");
	lab_clean(lab, "waits");
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("capture", (const TTest *const[]){
		who_mounts_last_unmounts_and_all_are_told_where,
		what_is_mounted_is_not_booted_by_anyone,
		a_mount_outlives_the_daemon_but_not_the_machine,
		a_disk_that_cannot_be_mounted_leaves_the_vnode_as_it_is,
		a_capture_is_an_image_like_any,
		packing_and_unpacking_tell_how_far_they_are,
		the_same_contents_are_stored_once,
		what_cannot_be_captured_is_refused_and_leaves_no_image,
		disks_that_only_a_virtual_machine_can_look_into_are_refused_by_name,
		a_quota_and_a_full_disk_leave_nothing,
		a_capture_holds_the_vnode_and_can_be_called_off,
		a_vnode_waits_for_the_capture_it_is_made_from,
		NULL });
}
