"""A guest that wants out, with all of its capabilities."""
import subprocess

from lab.client import PATIENCE
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
