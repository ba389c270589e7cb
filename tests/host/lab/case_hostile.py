"""A guest that wants out, or to be another, with all of its capabilities."""
import json
import subprocess

from lab import frames
from lab.client import PATIENCE
from lab.frames import STRANGER, Listener, arp, ether, icmp6, ip4, ip6, tagged
from lab.world import World, fabric, inits_of, ping, run, star

# RTM_GETLINK as a dump and RTM_DELLINK with IFLA_TARGET_NETNSID for each id; prints what was achieved.
FABRIC_ATTACK = """
import os, socket, struct
def ask(kind, flags, nsid, index=0):
	s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
	s.settimeout(2)
	body = struct.pack("BxHiII", 0, 0, index, 0, 0) + struct.pack("HHi", 8, 46, nsid)
	s.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
	data = s.recv(65536)
	length, answer = struct.unpack_from("IH", data)
	if answer == 2:
		return struct.unpack_from("i", data, 16)[0]
	return answer
for nsid in range(-1, 8):
	for what, got in (("list", ask(18, 0x301, nsid)), ("delete", ask(17, 5, nsid, 2))):
		if nsid >= 0 and got in (0, 16):
			print(what, nsid, got)
print("tried")
"""

# Each must fail inside.
MUST_FAIL = [
	"echo evil > /proc/sys/kernel/core_pattern",
	"mount -o remount,rw /proc/sys && echo evil > /proc/sys/kernel/core_pattern",
	"mkdir -p /tmp/p && mount -t proc proc /tmp/p && echo evil > /tmp/p/sys/kernel/core_pattern",
	"echo 1 > /proc/sys/vm/drop_caches",
	"echo 0 > /proc/sys/kernel/pid_max",
	"echo b > /proc/sysrq-trigger",
	"mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk",
	"mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem",
	"mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg",
	"mount -t debugfs none /mnt",
	"mount -t securityfs none /mnt",
	"mount -t ext4 /dev/sda /mnt",
	"mount -o remount,rw /sys && echo evil > /sys/kernel/uevent_helper",
	"date -s 2001-01-01; test $(date +%Y) = 2001",
	"dmesg -n 1",
	"swapoff -a && swapon /etc/hostname",
	"insmod /etc/hostname",
	"echo -1000 > /proc/1/oom_score_adj",
	"ls /run/lab || ls /proc/1/root/run/lab",
	"nsenter -t 1 -m ls /run/lab",
	"chroot /proc/1/root ls /run/lab",
	"cat /proc/kcore | head -c 1 | grep .",
	"for f in $(find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max); do echo 999999999 > $f && exit 0; done; exit 1",
	"mkdir -p /tmp/c && mount -t cgroup -o memory none /tmp/c && echo 999999999 > /tmp/c/memory.limit_in_bytes",
	"mkdir -p /tmp/d && mount -t cgroup -o devices none /tmp/d && echo a > /tmp/d/devices.allow",
	"mkdir -p /tmp/r && mount -t cgroup -o memory none /tmp/r && echo /bin/evil > /tmp/r/release_agent",
]


def host_state(w):
	def text(path):
		with open(path) as file:
			return file.read()

	return {"core_pattern": text("/proc/sys/kernel/core_pattern"), "hostname": text("/proc/sys/kernel/hostname"),
		"pid_max": text("/proc/sys/kernel/pid_max"), "links": sorted(run("ip", "-br", "link").split("\n")),
		"fabric": sorted(line.split()[0] for line in fabric(w.daemon, "ip", "-br", "link").splitlines())}


def check_view(client, vnode):
	"""Only its own processes are there to be seen."""
	names = client.output(vnode, "cat /proc/[0-9]*/comm").split()
	foreign = [name for name in names if name in ("vnoded", "libvirtd", "libvirt_lxc", "python3", "vnode-helper")]
	assert not foreign and len(names) < 20, names
	devices = set(client.output(vnode, "ls /dev").split())
	known = {"console", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
		 "urandom", "zero", "mqueue", "core"}
	assert devices <= known, devices - known


