"""Disks of type lvm-thin on LVM itself: its programs, udev and the device mapper as a machine has them."""
import gzip
import json
import os
import shutil

from lab.client import Closed, Refusal
from lab.world import mounts, run
from machine import CONFIGURATION, add_image, show, vnodectl

GROUP, POOL = "vnodes", "pool"
FILE, ARCHIVE = "/var/lib/thin.img", "/opt/machine/thin.tar"
# Before this is another lvm than Debian's for vnoded: one that kills it at a call of lvm.
WRAPPER, PLAN = "/usr/local/sbin/lvm", "/run/lvm-plan"

KILLS = """#!/bin/sh
# The file says at which command, whether before or after its work, and that only once.
if [ "$PPID" = "$(systemctl show -P MainPID vnoded.service)" ] && read -r command when </run/lvm-plan &&
		[ "$command" = "$1" ]; then
	rm /run/lvm-plan
	case $when in
	before) kill -9 "$PPID"; exit 1 ;;
	late) kill -9 "$PPID" ;;
	after) /usr/sbin/lvm "$@"; kill -9 "$PPID"; exit 1 ;;
	esac
fi 2>/dev/null
exec /usr/sbin/lvm "$@"
"""


def volumes():
	"""Every volume of the group but the pool: its tags by its name."""
	said = run("lvs", "--reportformat", "json", "-o", "lv_name,lv_tags,segtype", GROUP)
	return {row["lv_name"]: row["lv_tags"] for row in json.loads(said)["report"][0]["lv"] if row["segtype"] == "thin"}


def disks():
	return {name: tags for name, tags in volumes().items() if ":image." not in tags}


def document(*names, **disk):
	return {"topology": "thin", "vnodes": {name: {"image": "thin", "memory": "64MiB", "disk": dict(disk, type="lvm-thin")}
					       for name in names}}


def configure(lines):
	with open(CONFIGURATION) as file:
		kept = [line for line in file if not line.startswith("lvm_")]
	with open(CONFIGURATION, "w") as file:
		file.writelines(kept + lines)
	run("systemctl", "restart", "vnoded.service")


def patiently(m, what):
	"""Of a daemon that is killed meanwhile and comes back."""
	while True:
		try:
			return what(m.client())
		except (Closed, ConnectionError):
			pass
		except Refusal as refusal:		# it recovers still
			if refusal.code != "busy" or refusal.job:
				raise


def settle(c):
	"""Until no job runs."""
	for job in c.call("job.list")["jobs"]:
		c.call("job.wait", job=job["job"])


def case_a_pool_made_with_lvms_own_tools(m):
	add_image(m.client())			# not for these cases: a later boot's labs want it
	run("truncate", "-s", "1500M", FILE)
	loop = run("losetup", "-f", "--show", FILE).strip()
	run("vgcreate", GROUP, loop)
	run("lvcreate", "-y", "-L", "1200M", "--type", "thin-pool", "--thinpool", POOL, GROUP)
	run("lvcreate", "-y", "-V", "64M", "--thinpool", f"{GROUP}/{POOL}", "-n", "vnoded-of-others")
	assert "disk:lvm-thin" not in m.client().call("host.info")["features"]
	configure([f"lvm_group = {GROUP}\n", f"lvm_pool = {POOL}\n"])
	info = m.client().call("host.info")
	assert "disk:lvm-thin" in info["features"], info
	return run("lvm", "version").split()[2]


def case_a_size_below_the_images_is_refused(m):
	# An image of its own, so that nothing else uses it.
	with gzip.open("/opt/machine/busybox.tar.gz") as packed, open(ARCHIVE, "wb") as file:
		shutil.copyfileobj(packed, file)
	vnodectl("image", "add", "thin", ARCHIVE, "--sha256", run("sha256sum", ARCHIVE).split()[0])
	refusal = m.client().refused("topology.apply", document=document("t1", size="100MiB"))
	assert refusal.path == "/document/vnodes/t1/disk/size", refusal
	assert list(volumes()) == ["vnoded-of-others"], volumes()


