"""What is written into guests, as they see it: names, keys, logins and files with their modes and owners."""
import copy
import hashlib
import os

from lab.archives import DIR, END, LINK, entry
from lab.world import BASE, World

KEY = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOep1EHCMkyvEv80Y6bzx/jYssAJGZ5KD9FZ7I2Dyszq me@home")
HASH = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"

# On busybox: what files are written for, and links that a careless writer would follow.
LAYER = (entry(b"etc/shadow", b"root:*:19000:0:99999:7:::\nnobody:*:1::::::\n", mode=0o640)
	 + entry(b"etc/machine-id") + entry(b"etc/emulab", kind=DIR, mode=0o755)
	 + entry(b"etc/ssh", kind=DIR, mode=0o755) + entry(b"etc/ssh/sshd_config", b"# none\n")
	 + entry(b"etc/ssh/ssh_host_rsa_key", b"the same for all\n", mode=0o600)
	 + entry(b"etc/network", kind=DIR, mode=0o755) + entry(b"etc/network/interfaces", b"iface eth0 inet dhcp\n")
	 + entry(b"etc/resolv.conf", kind=LINK, link=b"/run/resolve/stub")
	 + entry(b"usr/share/zoneinfo/Europe/Berlin", b"TZif2\n")
	 + entry(b"etc/motd", kind=LINK, link=b"/etc/hosts") + entry(b"opt/link", kind=LINK, link=b"/etc") + END)


def add_layer(w):
	path = os.path.join(BASE, "layer.tar")
	with open(path, "wb") as file:
		file.write(LAYER)
	with open(path) as file:
		w.client.change("image.add", fds=[file.fileno()], name="full", base="busybox", fd=0,
				sha256=hashlib.sha256(LAYER).hexdigest())


def document(**more):
	alice = {"image": "full", "memory": "32MiB", "password": HASH, "authorized_keys": [KEY],
		 "timezone": "Europe/Berlin", "files": [
			{"path": "/etc/issue", "content": "hello\n"},
			{"path": "/srv/app/run", "content": "#!/bin/sh\necho ran\n", "mode": "0750", "owner": "0:1"},
			{"path": "/srv/app/data", "source": "data", "mode": "0600", "owner": "65534:65534"}]}
	return {"topology": "files", "domain": "lab.example", "dns": ["192.0.2.53"], "vnodes": {
		"alice": dict(alice, **more), "bob_2": {"image": "full", "memory": "32MiB"}},
		"lans": {"l": {"members": {"alice": {"address": ["10.1.0.1/24", "fd01::1/64"]},
					   "bob_2": {"address": "10.1.0.2/24"}}}}}


def write_data(data):
	with open(os.path.join(BASE, "data"), "wb") as file:
		file.write(data)


def look(c, vnode):
	"""All that is looked at, by what it is."""
	paths = ("/etc/hostname /etc/hosts /etc/resolv.conf /etc/shadow /etc/machine-id /etc/timezone /etc/issue "
		 "/root/.ssh /root/.ssh/authorized_keys /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ecdsa_key.pub "
		 "/srv/app /srv/app/run /srv/app/data /etc/network/interfaces.d/vnoded /var/emulab/boot/vmname")
	found = dict(line.split(" ", 1) for line in
		     c.output(vnode, f"stat -c '%n %u:%g:%a' {paths} 2>/dev/null; true").splitlines())
	found["text"] = c.output(vnode, f"for f in {paths} /etc/localtime; do [ ! -f $f ] || md5sum $f; done")
	return found


