"""Disks of guests that ran become images, whole and as layers, and guests of those see the same."""
import os
import subprocess

from lab.world import World

DEEDS = """cd / && echo mine >etc/mine && rm -r home mnt && mv srv served && mkdir mnt && echo 1 >mnt/own && chown -R 1000:1001 mnt
ln etc/mine etc/mine.too && ln -s ../etc/mine var/link && mkfifo var/fifo && chmod 4711 usr/bin && echo more >>etc/passwd
dd if=/dev/zero of=zeros bs=1M count=3 2>/dev/null && touch -d '2001-02-03 04:05:06' etc/mine
mkdir -p etc/ssh && echo secret >etc/ssh/ssh_host_rsa_key && echo 0123 >etc/machine-id && sync"""
# All that a guest can see of its root but its own name, and what changes by its running.
LOOK = """cd / && find . -xdev ! -path './proc*' ! -path './sys*' ! -path './dev*' ! -path './run*' ! -path './tmp*' ! -path ./etc/hosts \
! -path ./etc/hostname ! -path './var/log*' -exec stat -c '%n %F %a %u %g %s %Y' {} + | grep -v directory | sort
find . -xdev -type d ! -path './proc*' ! -path './sys*' ! -path './dev*' ! -path './run*' ! -path './tmp*' -exec stat -c '%n %a %u %g' {} + | sort
cat etc/mine mnt/own etc/passwd | md5sum; md5sum <zeros"""
OWN = "etc/ssh/ssh_host", "machine-id"


def look(w, name):
	return [line for line in w.client.output(name, LOOK).split("\n") if not any(word in line for word in OWN)]


def lived(w, name="v", **more):
	w.client.change("vnode.create", name=name, image="busybox", **more)
	w.client.change("vnode.boot", vnode=name)
	w.client.output(name, DEEDS)
	seen = look(w, name)
	assert any("./etc/mine regular file 644 0 0 5" in line for line in seen), seen
	w.client.change("vnode.halt", vnode=name)
	return seen


def capture(w, *words):
	done = w.daemon.vnodectl("-o", "json", "image", "capture", *words)
	assert done.returncode == 0, done.stderr
	return w.client.call("image.get", image=words[1])


def case_captures_of_guests(build):
	with World(build) as w:
		seen = lived(w)
		whole = capture(w, "v", "whole")
		delta = capture(w, "v", "delta", "--delta")
		assert (whole["base"], delta["base"]) == (None, "busybox"), delta
		assert delta["layers"] == ["delta", "busybox"] and delta["bytes"] < whole["bytes"] / 2, (whole, delta)
		assert capture(w, "v", "again")["sha256"] == whole["sha256"]
		for image, more in ("whole", {}), ("delta", {}), ("whole", {"privileged": True}):
			name = f"{image}{len(more)}"
			w.client.change("vnode.create", name=name, image=image, **more)
			assert capture(w, name, "round")["sha256"] == whole["sha256"], name
			w.client.change("image.remove", image="round")
			w.client.change("vnode.boot", vnode=name)
			assert look(w, name) == seen, (name, set(look(w, name)) ^ set(seen))
			assert w.client.output(name, "cat /etc/hostname") == name
			w.client.output(name, "! ls /etc/ssh/ssh_host* /etc/machine-id")
			w.client.change("vnode.destroy", vnode=name)
		privileged = lived(w, "p", privileged=True)
		assert [line for line in privileged if "mine" in line] == [line for line in seen if "mine" in line]
		capture(w, "p", "of-p", "--delta")
		w.client.change("vnode.create", name="q", image="of-p")
		w.client.change("vnode.boot", vnode="q")
		assert look(w, "q") == privileged
		for name in "q", "p", "v":
			w.client.change("vnode.destroy", vnode=name)
		for image in "of-p", "delta", "whole", "again":
			w.client.change("image.remove", image=image)
		assert os.listdir(os.path.join(w.daemon.state_dir, "images")) == [w.client.call("image.get", image="busybox")["sha256"]]
		assert os.listdir(os.path.join(w.daemon.state_dir, "incoming")) == []


