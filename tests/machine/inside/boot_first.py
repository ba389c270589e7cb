"""The first boot: what a person does after the installation, and what systemd does to vnoded."""
import os
import signal
import socket
import subprocess
import time

from lab.client import PATIENCE
from lab.ping import Ping
from lab.world import guest_inits, inits_of, run
from machine import CONFIGURATION, RING, add_image, load, ping_all, show, states, verify, vnodectl

NAMES = [f"r{i}" for i in range(1, 7)]
STAYS = "the configuration stays as it was"


def case_units_are_active(m):
	for unit in "vnoded.socket", "vnoded.service", "libvirtd.service":
		assert show(unit, "ActiveState") == "active", f"{unit}: {run('systemctl', 'status', unit)}"
	assert os.path.exists("/sys/fs/cgroup/cgroup.controllers"), "no cgroup v2"
	return os.uname().release


def case_bootvnodes_names_what_is_missing(m):
	"""ring.json is there, its image is not: the unit fails and its journal says why; nothing else fails."""
	assert show("bootvnodes.service", "ActiveState") == "failed"
	assert "image" in run("journalctl", "-b", "-u", "bootvnodes.service"), "no reason in the journal"
	failed = [line.split()[0] for line in run("systemctl", "--failed", "--plain", "--no-legend").splitlines()]
	assert failed == ["bootvnodes.service"], failed


def case_units_hold_what_they_say(m):
	for unit in "vnoded.service", "vnoded.socket", "bootvnodes.service":
		done = subprocess.run(["systemd-analyze", "verify", "--man=no", show(unit, "FragmentPath")],
				      capture_output=True, text=True)
		assert done.returncode == 0 and not done.stderr, done.stderr


def case_restrictions_are_in_force(m):
	"""As the kernel says of the running daemon: a filter, and none of the capabilities that the unit leaves out."""
	with open(f"/proc/{main_pid()}/status") as file:
		status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
	left_out = {"SYS_RAWIO": 17, "SYS_PACCT": 20, "SYS_TIME": 25, "MAC_ADMIN": 33, "SYSLOG": 34, "BPF": 39}
	held = [name for name, bit in left_out.items() if int(status["CapBnd"], 16) >> bit & 1]
	assert not held and status["Seccomp"] == "2", (held, status["Seccomp"])
	lines = [run("systemd-analyze", "--no-pager", "security", unit).strip().splitlines()[-1].split(" ", 1)[1]
		 for unit in ("vnoded.service", "bootvnodes.service")]
	return "; ".join(line.encode("ascii", "ignore").decode().strip() for line in lines)


def case_info(m):
	text = vnodectl("info")
	info = m.client().call("host.info")
	assert info["ready"] and not info["missing"], info["missing"]
	return text.splitlines()[0]


def case_image_add(m):
	add_image(m.client())
	assert "busybox" in vnodectl("image", "list")


def case_apply_ring(m):
	vnodectl("apply", RING)
	found = states(m.client())
	assert found == dict.fromkeys(NAMES, "running"), found
	for pid in inits_of(m.client(), NAMES).values():
		with open(f"/proc/{pid}/cgroup") as file:
			assert "machine.slice" in file.read(), "a guest is not in machine.slice"


def case_pings(m):
	return f"{ping_all(m.client(), load(RING))} answered"


def case_verify_is_clean(m):
	return verify()


def case_exec(m):
	assert vnodectl("exec", "r1", "--", "hostname").strip().split(".")[0] == "r1"
	vnodectl("exec", "r1", "--", "sh", "-c", "exit 7", status=7)
	assert vnodectl("exec", "r2", "--", "id", "-u").strip() == "0"


def case_a_guest_has_its_interfaces_only(m):
	"""The kernel's modules for tunnels, which vnoded has tried, would put devices of theirs into it."""
	lines = vnodectl("exec", "r1", "--", "cat", "/proc/net/dev").splitlines()
	names = {line.split(":")[0].strip() for line in lines if ":" in line}
	wanted = {row["name"] for row in m.client().call("vnode.get", vnode="r1")["interfaces"]}
	assert names == wanted | {"lo"}, names


# ---- limits ----

def guest_folder(pid):
	"""The cgroup of a guest's first process, and the container's above it."""
	with open(f"/proc/{pid}/cgroup") as file:
		path = "/sys/fs/cgroup" + file.read().strip().split(":", 2)[2]
	return path