def case_two_vnodes_on_thin_volumes(m):
	c = m.client()
	c.change("topology.apply", document=document("t1", "t2"))
	found = disks()
	assert len(found) == 3 and len(volumes()) == 4, volumes()
	for name in "t1", "t2":
		row = c.call("vnode.get", vnode=name)
		assert [tags for tags in found.values() if tags.endswith(f":{row['uuid']}")], (row["uuid"], found)
		assert c.output(name, "grep ' / ' /proc/mounts").split()[2] == "ext4"
	c.output("t1", "echo mine >/etc/mine")
	assert c.shell("t2", "test -e /etc/mine").status == 1
	return vnodectl("verify").strip()


def case_what_was_written_outlives_halt_and_daemon(m):
	vnodectl("halt", "t1")
	run("systemctl", "restart", "vnoded.service")
	vnodectl("boot", "t1")
	assert m.client().output("t1", "cat /etc/mine") == "mine"
	assert len(disks()) == 3, disks()


def case_a_larger_one_grows(m):
	c = m.client()
	c.change("topology.apply", document=document("t1", "t2", size="2GiB"))
	count, size = c.output("t1", "stat -f -c '%b %S' /").split()
	assert int(count) * int(size) > 1900 << 20, (count, size)
	assert c.output("t1", "cat /etc/mine") == "mine"


def case_a_capture_is_the_same_of_an_overlay(m):
	c = m.client()
	vnodectl("halt", "t1")
	vnodectl("image", "capture", "t1", "captured")
	c.change("vnode.create", name="copy", image="captured", disk={"type": "overlay"})
	vnodectl("image", "capture", "copy", "again")
	found = {row["name"]: row for row in c.call("image.list")["images"]}
	assert found["captured"]["sha256"] == found["again"]["sha256"], found
	vnodectl("boot", "copy")
	assert c.output("copy", "cat /etc/mine") == "mine" and c.shell("copy", "test -e /lost+found").status == 1
	vnodectl("destroy", "copy")
	vnodectl("image", "rm", "captured", "again")


def case_reload_is_fresh(m):
	before = set(disks())
	vnodectl("reload", "t1")
	assert len(disks()) == 3 and len(before & set(disks())) == 2, (before, disks())
	vnodectl("boot", "t1")
	assert m.client().shell("t1", "test -e /etc/mine").status == 1


def killed(m, command, when, call, **params):
	"""Begins a change, and vnoded is killed at that call of lvm; then the next one has done what it found."""
	was = show("vnoded.service", "MainPID")
	with open(PLAN, "w") as file:
		file.write(f"{command} {when}\n")
	patiently(m, lambda c: c.call(call, request_id=f"{call} {when}", **params))
	while os.path.exists(PLAN) or show("vnoded.service", "MainPID") in (was, "0"):
		pass
	patiently(m, settle)
	assert show("vnoded.service", "ActiveState") == "active"


def case_killed_in_the_middle_of_lvms_work(m):
	"""Also while lvm goes on without it: each is made or gone whole, and a later start leaves no volume of nobody."""
	with open(WRAPPER, "w") as file:
		file.write(KILLS)
	os.chmod(WRAPPER, 0o755)
	try:
		for when in "before", "after", "late":
			killed(m, "lvcreate", when, "vnode.create", name="t3", image="thin", disk={"type": "lvm-thin"})
			run("systemctl", "restart", "vnoded.service")
			rows = m.client().list()
			assert len(disks()) == len([row for row in rows.values() if row["name"] in ("t1", "t2", "t3")]) + 1, (rows, disks())
			if "default/t3" not in rows:
				m.client().change("vnode.create", name="t3", image="thin", disk={"type": "lvm-thin"})
			vnodectl("boot", "t3")
			vnodectl("halt", "t3")
			killed(m, "lvremove", when, "vnode.destroy", vnode="t3")
			run("systemctl", "restart", "vnoded.service")
			assert "default/t3" not in m.client().list() and len(disks()) == 3, (when, disks())
	finally:
		os.unlink(WRAPPER)


def case_nothing_is_left_but_what_is_others(m):
	vnodectl("delete", "thin")
	assert len(disks()) == 1, disks()
	vnodectl("image", "rm", "thin")
	assert volumes() == {"vnoded-of-others": ""}, volumes()
	configure([])
	assert not [mount for mount in mounts() if GROUP in mount], mounts()
	run("vgremove", "-f", "-y", GROUP)
	run("losetup", "-d", run("losetup", "-n", "-O", "NAME", "-j", FILE).strip())
	os.unlink(FILE)
	os.unlink(ARCHIVE)
	assert show("vnoded.service", "ActiveState") == "active"
