/* The container backend when what it stands on goes: libvirtd, descriptors, many guests at once, vnoded itself. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/host/check_lxc.h"

static void
end_libvirtd(void)
{
	ck_assert_int_eq(lab_run("p=$(cat /run/libvirtd.pid); kill -9 $p; "
				 "while kill -0 $p 2>/dev/null; do :; done; rm -f /run/libvirtd.pid"), 0);
}

static void
await_link(bool up)
{
	while (lab.link_up != up) {
		lab.link_changed = false;
		ck_assert_msg(mini_loop_run(lab.loop, &lab.link_changed, LAB_WAIT_MS), "no on_link came");
	}
}

START_TEST(libvirtd_restarts_under_running_guests)
{
	struct lab_guest *stays = run(FOREVER), *ends = run(FOREVER), *fresh;
	struct guest_status status;
	struct vn_error err;

	end_libvirtd();
	await_link(false);
	ck_assert(lab.compute->ops->is_alive(lab.compute, &stays->id));
	ck_assert_int_eq(kill(ends->id.guest, SIGKILL), 0);
	lab_await_exit(&lab, ends);
	ck_assert_int_eq(ends->exit.cause, EXIT_KILLED);
	ck_assert_int_eq(lab_run("libvirtd -d"), 0);
	await_link(true);
	ck_assert_msg(lab.compute->ops->probe(lab.compute, stays->domain, stays->uuid, &status, &err) == 0,
		      "%s", err.text);
	ck_assert_int_eq(status.state, GUEST_RUNNING);
	expect_same(&status.id, &stays->id);
	lab_start(&lab, ends);			/* its name was blocked by a dead domain */
	fresh = run("exit 6");
	lab_await_exit(&lab, fresh);
	ck_assert_int_eq(fresh->exit.code, 6);
	lab_stop(&lab, stays, LAB_WAIT_MS);
}
END_TEST

START_TEST(guests_end_with_libvirtd_dead)
{
	struct lab_guest *guest = run(FOREVER);
	struct vn_error err;

	end_libvirtd();
	await_link(false);
	ck_assert_int_eq(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, &guest->id,
						LAB_WAIT_MS, &err), -1);
	ck_assert_int_eq(err.code, VN_E_BACKEND);
	ck_assert(!lab.compute->ops->is_alive(lab.compute, &guest->id));
	lab_await_exit(&lab, guest);
	lab_reopen(&lab);			/* succeeds without libvirtd */
	await_link(false);
	ck_assert_int_eq(lab_run("libvirtd -d"), 0);
	await_link(true);
}
END_TEST

/* Opens descriptors until there are none; returns them, for give_back. */
static int *
take_all_descriptors(struct rlimit *ret_before)
{
	struct rlimit low;
	int *taken = vn_alloc_array(256, sizeof(*taken)), n = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, ret_before), 0);
	low = *ret_before;
	low.rlim_cur = 256;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	while ((taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	ck_assert_int_eq(errno, EMFILE);
	return taken;
}

static void
give_back(int *taken, const struct rlimit *before)
{
	for (int i = 0; taken[i] >= 0; i++)
		close(taken[i]);
	free(taken);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, before), 0);
}

static void
on_moment(void *arg)
{
	*(bool *)arg = true;
}

/* What a new life of vnoded watches with all descriptors taken lives on, and its end is told later. */
START_TEST(a_guest_is_not_taken_for_dead_for_want_of_descriptors)
{
	const struct watch_ops *ops = lab.env.watch;
	struct lab_guest *guest = run(FOREVER);
	struct vn_error err = { 0 };
	struct rlimit before;
	bool is_over = false;
	int *taken = take_all_descriptors(&before);
	struct watch *moment;

	lab_watch(&lab, guest);
	ck_assert(lab.compute->ops->is_alive(lab.compute, &guest->id));
	ck_assert_int_lt(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, &guest->id, 0, &err), 0);
	ck_assert_int_eq(err.code, VN_E_LIMIT);
	moment = ops->add_timer(ops->loop, 100, on_moment, &is_over);
	ck_assert(mini_loop_run(lab.loop, &is_over, LAB_WAIT_MS));
	ops->remove(ops->loop, moment);
	ck_assert_uint_eq(guest->exits, 0);
	give_back(taken, &before);
	ck_assert_int_eq(kill(guest->id.guest, SIGKILL), 0);
	lab_await_exit(&lab, guest);
	ck_assert_int_eq(guest->exit.cause, EXIT_KILLED);
}
END_TEST

