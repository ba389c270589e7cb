"""Images: fetch and unpack beside curl | tar on the same file, memory meanwhile, and disks from a cached image.

All on a disk of the machine, where the other parts' states are in memory: here what is written counts. Creates are
measured in both, beside the syncs of which one consists.
"""
import contextlib
import ctypes
import hashlib
import io
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time

from lab.server import nginx
from lab.world import BASE, World

ROUNDS = 3
SYNCFS = ctypes.CDLL(None).syncfs


def make_root(path, archive_mib, ratio=2.0):
	"""A root file system of many small and some large files that zstd makes `ratio` times smaller, as a .tar.zst."""
	process = subprocess.Popen(["zstd", "-q", "-3", "-c"], stdin=subprocess.PIPE, stdout=open(path, "wb"))
	seed, unpacked = 0, 0
	with tarfile.open(fileobj=process.stdin, mode="w|") as archive:
		while unpacked < archive_mib * ratio * (1 << 20):
			size = 4 << 20 if seed % 64 == 0 else 24000
			block = hashlib.sha256(b"%d" % seed).digest()
			noise = b"".join(hashlib.sha256(block + b"%d" % i).digest() for i in range(int(size / ratio) // 32))
			data = (noise + block * (size // 32))[:size]
			entry = tarfile.TarInfo(f"usr/{seed % 97}/{seed}")
			entry.size, entry.mode = size, 0o644
			archive.addfile(entry, io.BytesIO(data))
			unpacked += size
			seed += 1
	process.stdin.close()
	assert process.wait() == 0
	return digest(path), unpacked


def digest(path):
	result = hashlib.sha256()
	with open(path, "rb") as file:
		while data := file.read(1 << 20):
			result.update(data)
	return result.hexdigest()


def rss(pid):
	with open(f"/proc/{pid}/status") as file:
		return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


class Watch:
	"""The most that a process takes while it is watched, in KiB."""

	def __init__(self, pid):
		self.pid, self.most, self.over = pid, 0, threading.Event()
		self.thread = threading.Thread(target=self.run)

	def run(self):
		while not self.over.wait(0.002):
			self.most = max(self.most, rss(self.pid))

	def __enter__(self):
		self.thread.start()
		return self

	def __exit__(self, *more):
		self.over.set()
		self.thread.join()


def bare(url, folder, sync):
	shutil.rmtree(folder, ignore_errors=True)
	os.makedirs(folder)
	end = f" && sync -f {folder}" if sync else ""
	begin = time.monotonic()
	subprocess.run(f"curl -sS {url} | tar -C {folder} --zstd -xf -{end}", shell=True, check=True)
	took = time.monotonic() - begin
	shutil.rmtree(folder)
	return took


def fetch(web, heading, say):
	path, url = web
	heading(f"fetch and unpack of {os.path.getsize(path) >> 20} MiB .tar.zst, {ROUNDS} rounds")
	sha256 = digest(path)
	bares, synced, ours, most = [], [], [], 0
	with World(web.build, image=False, folder=os.path.join(web.disk, "vnoded")) as world:
		pid = world.daemon.process.pid
		before = rss(pid)
		for turn in range(ROUNDS):
			os.sync()
			bares.append(bare(url, os.path.join(web.disk, "bare"), False))
			os.sync()
			synced.append(bare(url, os.path.join(web.disk, "bare"), True))
			os.sync()
			with Watch(pid) as watch:
				begin = time.monotonic()
				world.client.change("image.add", image="big", url=url, sha256=sha256)
				ours.append(time.monotonic() - begin)
			most = max(most, watch.most)
			world.client.change("image.remove", image="big")
	middle = statistics.median
	say("curl | tar --zstd -x", f"{middle(bares):.2f} s")
	say("the same, and synced as an image is", f"{middle(synced):.2f} s")
	say("image.add: fetched, digest checked, unpacked, synced", f"{middle(ours):.2f} s")
	say("ratio to curl | tar, round by round", " ".join(f"{a / b:.2f}" for a, b in zip(ours, bares)), "wanted: at most 1.15")
	say("ratio to the synced one", " ".join(f"{a / b:.2f}" for a, b in zip(ours, synced)), "wanted: at most 1.15")
	say("most resident memory above idle", f"{(most - before) / 1024:.1f} MiB", "wanted: at most 12 MiB")


def creates(world):
	"""How long each of 20 creates takes, one after the other, in ms."""
	took = []
	for i in range(20):
		begin = time.monotonic()
		world.client.change("vnode.create", name=f"s{i}", image="big")
		took.append(1000 * (time.monotonic() - begin))
	return took


def syncs(folder):
	"""What a create waits for the disk: two commits of the journal, the owner file, the disk's folder, its file system."""
	took = []
	with open(os.path.join(folder, "journal"), "ab") as journal:
		for i in range(20):
			begin = time.monotonic()
			for _ in range(2):
				journal.write(bytes(8192))
				journal.flush()
				os.fdatasync(journal.fileno())
			own = os.path.join(folder, f"disk{i}")
			os.mkdir(own)
			with open(os.path.join(own, "owner"), "w") as file:
				file.write("owner")
				file.flush()
				os.fsync(file.fileno())
			fd = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
			os.mkdir("upper", dir_fd=fd)
			os.fsync(fd)
			os.mkdir("work", dir_fd=fd)
			SYNCFS(fd)
			os.close(fd)
			took.append(1000 * (time.monotonic() - begin))
	return took


def create(web, heading, say):
	path, url = web
	heading("disks from a cached image, 300 MiB unpacked")
	with World(web.build, image=False, folder=os.path.join(web.disk, "vnoded")) as world:
		begin = time.monotonic()
		job = world.client.begin("image.add", image="big", url=url, sha256=digest(path))
		jobs = [world.client.begin("vnode.create", name=f"w{i}", image="big") for i in range(20)]
		for one in [job] + jobs:
			assert world.client.call("job.wait", job=one)["state"] == "done"
		took = time.monotonic() - begin
		images = len(os.listdir(os.path.join(world.daemon.state_dir, "images")))
		singles = creates(world)
		begin = time.monotonic()
		waits = [world.client.send("vnode.create", {"name": f"m{i}", "image": "big", "wait": True}) for i in range(100)]
		for one in waits:
			world.client.wait(one)
		many = time.monotonic() - begin
	bare, requests = syncs(web.disk), web.requests()
	with World(web.build, image=False) as world:
		world.client.change("image.add", image="big", url=url, sha256=digest(path))
		in_memory = creates(world)
	say("20 vnodes of one new image at once: downloads and unpackings", f"{requests}, {images}", "wanted: 1, 1")
	say("  all of them there after", f"{took:.2f} s")
	for what, times in (("vnode.create, answered when done: median, worst of 20", singles), ("  syncs like its own, bare", bare),
			    ("  the same with the state in memory", in_memory)):
		say(what, f"{statistics.median(times):.1f}, {max(times):.1f} ms", "" if times is bare else "wanted: under 20 ms")
	say("100 at once", f"{many:.2f} s", "wanted: under 2 s")


class Served:
	"""A file that nginx serves; unpacks as (path, URL)."""

	def __init__(self, build, disk, path, port, log):
		self.build, self.disk, self.path, self.log = build, disk, path, log
		self.url = f"http://127.0.0.1:{port}/{os.path.basename(path)}"

	def __iter__(self):
		return iter((self.path, self.url))

	def requests(self):
		with open(self.log) as file:
			return sum(os.path.basename(self.path) in line for line in file)


@contextlib.contextmanager
def served(build):
	root, folder = os.path.join(BASE, "web"), os.path.join(BASE, "nginx")
	os.makedirs(root)
	log = os.path.join(folder, "access.log")
	with nginx(root, folder, log=log) as port, tempfile.TemporaryDirectory(dir="/var/tmp", prefix="vnoded-bench-") as disk:
		yield lambda name: Served(build, disk, os.path.join(root, name), port, log)
	shutil.rmtree(root)


def images(build, heading, say):
	with served(build) as serve:
		for name, size, part in ("big.tar.zst", 150, fetch), ("root.tar.zst", 150, create):
			make_root(serve(name).path, size)
			part(serve(name), heading, say)