def case_hostile_guest(build):
	with World(build) as w:
		c = w.client
		c.change("topology.apply", document=star(3))
		before = host_state(w)
		inits = inits_of(c, ["n1", "n2", "n3"])
		achieved = [script for script in MUST_FAIL if c.shell("n1", script).status == 0]
		assert not achieved, f"a guest could: {achieved}"
		check_view(c, "n1")
		c.run("n1", "hostname", "evil")
		c.run("n1", "kill", "-9", "-1")
		attack = subprocess.run(["nsenter", "-t", str(inits["n1"]), "-U", "-n", "python3", "-c", FABRIC_ATTACK],
					capture_output=True, text=True, timeout=PATIENCE)
		assert attack.stdout == "tried\n", attack
		with open(f"/proc/{inits['n1']}/uid_map") as file:
			assert file.read().split()[1] != "0"
		assert host_state(w) == before
		assert ping(c, "n2", "10.2.0.3", 3)
		assert inits_of(c, ["n2", "n3"]) == {name: inits[name] for name in ("n2", "n3")}


def case_privileged_guest(build):
	"""An admin's choice: more inside, and still not the machine's processes, devices, or sysctls by plain writing."""
	with World(build) as w:
		c = w.client
		document = star(2)
		document["vnodes"]["n1"]["privileged"] = True
		c.change("topology.apply", document=document)
		before = host_state(w)
		scripts = ["echo evil > /proc/sys/kernel/core_pattern", "echo b > /proc/sysrq-trigger",
			   "ls /run/lab || ls /proc/1/root/run/lab", "mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk",
			   "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem"]
		achieved = [script for script in scripts if c.shell("n1", script).status == 0]
		assert not achieved, f"a privileged guest could: {achieved}"
		check_view(c, "n1")
		assert host_state(w) == before
		assert ping(c, "n1", "10.2.0.2", 3)


# ---- on the control network ----

class Party:
	"""What a guest has on the control network."""

	def __init__(self, c, name, pid):
		self.pid = pid
		row = next(row for row in c.call("vnode.get", vnode=name)["interfaces"] if row["name"] == "eth0")
		self.mac = row["mac"]
		self.ip4, self.ip6 = (address.split("/")[0] for address in row["addresses"])
		self.link_local = frames.link_local(self.mac)


def gateway_of(c, name):
	"""(IPv4, IPv6, MAC) as the guest sees them."""
	ip = c.output(name, "ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'")
	ip_6 = c.output(name, "ip -6 route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'")
	assert ping(c, name, ip) and ping(c, name, ip_6)
	return ip, ip_6, c.output(name, f"ip neigh show {ip} dev eth0 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/'")


def lies(me, other, gateway):
	"""Frames that a guest must not be able to send to anyone, by name."""
	ip, ip_6, gateway_mac = gateway
	truth = ip4(me.mac, me.ip4)
	return {
		"IPv4 with another MAC": ip4(STRANGER, me.ip4),
		"IPv4 as the neighbour": ip4(other.mac, other.ip4),
		"IPv4 with the neighbour's address": ip4(me.mac, other.ip4),
		"IPv4 with the gateway's address": ip4(me.mac, ip),
		"IPv4 with a foreign address": ip4(me.mac, "203.0.113.1"),
		"ARP: I am the gateway": arp(me.mac, 2, me.mac, ip, other.ip4),
		"ARP: I am the gateway, with its MAC": arp(gateway_mac, 2, gateway_mac, ip, other.ip4),
		"ARP: I am the neighbour": arp(me.mac, 2, me.mac, other.ip4, ip),
		"ARP: the neighbour asks": arp(me.mac, 1, me.mac, other.ip4, ip),
		"ARP: I am elsewhere": arp(me.mac, 2, STRANGER, me.ip4, other.ip4),
		"IPv6 with the neighbour's address": icmp6(me.mac, other.ip6, 128),
		"IPv6 with the neighbour's link-local address": icmp6(me.mac, other.link_local, 128),
		"IPv6 with the gateway's address": icmp6(me.mac, ip_6, 128),
		"IPv6 with the gateway's link-local address": icmp6(me.mac, "fe80::1", 134),
		"ND: I am the gateway": icmp6(me.mac, me.ip6, 136, ip_6),
		"ND: I am the neighbour": icmp6(me.mac, me.link_local, 136, other.ip6),
		"router advertisement": icmp6(me.mac, me.link_local, 134),
		"router advertisement behind options": ip6(me.mac, me.link_local, 0, bytes([58, 0, 1, 4, 0, 0, 0, 0, 134, 0, 0, 0, 0, 0, 0, 0])),
		"redirect": icmp6(me.mac, me.link_local, 137, other.ip6),
		"DHCP server": ip4(me.mac, me.ip4, (67, 68)),
		"DHCPv6 server": ip6(me.mac, me.link_local, 17, bytes([2, 35, 2, 34, 0, 60, 0, 0])),
		"VLAN": tagged(truth, 0x8100, 5),
		"VLAN 0": tagged(truth, 0x8100, 0),
		"VLAN of a provider": tagged(truth, 0x88a8, 5),
		"another protocol": ether(me.mac, 0x88b5),
		"PPPoE": ether(me.mac, 0x8863),
		"LACP as the neighbour": ether(other.mac, 0x8809, to="01:80:c2:00:00:02"),
	}


