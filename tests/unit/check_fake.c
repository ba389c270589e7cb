/*
 * The fakes: first every promise of the backends' contracts (tests/conform.c), then what only a fake
 * can do. The heart is a vnode's whole history, replayed after a failure or a kill at each of its
 * changing calls: since every call may be repeated, the end must always be the same world.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/digest.h"
#include "backends/fake/world.h"
#include "proto/base/mem.h"
#include "tests/conform.h"

#define ARCHIVE "the bytes of an archive"

static struct world *world;
static struct machine m;
static struct vn_error err;

#define OK(call) ck_assert_msg((call) == 0, #call ": %s", err.text)
#define REFUSED(call, wanted)                                                                      \
	do {                                                                                       \
		err = (struct vn_error){ .code = VN_OK };                                          \
		ck_assert_msg((call) == -1, #call " succeeded");                                   \
		ck_assert_msg(err.code == (wanted), #call ": %s", err.text);                       \
	} while (0)

/* ---- the rig --------------------------------------------------------------------------------- */

struct files {
	char archive[64], broken[64], sha256[DIGEST_TEXT];
};

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void
rig_open(struct machine *machine)
{
	struct files *files = vn_alloc(sizeof(*files));
	struct digest *digest = digest_new();

	machine->arg = files;
	machine->folder = vn_strdup("/tmp/vnoded-fake-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(machine->folder));
	snprintf(files->archive, sizeof(files->archive), "%s/archive", machine->folder);
	snprintf(files->broken, sizeof(files->broken), "%s/broken", machine->folder);
	write_file(files->archive, ARCHIVE);
	write_file(files->broken, "broken archive");
	digest_update(digest, ARCHIVE, strlen(ARCHIVE));
	digest_print(digest, files->sha256);
	digest_free(digest);
	machine->archive = files->archive;
	machine->broken = files->broken;
	machine->sha256 = files->sha256;
	machine->url = "http://images.test/good";
	machine->missing_url = "http://images.test/missing";
	machine->env.instance = "55555555-5555-4555-8555-555555555555";
	machine->env.state_dir = machine->env.run_dir = machine->folder;
	world = world_new();
	world_use(world);
	world_url(world, machine->url, ARCHIVE, strlen(ARCHIVE));
}

static void
rig_close(struct machine *machine)
{
	struct files *files = machine->arg;
	char text[2000];

	ck_assert_msg(world_is_bare(world, text, sizeof(text)), "left: %s", text);
	ck_assert_uint_eq(world_hanging(world), 0);
	world_use(NULL);
	world_free(world);
	unlink(files->archive);
	unlink(files->broken);
	ck_assert_int_eq(rmdir(machine->folder), 0);
	free(machine->folder);
	free(files);
}

static void
rig_guest_exit(struct machine *machine, const char *uuid, const struct guest_exit *exit)
{
	(void)machine;
	ck_assert(world_guest_exit(world, uuid, exit));
}

static const struct rig fake_rig = {
	"conform fake", &compute_fake, &net_fake, &disk_fake, &fetch_fake,
	rig_open, rig_close, rig_guest_exit,
};

/* ---- a vnode's history ----------------------------------------------------------------------- */

static struct subject s;
static char root[PATH_MAX];
static const struct guest_file files[] = { { "/etc/hostname", "subject\n", 0644 },
					   { "/etc/hosts", "127.0.0.1 localhost\n", 0644 } };

static void
set_up(void)
{
	machine_open(&m, &fake_rig);
	subject_init(&s, &m, 7);
	snprintf(root, sizeof(root), "%s/root/7", m.env.run_dir);
	s.guest.root = root;
}

static void
tear_down(void)
{
	machine_close(&m);
}

static int
unpack(void)
{
	const struct image_spec spec = { .path = m.archive, .sha256 = m.sha256 };
	struct image_facts facts;

	return disk_fake.image_unpack(m.disk, &spec, NULL, NULL, NULL, &facts, &err);
}

static int
start(void)
{
	return compute_fake.start(m.compute, &s.guest, &s.id, &err);
}

/* From nothing to a running guest; stops at the first failure, as a job does. */
static int
bring_up(void)
{
	char path[PATH_MAX];

	if (net_fake.host_up(m.net, &err) < 0 || disk_fake.host_up(m.disk, &err) < 0 ||
	    unpack() < 0 || net_fake.lan_up(m.net, &s.lan, &err) < 0 ||
	    disk_fake.create(m.disk, &s.disk, &err) < 0 ||
	    disk_fake.mount(m.disk, &s.disk, path, &err) < 0 ||
	    disk_fake.inject(m.disk, &s.disk, files, 2, &err) < 0 ||
	    net_fake.namespaces_up(m.net, &s.ns, &err) < 0 ||
	    net_fake.ports_up(m.net, &s.ns, s.ports, 2, &err) < 0 ||
	    net_fake.forward_reserve(m.net, &s.forward, &err) < 0 ||
	    net_fake.forwards_up(m.net, &s.forward, 1, &err) < 0 || start() < 0)
		return -1;
	return 0;
}

static int
bring_down(void)
{
	if (compute_fake.stop(m.compute, s.domain, s.uuid, NULL, 1000, &err) < 0 ||
	    net_fake.forwards_down(m.net, &s.forward, 1, &err) < 0 ||
	    disk_fake.unmount(m.disk, &s.disk, &err) < 0 ||
	    net_fake.namespaces_down(m.net, &s.ns, &err) < 0 ||
	    disk_fake.destroy(m.disk, &s.disk, &err) < 0 ||
	    net_fake.lan_down(m.net, 1, &err) < 0 ||
	    disk_fake.image_remove(m.disk, m.sha256, &err) < 0 ||
	    disk_fake.empty_trash(m.disk, &err) < 0)
		return -1;
	net_fake.forward_release(m.net, &s.forward);
	return 0;
}

#define UP_CALLS   12
#define DOWN_CALLS 9			/* the release included */

static void
assert_empty(void)
{
	char text[2000];

	ck_assert_msg(world_is_empty(world, text, sizeof(text)), "left: %s", text);
}

/* The world as it is when nothing has gone wrong, taken down again. */
static json_t *
reference(void)
{
	json_t *running;
	unsigned before = world_calls(world);

	OK(bring_up());
	ck_assert_uint_eq(world_calls(world) - before, UP_CALLS);
	running = world_describe(world);
	OK(bring_down());
	ck_assert_uint_eq(world_calls(world) - before, UP_CALLS + DOWN_CALLS);
	assert_empty();
	return running;
}

static void
assert_same(json_t *wanted)
{
	json_t *is = world_describe(world);
	vn_autofree char *text = world_text(world);

	ck_assert_msg(json_equal(is, wanted), "the world differs: %s", text);
	json_decref(is);
}

static const enum world_point points[] = { WORLD_BEFORE, WORLD_AMID, WORLD_AFTER };

START_TEST(a_kill_at_each_call_is_mended_by_replay)
{
	json_t *wanted = reference();

	for (unsigned k = 1; k <= UP_CALLS; k++) {
		world_freeze_at(world, k, points[_i]);
		REFUSED(bring_up(), VN_E_INTERNAL);
		ck_assert_str_eq(err.text, "frozen");
		ck_assert(world_is_frozen(world));
		world_thaw(world);
		REFUSED(bring_up(), VN_E_INTERNAL);
		machine_reopen(&m);
		OK(bring_up());
		assert_same(wanted);
		ck_assert(world_guest_runs(world, s.uuid));
		OK(bring_down());
		assert_empty();
	}
	json_decref(wanted);
	ck_assert_uint_eq(world_wrong_orders(world), 0);
}
END_TEST

START_TEST(a_kill_while_taking_down_is_mended_by_replay)
{
	for (unsigned k = 1; k < DOWN_CALLS; k++) {
		OK(bring_up());
		world_freeze_at(world, k, points[_i]);
		REFUSED(bring_down(), VN_E_INTERNAL);
		machine_reopen(&m);
		REFUSED(bring_down(), VN_E_INTERNAL);
		world_thaw(world);
		machine_reopen(&m);
		OK(bring_down());
		assert_empty();
	}
	ck_assert_uint_eq(world_wrong_orders(world), 0);
}
END_TEST

START_TEST(a_failure_at_each_call_leaves_what_was_before)
{
	for (unsigned k = 1; k <= UP_CALLS; k++) {
		json_t *before, *after;

		world_fail(world, "*", k, VN_E_BACKEND);
		REFUSED(bring_up(), VN_E_BACKEND);
		before = world_describe(world);
		world_fault_clear(world);
		world_fail(world, "*", k, VN_E_TIMEOUT);
		REFUSED(bring_up(), VN_E_TIMEOUT);
		after = world_describe(world);
		ck_assert(json_equal(before, after));
		json_decref(before);
		json_decref(after);
		world_fault_clear(world);
		OK(bring_up());
		OK(bring_down());
		assert_empty();
	}
}
END_TEST

START_TEST(a_failure_after_the_effect_is_mended_by_replay)
{
	json_t *wanted = reference();

	for (unsigned k = 1; k <= UP_CALLS; k++) {
		world_fail_after(world, "*", k, VN_E_TIMEOUT);
		REFUSED(bring_up(), VN_E_TIMEOUT);
		world_fault_clear(world);
		OK(bring_up());
		assert_same(wanted);
		OK(bring_down());
	}
	json_decref(wanted);
}
END_TEST

START_TEST(a_fault_may_mean_one_vnode_only)
{
	world_fault_add(world, &(struct world_fault){ "net.namespaces_up", 8, 0, WORLD_FAIL,
						      VN_E_LIMIT });
	OK(bring_up());
	OK(bring_down());
	subject_init(&s, &m, 8);
	s.guest.root = root;
	REFUSED(bring_up(), VN_E_LIMIT);
	OK(bring_down());
}
END_TEST

START_TEST(a_reboot_keeps_disks_and_loses_the_rest)
{
	char before[VN_UUID_TEXT];
	json_t *wanted = reference();

	OK(bring_up());
	snprintf(before, sizeof(before), "%s", world_boot_id(world));
	world_reboot_machine(world);
	ck_assert_str_ne(before, world_boot_id(world));
	ck_assert(!world_guest_runs(world, s.uuid));
	ck_assert(!compute_fake.is_alive(m.compute, &s.id));
	machine_reopen(&m);
	REFUSED(net_fake.lan_up(m.net, &s.lan, &err), VN_E_INTERNAL);
	OK(disk_fake.image_check(m.disk, m.sha256, &err));
	OK(bring_up());
	assert_same(wanted);
	json_decref(wanted);
	ck_assert_uint_eq(world_guest_starts(world, s.uuid), 3);
	OK(bring_down());
}
END_TEST

/* ---- wrong orders ---------------------------------------------------------------------------- */

static int
mount_now(void)
{
	char path[PATH_MAX];

	return disk_fake.mount(m.disk, &s.disk, path, &err);
}

START_TEST(wrong_orders_are_told_loudly)
{
	REFUSED(net_fake.ports_up(m.net, &s.ns, s.ports, 1, &err), VN_E_INTERNAL);
	REFUSED(mount_now(), VN_E_INTERNAL);
	REFUSED(disk_fake.inject(m.disk, &s.disk, files, 2, &err), VN_E_INTERNAL);
	REFUSED(start(), VN_E_INTERNAL);
	REFUSED(net_fake.forwards_up(m.net, &s.forward, 1, &err), VN_E_INTERNAL);
	OK(bring_up());
	REFUSED(disk_fake.destroy(m.disk, &s.disk, &err), VN_E_INTERNAL);
	REFUSED(net_fake.namespaces_down(m.net, &s.ns, &err), VN_E_INTERNAL);
	REFUSED(net_fake.host_down(m.net, &err), VN_E_INTERNAL);
	REFUSED(disk_fake.image_remove(m.disk, m.sha256, &err), VN_E_INTERNAL);
	OK(disk_fake.unmount(m.disk, &s.disk, &err));
	REFUSED(disk_fake.destroy(m.disk, &s.disk, &err), VN_E_INTERNAL);
	ck_assert_str_eq(err.text, "wrong order: disk.destroy: vnode 7 is still running");
	ck_assert_uint_eq(world_wrong_orders(world), 10);
	OK(bring_down());
}
END_TEST

START_TEST(a_dead_domain_must_be_stopped_before_its_next_start)
{
	OK(bring_up());
	ck_assert(world_guest_exit(world, s.uuid, &(struct guest_exit){ EXIT_REBOOT, 0, 0 }));
	ck_assert(!world_guest_exit(world, s.uuid, &(struct guest_exit){ EXIT_REBOOT, 0, 0 }));
	REFUSED(start(), VN_E_INTERNAL);
	OK(compute_fake.stop(m.compute, s.domain, s.uuid, &s.id, 0, &err));
	OK(start());
	ck_assert(world_guest_exit(world, s.uuid, &(struct guest_exit){ EXIT_REBOOT, 0, 0 }));
	world_guest_forget(world, s.uuid);
	OK(start());
	OK(bring_down());
}
END_TEST

/* ---- the outside ----------------------------------------------------------------------------- */

START_TEST(foreign_things_are_never_touched)
{
	struct vn_cidr route = { AF_INET, { 198, 18, 4, 0 }, 24 };

	world_foreign_port(world, s.forward.host);
	REFUSED(net_fake.forward_reserve(m.net, &s.forward, &err), VN_E_EXISTS);
	world_foreign_lan(world, 1);
	REFUSED(net_fake.lan_up(m.net, &s.lan, &err), VN_E_EXISTS);
	world_foreign_guest(world, s.domain);
	REFUSED(start(), VN_E_EXISTS);
	REFUSED(compute_fake.stop(m.compute, s.domain, s.uuid, NULL, 0, &err), VN_E_EXISTS);
	m.env.control4 = (struct vn_cidr){ AF_INET, { 198, 18, 0, 0 }, 16 };
	world_foreign_route(world, &route);
	machine_reopen(&m);
	REFUSED(net_fake.host_up(m.net, &err), VN_E_EXISTS);
	ck_assert_ptr_nonnull(strstr(err.text, "198.18.4.0/24"));
	assert_empty();
}
END_TEST

START_TEST(without_libvirtd_processes_still_end)
{
	struct guest_status status;

	OK(bring_up());
	world_link(world, false);
	REFUSED(compute_fake.probe(m.compute, s.domain, s.uuid, &status, &err), VN_E_BACKEND);
	ck_assert(compute_fake.is_alive(m.compute, &s.id));
	REFUSED(compute_fake.stop(m.compute, s.domain, s.uuid, &s.id, 0, &err), VN_E_BACKEND);
	ck_assert(!compute_fake.is_alive(m.compute, &s.id));
	world_link(world, true);
	OK(compute_fake.probe(m.compute, s.domain, s.uuid, &status, &err));
	ck_assert_int_eq(status.state, GUEST_DEAD);
	OK(bring_down());
}
END_TEST

START_TEST(a_full_disk_takes_nothing_more)
{
	uint64_t bytes = 1;

	world_disk_full(world, true);
	REFUSED(unpack(), VN_E_LIMIT);
	OK(disk_fake.free_bytes(m.disk, &bytes, &err));
	ck_assert_uint_eq(bytes, 0);
	world_disk_full(world, false);
	OK(bring_up());
	world_disk_full(world, true);
	REFUSED(disk_fake.inject(m.disk, &s.disk, files, 2, &err), VN_E_LIMIT);
	OK(bring_down());
}
END_TEST

START_TEST(a_polite_request_may_be_ignored)
{
	OK(bring_up());
	OK(compute_fake.watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	OK(compute_fake.stop(m.compute, s.domain, s.uuid, &s.id, 1000, &err));
	machine_run(&m, &m.has_exited);
	ck_assert_int_eq(m.exit.cause, EXIT_POWEROFF);
	world_ignore_term(world, s.uuid);
	m.has_exited = false;
	OK(start());
	OK(compute_fake.watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	OK(compute_fake.stop(m.compute, s.domain, s.uuid, &s.id, 1000, &err));
	machine_run(&m, &m.has_exited);
	ck_assert_int_eq(m.exit.cause, EXIT_KILLED);
	OK(bring_down());
}
END_TEST

START_TEST(what_is_there_can_be_looked_at)
{
	vn_autofree char *text = NULL;
	json_t *log;
	char **missing;

	OK(bring_up());
	text = world_file(world, 7, "/etc/hostname");
	ck_assert_str_eq(text, "subject\n");
	ck_assert_uint_eq(world_count(world, "net.ports_up"), 1);
	world_log_clear(world);
	world_fail(world, "disk.unmount", 1, VN_E_BUSY);
	REFUSED(disk_fake.unmount(m.disk, &s.disk, &err), VN_E_BUSY);
	world_lacks(world, "net", "no netem");
	OK(net_fake.missing(m.net, &missing, &err));
	ck_assert_str_eq(missing[0], "no netem");
	ck_assert_ptr_null(missing[1]);
	backend_free_strings(missing);
	log = world_log(world);
	ck_assert_str_eq(json_string_value(json_array_get(log, 0)), "disk.unmount 7: busy");
	ck_assert_str_eq(json_string_value(json_array_get(log, 1)), "net.missing");
	json_decref(log);
	OK(bring_down());
}
END_TEST

/* ---- several threads ------------------------------------------------------------------------- */

struct late {
	pthread_t thread;
	int result;
	struct vn_error err;
	struct guest_id id;
};

static void *
start_late(void *arg)
{
	struct late *late = arg;

	late->result = compute_fake.start(m.compute, &s.guest, &late->id, &late->err);
	return NULL;
}

static void
begin_hanging_start(struct late *late, enum world_action action)
{
	OK(bring_up());
	OK(compute_fake.stop(m.compute, s.domain, s.uuid, NULL, 0, &err));
	world_fault_add(world, &(struct world_fault){ "compute.start", 7, 1, action, VN_OK });
	ck_assert_int_eq(pthread_create(&late->thread, NULL, start_late, late), 0);
	world_await_hang(world);
	ck_assert_uint_eq(world_hanging(world), 1);
}

START_TEST(a_call_that_hung_succeeds_late)
{
	struct late late = { 0 };

	begin_hanging_start(&late, _i ? WORLD_HANG_AFTER : WORLD_HANG);
	ck_assert(world_guest_runs(world, s.uuid) == (_i == 1));
	OK(compute_fake.stop(m.compute, s.domain, s.uuid, NULL, 0, &err));
	ck_assert(!world_guest_runs(world, s.uuid));
	world_release(world);
	pthread_join(late.thread, NULL);
	ck_assert_int_eq(late.result, 0);
	ck_assert(world_guest_runs(world, s.uuid) == (_i == 0));
	OK(bring_down());
}
END_TEST

START_TEST(a_late_call_on_what_is_gone_is_no_wrong_order)
{
	struct late late = { 0 };

	begin_hanging_start(&late, WORLD_HANG);
	OK(bring_down());
	world_release(world);
	pthread_join(late.thread, NULL);
	ck_assert_int_eq(late.result, -1);
	ck_assert_int_eq(late.err.code, VN_E_BACKEND);
	ck_assert_uint_eq(world_wrong_orders(world), 0);
}
END_TEST

START_TEST(closing_ends_a_call_that_hangs)
{
	struct late late = { 0 };

	begin_hanging_start(&late, WORLD_HANG);
	machine_reopen(&m);
	pthread_join(late.thread, NULL);
	ck_assert_int_eq(late.result, -1);
	ck_assert(!world_guest_runs(world, s.uuid));
	OK(bring_down());
}
END_TEST

static void
set_flag(void *arg)
{
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
}

START_TEST(a_kill_reaches_calls_that_hang_and_events)
{
	struct late late = { 0 };
	bool has_frozen = false;

	world_on_freeze(world, set_flag, &has_frozen);
	begin_hanging_start(&late, WORLD_HANG);
	world_freeze(world);
	pthread_join(late.thread, NULL);
	ck_assert_int_eq(late.result, -1);
	ck_assert_str_eq(late.err.text, "frozen");
	ck_assert(has_frozen);
	world_thaw(world);
	machine_reopen(&m);
	world_fault_clear(world);
	OK(bring_up());
	OK(compute_fake.watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	world_freeze(world);
	ck_assert(world_guest_exit(world, s.uuid, &(struct guest_exit){ EXIT_EXITED, 3, 0 }));
	world_thaw(world);
	machine_settle(&m);
	ck_assert_uint_eq(m.exits, 0);
	machine_reopen(&m);
	OK(compute_fake.watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	machine_run(&m, &m.has_exited);
	ck_assert_int_eq(m.exit.code, 3);
	OK(bring_down());
}
END_TEST

/* 50 vnodes a thread, up and down. */
static void *
churn(void *arg)
{
	int64_t first = *(const int64_t *)arg;
	struct vn_error own;

	for (int64_t vmid = first; vmid < first + 50; vmid++) {
		struct subject subject;

		subject_init(&subject, &m, vmid % 200);
		if (net_fake.namespaces_up(m.net, &subject.ns, &own) < 0 ||
		    net_fake.ports_up(m.net, &subject.ns, subject.ports, 2, &own) < 0 ||
		    disk_fake.create(m.disk, &subject.disk, &own) < 0 ||
		    disk_fake.mount(m.disk, &subject.disk, subject.root, &own) < 0 ||
		    compute_fake.start(m.compute, &subject.guest, &subject.id, &own) < 0 ||
		    compute_fake.stop(m.compute, subject.domain, subject.uuid, NULL, 1, &own) < 0 ||
		    disk_fake.unmount(m.disk, &subject.disk, &own) < 0 ||
		    disk_fake.destroy(m.disk, &subject.disk, &own) < 0 ||
		    net_fake.namespaces_down(m.net, &subject.ns, &own) < 0)
			return vn_strdup(own.text);
	}
	return NULL;
}

START_TEST(workers_do_not_disturb_each_other)
{
	const int64_t firsts[] = { 0, 50, 100, 150 };
	pthread_t threads[4];

	world_delay(world, "disk.create", 10);
	OK(unpack());
	OK(net_fake.lan_up(m.net, &s.lan, &err));
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, (void *)&firsts[i]), 0);
	for (size_t i = 0; i < 4; i++) {
		void *failure;

		pthread_join(threads[i], &failure);
		ck_assert_msg(!failure, "%s", (char *)failure);
	}
	OK(net_fake.lan_down(m.net, 1, &err));
	OK(disk_fake.image_remove(m.disk, m.sha256, &err));
	ck_assert_uint_eq(world_wrong_orders(world), 0);
}
END_TEST

/* ---- downloads and the private world -------------------------------------------------------- */

struct download {
	bool has_begun, done;
	enum vn_code code;
};

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	(void)done, (void)total;
	((struct download *)arg)->has_begun = true;
}

static void
on_fetched(void *arg, const struct fetch_result *result, const struct vn_error *failure)
{
	struct download *download = arg;

	(void)result;
	download->code = failure ? failure->code : VN_OK;
	download->done = true;
}

static struct fetch *
begin(struct download *download, const char *path)
{
	const struct fetch_request request = { .url = m.url, .path = path, .arg = download,
		.on_progress = on_progress, .on_end = on_fetched };
	struct fetch *fetch;

	*download = (struct download){ 0 };
	OK(fetch_fake.start(m.fetcher, &request, &fetch, &err));
	machine_run(&m, &download->has_begun);
	machine_settle(&m);
	return fetch;
}

START_TEST(a_held_download_waits_and_can_be_cancelled)
{
	vn_autofree char *path = vn_format("%s/download", m.folder);
	struct download download;

	world_url_hold(world, m.url, true);
	begin(&download, path);
	ck_assert(!download.done);
	world_url_hold(world, m.url, false);
	machine_run(&m, &download.done);
	ck_assert_int_eq(download.code, VN_OK);
	world_url_hold(world, m.url, true);
	fetch_fake.cancel(m.fetcher, begin(&download, path));
	machine_run(&m, &download.done);
	ck_assert_int_eq(download.code, VN_E_CANCELLED);
	ck_assert_int_ne(access(path, F_OK), 0);
	begin(&download, path);
	machine_reopen(&m);
	ck_assert(!download.done);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_broken_download_says_so)
{
	vn_autofree char *path = vn_format("%s/download", m.folder);
	struct download download;

	world_url_fail(world, m.url, VN_E_TIMEOUT);
	begin(&download, path);
	ck_assert(download.done);
	ck_assert_int_eq(download.code, VN_E_TIMEOUT);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(without_a_world_backends_share_a_private_one)
{
	struct net *net = NULL;
	struct disk *disk = NULL;

	world_use(NULL);
	OK(net_fake.open(&m.env, &net, &err));
	OK(disk_fake.open(&m.env, &disk, &err));
	OK(net_fake.host_up(net, &err));
	net_fake.close(net);
	OK(net_fake.open(&m.env, &net, &err));
	OK(net_fake.lan_up(net, &s.lan, &err));
	disk_fake.close(disk);
	net_fake.close(net);
	OK(net_fake.open(&m.env, &net, &err));
	REFUSED(net_fake.lan_up(net, &s.lan, &err), VN_E_INTERNAL);
	net_fake.close(net);
	world_use(world);
	assert_empty();
}
END_TEST

static Suite *
fake_suite(void)
{
	const TTest *const once[] = {
		a_failure_at_each_call_leaves_what_was_before,
		a_failure_after_the_effect_is_mended_by_replay, a_fault_may_mean_one_vnode_only,
		a_reboot_keeps_disks_and_loses_the_rest, wrong_orders_are_told_loudly,
		a_dead_domain_must_be_stopped_before_its_next_start,
		foreign_things_are_never_touched, without_libvirtd_processes_still_end,
		a_full_disk_takes_nothing_more, a_polite_request_may_be_ignored,
		what_is_there_can_be_looked_at, a_late_call_on_what_is_gone_is_no_wrong_order,
		closing_ends_a_call_that_hangs, a_kill_reaches_calls_that_hang_and_events,
		workers_do_not_disturb_each_other, a_held_download_waits_and_can_be_cancelled,
		a_broken_download_says_so, without_a_world_backends_share_a_private_one,
	};
	TCase *tcase = tcase_create("fake");
	Suite *suite = suite_create("fake");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	for (size_t i = 0; i < VN_COUNT(once); i++)
		tcase_add_test(tcase, once[i]);
	tcase_add_loop_test(tcase, a_kill_at_each_call_is_mended_by_replay, 0, VN_COUNT(points));
	tcase_add_loop_test(tcase, a_kill_while_taking_down_is_mended_by_replay, 0,
			    VN_COUNT(points));
	tcase_add_loop_test(tcase, a_call_that_hung_succeeds_late, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}

/* In one process unless CK_FORK=yes, so that sanitizers see leaks. */
int
main(void)
{
	SRunner *runner = srunner_create(conform_suite(&fake_rig));
	int failed;

	srunner_add_suite(runner, fake_suite());
	if (!getenv("CK_FORK"))
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
