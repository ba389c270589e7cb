"""What is refused: an error that names the field and changes nothing."""
import contextlib
import hashlib
import io
import os
import shutil
import socket
import sqlite3
import tarfile

from lab.client import Client
from lab.world import BASE, Daemon, World, difference, ping, run, star, things, web


def nothing_new(w, before):
	now = w.client.list(), w.client.call("lan.list"), things()
	assert now == before, difference(dict(enumerate(before)), dict(enumerate(now)))


def case_bad_documents(build):
	with World(build) as w:
		c = w.client
		c.change("topology.apply", document=star(2))
		other = star(1, name="other")
		c.change("topology.apply", document=other)
		before = c.list(), c.call("lan.list"), things()

		def refused(code, path, edit, method="topology.apply"):
			document = star(2, name="bad")
			edit(document)
			refusal = c.refused(method, document=document, wait=True)
			assert refusal.code == code, f"{code} wanted at {path}: {refusal}"
			assert path in (refusal.path or "") or path in refusal.text, f"{path} wanted: {refusal}"

		def member(**more):
			return lambda d: d["lans"]["campus"]["members"]["n2"].update(more)

		def vnode(**more):
			return lambda d: d["vnodes"]["n2"].update(more)

		def rename(name):
			return lambda d: d["vnodes"].update({name: {"image": "busybox"}})

		for name in "a/b", "a b", "x" * 200, "", "-a", "../a":
			refused("invalid", "/document/vnodes", rename(name))
		for name in "all", "lo", "a/b", "x" * 16:
			refused("invalid", "/interface", member(interface=name))
		refused("invalid", "10.2.0.1", member(address="10.2.0.1/24"))
		refused("invalid", "/address", member(address="10.2.0.300/24"))
		refused("invalid", "/address", member(address="10.2.0.2"))
		refused("invalid", "/memory", vnode(memory="64"))
		refused("invalid", "/memory", vnode(memory=64))
		refused("invalid", "/forwards/0/host", vnode(forwards=[{"host": 70000, "guest": 1}]))
		refused("invalid", "/colour", vnode(colour="blue"))
		refused("not_found", "nowhere", vnode(image="nowhere"))
		refused("invalid", "ghost", lambda d: d["lans"]["campus"]["members"].update(ghost={"address": "10.2.0.9/24"}))
		refused("unsupported", "/shape", lambda d: d["lans"]["campus"].update(shape={"delay": "5ms"}))
		refused("unsupported", "/devices", vnode(devices=[{"source": "/dev/null", "target": "/dev/x"}]))
		refused("invalid", "198.18", member(address="198.18.0.9/24"))
		ambiguous = c.refused("vnode.get", vnode="n1")
		assert ambiguous.code == "invalid" and "star/n1" in ambiguous.text and "other/n1" in ambiguous.text
		assert ambiguous.path == "/vnode", ambiguous
		assert c.refused("vnode.get", vnode="ghost").code == "not_found"
		with socket.socket() as taken:
			taken.bind(("0.0.0.0", 2222))
			taken.listen()
			refused("exists", "2222", vnode(forwards=[{"host": 2222, "guest": 22}]))
		nothing_new(w, before)


def case_bad_lines(build):
	"""Each line has its answer, and the daemon goes on."""
	with World(build, image=False) as w:
		def answer(line):
			client = Client(w.daemon.path)
			client.send_line(line)
			while not client.answers:
				client.receive()
			found = list(client.answers.values())[0]["error"]
			client.close()
			return found["code"]

		assert answer(b'{"jsonrpc":"2.0","id":1,"method":"host.in\n') == -32700
		assert answer(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"host.info"}\n') == -32700
		assert answer(b'{"jsonrpc":"2.0","id":1,"method":"\xff"}\n') == -32700
		assert answer(b"[" * 100 + b"]" * 100 + b"\n") == -32700
		assert answer(b'{"jsonrpc":"2.0","id":1,"method":"no.such"}\n') == -32601
		assert answer(b'{"jsonrpc":"2.0","id":1,"method":"host.info","params":{"x":1}}\n') == -32602
		assert answer(b'"' + b"x" * (1 << 20) + b'"\n') == -32600
		half = Client(w.daemon.path)
		half.send_line(b'{"jsonrpc":"2.0"')
		half.close()
		assert w.client.call("host.info")["protocol"] == 1


# ---- images ----

def archive(name, fill):
	path = os.path.join(BASE, name)
	with tarfile.open(path, "w:gz") as tar:
		fill(tar)
	with open(path, "rb") as file:
		return hashlib.sha256(file.read()).hexdigest()