def truths(me):
	return {"IPv4": ip4(me.mac, me.ip4), "ARP": arp(me.mac, 1, me.mac, me.ip4, me.ip4), "IPv6": icmp6(me.mac, me.ip6, 128),
		"IPv6 on the link": icmp6(me.mac, me.link_local, 128), "ND": icmp6(me.mac, me.ip6, 136, me.ip6)}


def seen_by(listeners, me, sent):
	"""What each listener sees of the frames; the last one is honest and ends the list."""
	frames.send(me.pid, "eth0", {**sent, "end": ip4(me.mac, me.ip4)})
	return [one.seen() for one in listeners]


def case_hostile_guest_on_the_control_network(build):
	"""Lies reach neither the neighbour nor the gateway; what is true does; whatever a guest configures."""
	with World(build) as w:
		c = w.client
		c.change("topology.apply", document=star(2))
		pids = inits_of(c, ["n1", "n2"])
		me, other = (Party(c, name, pids[name]) for name in ("n1", "n2"))
		gateway = gateway_of(c, "n2")
		gateway_of(c, "n1")
		uplink = next(name for name in run("ls", "/sys/class/net").split() if name.startswith("vnc"))
		ends = (other.pid, "eth0"), (None, uplink)

		assert seen_by([Listener(*end) for end in ends], me, lies(me, other, gateway)) == [set(), set()]
		assert seen_by([Listener(*end) for end in ends], me, truths(me)) == [set(truths(me))] * 2

		before = c.output("n2", "ip neigh; ip -6 route | grep default")
		script = (f"ip addr add {gateway[0]}/16 dev eth0; ip addr add {other.ip4}/16 dev eth0; "
			  f"ip addr add {gateway[1]}/64 dev eth0; for i in 1 2 3; do arping -c 1 -w 1 -U -I eth0 -s {gateway[0]} {gateway[0]}; "
			  f"arping -c 1 -w 1 -A -I eth0 -s {other.ip4} {other.ip4}; done")
		c.shell("n1", script)
		assert gateway_of(c, "n2") == gateway, "the neighbour believes in another gateway"
		assert before.splitlines()[-1] == c.output("n2", "ip neigh; ip -6 route | grep default").splitlines()[-1]
		assert ping(c, "n2", gateway[0], 3) and ping(c, "n2", gateway[1], 3)

		c.output("n1", f"ip addr del {gateway[0]}/16 dev eth0; ip addr del {other.ip4}/16 dev eth0")
		assert ping(c, "n1", gateway[0], 3)
		c.output("n1", f"ip link set eth0 address {STRANGER}")
		assert not ping(c, "n1", gateway[0]), "another MAC passes"
		w.restart()
		assert not ping(w.client, "n1", gateway[0]), "another MAC passes after a restart of vnoded"
		w.client.change("vnode.reboot", vnode="n1")
		assert ping(w.client, "n1", gateway[0], 3), "a boot mends what the guest had done to itself"
		assert ping(w.client, "n2", me.ip4, 3)


