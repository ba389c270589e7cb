"""Types of disks in whole vnodes: on a file system that clones, and where that cannot be."""
import contextlib
import json
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


def loops(state):
	"""Loop devices whose files are on that file system: every other machine's are to be seen too."""
	device = os.stat(state).st_dev
	rows = json.loads(run("losetup", "-J", "-l", "-O", "NAME,BACK-MAJ:MIN,BACK-FILE") or '{"loopdevices": []}')["loopdevices"]
	return [row for row in rows if row["back-maj:min"].strip() == f"{os.major(device)}:{os.minor(device)}"]


DATA = {"data": {"size": "64MiB", "mount": "/srv/data"}, "logs": {"size": "32MiB", "mount": "/var/log"}}


def case_extra_disks(build):
	"""Made, mounted in the guest with its ids, kept over halt, reload, kill and reboot, grown, and gone."""
	with state_on("ext4") as state, World(build) as w:
		c = w.client
		c.change("topology.apply", document=document(disks=DATA))
		vmid = c.call("vnode.get", vnode="n1")["vmid"]
		assert [disk["name"] for disk in c.call("vnode.get", vnode="n1")["disks"]] == ["data", "logs"]
		assert c.output("n1", "stat -c %u:%g:%a /srv/data").strip() == "0:0:755"
		assert "ext4" in c.output("n1", "grep ' /srv/data ' /proc/mounts")
		c.output("n1", "echo kept >/srv/data/file; chown 33:34 /srv/data/file; echo gone >/etc/file")
		assert len(loops(state)) == 2, loops(state)
		assert not [line for line in open("/proc/self/mountinfo") if f"root/{vmid}" in line], "left on the host"
		assert c.call("host.verify")["differences"] == []
		w.restart()
		c = w.client
		assert c.output("n1", "cat /srv/data/file").strip() == "kept"
		c.change("vnode.reload", vnode="n1")
		assert c.output("n1", "cat /srv/data/file; stat -c %u:%g /srv/data/file; ls /etc/file 2>&1 | tail -c 10").split()[:2] == ["kept", "33:34"]
		c.change("vnode.halt", vnode="n1")
		assert loops(state) == [], "a halted vnode holds loop devices"
		c.change("vnode.mount", vnode="n1")
		with open(f"{w.daemon.run_dir}/root/{vmid}/srv/data/file") as file:
			assert file.read() == "kept\n"
		c.change("vnode.unmount", vnode="n1")
		c.change("vnode.boot", vnode="n1")

		larger = {"data": {"size": "128MiB", "mount": "/srv/data"}, "logs": DATA["logs"]}
		before = int(c.output("n1", "stat -f -c %b /srv/data"))
		c.change("topology.apply", document=document(disks=larger))
		assert int(c.output("n1", "stat -f -c %b /srv/data")) > before * 3 // 2
		assert c.output("n1", "cat /srv/data/file").strip() == "kept"
		fewer = document(disks={"data": larger["data"]})
		assert c.refused("topology.apply", document=fewer).path == "/document/vnodes/n1/disks/logs"
		c.change("topology.apply", document=fewer, allow_recreate=True)
		assert c.call("topology.plan", document=fewer)["actions"] == []
		assert sorted(os.listdir(f"{state}/extra/{vmid}")) == [".owner", "data"]
		assert c.output("n1", "cat /srv/data/file").strip() == "kept"
		c.change("topology.delete", topology="t")
		assert os.listdir(f"{state}/extra") == [] and os.listdir(f"{state}/trash") == [] and loops(state) == []


def case_extra_disks_of_nobody(build):
	"""What a crash left without a row is swept; another vnode's stays."""
	with state_on("ext4") as state, World(build) as w:
		c = w.client
		c.change("topology.apply", document=document(disks=DATA))
		vmid = c.call("vnode.get", vnode="n1")["vmid"]
		w.daemon.kill()
		os.makedirs(f"{state}/extra/{vmid + 100}")
		for path in f"{state}/extra/{vmid + 100}/lost", f"{state}/extra/{vmid}/lost", f"{state}/extra/{vmid}/.new-half":
			open(path, "w").close()
		w.reconnect()
		assert os.listdir(f"{state}/extra") == [str(vmid)]
		assert sorted(os.listdir(f"{state}/extra/{vmid}")) == [".owner", "data", "logs"]
		assert w.client.output("n1", "echo >/srv/data/x && ls /srv/data/x").strip() == "/srv/data/x"