def entry(name, type=tarfile.REGTYPE, data=b"", **more):
	info = tarfile.TarInfo(name)
	info.type, info.size = type, len(data)
	for key, value in more.items():
		setattr(info, key, value)
	return info, io.BytesIO(data)


def case_bad_images(build):
	with World(build, image=False) as w:
		c = w.client
		images = os.path.join(w.daemon.state_dir, "images")

		def refused(code, **params):
			refusal = c.refused("image.add", name="bad", wait=True, **params)
			assert refusal.code in code.split(), f"{code} wanted: {refusal}"
			assert c.call("image.list")["images"] == [], refusal
			left = [name for _, folders, files in os.walk(images) for name in folders + files if len(name) >= 64]
			assert not left, (refusal, left)
			return refusal

		with open(build.image, "rb") as file:
			whole = file.read()
		cut = whole[:len(whole) // 2]
		with open(os.path.join(BASE, "cut.tar.gz"), "wb") as file:
			file.write(cut)
		refused("invalid", file="cut.tar.gz", sha256=hashlib.sha256(cut).hexdigest())
		refused("invalid", file="busybox.tar.gz", sha256="0" * 64)
		refused("not_found", file="absent.tar.gz", sha256=build.sha256)
		refused("invalid denied", file="../etc/passwd", sha256=build.sha256)
		refused("invalid denied", file="/etc/passwd", sha256=build.sha256)
		refused("invalid", file="busybox.tar.gz")
		with web(BASE) as port:
			refused("not_found backend", url=f"http://127.0.0.1:{port}/absent", sha256=build.sha256)
			refused("invalid", url=f"http://127.0.0.1:{port}/busybox.tar.gz", sha256="1" * 64)
		refused("backend", url=f"http://127.0.0.1:{port}/busybox.tar.gz", sha256=build.sha256)
		refused("invalid unsupported", url="ftp://127.0.0.1/x", sha256=build.sha256)
		digest = archive("up.tar.gz", lambda tar: tar.addfile(*entry("../../escaped", data=b"x")))
		refused("invalid", file="up.tar.gz", sha256=digest)
		digest = archive("empty.tar.gz", lambda tar: None)
		refused("invalid", file="empty.tar.gz", sha256=digest)

		def through_link(tar):
			tar.addfile(entry("out", tarfile.SYMTYPE, linkname=BASE)[0])
			tar.addfile(*entry("out/escaped", data=b"x"))

		digest = archive("link.tar.gz", through_link)
		refused("invalid", file="link.tar.gz", sha256=digest)
		assert not os.path.exists(os.path.join(BASE, "escaped")), "an archive wrote outside"
		special_entries(c)


def special_entries(c):
	"""Absolute links stay inside, absolute names too, and device nodes give nothing."""
	def fill(tar):
		for name, type, more in (("bin", tarfile.DIRTYPE, {"mode": 0o755}), ("etc", tarfile.DIRTYPE, {"mode": 0o755}),
				("etc/passwd", tarfile.SYMTYPE, {"linkname": "/run/lab/mark"}),
				("disk", tarfile.BLKTYPE, {"devmajor": 7, "devminor": 0}),
				("mem", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 1, "mode": 0o666})):
			tar.addfile(entry(name, type, **more)[0])
		for path in "/bin/busybox",:
			with open(path, "rb") as file:
				tar.addfile(*entry("bin/busybox", data=file.read(), mode=0o755))
		for name in "sh", "cat", "head", "ls":
			tar.addfile(entry(f"bin/{name}", tarfile.SYMTYPE, linkname="/bin/busybox")[0])

	mark = os.path.join(BASE, "mark")
	with open(mark, "w") as file:
		file.write("untouched")
	digest = archive("special.tar.gz", fill)
	try:
		c.change("image.add", name="special", file="special.tar.gz", sha256=digest)
	except Exception as error:
		assert getattr(error, "code", None) == "invalid", error
	else:
		c.change("vnode.create", name="s", image="special", init=["/bin/sh", "-c", "while :; do /bin/busybox sleep 9; done"])
		c.change("vnode.boot", vnode="s")
		assert c.run("s", "/bin/sh", "-c", "/bin/head -c 1 /mem").status != 0
		assert c.run("s", "/bin/sh", "-c", "/bin/head -c 1 /disk").status != 0
		c.change("vnode.destroy", vnode="s", force=True)
		c.change("image.remove", image="special")
	with open(mark) as file:
		assert file.read() == "untouched"


# ---- the machine ----

