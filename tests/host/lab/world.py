"""A vnoded of a test, the machine around it, and what must be as before when it has gone.

Runs inside tests/host/env, so /run, the network, libvirtd and the processes are the test's own.
"""
import contextlib
import glob
import http.server
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from lab.client import Captured, Client, PATIENCE, Refusal

BASE = "/run/world"
DEFAULTS = {"grace": "2s"}


def run(*command, **more):
	"""A program of the machine that must succeed; its output."""
	done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **more)
	assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
	return done.stdout


class Build:
	"""What the suite runs: a build folder's programs, and an image."""

	def __init__(self, folder, source):
		self.folder = folder
		self.vnoded = os.path.join(folder, "daemon/vnoded")
		self.vnodectl = os.path.join(folder, "client/vnodectl")
		self.libexec = os.path.join(BASE, "libexec")
		os.makedirs(self.libexec)
		for name in "vnode-init", "vnode-helper":
			shutil.copy(os.path.join(folder, "backends/libvirt", name, name), self.libexec)
		self.image = os.path.join(BASE, "busybox.tar.gz")
		make = os.path.join(source, "tools/make-busybox-image")
		self.sha256 = run(make, self.image).split()[0]


class Crash(Exception):
	"""vnoded ended by a signal that no test sends it."""


CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class Daemon:
	"""One vnoded with a state of its own."""

	def __init__(self, build, name="vnoded", folder=None, **settings):
		self.build, self.name = build, name
		self.folder = folder or os.path.join(BASE, name)
		self.run_dir = os.path.join(self.folder, "run")
		self.state_dir = os.path.join(self.folder, "state")
		self.path = os.path.join(self.run_dir, "vnoded.sock")
		self.settings = dict(DEFAULTS, state_dir=self.state_dir, run_dir=self.run_dir,
				     libexec_dir=build.libexec, instance_name=name, import_dir=BASE,
				     log_level="debug", **settings)
		self.log_path = os.path.join(self.folder, "log")
		self.process = None
		os.makedirs(self.folder, exist_ok=True)

	def command(self):
		words = [self.build.vnoded]
		for key, value in self.settings.items():
			words += ["--set", f"{key}={value}"]
		return words

	def check_no_crash(self):
		"""Wherever a test would take an ended daemon for one that it has ended."""
		status = self.process.poll() if self.process else None
		if status is not None and -status in CRASHES:
			raise Crash(f"vnoded ended by {signal.Signals(-status).name}")

	def spawn(self, **env):
		self.check_no_crash()
		self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
			stdout=subprocess.DEVNULL, stderr=open(self.log_path, "ab"),
			env=dict(os.environ, **env), start_new_session=True)

	def start(self):
		"""Returns when it says READY to systemd, and fails when it ends instead."""
		path = os.path.join(self.folder, "notify")
		with contextlib.suppress(FileNotFoundError):
			os.unlink(path)
		with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
			notify.bind(path)
			notify.settimeout(0.2)
			self.spawn(NOTIFY_SOCKET=path)
			end = time.monotonic() + PATIENCE
			while True:
				with contextlib.suppress(TimeoutError):
					if b"READY=1" in notify.recv(4096).split(b"\n"):
						return self
				assert self.process.poll() is None, f"vnoded ended: {self.log()[-600:]}"
				assert time.monotonic() < end, f"vnoded is not ready: {self.log()[-600:]}"

	def refuses_to_start(self):
		"""Starts one that must end by itself; what it said."""
		before = len(self.log())
		self.spawn()
		assert self.process.wait(PATIENCE) != 0, "vnoded ended with status 0"
		self.process = None
		return self.log()[before:]

	def kill(self):
		self.check_no_crash()
		self.process.kill()
		self.process.wait(PATIENCE)

	def stop(self):
		self.check_no_crash()
		self.process.terminate()
		status = self.process.wait(PATIENCE)
		assert status == 0, f"vnoded ended with {status}: {self.log()[-600:]}"

	def restart(self):
		self.kill()
		return self.start()

	def log(self):
		with open(self.log_path, "a+", errors="replace") as file:
			file.seek(0)
			return file.read()

	def client(self):
		return Client(self.path)

	def vnodectl(self, *words, **more):
		return subprocess.run([self.build.vnodectl, "--socket", self.path, *words], text=True,
				      capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, **more)

	def fds(self):
		return sorted(os.listdir(f"/proc/{self.process.pid}/fd"))

	def add_image(self, client, name="busybox"):
		with open(self.build.image) as file:
			client.change("image.add", fds=[file.fileno()], name=name, fd=0, sha256=self.build.sha256)