START_TEST(thirty_killed_at_once_are_thirty_exits)
{
	for (int i = 0; i < 30; i++)
		run(FOREVER);
	for (size_t i = 0; i < 30; i++)
		ck_assert_int_eq(kill(lab.guests[i].id.guest, SIGKILL), 0);
	ck_assert(mini_loop_run(lab.loop, &lab.all_exited, LAB_WAIT_MS));
	for (size_t i = 0; i < 30; i++) {
		ck_assert_uint_eq(lab.guests[i].exits, 1);
		ck_assert_int_eq(lab.guests[i].exit.cause, EXIT_KILLED);
	}
}
END_TEST

/* A vnoded that starts a guest in a process of its own, killed after so many milliseconds or at the end. */
static void
start_and_die(struct lab_guest *guest, int after_ms)
{
	int ends[2];
	struct pollfd entry;
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		lab_reopen(&lab);
		lab_start(&lab, guest);
		_exit(write(ends[1], "", 1) == 1 ? 0 : 1);
	}
	close(ends[1]);
	entry = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	poll(&entry, 1, after_ms);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ends[0]);
}

START_TEST(a_start_whose_maker_dies_leaves_nothing_or_a_guest)
{
	struct lab_guest *guest = lab_guest(&lab, FOREVER, false);
	int running = 0;

	for (int ms = 1; ms <= LAB_WAIT_MS; ms = ms < 200 ? ms + 11 : ms < LAB_WAIT_MS ? LAB_WAIT_MS : ms + 1) {
		struct guest_status status;
		struct vn_error err;

		lab.compute->ops->close(lab.compute);
		lab.compute = NULL;
		start_and_die(guest, ms);
		lab_reopen(&lab);
		ck_assert_msg(lab.compute->ops->probe(lab.compute, guest->domain, guest->uuid, &status,
						      &err) == 0, "%s", err.text);
		running += status.state == GUEST_RUNNING;
		/* Either way a replayed start ends with one guest. */
		lab_start(&lab, guest);
		if (status.state == GUEST_RUNNING)
			expect_same(&status.id, &guest->id);
		lab_stop(&lab, guest, 0);
	}
	ck_assert_int_gt(running, 0);
}
END_TEST

/* At the first start vnode-init is a program that ends at once; as soon as that is open, another takes its place. */
START_TEST(a_container_that_ends_before_its_guest_runs_is_made_again)
{
	struct lab_guest *guest = lab_guest(&lab, FOREVER, false);
	vn_autofree char *program = vn_format("%s/vnode-init", lab.env.libexec_dir);
	vn_autofree char *kept = vn_format("%s/kept", lab.env.libexec_dir);
	struct inotify_event event[16];
	vn_autoclose int notify = inotify_init1(IN_CLOEXEC);
	int status;
	pid_t pid;

	ck_assert_int_eq(rename(program, kept), 0);
	ck_assert_int_eq(symlink("/bin/busybox", program), 0);
	ck_assert_int_ge(inotify_add_watch(notify, program, IN_OPEN), 0);
	pid = fork();
	if (pid == 0)
		_exit(read(notify, event, sizeof(event)) > 0 && rename(kept, program) == 0 ? 0 : 1);
	lab_start(&lab, guest);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(lab.compute->ops->is_alive(lab.compute, &guest->id));
	lab_stop(&lab, guest, 0);
}
END_TEST

void
add_outside_cases(Suite *suite)
{
	const TTest *const outside[] = { libvirtd_restarts_under_running_guests, guests_end_with_libvirtd_dead,
		a_guest_is_not_taken_for_dead_for_want_of_descriptors, thirty_killed_at_once_are_thirty_exits,
		a_start_whose_maker_dies_leaves_nothing_or_a_guest,
		a_container_that_ends_before_its_guest_runs_is_made_again, NULL };

	add_case(suite, "outside", outside);
}
