/*
 * What a start makes of what it finds: guests, namespaces, disks and mounts that nobody remembers, ports
 * that are damaged, a database without its world and a world without its database, a journal that only
 * another version can finish.
 */
#include "tests/unit/lab.h"

#include <stdio.h>
#include <string.h>

static void
apply_pair(struct lab *lab)
{
	lab_do(lab, "topology.apply", "{s{ss s{s{s[{si si}]} s{}} s{s{s{s{ss} s{ss}}}}} sb}", "document",
	       "topology", "pair", "vnodes", "a", "forwards", "host", 2201, "guest", 22, "b", "lans",
	       "link", "members", "a", "address", "10.1.0.1/24", "b", "address", "10.1.0.2/24",
	       "wait", 1);
	ck_assert(lab_settle(lab));
}

static char *
state_path(const struct lab *lab, const char *name)
{
	return vn_format("%s/%s", lab->folder, name);
}

/* Puts the database back to what it was when `copy` was made of it. */
static void
copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	char buffer[65536];
	size_t n;

	ck_assert(in && out);
	while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
		ck_assert_uint_eq(fwrite(buffer, 1, n, out), n);
	fclose(in);
	fclose(out);
}

static void
keep_database(struct lab *lab)
{
	vn_autofree char *from = state_path(lab, "vnoded.db"), *to = state_path(lab, "kept.db");

	copy_file(from, to);
}

static void
restore_database(struct lab *lab)
{
	vn_autofree char *from = state_path(lab, "kept.db"), *to = state_path(lab, "vnoded.db");
	vn_autofree char *wal = state_path(lab, "vnoded.db-wal"), *shm = state_path(lab, "vnoded.db-shm");

	unlink(wal);
	unlink(shm);
	copy_file(from, to);
}

