"""The lab as a person uses it: an image over http, links, a LAN, names, forwards, changes."""
import copy
import json
import os
import subprocess

from lab import world
from lab.world import World, fabric, inits_of, ping, ring, run, web

OUTSIDE = "lab-outside"


def add_over_http(w):
	with web(world.BASE) as port:
		w.client.change("image.add", name="busybox", sha256=w.daemon.build.sha256,
				url=f"http://127.0.0.1:{port}/busybox.tar.gz")


def check_pings(client, document):
	"""Along every LAN, from each member to the next, over every address."""
	waits = {}
	for lan, row in document["lans"].items():
		members = list(row["members"].items())
		for at, (name, _) in enumerate(members):
			addresses = members[(at + 1) % len(members)][1]["address"]
			for address in [addresses] if isinstance(addresses, str) else addresses:
				address = address.split("/")[0]
				id = client.send("vnode.exec", {"vnode": name, "stdio": "capture",
						 "argv": ["ping", "-c", "1", "-W", "10", address]})
				waits[id] = f"{lan}: {name} to {address}"
	for id, what in waits.items():
		assert client.wait(id)["exit_code"] == 0, f"no ping {what}"
	return len(waits)


def case_ring_of_five(build):
	with World(build, image=False) as w:
		c = w.client
		add_over_http(w)
		document = ring(5)
		document["domain"] = "lab.test"
		document["lans"]["l1"]["mtu"] = 1400
		c.change("topology.apply", document=document)
		assert all(row["observed"] == "running" for row in c.list().values()), c.list()
		assert check_pings(c, document) == 2 * (5 * 2 + 5)
		for i in range(1, 6):
			assert c.output(f"n{i}", "hostname") == f"n{i}"
			assert c.output(f"n{i}", "cat /etc/hostname") == f"n{i}"
		assert ping(c, "n1", "n2") and ping(c, "n1", "n2.lab.test"), c.output("n1", "cat /etc/hosts")
		names = c.output("n3", "ls /sys/class/net").split()
		assert sorted(names) == ["campus", "eth0", "eth1", "eth2", "lo"], names
		interfaces = {i["lan"]: i["name"] for i in c.call("vnode.get", vnode="n1")["interfaces"]}
		assert c.output("n1", f"cat /sys/class/net/{interfaces['l1']}/mtu") == "1400"
		assert c.output("n1", f"cat /sys/class/net/{interfaces['campus']}/mtu") == "1500"
		assert c.run("n1", "ping", "-c", "1", "-W", "10", "198.18.0.1").status == 0, "no gateway"


def case_carrier(build):
	with World(build) as w:
		c = w.client
		document = ring(3)
		c.change("topology.apply", document=document)
		before = inits_of(c, ["n1", "n2", "n3"])
		assert ping(c, "n1", "10.2.0.2", 10)
		c.change("lan.down", lan="campus")
		assert not ping(c, "n1", "10.2.0.2"), "a LAN that is down carries"
		assert ping(c, "n1", "10.1.1.2"), "another LAN went down with it"
		assert c.call("lan.get", lan="campus")["up"] is False
		c.change("lan.up", lan="campus")
		assert ping(c, "n1", "10.2.0.2", 10)
		c.change("lan.down", lan="campus", member="n2")
		assert not ping(c, "n1", "10.2.0.2") and ping(c, "n1", "10.2.0.3")
		w.restart()
		c = w.client
		assert not ping(c, "n1", "10.2.0.2") and ping(c, "n1", "10.2.0.3"), "lost with a restart"
		c.change("lan.up", lan="campus", member="n2")
		assert ping(c, "n1", "10.2.0.2", 10)
		assert inits_of(c, ["n1", "n2", "n3"]) == before


def case_changes(build):
	"""Live changes, a restart, export and apply again: only the difference is done."""
	with World(build) as w:
		c = w.client
		document = ring(3)
		c.change("topology.apply", document=document)
		before = inits_of(c, ["n1", "n2", "n3"])
		assert c.call("topology.plan", document=document)["actions"] == []
		exported = c.call("topology.export", topology="ring")
		assert c.call("topology.plan", document=exported)["actions"] == [], exported
		c.change("topology.apply", document=exported, prune=True)
		assert inits_of(c, ["n1", "n2", "n3"]) == before

		c.change("vnode.set", vnode="n1", set={"memory": "48MiB"})
		assert c.call("vnode.get", vnode="n1")["memory_bytes"] == 48 << 20
		assert inits_of(c, ["n1"])["n1"] == before["n1"]
		assert str(48 << 20) in memory_limits(before["n1"]), memory_limits(before["n1"])
		refusal = c.refused("vnode.set", vnode="n1", set={"vcpus": 1}, wait=True)
		assert refusal.code in ("state", "invalid", "denied"), refusal
		c.change("vnode.set", vnode="n1", set={"vcpus": 1}, restart=True)
		after = inits_of(c, ["n1", "n2", "n3"])
		assert after["n1"] != before["n1"] and after["n2"] == before["n2"]
		assert check_pings(c, document) == 2 * (3 * 2 + 3)

		changed = copy.deepcopy(document)
		changed["vnodes"]["n1"].update(memory="48MiB", vcpus=1)
		del changed["vnodes"]["n3"], changed["lans"]["l2"], changed["lans"]["l3"]
		del changed["lans"]["campus"]["members"]["n3"]
		changed["vnodes"]["n4"] = {"image": "busybox"}
		changed["lans"]["campus"]["members"]["n4"] = {"address": "10.2.0.4/24", "interface": "campus"}
		c.change("topology.apply", document=changed, prune=True)
		assert set(c.list()) == {"ring/n1", "ring/n2", "ring/n4"}
		assert c.call("topology.plan", document=changed, prune=True)["actions"] == []
		assert ping(c, "n4", "10.2.0.1") and ping(c, "n1", "10.1.1.2")


