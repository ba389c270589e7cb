"""Types of disks in whole vnodes: on a file system that clones, and where that cannot be."""
import contextlib
import os
import subprocess

from lab.world import BASE, World, run


@contextlib.contextmanager
def state_on(kind):
	"""A file system of that kind where the next world keeps its state."""
	image, place = os.path.join(BASE, f"{kind}.fs"), os.path.join(BASE, "vnoded/state")
	with open(image, "wb") as file:
		file.truncate(600 << 20)
	run(f"mkfs.{kind}", image)
	os.makedirs(place, exist_ok=True)
	run("mount", "-o", "loop", image, place)
	try:
		yield place
	finally:
		subprocess.run(["umount", place], capture_output=True)	# a failed case has done so
		os.unlink(image)


def document(**fields):
	return {"topology": "t", "vnodes": {"n1": {"image": "busybox", **fields}}}


def case_reflink(build):
	"""A clone boots, keeps what is written over restarts of guest and daemon, and is fresh after a reload."""
	for kind in "btrfs", "xfs":
		with state_on(kind) as state, World(build, disk="reflink") as w:
			c = w.client
			assert "disk:reflink" in c.call("host.info")["features"]
			c.change("topology.apply", document=document())
			assert c.call("vnode.get", vnode="n1")["disk"]["type"] == "reflink"
			vmid = c.call("vnode.get", vnode="n1")["vmid"]
			assert c.output("n1", "stat -f -c %T /; stat -c %u:%g /etc").split()[-1] == "0:0"
			assert "overlay" not in c.output("n1", "grep ' / / ' /proc/self/mountinfo || grep ' / ' /proc/mounts")
			c.output("n1", "echo mine >/etc/mine; sync")
			w.restart()
			c = w.client
			c.change("vnode.reboot", vnode="n1")
			assert c.output("n1", "cat /etc/mine").strip() == "mine"
			assert os.stat(f"{state}/disks/{vmid}/root/etc/mine").st_uid == 0
			assert c.call("host.verify")["differences"] == []
			c.change("vnode.reload", vnode="n1")
			assert c.output("n1", "ls /etc/mine 2>/dev/null || echo none").strip() == "none"
			changed = document(disk={"type": "overlay"})
			assert c.refused("topology.apply", document=changed).path == "/document/vnodes/n1/disk"
			c.change("topology.apply", document=changed, allow_recreate=True)
			assert not os.path.exists(f"{state}/disks/{vmid}/root")
			assert c.output("n1", "echo runs").strip() == "runs"
			c.change("topology.delete", topology="t")
			assert os.listdir(f"{state}/disks") == [] and os.listdir(f"{state}/trash") == []


def case_no_reflink(build):
	"""Where the file system cannot clone: no feature, and a refusal that names field and cure."""
	with World(build) as w:
		assert "disk:reflink" not in w.client.call("host.info")["features"]
		refusal = w.client.refused("topology.plan", document=document(disk={"type": "reflink"}))
		assert refusal.code == "unsupported", refusal
		assert refusal.path == "/document/vnodes/n1/disk/type" and "btrfs" in refusal.text, refusal