def fill_up(path):
	"""Takes all room of a file system. Unbuffered: what a buffer keeps fails once more at close."""
	with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
		while True:
			file.write(bytes(4096))


def case_full_disk(build):
	"""A disk that is full: an error that says so, nothing left, and all goes on when there is room again."""
	folder = os.path.join(BASE, "vnoded")
	os.makedirs(folder)
	run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder)
	try:
		with World(build) as w:
			c = w.client
			c.change("vnode.create", name="v", image="busybox")
			ballast = os.path.join(folder, "ballast")
			fill_up(ballast)
			digest = archive("large.tar.gz", lambda tar: tar.addfile(*entry("large", data=os.urandom(30 << 20))))
			refusal = c.refused("image.add", name="other", file="large.tar.gz", sha256=digest, wait=True)
			assert refusal.code == "limit", refusal
			try:
				c.change("vnode.create", name="w", image="busybox")
			except Exception as error:
				assert getattr(error, "code", None) == "limit", error
			assert c.call("host.info")["protocol"] == 1
			os.unlink(ballast)
			c.change("vnode.boot", vnode="v")
			assert c.run("v", "true").status == 0
	finally:
		run("umount", "-l", folder)


GREEDY = "(while :; do dd if=/dev/zero bs=4k of=/big conv=notrunc oflag=append 2>/dev/null; done) >/dev/null 2>&1 &"
NO_MORE = "for p in $(pidof sh); do [ $p = $$ ] || kill -9 $p; done; killall dd; rm /big"


def case_a_guest_that_takes_all_room(build):
	"""It gets the reserve as well. vnoded waits, commands inside still run, and all goes on when there is room."""
	folder = os.path.join(BASE, "vnoded")
	os.makedirs(folder, exist_ok=True)
	run("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder)
	try:
		with World(build) as w:
			c = w.client
			c.change("topology.apply", document=star(2, memory="256MiB"))
			c.output("n1", GREEDY)
			halting = c.send("vnode.halt", {"vnode": "n2", "wait": True})
			while "the reserve is eaten too" not in w.daemon.log():
				assert c.call("vnode.get", vnode="n1")["observed"] == "running"
				assert halting not in c.answers, c.answers[halting]
			c.shell("n1", NO_MORE)
			c.wait(halting)
			assert c.call("vnode.get", vnode="n2")["observed"] == "stopped"
			# What makes room is not refused for want of it: the reserve, there again since the next change, serves it.
			c.change("lan.down", lan="campus")
			fill_up(os.path.join(folder, "ballast"))
			c.change("lan.up", lan="campus")		# spends it
			assert c.refused("lan.down", lan="campus").code == "limit"
			c.change("topology.delete", topology="star")
			os.unlink(os.path.join(folder, "ballast"))
	finally:
		run("umount", "-l", folder)


def case_refuses_to_start(build):
	with World(build) as w:
		w.client.change("topology.apply", document=star(2))
		before = things()
		twin = Daemon(build, name="twin", fabric="vnoded-twin", nft_table="vnoded-twin",
			      control_network="198.19.0.0/16")
		for change, word in (({"state_dir": w.daemon.state_dir}, "state"), ({"socket": w.daemon.path}, "sock"),
				     ({"control_network": "198.18.0.0/16"}, "198.18"), ({"fabric": "a/b"}, "fabric"),
				     ({"nft_table": "vnoded"}, "vnoded")):
			twin.settings = dict(twin.settings, **change)
			said = twin.refuses_to_start()
			assert word in said, f"{change}: {said[-400:]}"
			for key in change:
				twin.settings.pop(key)
			twin.settings.update(state_dir=twin.state_dir, fabric="vnoded-twin", nft_table="vnoded-twin",
					     control_network="198.19.0.0/16")
		assert ping(w.client, "n1", "10.2.0.2", 3)
		left = difference(before, things())
		assert not left, left
		shutil.rmtree(twin.folder)
		from_a_newer_version(w)


def from_a_newer_version(w):
	w.daemon.stop()
	path = os.path.join(w.daemon.state_dir, "vnoded.db")
	with sqlite3.connect(path) as db:
		version = db.execute("PRAGMA user_version").fetchone()[0]
		db.execute("PRAGMA user_version = 9999")
	said = w.daemon.refuses_to_start()
	assert "newer" in said or "9999" in said, said[-400:]
	with sqlite3.connect(path) as db:
		assert db.execute("PRAGMA user_version").fetchone()[0] == 9999
		db.execute(f"PRAGMA user_version = {version}")
	w.daemon.start()
	w.reconnect()
	assert ping(w.client, "n1", "10.2.0.2", 3)
