/* The container backend from inside a guest: commands, terminals, the console, and what it must not reach. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/host/check_lxc.h"

/* ---- commands and the console ---------------------------------------------------------------- */

static void
expect_exec(struct lab_guest *guest, const char *user, const char *script, int code, const char *output)
{
	struct exec_result result;
	vn_autofree char *text = lab_exec(&lab, guest, user, script, &result);

	ck_assert_msg(result.exit_code == code, "'%s' ends with %d/%d: %s", script, result.exit_code,
		      result.signal, text);
	ck_assert_msg(!output || !strcmp(text, output), "'%s' prints '%s'", script, text);
}

START_TEST(commands_run_inside)
{
	struct lab_guest *guest = run(FOREVER);

	expect_exec(guest, NULL, "exit 42", 42, "");
	expect_exec(guest, NULL, "hostname; id -u; cat /proc/1/comm", 0, "guest\n0\nsh\n");
	expect_exec(guest, "user", "id -u; id -G; echo $HOME $USER $container; pwd", 0,
		    "1000\n1001 50\n/tmp user lxc\n/tmp\n");
	expect_exec(guest, "1000", "id -un", 0, "user\n");
	expect_exec(guest, "nobody-here", "id", -2, "");
	expect_exec(guest, NULL, "ls /proc/self/fd | wc -l", 0, "4\n");
	expect_exec(guest, NULL, "kill -9 $$", -1, NULL);
	expect_exec(guest, NULL, "test \"$(cat /proc/1/cgroup)\" = \"$(cat /proc/self/cgroup)\"", 0, "");
	expect_exec(guest, NULL, "test \"$(grep CapBnd /proc/1/status)\" = \"$(grep CapBnd /proc/self/status)\"",
		    0, "");
}
END_TEST

struct end {
	bool done;
	struct exec_result result;
};

static void
on_end(void *arg, const struct exec_result *result, const struct vn_error *err)
{
	struct end *end = arg;

	ck_assert_msg(result != NULL, "%s", err ? err->text : "");
	end->result = *result;
	end->done = true;
}

START_TEST(what_cannot_be_executed_is_127_or_126)
{
	static const char *const names[] = { "no-such-program", "/etc" };
	struct lab_guest *guest = run(FOREVER);

	for (int i = 0; i < 2; i++) {
		const char *const argv[] = { names[i], NULL };
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		struct exec_spec spec = { .argv = argv, .fds = { null, null, null } };
		struct end end = { 0 };
		struct exec *exec;
		struct vn_error err;

		ck_assert_int_eq(lab.compute->ops->exec(lab.compute, &guest->id, &spec, on_end, &end, &exec,
							NULL, &err), 0);
		ck_assert(mini_loop_run(lab.loop, &end.done, LAB_WAIT_MS));
		ck_assert_int_eq(end.result.exit_code, 127 - i);
		close(null);
	}
}
END_TEST

static void
read_until(int fd, const char *word)
{
	char text[8192] = "";
	size_t size = 0;

	while (!strstr(text, word)) {
		struct pollfd entry = { .fd = fd, .events = POLLIN };
		ssize_t got;

		ck_assert_msg(poll(&entry, 1, LAB_WAIT_MS) > 0, "only '%s' came", text);
		got = read(fd, text + size, sizeof(text) - 1 - size);
		ck_assert_msg(got > 0, "ends with '%s'", text);
		size += (size_t)got;
	}
}

START_TEST(a_command_gets_a_terminal_of_the_guest)
{
	static const char *const argv[] = { "sh", "-c", "tty; stty size; id -u; ls -ln $(tty); "
					    "read x; echo got:$x; kill -STOP $$", NULL };
	struct lab_guest *guest = run(FOREVER);
	struct exec_spec spec = { .argv = argv, .user = "user", .tty = true };
	struct winsize size = { .ws_row = 33, .ws_col = 44 };
	struct end end = { 0 };
	struct exec *exec;
	struct vn_error err;
	int master;

	ck_assert_msg(lab.compute->ops->exec(lab.compute, &guest->id, &spec, on_end, &end, &exec, &master,
					     &err) == 0, "%s", err.text);
	ck_assert_int_eq(ioctl(master, TIOCSWINSZ, &size), 0);
	read_until(master, "/dev/pts/1");
	read_until(master, "1000     1001");
	ck_assert_int_eq(write(master, "words\n", 6), 6);
	read_until(master, "got:words");
	lab.compute->ops->exec_signal(lab.compute, exec, SIGKILL);
	ck_assert(mini_loop_run(lab.loop, &end.done, LAB_WAIT_MS));
	ck_assert_int_eq(end.result.signal, SIGKILL);
	close(master);
}
END_TEST

START_TEST(the_console_is_kept_and_live)
{
	struct lab_guest *guest = run("echo first words; tty; read line; echo heard $line; " FOREVER);
	struct vn_error err;
	int fd;

	lab_console_expect(&lab, guest, "first words");
	lab_console_expect(&lab, guest, "/dev/pts/0");
	ck_assert_int_eq(lab.compute->ops->console(lab.compute, guest->dir, &fd, &err), 0);
	ck_assert_int_eq(write(fd, "typed\n", 6), 6);
	read_until(fd, "heard typed");
	close(fd);
	lab_stop(&lab, guest, 0);
	ck_assert_int_eq(lab.compute->ops->console(lab.compute, guest->dir, &fd, &err), -1);
	ck_assert_int_eq(err.code, VN_E_STATE);
}
END_TEST

