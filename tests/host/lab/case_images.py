"""What comes as an image: archives and disks that mean harm, layers, kills, a full disk."""
import contextlib
import hashlib
import json
import os
import shutil
import subprocess

from lab import archives
from lab.archives import END, HONEST, entry
from lab.client import Refusal
from lab.world import BASE, World


def write(name, data):
	path = os.path.join(BASE, name)
	with open(path, "wb") as file:
		file.write(data)
	return path


def digest(path):
	result = hashlib.sha256()
	with open(path, "rb") as file:
		while data := file.read(1 << 20):
			result.update(data)
	return result.hexdigest()


def add(client, name, path, **more):
	with open(path) as file:
		return client.change("image.add", fds=[file.fileno()], image=name, fd=0, sha256=digest(path), **more)


def refused(client, name, path, **more):
	"""The refusal of an image; None where it was taken."""
	try:
		add(client, name, path, **more)
	except Refusal as refusal:
		return refusal
	return None


def stored(w):
	return sorted(os.listdir(os.path.join(w.daemon.state_dir, "images")))


def check_nothing_left(w, what):
	for folder in "images", "incoming", "trash":
		left = [name for name in os.listdir(os.path.join(w.daemon.state_dir, folder))
			if not name.startswith("probe-")]		# the host's own, at its start
		assert not left, f"{what}: left in {folder}: {left}"
	assert w.client.call("image.list")["images"] == [], what


@contextlib.contextmanager
def outside():
	"""A folder that the archives aim at, by every name that may lead there, and that must stay as it is."""
	os.makedirs("/outside")
	with open("/outside/secret", "w") as file:
		file.write("secret")
	os.chmod("/outside/secret", 0o600)
	before = os.stat("/outside/secret")
	try:
		yield
		assert os.listdir("/outside") == ["secret"], os.listdir("/outside")
		after = os.stat("/outside/secret")
		assert (before.st_mode, before.st_nlink, before.st_size, before.st_mtime) == (
			after.st_mode, after.st_nlink, after.st_size, after.st_mtime)
	finally:
		shutil.rmtree("/outside")


def check_archive(w, name, path, must_fail):
	refusal = refused(w.client, "hostile", path)
	if refusal is None:
		assert not must_fail, f"{name} was taken"
		w.client.change("image.remove", image="hostile")
	else:
		assert refusal.code in ("invalid", "unsupported", "state"), f"{name}: {refusal}"
		assert refusal.text and "internal" not in refusal.text, name
	check_nothing_left(w, name)


def case_hostile_archives(build):
	with World(build, image=False, image_entries=5000, image_unpacked_limit="64MiB") as w, outside():
		for name, data in archives.PLAIN.items():
			path = write("hostile", archives.HONEST + data + (b"" if name in ("unended", "size_lies") else END))
			check_archive(w, name, path, name not in archives.MAY_PASS)
		for name, data in archives.broken_streams():
			check_archive(w, name, write("hostile", data), True)
		os.unlink(os.path.join(BASE, "hostile"))


def case_bombs(build):
	"""Small archives that would fill a disk: refused by the limits, soon."""
	with World(build, image=False, image_entries=5000, image_unpacked_limit="64MiB") as w:
		for name, make in archives.BOMBS.items():
			path = os.path.join(BASE, "bomb")
			make(path)
			refusal = refused(w.client, "bomb", path)
			assert refusal and refusal.code == "invalid" and "raise image_" in refusal.text, f"{name}: {refusal}"
			check_nothing_left(w, name)
			os.unlink(path)


def case_disk_images(build):
	with World(build, image=False) as w:
		for name, (data, code) in archives.DISKS.items():
			refusal = refused(w.client, "disk", write("disk", data))
			assert refusal and refusal.code == code, f"{name}: {refusal}"
			check_nothing_left(w, name)
		path = write("disk", archives.qcow2())
		image = add(w.client, "disk", path)
		assert (image["format"], image["virtual_bytes"], image["bytes"]) == ("qcow2", 1 << 30, 3 << 16), image
		kept = os.path.join(w.daemon.state_dir, "images", image["sha256"], "disk")
		assert digest(kept) == image["sha256"]
		raw = write("raw", b"\0" * 510 + b"\x55\xaa" + b"\0" * 1024)
		assert add(w.client, "raw", raw)["format"] == "raw"
		odd = write("odd", b"\0" * 700)
		assert refused(w.client, "odd", odd, format="raw").code == "invalid"
		refusal = w.client.refused("vnode.create", name="v", image="disk")
		assert refusal.code == "unsupported" and refusal.path == "/image", refusal
		w.restart()
		assert w.client.call("image.get", image="disk")["virtual_bytes"] == 1 << 30
		for name in "disk", "raw":
			w.client.change("image.remove", image=name)
		check_nothing_left(w, "disks")


def busybox_with(build, *entries):
	"""The tests' image with more in it."""
	tar = subprocess.run(["gzip", "-dc", build.image], capture_output=True, check=True).stdout
	return b"".join(entries) + tar