def case_refused_captures(build):
	with World(build) as w:
		w.client.change("vnode.create", name="v", image="busybox")
		w.client.change("vnode.boot", vnode="v")
		refusal = w.client.refused("image.capture", vnode="v", name="x")
		assert (refusal.code, refusal.path) == ("state", "/vnode") and "halt it first" in refusal.text, refusal
		for name in "../x", "a/b", "", ".x", "x" * 200, "a\n":
			refusal = w.client.refused("image.capture", vnode="v", name=name)
			assert (refusal.code, refusal.path) == ("invalid", "/name"), (name, refusal)
		for script, word in ("echo >/etc/.wh.passwd", ".wh."), ("touch \"/etc/$(printf 'x\\377')\"", "UTF-8"), \
				("ln -s ../../../../outside /etc/out", "outside"):
			w.client.change("vnode.reload", vnode="v")
			w.client.output("v", script)
			w.client.change("vnode.halt", vnode="v")
			for delta in False, True:
				refusal = w.client.refused("image.capture", vnode="v", name="x", delta=delta, wait=True)
				assert refusal.code == "invalid" and word in refusal.text, refusal
			w.client.change("vnode.boot", vnode="v")
		assert [image["name"] for image in w.client.call("image.list")["images"]] == ["busybox"]
		assert os.listdir(os.path.join(w.daemon.state_dir, "incoming")) == []
		w.client.change("vnode.destroy", vnode="v")


def case_counted_mounts(build):
	"""Two who look into one vnode, a daemon that is killed, a guest that must wait."""
	with World(build) as w:
		seen = lived(w)
		w.client.change("vnode.mount", vnode="v")
		done = w.daemon.vnodectl("mount", "v")
		assert done.returncode == 0, done.stderr
		path = done.stdout.strip()
		assert w.client.call("vnode.get", vnode="v")["mount"] == {"path": path, "count": 2}
		with open(os.path.join(path, "etc/mine")) as file:
			assert file.read() == "mine\n"
		assert os.stat(os.path.join(path, "mnt/own")).st_uid == 1000
		assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
		w.restart()
		assert w.client.call("vnode.get", vnode="v")["mount"] == {"path": path, "count": 2}
		assert os.path.exists(os.path.join(path, "etc/mine"))
		for method in "vnode.boot", "vnode.reboot", "vnode.reload":
			refusal = w.client.refused(method, vnode="v")
			assert refusal.code == "state" and "unmount it first" in refusal.text, refusal
		refusal = w.client.refused("image.capture", vnode="v", name="x")
		assert refusal.code == "state" and "unmount it first" in refusal.text, refusal
		with open(os.path.join(path, "etc/from-the-host"), "w") as file:
			file.write("hello")
		assert w.client.change("vnode.unmount", vnode="v") == {"count": 1}
		with open(os.path.join(path, "etc/mine")):		# someone works in it
			refusal = w.client.refused("vnode.unmount", vnode="v", wait=True)
			assert refusal.code == "busy" and "fuser" in refusal.text, refusal
			assert w.client.call("vnode.get", vnode="v")["observed"] == "mounted"
		assert w.client.change("vnode.unmount", vnode="v") == {"count": 0}
		assert not os.path.exists(path)
		w.client.change("vnode.boot", vnode="v")
		assert w.client.output("v", "cat /etc/from-the-host") == "hello"
		assert len(look(w, "v")) == len(seen) + 1
		w.client.change("vnode.halt", vnode="v")
		w.client.change("vnode.mount", vnode="v")
		w.client.change("vnode.halt", vnode="v")
		assert not os.path.exists(path)
		w.client.change("vnode.mount", vnode="v")
		w.client.change("vnode.destroy", vnode="v")
		assert not os.path.exists(path)


def case_captures_of_a_killed_daemon(build):
	"""Killed at many points of a capture: the next life makes the image, or there is none and nothing is left."""
	with World(build) as w:
		w.client.change("vnode.create", name="v", image="busybox")
		w.client.change("vnode.boot", vnode="v")
		w.client.output("v", "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/noise$i bs=1M count=8 2>/dev/null; done")
		w.client.change("vnode.halt", vnode="v")
		digests = set()
		for turn, seen in enumerate(("", "job-", "job-", ".partial-", ".partial-")):
			name = f"x{turn}"
			w.client.begin("image.capture", vnode="v", name=name)
			while seen and not any(seen in entry for folder in ("incoming", "images")
					       for entry in os.listdir(os.path.join(w.daemon.state_dir, folder))):
				state = w.client.call("image.get", image=name)["state"]
				if state == "ready":
					break
			w.restart()
			for job in w.client.call("job.list")["jobs"]:
				w.client.call("job.wait", job=job["job"])
			image = w.client.call("image.get", image=name)
			assert image["state"] == "ready", image
			digests.add(image["sha256"])
			assert os.listdir(os.path.join(w.daemon.state_dir, "incoming")) == []
			assert w.client.call("vnode.get", vnode="v")["observed"] == "stopped"
			w.client.change("image.remove", image=name)
		assert len(digests) == 1, digests
		w.client.change("vnode.boot", vnode="v")
		w.client.change("vnode.destroy", vnode="v")
		left = set(os.listdir(os.path.join(w.daemon.state_dir, "images")))
		assert left == {w.client.call("image.get", image="busybox")["sha256"]}, left
		assert subprocess.run(["grep", "-c", "overlay.*vnoded:", "/proc/self/mountinfo"], capture_output=True).returncode == 1