def case_files_are_as_the_guest_is_to_see_them(build):
	data = os.urandom(3000) + b"\0\n"
	with World(build) as w:
		c = w.client
		add_layer(w)
		write_data(data)
		c.change("topology.apply", document=document())
		os.unlink(os.path.join(BASE, "data"))
		seen = look(c, "alice")
		for path, wanted in (("/etc/hostname", "0:0:644"), ("/etc/shadow", "0:0:640"), ("/etc/machine-id", "0:0:444"),
				     ("/root/.ssh", "0:0:700"), ("/root/.ssh/authorized_keys", "0:0:600"),
				     ("/etc/ssh/ssh_host_ed25519_key", "0:0:600"), ("/etc/issue", "0:0:644"),
				     ("/srv/app", "0:0:755"), ("/srv/app/run", "0:1:750"),
				     ("/srv/app/data", "65534:65534:600")):
			assert seen[path] == wanted, (path, seen)
		assert c.output("alice", "hostname; cat /etc/hostname; /srv/app/run").split() == ["alice", "alice", "ran"]
		assert c.output("bob_2", "hostname") == "bob-2"
		assert c.output("alice", "cat /etc/resolv.conf") == "search lab.example\nnameserver 192.0.2.53"
		assert c.output("alice", "head -n 1 /etc/shadow") == f"root:{HASH}:19000:0:99999:7:::"
		assert c.output("bob_2", "head -n 1 /etc/shadow") == "root:*:19000:0:99999:7:::"
		assert c.output("alice", "tail -n 1 /root/.ssh/authorized_keys") == KEY
		assert c.output("alice", "readlink /etc/localtime; cat /etc/timezone").split() == \
			["/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"]
		assert c.output("alice", "md5sum </srv/app/data").split()[0] == hashlib.md5(data).hexdigest()
		for name, address in ("alice", "10.1.0.1"), ("bob-2", "10.1.0.2"):
			line = next(line for line in c.output("alice", "cat /etc/hosts").splitlines() if name in line.split())
			assert line.split() == [address, f"{name}.lab.example", name], line
		assert c.output("alice", "cat /var/emulab/boot/vmname /var/emulab/boot/controlif").split() == ["alice", "eth0"]
		assert "dhcp" not in c.output("alice", "cat /etc/network/interfaces")
		assert "ip addr replace 10.1.0.1/24 brd + dev eth1" in c.output("alice", "cat /etc/network/interfaces.d/vnoded")
		assert not c.output("alice", "ls /etc/netplan /etc/systemd 2>/dev/null; true"), "written for tools that are not there"
		assert not c.output("alice", "ls /etc/ssh/ssh_host_rsa_key 2>/dev/null; true"), "the image's key is still there"
		keys = {name: c.call("vnode.get", vnode=name)["host_keys"] for name in ("alice", "bob_2")}
		assert keys["alice"] == c.output("alice", "cat /etc/ssh/ssh_host_ed25519_key.pub "
						 "/etc/ssh/ssh_host_ecdsa_key.pub").splitlines()
		assert not set(keys["alice"]) & set(keys["bob_2"])
		assert c.output("alice", "cat /etc/machine-id") != c.output("bob_2", "cat /etc/machine-id")

		c.change("vnode.reboot", vnode="alice")
		assert look(c, "alice") == seen
		c.output("alice", "rm -r /srv /root/.ssh /etc/ssh; echo x >/etc/shadow")
		c.change("vnode.reload", vnode="alice")
		assert look(c, "alice") == seen, "a reload gives other files"
		w.restart()
		c = w.client
		c.change("vnode.reboot", vnode="alice")
		assert look(c, "alice") == seen
		assert c.call("vnode.get", vnode="alice")["host_keys"] == keys["alice"]


def case_files_that_a_guests_own_commands_keep(build):
	"""The lines for ifupdown, run in a guest that has all of it already, and in one that has lost it."""
	with World(build) as w:
		c = w.client
		add_layer(w)
		write_data(b"x")
		c.change("topology.apply", document=document(routes=[{"to": "10.9.0.0/16", "via": "10.1.0.2", "metric": 7}]))
		state = "ip -o addr show dev eth1 | awk '/global/ {print $4}'; ip route; ip -6 route | grep via"
		before = c.output("alice", state)
		up = "sed -n 's/^\\tup //p' /etc/network/interfaces.d/vnoded >/tmp/up && sh -e /tmp/up"
		c.output("alice", up)
		assert c.output("alice", state) == before, c.output("alice", state)
		c.output("alice", "ip addr flush dev eth1; ip addr flush dev eth0")
		assert c.output("alice", state) != before
		c.output("alice", up)
		assert sorted(c.output("alice", state).splitlines()) == sorted(before.splitlines()), c.output("alice", state)


