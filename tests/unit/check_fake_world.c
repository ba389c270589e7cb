/* What only a fake can do: tell wrong orders, play the outside, be looked at, hold and break downloads. */
#include "tests/unit/check_fake.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"

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

void
add_world_cases(TCase *tcase)
{
	tcase_add_test(tcase, wrong_orders_are_told_loudly);
	tcase_add_test(tcase, a_dead_domain_must_be_stopped_before_its_next_start);
	tcase_add_test(tcase, foreign_things_are_never_touched);
	tcase_add_test(tcase, without_libvirtd_processes_still_end);
	tcase_add_test(tcase, a_full_disk_takes_nothing_more);
	tcase_add_test(tcase, a_polite_request_may_be_ignored);
	tcase_add_test(tcase, what_is_there_can_be_looked_at);
	tcase_add_test(tcase, a_held_download_waits_and_can_be_cancelled);
	tcase_add_test(tcase, a_broken_download_says_so);
	tcase_add_test(tcase, without_a_world_backends_share_a_private_one);
}
