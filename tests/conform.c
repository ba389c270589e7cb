/*
 * The cases. Each asserts one promise of backends/backend.h and leaves nothing behind, which the
 * rig checks when it closes. Calls that may block are made on the loop's thread here: nothing else
 * runs meanwhile.
 */
#include "tests/conform.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"

static const struct rig *rig;
static struct machine m;
static struct subject s;
static struct vn_error err;

#define OK(call) ck_assert_msg((call) == 0, #call ": %s", err.text)
#define REFUSED(call, wanted)                                                                      \
	do {                                                                                       \
		err = (struct vn_error){ .code = VN_OK };                                          \
		ck_assert_msg((call) == -1, #call " succeeded");                                   \
		ck_assert_msg(err.code == (wanted), #call ": %s", err.text);                       \
		ck_assert_str_ne(err.text, "");                                                    \
	} while (0)

static void
set_up(void)
{
	machine_open(&m, rig);
	subject_init(&s, &m, 7);
}

static void
tear_down(void)
{
	machine_close(&m);
}

/* ---- net ------------------------------------------------------------------------------------- */

static size_t
count_net(enum net_kind kind, struct net_found *ret)
{
	vn_autofree struct net_found *found = NULL;
	size_t n_found, count = 0;

	OK(rig->net->inventory(m.net, &found, &n_found, &err));
	for (size_t i = 0; i < n_found; i++) {
		if (found[i].kind != kind || (kind == NET_BRIDGE && found[i].id == NET_CONTROL))
			continue;
		if (ret)
			*ret = found[i];
		count++;
	}
	return count;
}

static void
net_up(void)
{
	OK(rig->net->lan_up(m.net, &s.lan, &err));
	OK(rig->net->namespaces_up(m.net, &s.ns, &err));
	OK(rig->net->ports_up(m.net, &s.ns, s.ports, 2, &err));
}

static void
net_down(void)
{
	OK(rig->net->namespaces_down(m.net, &s.ns, &err));
	OK(rig->net->lan_down(m.net, s.lan.id, &err));
	ck_assert_uint_eq(count_net(NET_PORT, NULL), 0);
	ck_assert_uint_eq(count_net(NET_NETNS, NULL), 0);
}

START_TEST(a_host_set_up_twice_is_set_up)
{
	OK(rig->net->host_up(m.net, &err));
	OK(rig->net->host_down(m.net, &err));
	OK(rig->net->host_down(m.net, &err));
	OK(rig->net->host_up(m.net, &err));
}
END_TEST

START_TEST(a_lan_is_made_once_and_removed_once)
{
	struct net_found found;

	OK(rig->net->lan_up(m.net, &s.lan, &err));
	OK(rig->net->lan_up(m.net, &s.lan, &err));
	ck_assert_uint_eq(count_net(NET_BRIDGE, &found), 1);
	ck_assert_int_eq(found.id, 1);
	ck_assert_str_eq(found.uuid, s.lan.uuid);
	OK(rig->net->lan_down(m.net, 1, &err));
	OK(rig->net->lan_down(m.net, 1, &err));
	ck_assert_uint_eq(count_net(NET_BRIDGE, NULL), 0);
}
END_TEST

START_TEST(a_lan_of_another_uuid_is_in_the_way)
{
	struct lan_spec other = { 1, "33333333-3333-4333-8333-333333333333", 1500 };

	OK(rig->net->lan_up(m.net, &s.lan, &err));
	REFUSED(rig->net->lan_up(m.net, &other, &err), VN_E_EXISTS);
	OK(rig->net->lan_down(m.net, 1, &err));
}
END_TEST

START_TEST(namespaces_are_made_once_and_removed_once)
{
	OK(rig->net->namespaces_up(m.net, &s.ns, &err));
	OK(rig->net->namespaces_up(m.net, &s.ns, &err));
	ck_assert_uint_eq(count_net(NET_NETNS, NULL), 1);
	ck_assert_uint_eq(count_net(NET_USERNS, NULL), 1);
	OK(rig->net->namespaces_down(m.net, &s.ns, &err));
	OK(rig->net->namespaces_down(m.net, &s.ns, &err));
	ck_assert_uint_eq(count_net(NET_NETNS, NULL), 0);
	ck_assert_uint_eq(count_net(NET_USERNS, NULL), 0);
}
END_TEST

START_TEST(ports_are_made_mended_and_removed)
{
	const unsigned second = 1;
	struct net_found found;

	net_up();
	ck_assert_uint_eq(count_net(NET_PORT, NULL), 2);
	s.ports[1].up = false;
	OK(rig->net->ports_up(m.net, &s.ns, &s.ports[1], 1, &err));
	ck_assert_uint_eq(count_net(NET_PORT, NULL), 2);
	OK(rig->net->ports_down(m.net, &s.ns, &(unsigned){ 0 }, 1, &err));
	ck_assert_uint_eq(count_net(NET_PORT, &found), 1);
	ck_assert_int_eq(found.id, 7);
	ck_assert_uint_eq(found.index, 1);
	ck_assert_int_eq(found.lan, 1);
	ck_assert(!found.up);
	ck_assert_str_eq(found.uuid, s.uuid);
	OK(rig->net->ports_down(m.net, &s.ns, &second, 1, &err));
	OK(rig->net->ports_down(m.net, &s.ns, &second, 1, &err));
	net_down();
}
END_TEST

START_TEST(ports_go_with_their_namespaces)
{
	net_up();
	net_down();
}
END_TEST

START_TEST(ports_survive_a_new_daemon)
{
	net_up();
	machine_reopen(&m);
	ck_assert_uint_eq(count_net(NET_PORT, NULL), 2);
	net_up();
	ck_assert_uint_eq(count_net(NET_PORT, NULL), 2);
	net_down();
}
END_TEST

START_TEST(carrier_changes_for_all_ports_or_none)
{
	const int64_t vmids[] = { 7, 7 }, with_stranger[] = { 7, 999 };
	const unsigned indexes[] = { 0, 1 };
	struct net_found found;

	net_up();
	OK(rig->net->ports_carrier(m.net, vmids, indexes, 2, false, &err));
	count_net(NET_PORT, &found);
	ck_assert(!found.up);
	ck_assert_int_eq(rig->net->ports_carrier(m.net, with_stranger, indexes, 2, true, &err), -1);
	OK(rig->net->ports_carrier(m.net, &vmids[1], &indexes[1], 1, true, &err));
	OK(rig->net->ports_carrier(m.net, &vmids[1], &indexes[1], 1, true, &err));
	net_down();
}
END_TEST

START_TEST(a_host_port_is_held_until_released)
{
	struct forward_spec other = s.forward;

	other.vmid = 8;
	OK(rig->net->forward_reserve(m.net, &s.forward, &err));
	OK(rig->net->forward_reserve(m.net, &s.forward, &err));
	REFUSED(rig->net->forward_reserve(m.net, &other, &err), VN_E_EXISTS);
	rig->net->forward_release(m.net, &s.forward);
	rig->net->forward_release(m.net, &s.forward);
	OK(rig->net->forward_reserve(m.net, &other, &err));
	rig->net->forward_release(m.net, &other);
}
END_TEST

START_TEST(forwards_come_and_go_twice)
{
	OK(rig->net->forward_reserve(m.net, &s.forward, &err));
	OK(rig->net->forwards_up(m.net, &s.forward, 1, &err));
	OK(rig->net->forwards_up(m.net, &s.forward, 1, &err));
	OK(rig->net->forwards_down(m.net, &s.forward, 1, &err));
	OK(rig->net->forwards_down(m.net, &s.forward, 1, &err));
	OK(rig->net->forwards_sync(m.net, &s.forward, 1, &err));
	OK(rig->net->forwards_sync(m.net, NULL, 0, &err));
	rig->net->forward_release(m.net, &s.forward);
}
END_TEST

START_TEST(control_ports_are_set_whole)
{
	struct control_spec spec = { .vmid = 7, .mac = s.ports[0].mac, .own4 = s.addresses[0] };

	net_up();
	OK(rig->net->control_sync(m.net, &spec, 1, &err));
	OK(rig->net->control_sync(m.net, &spec, 1, &err));
	OK(rig->net->control_sync(m.net, NULL, 0, &err));
	net_up();
	net_down();
}
END_TEST

/* ---- disk ------------------------------------------------------------------------------------ */

static size_t
count_disk(enum disk_kind kind)
{
	vn_autofree struct disk_found *found = NULL;
	size_t n_found, count = 0;

	OK(rig->disk->inventory(m.disk, &found, &n_found, &err));
	for (size_t i = 0; i < n_found; i++)
		count += found[i].kind == kind;
	return count;
}

static int
unpack(const char *path, const bool *cancelled)
{
	const struct unpack_limits limits = { 1 << 30, 100000 };
	const struct image_spec spec = { .path = path, .sha256 = m.sha256 };
	struct image_facts facts;
	uint64_t progress = 0;

	return rig->disk->image_unpack(m.disk, &spec, &limits, cancelled, &progress, &facts, &err);
}

static const bool going_on = false, called_off = true;

START_TEST(an_image_is_there_when_it_is_finished)
{
	REFUSED(rig->disk->image_check(m.disk, m.sha256, &err), VN_E_NOT_FOUND);
	OK(unpack(m.archive, &going_on));
	OK(rig->disk->image_check(m.disk, m.sha256, &err));
	OK(unpack(m.archive, &going_on));
	ck_assert_uint_eq(count_disk(DISK_IMAGE), 1);
	OK(rig->disk->image_remove(m.disk, m.sha256, &err));
	OK(rig->disk->image_remove(m.disk, m.sha256, &err));
	REFUSED(rig->disk->image_check(m.disk, m.sha256, &err), VN_E_NOT_FOUND);
}
END_TEST

START_TEST(a_refused_archive_leaves_nothing)
{
	REFUSED(unpack(m.broken, &going_on), VN_E_INVALID);
	REFUSED(unpack(m.archive, &called_off), VN_E_CANCELLED);
	OK(rig->disk->empty_trash(m.disk, &err));
	ck_assert_uint_eq(count_disk(DISK_IMAGE) + count_disk(DISK_IMAGE_PARTIAL), 0);
}
END_TEST

START_TEST(a_disk_needs_its_image)
{
	REFUSED(rig->disk->create(m.disk, &s.disk, &err), VN_E_NOT_FOUND);
	ck_assert_uint_eq(count_disk(DISK_VNODE), 0);
}
END_TEST

static void
disk_up(void)
{
	OK(unpack(m.archive, &going_on));
	OK(rig->disk->create(m.disk, &s.disk, &err));
	OK(rig->disk->mount(m.disk, &s.disk, s.root, &err));
}

static void
disk_down(void)
{
	OK(rig->disk->unmount(m.disk, &s.disk, &err));
	OK(rig->disk->destroy(m.disk, &s.disk, &err));
	OK(rig->disk->empty_trash(m.disk, &err));
	ck_assert_uint_eq(count_disk(DISK_VNODE) + count_disk(DISK_MOUNT), 0);
	OK(rig->disk->image_remove(m.disk, m.sha256, &err));
}

START_TEST(each_call_on_a_disk_may_be_repeated)
{
	const struct guest_file files[] = { { "/etc/hostname", "subject\n", 0644 },
					    { "/etc/hosts", "127.0.0.1 localhost\n", 0644 } };
	char again[4096] = "";

	disk_up();
	OK(rig->disk->create(m.disk, &s.disk, &err));
	OK(rig->disk->mount(m.disk, &s.disk, again, &err));
	ck_assert_str_eq(again, s.root);
	OK(rig->disk->inject(m.disk, &s.disk, files, 2, &err));
	OK(rig->disk->inject(m.disk, &s.disk, files, 2, &err));
	ck_assert_uint_eq(count_disk(DISK_VNODE), 1);
	ck_assert_uint_eq(count_disk(DISK_MOUNT), 1);
	OK(rig->disk->unmount(m.disk, &s.disk, &err));
	OK(rig->disk->unmount(m.disk, &s.disk, &err));
	ck_assert_uint_eq(count_disk(DISK_MOUNT), 0);
	OK(rig->disk->destroy(m.disk, &s.disk, &err));
	disk_down();
}
END_TEST

START_TEST(a_disk_is_renewed_at_once_or_stays)
{
	struct disk_spec absent = s.disk;
	static const char other[] = "00000000000000000000000000000000"
				    "00000000000000000000000000000000";

	disk_up();
	OK(rig->disk->unmount(m.disk, &s.disk, &err));
	absent.image_sha256 = other;
	REFUSED(rig->disk->renew(m.disk, &absent, &err), VN_E_NOT_FOUND);
	ck_assert_uint_eq(count_disk(DISK_VNODE), 1);
	OK(rig->disk->mount(m.disk, &s.disk, s.root, &err));
	OK(rig->disk->unmount(m.disk, &s.disk, &err));
	OK(rig->disk->renew(m.disk, &s.disk, &err));
	OK(rig->disk->renew(m.disk, &s.disk, &err));
	ck_assert_uint_eq(count_disk(DISK_VNODE), 1);
	OK(rig->disk->destroy(m.disk, &s.disk, &err));
	OK(rig->disk->renew(m.disk, &s.disk, &err));
	ck_assert_uint_eq(count_disk(DISK_VNODE), 1);
	disk_down();
}
END_TEST

START_TEST(disks_survive_a_new_daemon)
{
	disk_up();
	machine_reopen(&m);
	ck_assert_uint_eq(count_disk(DISK_VNODE), 1);
	ck_assert_uint_eq(count_disk(DISK_MOUNT), 1);
	disk_down();
}
END_TEST

START_TEST(free_space_is_told)
{
	uint64_t bytes = 0;

	OK(rig->disk->free_bytes(m.disk, &bytes, &err));
	ck_assert_uint_gt(bytes, 0);
}
END_TEST

/* ---- compute: on a vnode made by the other two ---------------------------------------------- */

static void
guest_up(void)
{
	disk_up();
	net_up();
	OK(rig->compute->start(m.compute, &s.guest, &s.id, &err));
}

static void
guest_down(void)
{
	OK(rig->compute->stop(m.compute, s.domain, s.uuid, &s.id, 0, &err));
	net_down();
	disk_down();
}

static struct guest_status
probe(void)
{
	struct guest_status status = { .state = GUEST_DEAD };

	OK(rig->compute->probe(m.compute, s.domain, s.uuid, &status, &err));
	return status;
}

START_TEST(a_guest_starts_once_and_stops_once)
{
	vn_autofree struct guest_found *found = NULL;
	struct guest_id again;
	size_t count;

	guest_up();
	OK(rig->compute->start(m.compute, &s.guest, &again, &err));
	ck_assert_int_eq(again.init, s.id.init);
	ck_assert_uint_eq(again.init_start, s.id.init_start);
	ck_assert_int_eq(again.guest, s.id.guest);
	ck_assert_int_eq(probe().state, GUEST_RUNNING);
	ck_assert_int_eq(probe().id.init, s.id.init);
	ck_assert(rig->compute->is_alive(m.compute, &s.id));
	OK(rig->compute->list(m.compute, &found, &count, &err));
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(found->uuid, s.uuid);
	OK(rig->compute->stop(m.compute, s.domain, s.uuid, &s.id, 1000, &err));
	OK(rig->compute->stop(m.compute, s.domain, s.uuid, NULL, 1000, &err));
	ck_assert_int_eq(probe().state, GUEST_ABSENT);
	ck_assert(!rig->compute->is_alive(m.compute, &s.id));
	guest_down();
}
END_TEST

START_TEST(a_domain_of_another_uuid_is_in_the_way)
{
	struct guest_spec other = s.guest;
	struct guest_id id;

	guest_up();
	other.uuid = "44444444-4444-4444-8444-444444444444";
	REFUSED(rig->compute->start(m.compute, &other, &id, &err), VN_E_EXISTS);
	ck_assert_int_eq(probe().state, GUEST_RUNNING);
	guest_down();
}
END_TEST

START_TEST(a_guest_runs_on_without_its_mount_and_its_daemon)
{
	guest_up();
	OK(rig->disk->unmount(m.disk, &s.disk, &err));
	machine_reopen(&m);
	ck_assert_int_eq(probe().state, GUEST_RUNNING);
	ck_assert(rig->compute->is_alive(m.compute, &s.id));
	guest_down();
}
END_TEST

static const struct guest_exit ways[] = {
	{ EXIT_POWEROFF, 0, 0 }, { EXIT_REBOOT, 0, 0 }, { EXIT_EXITED, 3, 0 },
	{ EXIT_SIGNALLED, 0, SIGSEGV },
};

START_TEST(a_watched_guest_tells_its_end_once)
{
	guest_up();
	OK(rig->compute->watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	OK(rig->compute->watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	rig->guest_exit(&m, s.uuid, &ways[_i]);
	machine_run(&m, &m.has_exited);
	machine_settle(&m);
	ck_assert_uint_eq(m.exits, 1);
	ck_assert_str_eq(m.exited, s.uuid);
	ck_assert_int_eq(m.exit.cause, ways[_i].cause);
	ck_assert_int_eq(m.exit.code, ways[_i].code);
	ck_assert_int_eq(m.exit.signal, ways[_i].signal);
	ck_assert(!rig->compute->is_alive(m.compute, &s.id));
	ck_assert_int_ne(probe().state, GUEST_RUNNING);
	guest_down();
	ck_assert_int_eq(probe().state, GUEST_ABSENT);
}
END_TEST

START_TEST(an_end_without_a_daemon_is_told_to_the_next)
{
	guest_up();
	machine_reopen(&m);
	rig->guest_exit(&m, s.uuid, &ways[_i]);
	OK(rig->compute->watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	ck_assert(!m.has_exited);
	machine_run(&m, &m.has_exited);
	ck_assert_int_eq(m.exit.cause, ways[_i].cause);
	guest_down();
}
END_TEST

START_TEST(an_unwatched_guest_tells_nothing)
{
	guest_up();
	rig->compute->unwatch(m.compute, s.uuid);
	OK(rig->compute->watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	rig->guest_exit(&m, s.uuid, &ways[0]);
	rig->compute->unwatch(m.compute, s.uuid);
	machine_settle(&m);
	ck_assert_uint_eq(m.exits, 0);
	guest_down();
}
END_TEST

START_TEST(a_stopped_guest_tells_its_end_too)
{
	guest_up();
	OK(rig->compute->watch(m.compute, s.domain, s.uuid, s.dir, &s.id, &err));
	OK(rig->compute->stop(m.compute, s.domain, s.uuid, &s.id, 0, &err));
	machine_run(&m, &m.has_exited);
	ck_assert_int_eq(m.exit.cause, EXIT_KILLED);
	ck_assert_int_eq(m.exit.signal, SIGKILL);
	guest_down();
}
END_TEST

START_TEST(limits_change_while_the_guest_runs)
{
	guest_up();
	s.guest.memory_bytes = 128 << 20;
	s.guest.pids = 100;
	OK(rig->compute->set_limits(m.compute, &s.guest, &s.id, &err));
	OK(rig->compute->stop(m.compute, s.domain, s.uuid, &s.id, 0, &err));
	ck_assert_int_eq(rig->compute->set_limits(m.compute, &s.guest, &s.id, &err), -1);
	guest_down();
}
END_TEST

struct ended {
	bool done;
	unsigned times;
	struct exec_result result;
};

static void
on_end(void *arg, const struct exec_result *result, const struct vn_error *failure)
{
	struct ended *ended = arg;

	ck_assert_msg(result != NULL, "%s", failure ? failure->text : "");
	ended->result = *result;
	ended->times++;
	ended->done = true;
}

static const struct {
	const char *argv[4];
	int exit_code;
	const char *output;
} commands[] = {
	{ { "true" }, 0, "" },
	{ { "false" }, 1, "" },
	{ { "echo", "hello", "there" }, 0, "hello there\n" },
	{ { "no-such-command" }, 127, "" },
};

START_TEST(a_command_runs_inside_and_tells_its_end)
{
	struct exec_spec spec = { .argv = commands[_i].argv };
	struct ended ended = { 0 };
	char text[64] = "";
	struct exec *exec;
	int output[2], master = -1;
	ssize_t size;

	guest_up();
	ck_assert_int_eq(pipe(output), 0);
	spec.fds[0] = spec.fds[2] = STDERR_FILENO;
	spec.fds[1] = output[1];
	OK(rig->compute->exec(m.compute, &s.id, &spec, on_end, &ended, &exec, &master, &err));
	ck_assert(!ended.done);
	machine_run(&m, &ended.done);
	close(output[1]);
	size = read(output[0], text, sizeof(text) - 1);
	close(output[0]);
	ck_assert_int_eq(size, (ssize_t)strlen(commands[_i].output));
	ck_assert_str_eq(text, commands[_i].output);
	ck_assert_int_eq(ended.result.exit_code, commands[_i].exit_code);
	ck_assert_uint_eq(ended.times, 1);
	guest_down();
}
END_TEST

START_TEST(a_command_with_a_terminal_ends_by_a_signal)
{
	struct exec_spec spec = { .argv = (const char *[]){ "sleep", "1000", NULL }, .tty = true };
	struct ended ended = { 0 };
	struct exec *exec;
	int master = -1;

	guest_up();
	OK(rig->compute->exec(m.compute, &s.id, &spec, on_end, &ended, &exec, &master, &err));
	ck_assert(isatty(master));
	rig->compute->exec_signal(m.compute, exec, SIGHUP);
	machine_run(&m, &ended.done);
	ck_assert_int_eq(ended.result.exit_code, -1);
	ck_assert_int_eq(ended.result.signal, SIGHUP);
	close(master);
	guest_down();
}
END_TEST

START_TEST(a_console_shows_what_was_said_before)
{
	char text[256] = "";
	int fd = -1;

	REFUSED(rig->compute->console(m.compute, s.dir, &fd, &err), VN_E_NOT_FOUND);
	guest_up();
	OK(rig->compute->console(m.compute, s.dir, &fd, &err));
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	guest_down();
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
}
END_TEST

START_TEST(what_is_missing_is_a_list)
{
	char **missing = NULL;

	if (m.compute)
		OK(rig->compute->missing(m.compute, &missing, &err));
	backend_free_strings(vn_take_ptr(&missing));
	if (m.net)
		OK(rig->net->missing(m.net, &missing, &err));
	backend_free_strings(vn_take_ptr(&missing));
	if (m.disk)
		OK(rig->disk->missing(m.disk, &missing, &err));
	backend_free_strings(missing);
}
END_TEST

/* ---- fetch ----------------------------------------------------------------------------------- */

struct download {
	bool done;
	uint64_t progress, bytes;
	enum vn_code code;
	char sha256[65];
	struct fetch *fetch;
	bool cancels;
};

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct download *download = arg;

	ck_assert(total == 0 || done <= total);
	ck_assert_uint_ge(done, download->progress);
	download->progress = done;
	if (download->cancels)
		rig->fetch->cancel(m.fetcher, download->fetch);
}

static void
on_fetched(void *arg, const struct fetch_result *result, const struct vn_error *failure)
{
	struct download *download = arg;

	ck_assert(!download->done);
	ck_assert((result->sha256[0] == '\0') == (failure != NULL));
	snprintf(download->sha256, sizeof(download->sha256), "%s", result->sha256);
	download->code = failure ? failure->code : VN_OK;
	download->bytes = result->bytes;
	download->done = true;
}

static char *
fetch(struct download *download, const char *url, uint64_t limit_bytes)
{
	char *path = vn_format("%s/download", m.folder);
	const struct fetch_request request = {
		.url = url, .path = path, .limit_bytes = limit_bytes, .stall_ms = 60000,
		.arg = download, .on_progress = on_progress, .on_end = on_fetched,
	};

	OK(rig->fetch->start(m.fetcher, &request, &download->fetch, &err));
	ck_assert(!download->done);
	machine_run(&m, &download->done);
	return path;
}

START_TEST(a_download_arrives_whole)
{
	struct download download = { 0 };
	vn_autofree char *path = fetch(&download, m.url, 1 << 30);

	ck_assert_int_eq(download.code, VN_OK);
	ck_assert_str_eq(download.sha256, m.sha256);
	ck_assert_uint_eq(download.progress, download.bytes);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_failed_download_leaves_no_file)
{
	struct download missing = { 0 }, large = { 0 }, cancelled = { .cancels = true };
	vn_autofree char *path = fetch(&missing, m.missing_url, 1 << 30);
	vn_autofree char *second = NULL, *third = NULL;

	ck_assert_int_eq(missing.code, VN_E_BACKEND);
	ck_assert_int_ne(access(path, F_OK), 0);
	second = fetch(&large, m.url, 1);
	ck_assert_int_eq(large.code, VN_E_LIMIT);
	ck_assert_int_ne(access(path, F_OK), 0);
	third = fetch(&cancelled, m.url, 1 << 30);
	ck_assert_int_eq(cancelled.code, VN_E_CANCELLED);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- the suite ------------------------------------------------------------------------------- */

static void
add_cases(Suite *suite, const char *name, const TTest *const *tests, size_t n_tests, int n_loops)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	for (size_t i = 0; i < n_tests; i++)
		tcase_add_loop_test(tcase, tests[i], 0, n_loops);
	suite_add_tcase(suite, tcase);
}

static void
add_compute(Suite *suite)
{
	const TTest *const once[] = {
		a_guest_starts_once_and_stops_once, a_domain_of_another_uuid_is_in_the_way,
		a_guest_runs_on_without_its_mount_and_its_daemon, an_unwatched_guest_tells_nothing,
		a_stopped_guest_tells_its_end_too, limits_change_while_the_guest_runs,
		a_command_with_a_terminal_ends_by_a_signal, a_console_shows_what_was_said_before,
		what_is_missing_is_a_list,
	};
	const TTest *const each_way[] = {
		a_watched_guest_tells_its_end_once, an_end_without_a_daemon_is_told_to_the_next,
	};
	const TTest *const each_command[] = { a_command_runs_inside_and_tells_its_end };

	add_cases(suite, "compute", once, VN_COUNT(once), 1);
	add_cases(suite, "ends", each_way, VN_COUNT(each_way), VN_COUNT(ways));
	add_cases(suite, "commands", each_command, VN_COUNT(each_command), VN_COUNT(commands));
}

Suite *
conform_suite(const struct rig *chosen)
{
	const TTest *const net[] = {
		a_host_set_up_twice_is_set_up, a_lan_is_made_once_and_removed_once,
		a_lan_of_another_uuid_is_in_the_way, namespaces_are_made_once_and_removed_once,
		ports_are_made_mended_and_removed, ports_go_with_their_namespaces,
		ports_survive_a_new_daemon, carrier_changes_for_all_ports_or_none,
		control_ports_are_set_whole, a_host_port_is_held_until_released,
		forwards_come_and_go_twice,
	};
	const TTest *const disk[] = {
		an_image_is_there_when_it_is_finished, a_refused_archive_leaves_nothing,
		a_disk_needs_its_image, each_call_on_a_disk_may_be_repeated,
		a_disk_is_renewed_at_once_or_stays,
		disks_survive_a_new_daemon, free_space_is_told,
	};
	const TTest *const downloads[] = {
		a_download_arrives_whole, a_failed_download_leaves_no_file,
	};
	Suite *suite = suite_create(chosen->name);

	rig = chosen;
	if (rig->net)
		add_cases(suite, "net", net, VN_COUNT(net), 1);
	if (rig->disk)
		add_cases(suite, "disk", disk, VN_COUNT(disk), 1);
	if (rig->compute && rig->net && rig->disk)
		add_compute(suite);
	if (rig->fetch)
		add_cases(suite, "fetch", downloads, VN_COUNT(downloads), 1);
	return suite;
}
