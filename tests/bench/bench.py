#!/usr/bin/env python3
"""Speed and size of vnoded, beside the bare limit in the same run. Started by tests/bench/run.

Nothing here passes or fails: figures, ratios and what they are meant to be, with the machine's load beside
them. Medians over rounds that alternate with the bare program's.
"""
import argparse
import contextlib
import glob
import json
import os
import re
import select
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(tests, "host"), os.path.join(tests, "bench")]
from accuracy import Bench  # noqa: E402
from images import images  # noqa: E402
from lab.world import BASE, Build, Daemon, World, inits_of  # noqa: E402

IGNORES_TERM = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000 & wait $!; done"]
GUESTS = 50


def say(what, value, target=""):
	print(f"  {what:<62} {value:>16}  {target}", flush=True)


def heading(text):
	print(f"\n{text}   (load {os.getloadavg()[0]:.1f})", flush=True)


def topology(count, **vnode):
	"""Each vnode with its control interface and one interface in a LAN of two."""
	names = [f"n{i}" for i in range(count)]
	lans = {f"l{i // 2}": {"members": {names[i]: {"address": "10.9.0.1/24"}, names[i + 1]: {"address": "10.9.0.2/24"}}}
		for i in range(0, count - 1, 2)}
	return {"topology": "bench", "vnodes": {name: {"image": "busybox", **vnode} for name in names}, "lans": lans}


def bare(build, width):
	"""What libvirt alone takes: {line: seconds}."""
	program = os.path.join(build.folder, "tests/host/bench_lxc")
	done = subprocess.run([program, str(GUESTS), str(width)], capture_output=True, text=True, timeout=400)
	if done.returncode:
		raise RuntimeError(done.stdout + done.stderr)
	found = {}
	for line in done.stdout.splitlines():
		match = re.match(r"\s*(.+?)\s+(\d+) threads\s+([\d.]+) s", line)
		if match:
			found[f"{match[1]} {match[2]}"] = float(match[3])
	return found


def timed(function, *arguments, **more):
	begin = time.monotonic()
	function(*arguments, **more)
	return time.monotonic() - begin


def apply_file(daemon, document):
	path = os.path.join(BASE, "bench.json")
	with open(path, "w") as file:
		json.dump(document, file)
	done = daemon.vnodectl("apply", path)
	assert done.returncode == 0, done.stderr


def bring_up(build, rounds=3):
	heading(f"bring-up and take-down of {GUESTS} containers, width 8, {rounds} rounds")
	ups, downs, polite, bares, destroys = [], [], [], [], []
	for _ in range(rounds):
		seen = bare(build, 8)
		bares.append(seen["bare start (libvirt and vnode-init alone) 8"])
		destroys.append(seen["virDomainDestroy alone, init ignores SIGTERM 1"])
		with World(build, boot_width=8) as world:
			ups.append(timed(apply_file, world.daemon, topology(GUESTS, init=IGNORES_TERM)))
			downs.append(timed(world.daemon.vnodectl, "halt", "--all", "--force"))
			world.client.change("topology.delete", topology="bench")
		with World(build, boot_width=8) as world:
			apply_file(world.daemon, topology(GUESTS))
			polite.append(timed(world.daemon.vnodectl, "halt", "--all"))
	middle = statistics.median
	say("bare: 50 virDomainCreateXMLWithFiles, vnode-init, no network", f"{middle(bares):.2f} s")
	say("vnodectl apply: images, namespaces, links, journal, all running", f"{middle(ups):.2f} s")
	say("ratio of the medians", f"{middle(ups) / middle(bares):.2f}", "wanted: at most 1.25")
	say("ratio, round by round", " ".join(f"{a / b:.2f}" for a, b in zip(ups, bares)))
	say("virDomainDestroy loop, init = sh with trap '' TERM", f"{middle(destroys):.2f} s")
	say("vnodectl halt --all --force of the same", f"{middle(downs):.2f} s")
	say("ratio", f"{middle(downs) / middle(destroys):.2f}", "wanted: under 0.20")
	say("vnodectl halt --all of busybox init, asked politely", f"{middle(polite):.2f} s")