def case_isolated_vnodes(build):
	"""control_isolation: to the host and through forwards, not to each other; a privileged one neither; and back."""
	document = star(3)
	document["vnodes"]["n2"]["forwards"] = [{"host": 2277, "guest": 77}]
	document["vnodes"]["n3"]["privileged"] = True
	with World(build, control_isolation="yes") as w:
		c = w.client
		c.change("topology.apply", document=document)
		gateway = gateway_of(c, "n1")[0]
		theirs = [row["addresses"][0].split("/")[0] for row in c.call("vnode.get", vnode="n2")["interfaces"]
			  if row["name"] == "eth0"][0]
		for name in "n1", "n3":
			assert not ping(c, name, theirs), f"{name} reaches n2"
			c.output(name, f"ip route add {theirs}/32 via {gateway}")
			assert not ping(c, name, theirs), f"{name} reaches n2 through the host"
			assert ping(c, name, gateway, 3) and ping(c, name, "10.2.0.2", 3)
		c.output("n2", "(nc -l -p 77 -e echo hello >/dev/null 2>&1 &) </dev/null; sleep 0; until netstat -ltn | grep -q :77; do :; done")
		assert c.output("n1", f"nc -w 5 {gateway} 2277 </dev/null") == "hello"
		w.daemon.settings["control_isolation"] = "no"
		w.restart()
		c = w.client
		for name in "n1", "n3":
			c.output(name, f"ip route del {theirs}/32 via {gateway}")
			assert ping(c, name, theirs, 3), f"{name} does not reach n2"


# ---- around a shape ----

# Sends many frames in each way that might get around a queue; argv: interface, MAC of the other.
FLOOD = """
import socket, sys, threading
to = bytes.fromhex(sys.argv[2].replace(":", ""))
def flood(kind, priority, bypass, size):
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
	s.setsockopt(263, 20, bypass)
	s.bind((sys.argv[1], 0))
	own = s.getsockname()[4]
	for _ in range(400):
		try:
			s.send(to + own + kind + bytes(size))
		except OSError:
			pass
ways = [(bytes.fromhex(kind), priority, bypass, size) for kind in ("88b5", "0800", "86dd", "81000005" "88b5", "0806")
	for priority, bypass, size in ((0, 0, 1400), (6, 1, 1400), (7, 0, 200))]
threads = [threading.Thread(target=flood, args=way) for way in ways]
for thread in threads:
	thread.start()
for thread in threads:
	thread.join()
"""


def passed(w, device):
	"""(bytes, dropped) of the rate-limiting queue of a device."""
	rows = json.loads(fabric(w.daemon, "tc", "-s", "-j", "qdisc", "show", "dev", device))
	row = next(row for row in rows if row["kind"] == "tbf")
	return row["bytes"], row["drops"]


def received(w, device):
	"""Bytes that the fabric gave to the guest behind a port."""
	return json.loads(fabric(w.daemon, "ip", "-s", "-j", "link", "show", device))[0]["stats64"]["tx"]["bytes"]


def case_no_way_around_a_shape(build):
	"""Many flows, other protocols, tags, priorities, the guest's own queues: what arrives has been through the queue."""
	with World(build) as w:
		document = star(3)
		document["lans"]["campus"]["members"]["n1"]["shape"] = {"to": {"rate": "2Mbit", "limit": "32KiB"}}
		c = w.client
		c.change("topology.apply", document=document)
		rows = {row["vnode"]: row for row in c.call("lan.get", lan="campus")["members"]}
		queue, target = "i" + rows["n1"]["device"][1:], rows["n2"]["device"]
		pid = inits_of(c, ["n1"])["n1"]
		interface = rows["n1"]["interface"]
		c.shell("n1", f"ip link set {interface} txqueuelen 100000; ip link set {interface} mtu 9000; ip link set {interface} mtu 1500; "
			      f"tc qdisc replace dev {interface} root noqueue; tc qdisc add dev {interface} clsact")
		assert ping(c, "n1", "10.2.0.2", 3)
		before, arrived = passed(w, queue), received(w, target)
		done = subprocess.run([*frames.enter(pid), "python3", "-c", FLOOD, interface, rows["n2"]["mac"]], capture_output=True,
				      text=True, timeout=PATIENCE)
		assert done.returncode == 0, done.stderr
		after = passed(w, queue)
		assert after[1] > before[1] + 1000, f"nothing was too much for the queue: {before} {after}"
		# What the queue still holds comes later, so what has come is no more than what it let out.
		arrived = received(w, target) - arrived
		let_out = passed(w, queue)[0] - before[0]
		assert 0 < arrived <= let_out + 4096, f"{arrived} bytes arrived, {let_out} went through the queue"