class World:
	"""A daemon with the image, its client, and a leak check at the end."""

	def __init__(self, build, image=True, **settings):
		self.before = things()
		self.daemon = Daemon(build, **settings).start()
		self.client = self.daemon.client()
		if image:
			self.daemon.add_image(self.client)

	def __enter__(self):
		return self

	def __exit__(self, kind, value, trace):
		is_clean = False
		try:
			if kind is None:
				self.end()
				is_clean = True
		finally:
			if not is_clean:
				self.keep_log()
				self.sweep()
			shutil.rmtree(self.daemon.folder, ignore_errors=True)
			self.daemon.check_no_crash()

	def end(self):
		self.reconnect()
		self.tear_down()
		self.client.close()
		self.daemon.stop()
		left = difference(self.before, things())
		assert not left, f"left behind: {left}"

	def tear_down(self):
		"""When what vnoded itself has begun (cleaning up after a guest) is over."""
		while True:
			try:
				return self.client.change("host.teardown")
			except Refusal as refusal:
				if refusal.code != "busy":
					raise
				self.client.call("job.wait", job=refusal.job)

	def reconnect(self):
		"""A client of the daemon that runs now."""
		if self.daemon.process.poll() is not None:
			self.daemon.start()
		seq = self.client.last_seq
		self.client.close()
		self.client = self.daemon.client()
		self.client.last_seq = seq

	def restart(self):
		self.daemon.kill()
		self.reconnect()

	def keep_log(self):
		print("---- the end of vnoded's log:")
		print("\n".join(self.daemon.log().splitlines()[-60:]))

	def sweep(self):
		"""Whatever a failed case left, so that the next one begins on a clean machine."""
		if self.daemon.process.poll() is None:
			self.daemon.kill()
		for domain in domains():
			subprocess.run(["virsh", "-q", "-c", "lxc:///system", "destroy", domain], capture_output=True)
		for name in tables():
			subprocess.run(["nft", "delete", "table", *name.split()], capture_output=True)
		for name in links() - self.before["links"]:
			subprocess.run(["ip", "link", "del", name], capture_output=True)
		for mount in reversed(mounts()):
			if mount.startswith(self.daemon.folder + "/"):
				subprocess.run(["umount", "-l", mount], capture_output=True)
		remove_libvirts_cgroups()


# ---- what a machine has ----

def domains():
	return set(run("virsh", "-q", "-c", "lxc:///system", "list", "--all", "--name").split())


def tables():
	return {line.split(" ", 1)[1] for line in run("nft", "list", "tables").splitlines()}


def links():
	return {row["ifname"] for row in json.loads(run("ip", "-j", "link"))} - {"lo"}


def mounts():
	"""Those where vnoded and libvirt work. Another program may still move a folder of the machine elsewhere."""
	with open("/proc/self/mountinfo") as file:
		return [path for path in (line.split()[4] for line in file) if path.startswith("/run")]


def cgroups():
	return {path for path in glob.glob("/sys/fs/cgroup/**/", recursive=True)
		if "vnoded" in os.path.basename(path.rstrip("/"))}


def namespaces():
	"""Named ones, wherever they are pinned."""
	with open("/proc/self/mountinfo") as file:
		return {line.split()[4] for line in file if " - nsfs " in line}


def processes(names):
	"""How many there are of each, as a set."""
	found = set()
	for pid in pids():
		with contextlib.suppress(OSError):
			with open(f"/proc/{pid}/comm") as file:
				name = file.read().strip()
			if name in names:
				found.add(f"{name} {sum(one.startswith(name + ' ') for one in found) + 1}")
	return found


def remove_libvirts_cgroups():
	"""
	Where no systemd owns them, libvirt forgets the groups of a domain that ended while libvirtd was away.
	Only empty ones can be removed, so what vnoded leaves running is still found.
	"""
	for path in sorted(cgroups(), reverse=True):
		if "/machine/" in path:
			with contextlib.suppress(OSError):
				os.rmdir(path)


def things():
	"""Everything that vnoded makes, as sets that must be the same afterwards."""
	return {"domains": domains(), "tables": tables(), "links": links(), "mounts": set(mounts()),
		"namespaces": namespaces(), "cgroups": cgroups(),
		"processes": processes({"libvirt_lxc", "vnode-init", "vnode-helper", "vnoded"})}