def memory_limits(pid):
	"""What the cgroups above a process say, of either version."""
	found = []
	with open(f"/proc/{pid}/cgroup") as file:
		for line in file:
			_, controllers, path = line.strip().split(":", 2)
			while path not in ("", "/"):
				for name in (f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes",
					     f"/sys/fs/cgroup{path}/memory.max"):
					if os.path.exists(name):
						with open(name) as limit:
							found.append(limit.read().strip())
				path = os.path.dirname(path)
	return found


def outside():
	"""A second machine: a namespace with a veth to the host."""
	run("ip", "netns", "add", OUTSIDE)
	run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1", "netns", OUTSIDE)
	run("ip", "addr", "add", "192.0.2.1/24", "dev", "out0")
	run("ip", "addr", "add", "2001:db8::1/64", "dev", "out0", "nodad")
	run("ip", "link", "set", "out0", "up")
	for words in ("addr add 192.0.2.2/24 dev out1", "addr add 2001:db8::2/64 dev out1 nodad",
		      "link set out1 up", "link set lo up", "route add default via 192.0.2.1"):
		run("ip", "-n", OUTSIDE, *words.split())


def fetch_tcp(address, port, netns=None):
	code = ("import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);"
		"print(s.makefile().readline().strip())")
	return talk(code, address, port, netns)


def fetch_udp(address, port, netns=None):
	code = ("import socket,sys; a=sys.argv[1]; s=socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET,"
		"socket.SOCK_DGRAM); s.settimeout(5); s.connect((a,int(sys.argv[2]))); s.send(b'x\\n');"
		"print(s.recv(99).decode().strip())")
	return talk(code, address, port, netns)


def talk(code, address, port, netns):
	words = ["python3", "-c", code, address, str(port)]
	if netns:
		words = ["ip", "netns", "exec", netns, *words]
	done = subprocess.run(words, capture_output=True, text=True)
	return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


SERVER = """
import select, socket
kinds = {}
for port, kind in (80, socket.SOCK_STREAM), (53, socket.SOCK_DGRAM):
	s = socket.socket(socket.AF_INET6, kind)
	s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
	s.bind(("::", port))
	if kind == socket.SOCK_STREAM: s.listen()
	kinds[s] = kind
print("ready", flush=True)
while True:
	for s in select.select(list(kinds), [], [])[0]:
		if kinds[s] == socket.SOCK_STREAM:
			connection, _ = s.accept()
			connection.sendall(b"tcp-answer\\n")
			connection.close()
		else:
			_, peer = s.recvfrom(99)
			s.sendto(b"udp-answer\\n", peer)
"""


def serve(init):
	"""A program in a vnode's network that answers TCP on 80 and UDP on 53; returns when it listens."""
	server = subprocess.Popen(["nsenter", "-t", str(init), "-U", "-n", "python3", "-c", SERVER],
				  stdout=subprocess.PIPE)
	assert server.stdout.readline() == b"ready\n"
	return server


def case_forwards(build):
	"""TCP and UDP, from the host, its loopback, and another machine, over both families."""
	served = []
	outside()
	try:
		with World(build) as w:
			c = w.client
			forwards = [{"host": 2201, "guest": 80}, {"host": 2202, "guest": 53, "protocol": "udp"}]
			c.change("topology.apply", document={"topology": "f", "vnodes": {
				"web": {"image": "busybox", "forwards": forwards}, "other": {"image": "busybox"}}})
			init = inits_of(c, ["web"])["web"]
			served.append(serve(init))
			places = [("127.0.0.1", None), ("192.0.2.1", None), ("192.0.2.1", OUTSIDE),
				  ("2001:db8::1", OUTSIDE), ("2001:db8::1", None), ("198.18.0.1", None)]
			wrong = [f"{kind} {address} from {netns or 'the host'}: {got}"
				 for address, netns in places
				 for kind, got, want in (("tcp", fetch_tcp(address, 2201, netns), "tcp-answer"),
							 ("udp", fetch_udp(address, 2202, netns), "udp-answer"))
				 if got != want]
			assert not wrong, wrong
			# Nobody can be led from ::1; a client that tries it first must fall back at once.
			refused = fetch_tcp("::1", 2201)
			assert "ConnectionRefused" in refused, refused
			c.change("vnode.halt", vnode="web")
			assert fetch_tcp("192.0.2.1", 2201, OUTSIDE) != "tcp-answer"
			again = c.refused("vnode.create", name="thief", image="busybox", wait=True,
					  forwards=[{"host": 2201, "guest": 80}])
			assert again.code == "exists", again
			w.restart()
	finally:
		for server in served:
			server.kill()
			server.wait()
		run("ip", "netns", "del", OUTSIDE)
