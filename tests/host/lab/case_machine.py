"""The machine around vnoded: two of it side by side, nothing spawned, nothing left behind."""
import contextlib
import os
import re
import signal
import subprocess

from lab.client import PATIENCE
from lab.world import World, difference, eventually, inits_of, ping, star, things


def case_two_instances(build):
	with World(build) as w:
		w.client.change("topology.apply", document=star(2))
		inits = inits_of(w.client, ["n1", "n2"])
		with World(build, name="second", fabric="vnoded-second", nft_table="vnoded-second",
			   control_network="198.19.0.0/16") as other:
			other.client.change("topology.apply", document=star(2))
			assert ping(other.client, "n1", "10.2.0.2", 3) and ping(w.client, "n1", "10.2.0.2", 3)
			seen = things()
			w.restart()
			other.restart()
			for one in w, other:
				assert len(one.client.list()) == 2 and ping(one.client, "n1", "10.2.0.2", 3)
			assert not [name for name in difference(seen, things()) if name != "processes"]
		assert inits_of(w.client, ["n1", "n2"]) == inits and ping(w.client, "n1", "10.2.0.2", 3)


def follow(pid, path):
	"""strace on a process and its threads; returns when it is attached."""
	tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", path, "-p", str(pid),
				   "-e", "trace=execve,execveat,fork,vfork,clone,clone3"], stderr=subprocess.DEVNULL)
	while not is_traced(pid):
		assert tracer.poll() is None, "strace does not follow"
	return tracer


def is_traced(pid):
	for thread in os.listdir(f"/proc/{pid}/task"):
		with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{thread}/status") as file:
			if re.search(r"^TracerPid:\s+0$", file.read(), re.M):
				return False
	return True


def case_nothing_spawned(build):
	with World(build) as w:
		path = os.path.join(w.daemon.folder, "calls")
		tracer = follow(w.daemon.process.pid, path)
		document = star(10)
		document["vnodes"]["n1"]["forwards"] = [{"host": 2201, "guest": 80}]
		w.client.change("topology.apply", document=document)
		w.client.change("lan.down", lan="campus")
		w.client.change("topology.delete", topology="star")
		threads = set(os.listdir(f"/proc/{w.daemon.process.pid}/task"))
		tracer.send_signal(signal.SIGINT)
		tracer.wait(PATIENCE)
		with open(path) as file:
			calls = file.read().splitlines()
		programs = [line for line in calls if "exec" in line and "resumed" not in line]
		assert all("vnode-helper" in line for line in programs), programs
		assert len(programs) <= 1, programs
		made = [line for line in calls if re.search(r"\b(v?fork|clone3?)\(", line) and "CLONE_THREAD" not in line
			and line.split()[0] in threads]
		assert len(made) <= 1, made


def case_nothing_left(build):
	"""Twenty lives of a vnode: as many descriptors as before, and nothing of the machine's more."""
	with World(build) as w:
		c = w.client
		document = star(2)

		def live():
			c.change("topology.apply", document=document)
			c.shell("n1", "true")
			c.call("vnode.console", vnode="n1")
			os.close(c.fds.pop())
			c.change("vnode.reboot", vnode="n2")
			c.change("topology.delete", topology="star")

		live()
		fds, machine = descriptors(w), things()
		for _ in range(20):
			live()
		assert eventually(lambda: descriptors(w) == fds), difference(fds, descriptors(w))
		left = difference(machine, things())
		assert not left, left
		assert c.call("job.list")["jobs"] == []


def descriptors(w):
	"""What vnoded has open by kind, but connections to libvirtd, which come and go with the work."""
	found = []
	for fd in w.daemon.fds():
		try:
			name = os.readlink(f"/proc/{w.daemon.process.pid}/fd/{fd}")
		except FileNotFoundError:
			continue
		found.append(re.sub(r"\[?\d+\]?", "", name))
	kinds = {name: found.count(name) for name in set(found)}
	for name in "socket:", "anon_inode:[eventfd]":
		kinds.pop(name, None)
	return kinds
