/*
 * The fakes: first every promise of the backends' contracts (tests/conform.c), then what only a fake
 * can do. The heart is a vnode's whole history, replayed after a failure or a kill at each of its
 * changing calls: since every call may be repeated, the end must always be the same world.
 */
#include "tests/unit/check_fake.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/digest.h"
#include "proto/base/mem.h"

#define ARCHIVE "the bytes of an archive"

struct world *world;
struct machine m;
struct subject s;
struct vn_error err;

/* ---- the rig --------------------------------------------------------------------------------- */

struct archives {
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
	struct archives *archives = vn_alloc(sizeof(*archives));
	struct digest *digest = digest_new();

	machine->arg = archives;
	machine->folder = vn_strdup("/tmp/vnoded-fake-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(machine->folder));
	snprintf(archives->archive, sizeof(archives->archive), "%s/archive", machine->folder);
	snprintf(archives->broken, sizeof(archives->broken), "%s/broken", machine->folder);
	write_file(archives->archive, ARCHIVE);
	write_file(archives->broken, "broken archive");
	digest_update(digest, ARCHIVE, strlen(ARCHIVE));
	digest_print(digest, archives->sha256);
	digest_free(digest);
	machine->archive = archives->archive;
	machine->broken = archives->broken;
	machine->sha256 = archives->sha256;
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
	struct archives *archives = machine->arg;
	char text[2000];

	ck_assert_msg(world_is_bare(world, text, sizeof(text)), "left: %s", text);
	ck_assert_uint_eq(world_hanging(world), 0);
	world_use(NULL);
	world_free(world);
	unlink(archives->archive);
	unlink(archives->broken);
	ck_assert_int_eq(rmdir(machine->folder), 0);
	free(machine->folder);
	free(archives);
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

static char root[PATH_MAX];
const struct guest_file files[2] = { { "/etc/hostname", "subject\n", 0644 },
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

int
unpack(void)
{
	const struct image_spec spec = { .path = m.archive, .sha256 = m.sha256 };
	struct image_facts facts;

	return disk_fake.image_unpack(m.disk, &spec, NULL, NULL, NULL, &facts, &err);
}

int
start(void)
{
	return compute_fake.start(m.compute, &s.guest, &s.id, &err);
}

int
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

int
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

void
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

static void
add_history_cases(TCase *tcase)
{
	tcase_add_test(tcase, a_failure_at_each_call_leaves_what_was_before);
	tcase_add_test(tcase, a_failure_after_the_effect_is_mended_by_replay);
	tcase_add_test(tcase, a_fault_may_mean_one_vnode_only);
	tcase_add_test(tcase, a_reboot_keeps_disks_and_loses_the_rest);
	tcase_add_loop_test(tcase, a_kill_at_each_call_is_mended_by_replay, 0, VN_COUNT(points));
	tcase_add_loop_test(tcase, a_kill_while_taking_down_is_mended_by_replay, 0,
			    VN_COUNT(points));
}

static Suite *
fake_suite(void)
{
	TCase *tcase = tcase_create("fake");
	Suite *suite = suite_create("fake");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	add_history_cases(tcase);
	add_world_cases(tcase);
	add_thread_cases(tcase);
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