def upwards(folder, name):
	"""Values of a file in a cgroup and all above it below the top."""
	found = []
	while folder != "/sys/fs/cgroup":
		if os.path.exists(f"{folder}/{name}"):
			with open(f"{folder}/{name}") as file:
				found.append(file.read().strip())
		folder = os.path.dirname(folder)
	return found


def case_limits_are_in_the_cgroup(m):
	c = m.client()
	c.change("vnode.create", name="tight", image="busybox", memory="32MiB", pids=20, vcpus=1)
	c.change("vnode.boot", vnode="tight")
	folder = guest_folder(inits_of(c, ["tight"])["tight"])
	assert str(32 << 20) in upwards(folder, "memory.max"), upwards(folder, "memory.max")
	assert "20" in upwards(folder, "pids.max"), upwards(folder, "pids.max")
	assert "100000 100000" in upwards(folder, "cpu.max"), upwards(folder, "cpu.max")
	with open(f"{folder}/cgroup.controllers") as file:
		has = set(file.read().split())
	assert {"memory", "pids", "cpu"} <= has, f"the guest's own cgroup has {has}"
	return folder.split("/", 4)[-1]


def case_pids_limit_holds(m):
	said = m.client().shell("tight", "for i in $(seq 40); do sleep 1000 & done")
	assert "can't fork" in said.err, said
	run_in = m.client().run("r1", "true")
	assert run_in.status == 0, run_in


def case_memory_limit_holds(m):
	"""What eats memory is killed, not the machine nor libvirt's controller."""
	c = m.client()
	c.change("vnode.halt", vnode="tight")
	c.change("vnode.boot", vnode="tight")
	with open("/opt/machine/build/tests/host/lab_eat", "rb") as eat, open(os.devnull, "w") as nothing:
		done = c.call("vnode.exec", [eat.fileno(), nothing.fileno(), nothing.fileno()], vnode="tight",
			      argv=["sh", "-c", "cat >/bin/eat && chmod 755 /bin/eat"])
	assert done["exit_code"] == 0, done
	done = c.run("tight", "/bin/eat")
	assert done.signal == signal.SIGKILL, done
	assert states(c)["tight"] == "running" and c.run("tight", "true").status == 0
	c.change("vnode.halt", vnode="tight")
	c.subscribe(types=["vnode.exit"])
	c.change("vnode.destroy", vnode="tight")
	with open("/proc/sys/kernel/tainted") as file:
		assert file.read().strip() == "0", "the kernel is tainted"


def case_halt_and_boot(m):
	vnodectl("halt", "r5")
	row = m.client().list()["ring/r5"]
	assert (row["wanted"], row["observed"]) == ("stopped", "stopped"), row
	vnodectl("boot", "r5")
	ping_all(m.client(), load(RING))


# ---- roles ----

def case_roles_by_group(m):
	for user in "looker", "worker", "boss":
		assert "r1" in vnodectl("list", user=user)
	assert "none of the groups" in vnodectl("list", user="nobody-special", status=1)
	for words in ("apply", RING), ("halt", "r1"), ("teardown", "--yes"):
		assert "needs the role" in vnodectl(*words, user="looker", status=1), words
	assert "needs the role admin" in vnodectl("teardown", "--yes", user="worker", status=1)
	vnodectl("halt", "r6", user="worker")
	vnodectl("apply", RING, user="worker")
	vnodectl("boot", "r6", user="boss")
	assert states(m.client()) == dict.fromkeys(NAMES, "running")


# ---- what systemd does ----

def main_pid():
	return int(show("vnoded.service", "MainPID"))


def start_connection():
	"""A connection through the forward of r1, whose other end sends back what it gets."""
	vnodectl("exec", "r1", "--", "sh", "-c", "setsid nc -l -p 80 -e cat >/dev/null 2>&1 &")
	while "LISTEN" not in vnodectl("exec", "r1", "--", "netstat", "-ltn"):
		pass
	return socket.create_connection(("127.0.0.1", 8080))


def echoes(connection):
	connection.sendall(b"hello")
	assert connection.recv(5, socket.MSG_WAITALL) == b"hello"


def case_connections_outlive_restarts(m):
	"""One through a forward, and its server, which vnodectl exec has started."""
	with start_connection() as connection:
		echoes(connection)
		run("systemctl", "restart", "vnoded.service")
		echoes(connection)
		run("systemctl", "stop", "vnoded.service")
		echoes(connection)
		run("systemctl", "start", "vnoded.service")
		echoes(connection)