START_TEST(an_unread_console_blocks_nobody)
{
	struct lab_guest *guest = lab_guest(&lab, "seq 1 200000; exit 4", false);
	struct vn_error err;
	int fd;

	lab_start(&lab, guest);
	ck_assert_int_eq(lab.compute->ops->console(lab.compute, guest->dir, &fd, &err), 0);
	lab_await_exit(&lab, guest);
	ck_assert_int_eq(guest->exit.code, 4);
	close(fd);
	/* The last number is kept, the file bounded. */
	ck_assert_int_eq(lab_run("grep -aq 200000 /run/lab/state/vnodes/1/console && "
				 "test $(stat -c %s /run/lab/state/vnodes/1/console) -eq 65600"), 0);
}
END_TEST

/* ---- a guest that means harm ----------------------------------------------------------------- */

static void
try_harm(struct lab_guest *guest, const char *what, const char *script)
{
	vn_autofree char *whole = vn_format("(%s) 2>&1", script);
	struct exec_result result;
	vn_autofree char *text = lab_exec(&lab, guest, NULL, whole, &result);

	ck_assert_msg(result.exit_code != 0, "%s succeeds: %s", what, text);
}

START_TEST(a_guest_can_harm_nobody)
{
	static const struct { const char *what, *script; } attempts[] = {
		{ "writing a host sysctl", "echo x >/proc/sys/kernel/core_pattern" },
		{ "writing it after a remount",
		  "mount -o remount,rw /proc; mount -o remount,rw /proc/sys; echo 1 >/proc/sys/kernel/sysrq" },
		{ "a fresh proc that is writable", "mkdir -p /root/p; mount -t proc p /root/p && "
						   "echo 9 >/root/p/sys/vm/swappiness" },
		{ "sysrq", "echo h >/proc/sysrq-trigger" },
		{ "making a device", "mknod /root/sda b 8 0" },
		{ "making memory", "mknod /root/mem c 1 1" },
		{ "a block device", "ls /dev | grep -E '^(sd|vd|dm|loop|nvme|mem|kmsg|kvm)'" },
		{ "devtmpfs", "mount -t devtmpfs d /root && ls /root/mem" },
		{ "another cgroup", "mount -t cgroup -o memory c /root && "
				    "echo 99999999999 >/root/memory.limit_in_bytes" },
		{ "the pids limit", "mkdir -p /root/c; mount -t cgroup -o pids c /root/c && "
				    "{ echo max >/root/c/pids.max || echo 1 >/root/c/vnoded/cgroup.procs; }" },
		{ "release_agent", "mkdir -p /root/c; mount -t cgroup -o memory c /root/c && "
				   "echo /x >/root/c/release_agent" },
		{ "other processes", "ls -d /proc/[0-9]* | wc -l | grep -vE '^[2-9]$'" },
		{ "vnode-init", "cat /proc/*/comm | grep -E 'vnode-init|libvirt|check_lxc'" },
		{ "the old root", "ls /work /.oldroot 2>/dev/null || ls / | grep -E 'work|oldroot'" },
		{ "mounts of the machine", "grep -E '/run/lab|/work|oldroot|libvirt' /proc/self/mounts" },
		{ "other namespaces", "nsenter -t 1 -n -u true && nsenter --net=/proc/1/ns/net ip link | "
				      "grep -vE 'lo|LOOPBACK|link/loopback'" },
		{ "the host's uts namespace",
		  "hostname evil; test \"$(cat /proc/sys/kernel/hostname)\" != evil" },
		{ "the kernel's log", "busybox dmesg -c | grep -q ." },
		{ "modules", "busybox insmod /bin/busybox" },
		{ "the clock", "busybox date -s 2001-01-01; test $(busybox date +%Y) = 2001" },
		{ "pids of the pin", "kill -9 -1; exit 1" },
	};
	struct lab_guest *guest = run(DEAF);

	for (size_t i = 0; i < VN_COUNT(attempts); i++)
		try_harm(guest, attempts[i].what, attempts[i].script);
	ck_assert(lab.compute->ops->is_alive(lab.compute, &guest->id));
	ck_assert_int_ne(lab_run("test \"$(hostname)\" = evil"), 0);
}
END_TEST

START_TEST(a_privileged_guest_sees_no_devices)
{
	struct lab_guest *guest = lab_guest(&lab, FOREVER, true);

	lab_start(&lab, guest);
	try_harm(guest, "a block device", "ls /dev | grep -E '^(sd|vd|dm|loop|nvme|mem|kmsg|kvm)'");
	try_harm(guest, "making a device", "mknod /root/sda b 8 0");
	try_harm(guest, "writing a sysctl", "echo x >/proc/sys/kernel/core_pattern");
	try_harm(guest, "vnode-init", "cat /proc/*/comm | grep -E 'vnode-init|libvirt|check_lxc'");
	try_harm(guest, "modules", "busybox insmod /bin/busybox");
	try_harm(guest, "old root", "ls / | grep -E 'work|oldroot'");
	lab_stop(&lab, guest, LAB_WAIT_MS);
}
END_TEST

void
add_inside_cases(Suite *suite)
{
	const TTest *const commands[] = { commands_run_inside, what_cannot_be_executed_is_127_or_126,
		a_command_gets_a_terminal_of_the_guest, the_console_is_kept_and_live,
		an_unread_console_blocks_nobody, NULL };
	const TTest *const harm[] = { a_guest_can_harm_nobody, a_privileged_guest_sees_no_devices, NULL };

	add_case(suite, "commands", commands);
	add_case(suite, "harm", harm);
}