def percentile(values, share):
	ordered = sorted(values)
	return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def commit_times(folder):
	"""The disk under the database: milliseconds of one-row commits, WAL and synchronous FULL."""
	path = os.path.join(folder, "commit.db")
	base = sqlite3.connect(path, isolation_level=None)
	base.execute("PRAGMA journal_mode=WAL")
	base.execute("PRAGMA synchronous=FULL")
	base.execute("CREATE TABLE t(x)")
	times = [1000 * timed(base.execute, "INSERT INTO t VALUES(1)") for _ in range(300)]
	base.close()
	return times


def libvirt_events(lines):
	"""virsh in the background; appends (wall-clock seconds, domain) of each stop."""
	process = subprocess.Popen(["stdbuf", "-oL", "virsh", "-q", "-c", "lxc:///system", "event", "--event", "lifecycle",
				    "--loop", "--timestamp"], stdout=subprocess.PIPE, text=True)

	def read():
		for line in process.stdout:
			now = time.monotonic()
			if "Stopped" in line:
				match = re.search(r"domain '?([\w-]+)'?", line)
				lines.append((now, match and match[1]))
	threading.Thread(target=read, daemon=True).start()
	return process


def exits(build, kills=100):
	heading(f"init killed -> event at a subscribed client, {kills} kills one at a time")
	with World(build, boot_width=8, restart_limit=1000) as world:
		apply_file(world.daemon, topology(GUESTS))
		listener = world.daemon.client()
		listener.call("event.subscribe", since=-1, types=["vnode.exit"])
		seen, gone, ours, theirs = [], [], [], []
		virsh = libvirt_events(seen)
		names = [f"n{i}" for i in range(GUESTS)]
		domains = {v["name"]: v["vmid"] for v in world.client.call("vnode.list")["vnodes"]}
		for turn in range(0, kills, GUESTS):
			inits = inits_of(world.client, names)
			for name in names:
				handle = os.pidfd_open(inits[name])
				begin = time.monotonic()
				signal.pidfd_send_signal(handle, signal.SIGKILL)
				waiting = [handle, listener.socket]
				while waiting:
					for ready in select.select(waiting, [], [])[0]:
						(gone if ready == handle else ours).append(time.monotonic() - begin)
						waiting.remove(ready)
				listener.next_event()
				os.close(handle)
				world.client.call("vnode.wait", vnode=name, observed=["stopped", "failed"])
				late = [at for at, domain in seen if domain and domain.endswith(f"-{domains[name]}") and at >= begin]
				if late:
					theirs.append(late[0] - begin)
			world.client.change("host.boot")
		virsh.terminate()
		commits = commit_times(world.daemon.state_dir)
	say("vnoded's event: median", f"{1000 * statistics.median(ours):.2f} ms", "wanted: under 5 ms")
	say("vnoded's event: 99 %", f"{1000 * percentile(ours, .99):.2f} ms", "wanted: under 50 ms")
	say("bare: the init's pidfd is readable: median, 99 %",
	    f"{1000 * statistics.median(gone):.2f}, {1000 * percentile(gone, .99):.2f} ms")
	if theirs:
		say(f"libvirt's own event: median ({len(theirs)} seen in time)", f"{1000 * statistics.median(theirs):.2f} ms")
	say("one commit on this disk (WAL, FULL): median, 99 %",
	    f"{statistics.median(commits):.2f}, {percentile(commits, .99):.2f} ms")


class Raw:
	"""Lines in and out, not looked at, so that the client is not what is measured."""

	def __init__(self, path):
		self.socket = socket.socket(socket.AF_UNIX)
		self.socket.connect(path)

	def ask(self, line):
		self.socket.sendall(line)
		begin = time.monotonic()
		while not self.socket.recv(1 << 20).endswith(b"\n"):
			pass
		return time.monotonic() - begin

	def flood(self, line, count):
		sender = threading.Thread(target=self.socket.sendall, args=(line * count,))
		begin, lines = time.monotonic(), 0
		sender.start()
		while lines < count:
			lines += self.socket.recv(1 << 20).count(b"\n")
		sender.join()
		return count / (time.monotonic() - begin)