def survives(m, what):
	"""Does `what` to vnoded while packets flow: none is lost and the same guests run."""
	before = inits_of(m.client(), NAMES)
	ping = Ping(before["r1"], "10.1.1.2", 0.1, "/opt/machine/busybox")
	what()
	run("systemctl", "start", "vnoded.service")	# returns when it is ready: changes are refused until then
	assert inits_of(m.client(), NAMES) == before
	ping.await_replies()
	ping.end()
	assert states(m.client()) == dict.fromkeys(NAMES, "running")
	ping_all(m.client(), load(RING))


def case_restart_under_a_ping(m):
	was = main_pid()
	survives(m, lambda: run("systemctl", "restart", "vnoded.service"))
	assert main_pid() != was


def case_kill_9_under_a_ping(m):
	"""systemd starts it again; a client that comes meanwhile waits at the socket and is served."""
	handle = os.pidfd_open(main_pid())

	def kill():
		signal.pidfd_send_signal(handle, signal.SIGKILL)
		vnodectl("list")

	survives(m, kill)
	os.close(handle)
	restarts = show("vnoded.service", "NRestarts")
	assert restarts == "1", f"{restarts} restarts"


def case_a_hung_daemon_is_replaced(m):
	"""A stopped main process feeds no watchdog."""
	was = main_pid()
	survives(m, lambda: (os.kill(was, signal.SIGSTOP), vnodectl("list")))
	assert main_pid() != was


def case_reload(m):
	"""By systemctl and by a signal: what the file says counts then, and a bad file changes nothing."""
	was = main_pid()
	plain = {"name": "plain", "wait": True}
	with open(CONFIGURATION) as file:
		text = file.read()

	def write(line):
		with open(CONFIGURATION, "w") as file:
			file.write(text + line)

	assert m.client().refused("vnode.create", **plain).path == "/image"
	try:
		write("default_image = busybox\n")
		run("systemctl", "reload", "vnoded.service")
		said_by_vnoded("read the configuration again")
		write("default_image = ../busybox\n")
		os.kill(was, signal.SIGHUP)
		said_by_vnoded(STAYS)
		m.client().call("vnode.create", **plain)
		m.client().change("vnode.destroy", vnode="plain")
	finally:
		write("")
		run("systemctl", "reload", "vnoded.service")
	assert main_pid() == was


def said_by_vnoded(words):
	"""Waits until it has said so in this boot."""
	end = time.monotonic() + PATIENCE
	while words not in run("journalctl", "-b", "-u", "vnoded.service", "-o", "cat"):
		assert time.monotonic() < end, f"vnoded does not say '{words}'"
		vnodectl("list")


def case_libvirtd_restarts(m):
	survives(m, lambda: run("systemctl", "restart", "libvirtd.service"))


def case_socket_starts_the_daemon(m):
	"""A stopped vnoded is started by the next client."""
	run("systemctl", "stop", "vnoded.service")
	assert len(guest_inits()) >= len(NAMES), "guests ended with vnoded"
	assert "r1" in vnodectl("list")
	run("systemctl", "start", "vnoded.service")		# waits until it is ready
	assert show("vnoded.service", "ActiveState") == "active"


def case_bootvnodes_starts_and_stops_the_lab(m):
	run("systemctl", "restart", "bootvnodes.service")
	assert show("bootvnodes.service", "ActiveState") == "active"
	run("systemctl", "stop", "bootvnodes.service")
	rows = m.client().list().values()
	assert {(row["wanted"], row["observed"]) for row in rows} == {("running", "stopped")}, rows
	assert not run("virsh", "-q", "-c", "lxc:///system", "list", "--all").strip()
	run("systemctl", "start", "bootvnodes.service")
	assert states(m.client()) == dict.fromkeys(NAMES, "running")
	ping_all(m.client(), load(RING))
	verify()


def case_the_journal_is_quiet(m):
	"""Notes what vnoded warned of; an error fails."""
	errors = run("journalctl", "-b", "-q", "-u", "vnoded.service", "-p", "err", "_COMM=vnoded", "-o", "cat")
	assert all(STAYS in line for line in errors.splitlines()), errors
	return run("journalctl", "-b", "-q", "-u", "vnoded.service", "-p", "warning", "_COMM=vnoded", "-o", "cat")[:900]


def case_one_is_left_halted(m):
	"""For the next boot: what is not wanted must stay down."""
	vnodectl("halt", "r5")