def difference(before, after):
	"""What differs, and nothing else."""
	if isinstance(before, dict) and isinstance(after, dict):
		return {key: difference(before.get(key), after.get(key)) for key in {**before, **after}
			if before.get(key) != after.get(key)}
	if isinstance(before, (list, set)) and isinstance(after, (list, set)):
		return [one for one in before if one not in after], [one for one in after if one not in before]
	return before, after


def eventually(test):
	"""Until what the kernel still has in its hands has come about; says whether it has."""
	end = time.monotonic() + PATIENCE
	while not (result := test()) and time.monotonic() < end:
		pass
	return result


def pids():
	return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def guest_inits():
	"""The machine's pid of each guest's first process, by its pid namespace."""
	found = {}
	for pid in pids():
		with contextlib.suppress(OSError):
			with open(f"/proc/{pid}/status") as file:
				ids = re.search(r"^NSpid:\s+(.*)$", file.read(), re.M).group(1).split()
			if len(ids) > 1 and ids[-1] == "1":
				found[os.readlink(f"/proc/{pid}/ns/pid")] = pid
	return found


def inits_of(client, names):
	"""The machine's pid of the first process of each of these vnodes."""
	waits = {name: client.send("vnode.exec", {"vnode": name, "stdio": "capture",
						  "argv": ["readlink", "/proc/1/ns/pid"]})
		 for name in names}
	spaces = {name: Captured(client.wait(id)).out.strip() for name, id in waits.items()}
	found = guest_inits()
	return {name: found[space] for name, space in spaces.items()}


def fabric(daemon, *command):
	"""A command in the fabric; its output."""
	pin = os.path.join(daemon.run_dir, "netns", daemon.settings.get("fabric", "vnoded"))
	return run("nsenter", f"--net={pin}", *command)


def libvirtd_pid():
	for pid in pids():
		with contextlib.suppress(OSError):
			with open(f"/proc/{pid}/comm") as file:
				if file.read().strip() == "libvirtd":
					with open(f"/proc/{pid}/stat") as stat:
						if stat.read().rsplit(")", 1)[1].split()[0] != "Z":
							return pid
	return None


def stop_libvirtd():
	pid = libvirtd_pid()
	handle = os.pidfd_open(pid)
	os.kill(pid, signal.SIGKILL)
	assert select.select([handle], [], [], PATIENCE)[0], "libvirtd does not end"
	os.close(handle)


def start_libvirtd():
	with contextlib.suppress(FileNotFoundError):
		os.unlink("/run/libvirtd.pid")
	run("libvirtd", "-d")
	run("virsh", "-q", "-c", "lxc:///system", "connect")


@contextlib.contextmanager
def web(folder):
	"""A web server on the loopback; gives its port."""
	class Quiet(http.server.SimpleHTTPRequestHandler):
		def __init__(self, *more):
			super().__init__(*more, directory=folder)

		def log_message(self, *more):
			pass

	server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
	threading.Thread(target=server.serve_forever, daemon=True).start()
	try:
		yield server.server_address[1]
	finally:
		server.shutdown()
		server.server_close()


# ---- topologies ----

def ring(n, name="ring", memory="32MiB", **more):
	"""n vnodes in a ring of links, and a LAN of all."""
	vnodes = {f"n{i}": dict({"image": "busybox", "memory": memory}, **more) for i in range(1, n + 1)}
	lans = {}
	for i in range(1, n + 1):
		other = i % n + 1
		lans[f"l{i}"] = {"members": {
			f"n{i}": {"address": [f"10.1.{i}.1/24", f"fd01:{i}::1/64"]},
			f"n{other}": {"address": [f"10.1.{i}.2/24", f"fd01:{i}::2/64"]}}}
	lans["campus"] = {"members": {f"n{i}": {"address": [f"10.2.0.{i}/24", f"fd02::{i}/64"], "interface": "campus"}
				   for i in range(1, n + 1)}}
	return {"topology": name, "vnodes": vnodes, "lans": lans}


def star(n, name="star", **more):
	"""n vnodes in one LAN."""
	return {"topology": name,
		"vnodes": {f"n{i}": dict({"image": "busybox", "memory": "32MiB"}, **more) for i in range(1, n + 1)},
		"lans": {"campus": {"members": {f"n{i}": {"address": f"10.2.0.{i}/24"} for i in range(1, n + 1)}}}}


def ping(client, vnode, address, count=1):
	return client.run(vnode, "ping", "-c", str(count), "-W", "5", address).status == 0