def request(method, **params):
	return (json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n").encode()


class FakeDaemon(Daemon):
	def command(self):
		return super().command() + ["--fake", "--set", "default_backend=fake"]


def requests(build):
	heading("requests, on the fake machine with 1,000 vnodes")
	daemon = FakeDaemon(build, name="requests")
	daemon.settings["log_level"] = "warning"
	daemon.start()
	client = daemon.client()
	daemon.add_image(client)
	many = {"topology": "many", "vnodes": {f"v{i}": {"image": "busybox"} for i in range(1000)}}
	say("apply of the 1,000", f"{timed(client.change, 'topology.apply', document=many):.2f} s")
	raw = Raw(daemon.path)
	line = request("vnode.list")
	quiet = [1000 * raw.ask(line) for _ in range(300)]
	booting = []
	# One bridge has no room for the control ports of these too.
	more = {"topology": "more", "vnodes": {f"w{i}": {"image": "busybox", "control": False} for i in range(50)}}
	for turn in range(6):
		job = client.call("topology.apply", document=more)["job"]
		begin = time.monotonic()
		booting += [1000 * raw.ask(line) for _ in range(50)]
		client.call("job.wait", job=job)
		client.change("topology.delete", topology="more")
	say("vnode.list, nothing else: median, 99 %", f"{statistics.median(quiet):.2f}, {percentile(quiet, .99):.2f} ms")
	say("vnode.list while 50 boot: median, 99 %", f"{statistics.median(booting):.2f}, {percentile(booting, .99):.2f} ms",
	    "wanted: 99 % under 5 ms")
	say("vnode.get, pipelined on one connection", f"{raw.flood(request('vnode.get', vnode='v500'), 60000):,.0f}/s",
	    "wanted: at least 20,000/s")
	say("host.info, pipelined on one connection", f"{raw.flood(request('host.info'), 60000):,.0f}/s")
	daemon.stop()


def switches(pid):
	total = 0
	for path in glob.glob(f"/proc/{pid}/task/*/status"):
		with open(path) as file:
			total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", file.read()))
	return total


def memory(pid):
	with open(f"/proc/{pid}/status") as file:
		text = file.read()
	return {key: int(re.search(rf"{key}:\s+(\d+)", text)[1]) for key in ("VmRSS", "RssAnon", "RssFile")}


def idle(build):
	heading(f"idle with {GUESTS} containers")
	with World(build, boot_width=8) as world:
		apply_file(world.daemon, topology(GUESTS))
		pid = world.daemon.process.pid
		select.select([], [], [], 15)		# the workers' connections close after ten idle seconds
		before, begin = switches(pid), time.monotonic()
		select.select([], [], [], 20)
		count, took = switches(pid) - before, time.monotonic() - begin
		traced = subprocess.run(["timeout", "12", "strace", "-f", "-q", "-e", "trace=!futex", "-p", str(pid)],
					capture_output=True, text=True).stderr
		calls = [line for line in traced.splitlines() if re.search(r"\) += |resumed", line)]
		used = memory(pid)
		threads = len(os.listdir(f"/proc/{pid}/task"))
	limit = 32 * 1024 + 16 * GUESTS
	say(f"context switches of all {threads} threads in {took:.0f} s", str(count), "libvirt's keep-alive: one each 5 s")
	say("system calls in 12 s", str(len(calls)))
	for call in sorted({re.sub(r"^\[pid +\d+\] ", "", line).split("(")[0] for line in calls}):
		print(f"      {call}: {sum(call in line for line in calls)}")
	say("resident memory", f"{used['VmRSS']:,} KiB", f"wanted: at most {limit:,} KiB")
	say("  of it anonymous, of files (libraries)", f"{used['RssAnon']:,}, {used['RssFile']:,} KiB")


def restart(build, rounds=5):
	heading(f"kill -9 and start again with {GUESTS} containers running")
	with World(build, boot_width=8) as world:
		apply_file(world.daemon, topology(GUESTS))
		times = []
		for _ in range(rounds):
			world.daemon.kill()
			times.append(timed(world.daemon.start))
		world.daemon.kill()
		trace = os.path.join(BASE, "spawned")
		command = world.daemon.command
		world.daemon.command = lambda: ["strace", "-f", "-qq", "-o", trace, "-e", "trace=execve,fork,vfork,clone,clone3"] + command()
		world.daemon.start()
		with open(trace) as file:
			lines = file.readlines()
		spawned = [line for line in lines[1:] if "CLONE_THREAD" not in line and "= -1" not in line and "(" in line]
		with contextlib.suppress(ProcessLookupError):
			for tracer in glob.glob("/proc/[0-9]*/comm"):
				with contextlib.suppress(OSError), open(tracer) as file:
					if file.read().strip() == "vnoded":
						os.kill(int(tracer.split("/")[2]), signal.SIGKILL)
		world.daemon.process.wait()
		world.daemon.command = command
		world.reconnect()
	say(f"start to READY=1, median of {rounds}", f"{1000 * statistics.median(times):.0f} ms", "wanted: under 300 ms")
	say("the slowest of them", f"{1000 * max(times):.0f} ms")
	say("processes spawned until READY (strace)", str(len(spawned)), "wanted: 0")
	for line in spawned[:5]:
		print("     ", line.strip()[:110])


def lateness(client, count):
	"""Milliseconds by which entries fire too late, as their events tell."""
	late = []
	while len(late) < count:
		data = client.event("lan.change")["data"]
		if data.get("what") == "schedule":
			late.append(data["late_ns"] / 1e6)
	return late


def fire(client, document, step_ms):
	"""One entry in each LAN, so far apart; each entry makes another shape than there is."""
	for i, lan in enumerate(document["lans"].values()):
		rate = lan.get("schedule", [{"shape": {"rate": "1Mbit"}}])[0]["shape"]["rate"]
		lan["schedule"] = [{"after": f"{1000 + step_ms * i}ms",
				    "shape": {"rate": "2Mbit" if rate == "1Mbit" else "1Mbit"}}]
	client.change("topology.apply", document=document)
	return lateness(client, len(document["lans"]))


def say_lateness(what, late, target=""):
	say(f"{what}: median, 99 %, worst",
	    f"{statistics.median(late):.2f}, {percentile(late, .99):.2f}, {max(late):.2f} ms", target)


def schedule(build):
	heading("schedules: how late entries fire, on the fake machine with 1,000 vnodes in 500 links")
	daemon = FakeDaemon(build, name="schedule")
	daemon.settings["log_level"] = "warning"
	daemon.start()
	client = daemon.client()
	daemon.add_image(client)
	document = topology(1000, control=False)
	client.change("topology.apply", document=document)
	client.subscribe(types=["lan.change"])
	say_lateness("one each 4 ms, nothing else", fire(client, document, 4))
	stop = threading.Event()

	def load():
		raw = Raw(daemon.path)
		while not stop.is_set():
			raw.flood(request("vnode.list"), 50)

	loaders = [threading.Thread(target=load) for _ in range(3)]
	for thread in loaders:
		thread.start()
	say_lateness("the same while three clients flood it with vnode.list", fire(client, document, 4))
	stop.set()
	for thread in loaders:
		thread.join()
	say_lateness("all 500 at one moment", fire(client, document, 0))
	daemon.stop()


def accuracy(build):
	heading("accuracy of shapes; alone it takes a quarter of an hour")
	with World(build) as world:
		bench = Bench([build.vnodectl, "--socket", world.daemon.path], world.daemon.run_dir, "busybox",
			      only=os.environ.get("ACCURACY_ONLY", ""))
		bench.run()
	if build.write:
		bench.write(os.path.join(os.path.dirname(tests), "docs/accuracy.md"))


def links(build, count=500, rounds=3):
	heading(f"{count} shaped links: the network part alone, beside ip -batch and tc -batch, {rounds} rounds")
	program = os.path.join(build.folder, "tests/host/bench_net")
	env = dict(os.environ, VNODED_LIBEXEC=os.path.join(build.folder, "backends/libvirt/vnode-helper"))
	found = {}
	for _ in range(rounds):
		done = subprocess.run([program, str(count)], capture_output=True, text=True, env=env, timeout=600)
		if done.returncode:
			raise RuntimeError(done.stdout + done.stderr)
		for what, wall, used in re.findall(r"^(.+?) +(\d+) ms +(\d+) ms of a processor$", done.stdout, re.M):
			found.setdefault(what, []).append((int(wall), int(used)))
	middle = {what: tuple(statistics.median(part) for part in zip(*values)) for what, values in found.items()}
	for what, (wall, used) in middle.items():
		say(what, f"{wall:.0f} ms", f"{used:.0f} ms of a processor")
	ours, theirs = middle["vnoded, one thread: up"], middle["ip -batch and tc -batch: up, whole"]
	say("up: ratio of the medians, of the processor's time", f"{ours[0] / theirs[0]:.2f}, {ours[1] / theirs[1]:.2f}", "wanted: at most 1")
	ours, theirs = middle["vnoded, one thread: down, until nothing is left"], middle["ip -batch: down, until nothing is left"]
	say("down: ratio of the medians, of the processor's time", f"{ours[0] / theirs[0]:.2f}, {ours[1] / theirs[1]:.2f}", "wanted: at most 1")
	spawned(program, count, env)


def spawned(program, count, env):
	"""What the net backend starts while it does all that: vnode-helper makes namespaces, and nothing else."""
	with tempfile.NamedTemporaryFile("r") as trace:
		subprocess.run(["strace", "-f", "-qq", "-o", trace.name, "-e", "trace=execve,prctl", program, str(count), "ours"],
			       capture_output=True, env=env, timeout=600, check=True)
		ours = re.search(r'"ours begins".*?"ours ends"', trace.read(), re.S)[0]
	programs = [os.path.basename(path) for path in re.findall(r'execve\("([^"]+)".* = 0$', ours, re.M)]
	say("programs started meanwhile", str(len(programs)), f"wanted: only vnode-helper, once; {' '.join(programs)}")


def verify(build, rounds=5):
	heading("verify of 500 shaped links: 1,000 ports in 1,000 namespaces, the backend alone")
	program = os.path.join(build.folder, "tests/host/bench_verify")
	done = subprocess.run([program, "500", str(rounds)], capture_output=True, text=True, timeout=600,
			      env=dict(os.environ, VNODED_LIBEXEC=build.libexec))
	if done.returncode:
		raise RuntimeError(done.stdout + done.stderr)
	times = {what: [float(ms) for ms in re.findall(rf"^{what} ([\d.]+) ms", done.stdout, re.M)] for what in ("fabric", "all")}
	used = [float(ms) for ms in re.findall(r"^all .*processors ([\d.]+) ms", done.stdout, re.M)]
	say(f"everything: median of {rounds}", f"{statistics.median(times['all']):.0f} ms", "wanted: under 500 ms")
	say("everything: the slowest", f"{max(times['all']):.0f} ms")
	say("everything: time of the processors, which load stretches little", f"{statistics.median(used):.0f} ms")
	say("the fabric alone, as after a foreign change: median", f"{statistics.median(times['fabric']):.0f} ms")
	heading(f"host.verify with {GUESTS} containers in shaped links")
	with World(build, boot_width=8) as world:
		document = topology(GUESTS)
		for lan in document["lans"].values():
			lan["shape"] = {"rate": "10Mbit"}
		apply_file(world.daemon, document)
		took = [timed(world.client.call, "host.verify") for _ in range(20)]
		answer = world.client.call("host.verify")
		assert not answer["differences"], answer["differences"]
	say("the call: median, slowest of 20", f"{1000 * statistics.median(took):.0f}, {1000 * max(took):.0f} ms")
	say("looked at", " ".join(f"{count} {what}" for what, count in answer["checked"].items() if count))


PARTS = {"requests": requests, "schedule": schedule, "restart": restart, "idle": idle, "exits": exits, "bring_up": bring_up,
	 "images": lambda build: images(build, heading, say), "accuracy": accuracy, "links": links, "verify": verify}


def main():
	parser = argparse.ArgumentParser(description=__doc__)
	parser.add_argument("--build", required=True)
	parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
	parser.add_argument("--write", action="store_true", help="accuracy: put the table into docs/accuracy.md")
	options = parser.parse_args()
	os.makedirs(BASE)
	# On a real disk, which commits have to reach.
	with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="vnoded-bench-") as folder:
		subprocess.run(["mount", "--bind", folder, BASE], check=True)
		build = Build(os.path.abspath(options.build), os.path.dirname(tests))
		build.write = options.write
		print(f"{os.cpu_count()} processors, Linux {os.uname().release}")
		for name in options.parts or PARTS:
			PARTS[name](build)
		subprocess.run(["umount", "-l", BASE], check=True)


if __name__ == "__main__":
	main()