def case_files_none_with_inject_false(build):
	with World(build) as w:
		c = w.client
		add_layer(w)
		c.change("topology.apply", document={"topology": "files", "password": HASH, "authorized_keys": [KEY],
			"vnodes": {"a": {"image": "full", "memory": "32MiB", "inject": False}}})
		assert c.output("a", "hostname") == "a"
		assert c.output("a", "readlink /etc/resolv.conf; cat /etc/network/interfaces /etc/ssh/ssh_host_rsa_key").splitlines() == \
			["/run/resolve/stub", "iface eth0 inet dhcp", "the same for all"]
		assert c.output("a", "head -n 1 /etc/shadow") == "root:*:19000:0:99999:7:::"
		assert c.output("a", "ls -A /root; ls /etc/hostname /var/emulab 2>/dev/null; true") == ""
		assert c.call("vnode.get", vnode="a")["host_keys"] is None
		assert not [name for name in os.listdir(os.path.join(w.daemon.state_dir, "disks")) if name.startswith("mount")]


def case_files_are_refused_where_the_image_says_no(build):
	"""What only the image can tell fails the boot, names the field, and leaves the guest bootable once mended."""
	with World(build) as w:
		c = w.client
		add_layer(w)
		write_data(b"x")
		c.change("topology.apply", document=document())
		good = c.output("alice", "cat /etc/issue")
		for fields, path, words in (
				({"files": [{"path": "/etc/motd", "content": "x"}]}, "/files/0", "is a link"),
				({"files": [{"path": "/opt/link/x", "content": "x"}]}, "/files/0", "over a link"),
				({"files": [{"path": "/ok", "content": "x"}, {"path": "/etc", "content": "x"}]}, "/files/1", "a folder"),
				({"timezone": "Europe/Atlantis"}, "/timezone", "has no file")):
			refusal = c.refused("topology.apply", document=document(**fields), wait=True)
			assert refusal.code == "invalid" and refusal.path == f"/document/vnodes/alice{path}" and words in refusal.text, refusal
			assert c.call("vnode.get", vnode="alice")["observed"] == "running"
			assert c.output("alice", "cat /etc/issue") == good
		bad = copy.deepcopy(document())
		bad["vnodes"]["alice"]["files"][0]["path"] = "/etc/../x"
		assert c.refused("topology.plan", document=bad).path == "/document/vnodes/alice/files/0/path"


def case_files_come_with_vnodectl(build):
	"""Sources beside the topology file, from another folder; the daemon may not see them."""
	with World(build) as w:
		folder = os.path.join(w.daemon.folder, "topology")
		os.makedirs(os.path.join(folder, "sub"))
		with open(os.path.join(folder, "t.json"), "w") as file:
			file.write('{"topology": "t", "vnodes": {"a": {"image": "busybox", "memory": "32MiB", "files": ['
				   '{"path": "/one", "source": "sub/one"}, {"path": "/two", "source": "sub/one", "mode": "0600"}]}}}')
		with open(os.path.join(folder, "sub/one"), "w") as file:
			file.write("first\n")
		done = w.daemon.vnodectl("apply", os.path.join(folder, "t.json"))
		assert done.returncode == 0, done
		assert w.client.output("a", "cat /one /two").split() == ["first", "first"]
		done = w.daemon.vnodectl("plan", os.path.join(folder, "t.json"))
		assert done.returncode == 0 and not done.stdout, done
		with open(os.path.join(folder, "sub/one"), "w") as file:
			file.write("second\n")
		done = w.daemon.vnodectl("plan", os.path.join(folder, "t.json"))
		assert "restart" in done.stdout and "files" in done.stdout, done
		done = w.daemon.vnodectl("apply", os.path.join(folder, "t.json"))
		assert done.returncode == 0, done
		assert w.client.output("a", "cat /one /two").split() == ["second", "second"]
		assert len(os.listdir(os.path.join(w.daemon.state_dir, "files"))) <= 2
		os.unlink(os.path.join(folder, "sub/one"))
		done = w.daemon.vnodectl("apply", os.path.join(folder, "t.json"))
		assert done.returncode == 1 and "/vnodes/a/files/0/source" not in done.stdout and "sub/one" in done.stderr, done