def case_layers(build):
	"""Sixteen layers on one another: each adds a file, changes one, and hides one of the layer before."""
	depth = 16
	with World(build, image=False) as w:
		base = busybox_with(build, entry(b"t", kind=b"5", mode=0o1777), entry(b"f0", b"0"), entry(b"same", b"0"),
				    entry(b"full", kind=b"5"), entry(b"full/old", b"x"), entry(b"full/older", b"x"))
		add(w.client, "l0", write("layer", base))
		for i in range(1, depth + 1):
			more = entry(b"full/.wh..wh..opq") + entry(b"full/new", b"x") if i == 3 else b""
			data = (entry(b"f%d" % i, b"%d" % i) + entry(b"same", b"%d" % i) + entry(b".wh.f%d" % (i - 1))
				+ entry(b"t/in%d" % i, b"x") + more + END)
			add(w.client, f"l{i}", write("layer", data), base=f"l{i - 1}")
		image = w.client.call("image.get", image=f"l{depth}")
		assert image["layers"] == [f"l{i}" for i in range(depth, -1, -1)], image
		for name in "l0", "l7":
			refusal = w.client.refused("image.remove", image=name)
			assert refusal.code == "state" and "is the base of" in refusal.text, refusal
		assert w.client.refused("image.remove", image="l7").text.count("'l8'") == 1
		for name, more in ("shifted", {}), ("plain", {"privileged": True}):
			w.client.change("vnode.create", name=name, image=f"l{depth}", **more)
			w.client.change("vnode.boot", vnode=name)
			look = w.client.output(name, "cd /; echo f*; cat same; echo; ls full; stat -c '%a %u' /t; ls /t | wc -l")
			assert look.split("\n") == [f"f{depth} full", str(depth), "new", "1777 0", str(depth)], look
			w.client.output(name, "echo own >/f0 && rm -r /full && mkdir /full && test -z \"$(ls /full)\"")
			w.client.change("vnode.reload", vnode=name)
			assert w.client.output(name, "cd /; echo f*") == f"f{depth} full"
		w.restart()
		assert w.client.output("shifted", "cat /same") == str(depth)
		for name in "shifted", "plain":
			w.client.change("vnode.destroy", vnode=name)
		answer = w.client.change("image.prune", dry_run=True)
		assert len(answer["removed"]) == depth + 1, answer
		assert w.client.change("image.prune")["removed"] == answer["removed"]
		check_nothing_left(w, "layers")


def case_layer_refusals(build):
	with World(build) as w:
		layer = write("layer", entry(b"x", b"1") + END)
		for base, code in ("nothing", "not_found"), ("busybox", None), ("x", "invalid"):
			refusal = refused(w.client, "x", layer, base=base)
			assert (refusal and refusal.code) == code, refusal
			if code is None:
				w.client.change("image.remove", image="x")
		# A base that went from the disk behind the daemon's back, and one that is its own.
		add(w.client, "x", layer, base="busybox")
		marker = os.path.join(w.daemon.state_dir, "images", digest(layer), "finished")
		with open(marker) as file:
			good = json.load(file)
		for base, code in (digest(layer), "state"), ("0" * 64, "not_found"):
			with open(marker, "w") as file:
				json.dump({**good, "base": base}, file)
			refusal = w.client.refused("vnode.create", name="v", image="x", wait=True)
			assert refusal.code == code, refusal
		with open(marker, "w") as file:
			json.dump(good, file)
		w.client.change("vnode.create", name="v", image="x")
		w.client.change("vnode.destroy", vnode="v")


def case_storage(build):
	"""A quota refuses before anything is written; a full disk is survived at any byte."""
	with World(build, image=False, image_storage="3MiB") as w:
		big = write("big", HONEST + entry(b"b", archives.noise(4 << 20, 1)) + END)
		refusal = refused(w.client, "big", big)
		assert refusal.code == "limit" and refusal.path == "/fd" and "image_storage" in refusal.text
		packed = write("packed", subprocess.run(["gzip", "-c"], input=HONEST + entry(b"z", b"ab" * (2 << 20)) + END,
							capture_output=True, check=True).stdout)
		refusal = refused(w.client, "packed", packed)
		assert refusal.code == "limit" and "image_storage" in refusal.text, refusal
		check_nothing_left(w, "quota")
		small = write("small", HONEST + entry(b"s", archives.noise(2 << 20, 2)) + END)
		add(w.client, "small", small)
		assert refused(w.client, "other", write("other", entry(b"s", archives.noise(2 << 20, 3)) + END)).code == "limit"
		w.client.change("image.prune")
		check_nothing_left(w, "quota")


def case_images_on_a_full_disk(build):
	"""The disk is full at the nth block of what is written, for many n: refused, and room again afterwards."""
	blob = HONEST + b"".join(entry(b"f%d" % i, archives.noise(60000, i)) for i in range(30)) + END
	path = write("image", subprocess.run(["zstd", "-qc"], input=blob, capture_output=True, check=True).stdout)
	folder = os.path.join(BASE, "full-disk")
	os.makedirs(folder)
	for kib in list(range(9 << 10, 16 << 10, 701)):
		subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder], check=True)
		try:
			check_small_disk(build, folder, path)
		finally:
			subprocess.run(["umount", "-l", folder], check=True)


def check_small_disk(build, folder, path):
	try:
		w = World(build, image=False, folder=folder)
	except AssertionError:			# not even the database fits
		return
	with w:
		refusal = refused(w.client, "image", path)
		if refusal is None:
			w.client.change("image.remove", image="image")
		else:
			assert refusal.code == "limit", refusal
		check_nothing_left(w, folder)
