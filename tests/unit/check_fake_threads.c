/* Fakes that hang, are released late, closed or killed meanwhile, and serve several workers at once. */
#include "tests/unit/check_fake.h"

#include <pthread.h>

#include "proto/base/mem.h"

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

void
add_thread_cases(TCase *tcase)
{
	tcase_add_test(tcase, a_late_call_on_what_is_gone_is_no_wrong_order);
	tcase_add_test(tcase, closing_ends_a_call_that_hangs);
	tcase_add_test(tcase, a_kill_reaches_calls_that_hang_and_events);
	tcase_add_test(tcase, workers_do_not_disturb_each_other);
	tcase_add_loop_test(tcase, a_call_that_hung_succeeds_late, 0, 2);
}