START_TEST(what_nobody_remembers_is_removed)
{
	struct lab *lab = lab_new();
	json_t *before = lab_picture(lab), *after;

	lab_close(lab);
	keep_database(lab);
	ck_assert(lab_open(lab));
	apply_pair(lab);
	lab_do(lab, "vnode.create", "{ss sb}", "name", "m", "wait", 1);
	lab_do(lab, "vnode.mount", "{ss sb}", "vnode", "m", "wait", 1);
	lab_close(lab);
	restore_database(lab);
	ck_assert(lab_open(lab));
	after = lab_picture(lab);
	lab_same(before, after, "swept");
	lab_check_quiet(lab, "swept");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(what_is_not_ours_stays)
{
	struct lab *lab = lab_new();
	struct vn_error err = { 0 };

	world_foreign_lan(lab->world, 1);
	world_foreign_guest(lab->world, "vnoded-0b5e55ed-1");
	(void)err;
	lab_refuse(lab, "exists", "topology.apply", "{s{ss s{s{}} s{s{}}} sb}", "document", "topology",
		   "t", "vnodes", "a", "lans", "l", "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "foreign");
	lab_kill(lab);
	ck_assert(lab_open(lab));
	lab_clean(lab, "foreign");
	lab_free(lab);
}
END_TEST

START_TEST(running_guests_are_adopted_and_links_stay)
{
	struct lab *lab = lab_new();
	json_t *before, *after;
	struct guest_id first, second;
	unsigned calls;

	apply_pair(lab);
	before = lab_picture(lab);
	ck_assert(world_guest_id(lab->world, lab_vnode(lab, "a")->uuid, &first));
	for (int life = 0; life < 3; life++) {
		lab_kill(lab);
		calls = world_count(lab->world, "compute.start");
		ck_assert(lab_open(lab));
		after = lab_picture(lab);
		lab_same(before, after, "adopted");
		json_decref(after);
		ck_assert_uint_eq(world_count(lab->world, "compute.start"), calls);
		ck_assert_uint_eq(world_count(lab->world, "net.ports_up"), 4);
		ck_assert(world_guest_id(lab->world, lab_vnode(lab, "a")->uuid, &second));
		ck_assert_int_eq(first.init, second.init);
	}
	lab_clean(lab, "adopted");
	json_decref(before);
	lab_free(lab);
}
END_TEST

START_TEST(both_ended_while_no_daemon_ran)
{
	struct guest_exit exit = { EXIT_POWEROFF, 0, 0 };
	struct lab *lab = lab_new();
	char uuids[2][VN_UUID_TEXT];

	apply_pair(lab);
	strcpy(uuids[0], lab_vnode(lab, "a")->uuid);
	strcpy(uuids[1], lab_vnode(lab, "b")->uuid);
	lab_kill(lab);
	for (int i = 0; i < 2; i++)
		ck_assert(world_guest_exit(lab->world, uuids[i], &exit));
	world_guest_forget(lab->world, uuids[1]);
	ck_assert(lab_open(lab));
	lab_check_quiet(lab, "ended");
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	ck_assert_str_eq(lab_observed(lab, "b"), "stopped");
	lab_do(lab, "host.boot", "{sb}", "wait", 1);
	ck_assert_str_eq(lab_observed(lab, "a"), "running");
	lab_clean(lab, "ended");
	lab_free(lab);
}
END_TEST

START_TEST(after_a_reboot_it_waits_for_host_boot)
{
	struct lab *lab = lab_new();
	json_t *before, *after;

	apply_pair(lab);
	lab_do(lab, "lan.down", "{ss ss sb}", "lan", "link", "member", "b", "wait", 1);
	lab_do(lab, "vnode.create", "{ss sb}", "name", "idle", "wait", 1);
	before = lab_picture(lab);
	lab_reboot(lab);
	ck_assert(lab_open(lab));
	lab_check_quiet(lab, "rebooted");
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	ck_assert_int_eq(lab_vnode(lab, "a")->wanted, VNODE_RUNNING);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	lab_advance(lab, 60000);
	ck_assert(lab_settle(lab));
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_do(lab, "host.boot", "{sb}", "wait", 1);
	ck_assert(lab_settle(lab));
	lab_do(lab, "vnode.boot", "{ss sb}", "vnode", "idle", "wait", 1);	/* its network too */
	lab_do(lab, "vnode.halt", "{ss sb}", "vnode", "idle", "wait", 1);
	ck_assert(lab_settle(lab));
	after = lab_picture(lab);
	lab_same(before, after, "booted again");
	lab_clean(lab, "rebooted");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(a_guest_that_runs_without_its_network_is_told_of_once)
{
	struct lab *lab = lab_new();
	json_t *events, *event;
	unsigned warned;
	size_t i;

	apply_pair(lab);
	lab_close(lab);
	world_lose_namespaces(lab->world);
	for (int life = 0; life < 2; life++) {
		ck_assert(lab_open(lab));
		ck_assert_str_eq(lab_observed(lab, "a"), "running");
		events = lab_result(lab, "event.list", "{s[s]}", "types", "host.warning");
		warned = 0;
		json_array_foreach(json_object_get(events, "events"), i, event)
			warned += strstr(json_string_value(json_object_get(json_object_get(
				event, "data"), "text")), "reboot it") != NULL;
		ck_assert_uint_eq(warned, 2);
		json_decref(events);
		lab_close(lab);
	}
	ck_assert(lab_open(lab));
	lab_do(lab, "vnode.reboot", "{ss sb}", "vnode", "a", "wait", 1);
	lab_do(lab, "vnode.reboot", "{ss sb}", "vnode", "b", "wait", 1);
	lab_clean(lab, "without a network");
	lab_free(lab);
}
END_TEST

START_TEST(a_world_that_is_gone_under_its_rows_is_no_reason_to_stay_away)
{
	struct lab *lab = lab_new();
	struct world *other = world_new(), *first;

	apply_pair(lab);
	lab_close(lab);
	first = lab->world;
	lab->world = other;
	ck_assert(lab_open(lab));
	lab_check_quiet(lab, "another world");
	ck_assert_str_eq(lab_observed(lab, "a"), "stopped");
	lab_do(lab, "topology.delete", "{ss sb}", "topology", "pair", "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, "another world");
	lab_close(lab);
	lab->world = first;
	world_free(other);
	lab_free(lab);
}
END_TEST

/* ---- the disk and images -------------------------------------------------------------------- */

/*
 * The steps of a create share a journal entry. Killed in the last of them and failing in the first of its next
 * life, it also takes back what only the earlier life had made.
 */
START_TEST(a_create_that_fails_in_its_next_life_takes_back_all_of_the_first)
{
	struct world_fault hang = { .op = "net.ports_up", .nth = 1, .action = WORLD_HANG };
	struct world_fault fail = { .op = "disk.create", .nth = 1, .action = WORLD_FAIL,
				    .code = VN_E_BACKEND };
	struct lab *lab = lab_new();
	json_t *before = lab_picture(lab), *after;

	world_fault_add(lab->world, &hang);
	lab_send(lab, "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	ck_assert(lab_await_hang(lab));
	lab_kill(lab);
	world_fault_clear(lab->world);
	world_fault_add(lab->world, &fail);
	ck_assert(lab_open(lab));
	ck_assert_ptr_null(lab_vnode(lab, "a"));
	after = lab_picture(lab);
	lab_same_but_ids(before, after, "failed in its second life");
	lab_check_quiet(lab, "failed in its second life");
	json_decref(before);
	json_decref(after);
	lab_free(lab);
}
END_TEST

START_TEST(a_download_that_a_crash_cut_begins_again)
{
	struct lab *lab = lab_new();
	json_t *image;

	world_url(lab->world, "http://images/two", "two", 3);
	world_url_hold(lab->world, "http://images/two", true);
	lab_do(lab, "image.add", "{ss ss sb}", "name", "two", "url", "http://images/two",
	       "insecure_no_digest", 1);
	lab_do(lab, "vnode.create", "{ss ss}", "name", "w", "image", "two");	/* waits for it */
	lab_kill(lab);
	world_url_hold(lab->world, "http://images/two", false);
	ck_assert(lab_open(lab));
	image = lab_result(lab, "image.get", "{ss}", "image", "two");
	ck_assert_str_eq(json_string_value(json_object_get(image, "state")), "ready");
	ck_assert_str_eq(lab_observed(lab, "w"), "stopped");
	lab_check_quiet(lab, "download");
	lab_clean(lab, "download");
	json_decref(image);
	lab_free(lab);
}
END_TEST

START_TEST(one_download_serves_all_who_wait)
{
	struct lab *lab = lab_new();
	int ids[3];

	world_url(lab->world, "http://images/two", "two", 3);
	world_url_hold(lab->world, "http://images/two", true);
	lab_do(lab, "image.add", "{ss ss sb}", "name", "two", "url", "http://images/two",
	       "insecure_no_digest", 1);
	for (int i = 0; i < 3; i++) {
		char name[] = { 'w', (char)('0' + i), 0 };

		ids[i] = lab_send(lab, "vnode.create", "{ss ss sb}", "name", name, "image", "two",
				  "wait", 1);
	}
	lab_do(lab, "host.info", NULL);
	world_url_hold(lab->world, "http://images/two", false);
	for (int i = 0; i < 3; i++) {
		json_t *answer = lab_hear(lab, ids[i]);

		ck_assert_str_eq(lab_word(answer), "ok");
		json_decref(answer);
	}
	ck_assert_uint_eq(world_count(lab->world, "disk.image_unpack"), 2);
	lab_clean(lab, "download");
	lab_free(lab);
}
END_TEST

START_TEST(a_bad_image_leaves_nothing)
{
	struct lab *lab = lab_new();
	json_t *before = lab_picture(lab), *after, *error;

	world_url(lab->world, "http://images/bad", "broken archive", 14);
	world_url(lab->world, "http://images/empty", "", 0);
	lab_refuse(lab, "invalid", "image.add", "{ss ss sb sb}", "name", "x", "url",
		   "http://images/bad", "insecure_no_digest", 1, "wait", 1);
	lab_refuse(lab, "invalid", "image.add", "{ss ss sb sb}", "name", "x", "url",
		   "http://images/empty", "insecure_no_digest", 1, "wait", 1);
	lab_refuse(lab, "backend", "image.add", "{ss ss sb sb}", "name", "x", "url",
		   "http://images/none", "insecure_no_digest", 1, "wait", 1);
	error = lab_error(lab, "invalid", "image.add", "{ss ss ss sb}", "name", "x", "url", LAB_URL,
			  "sha256",
			  "00000000000000000000000000000000000000000000000000000000000000aa", "wait", 1);
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/sha256");
	world_disk_full(lab->world, true);
	lab_refuse(lab, "limit", "vnode.create", "{ss sb}", "name", "a", "wait", 1);
	world_disk_full(lab->world, false);
	ck_assert(lab_settle(lab));
	after = lab_picture(lab);
	lab_same(before, after, "bad images");
	lab_check_quiet(lab, "bad images");
	json_decref(before);
	json_decref(after);
	json_decref(error);
	lab_free(lab);
}
END_TEST

START_TEST(a_download_can_be_cancelled)
{
	struct lab *lab = lab_new();
	json_t *before = lab_picture(lab), *after, *job;

	world_url(lab->world, "http://images/two", "two", 3);
	world_url_hold(lab->world, "http://images/two", true);
	job = lab_result(lab, "image.add", "{ss ss sb}", "name", "two", "url", "http://images/two",
			 "insecure_no_digest", 1);
	lab_do(lab, "job.cancel", "{sO}", "job", json_object_get(job, "job"));
	ck_assert(lab_settle(lab));
	after = lab_picture(lab);
	lab_same(before, after, "cancelled download");
	json_decref(before);
	json_decref(after);
	json_decref(job);
	lab_free(lab);
}
END_TEST

/* ---- events --------------------------------------------------------------------------------- */

START_TEST(event_numbers_go_on_over_lives)
{
	struct lab *lab = lab_new();
	int64_t last = 0;

	apply_pair(lab);
	for (int life = 0; life < 3; life++) {
		json_t *list = lab_result(lab, "event.list", "{si}", "limit", 10000), *event;
		int64_t expected = 1;
		size_t i;

		json_array_foreach(json_object_get(list, "events"), i, event)
			ck_assert_int_eq(json_integer_value(json_object_get(event, "seq")), expected++);
		ck_assert_int_gt(expected, last);
		last = expected;
		json_decref(list);
		lab_kill(lab);
		ck_assert(lab_open(lab));
		lab_do(lab, "vnode.reboot", "{ss sb}", "vnode", "a", "wait", 1);
		ck_assert(lab_settle(lab));
	}
	lab_free(lab);
}
END_TEST

int
main(void)
{
	return run_suite("recovery", (const TTest *const[]){
		what_nobody_remembers_is_removed,
		what_is_not_ours_stays,
		running_guests_are_adopted_and_links_stay,
		both_ended_while_no_daemon_ran,
		after_a_reboot_it_waits_for_host_boot,
		a_guest_that_runs_without_its_network_is_told_of_once,
		a_world_that_is_gone_under_its_rows_is_no_reason_to_stay_away,
		a_create_that_fails_in_its_next_life_takes_back_all_of_the_first,
		a_download_that_a_crash_cut_begins_again,
		one_download_serves_all_who_wait,
		a_bad_image_leaves_nothing,
		a_download_can_be_cancelled,
		event_numbers_go_on_over_lives,
		NULL });
}
