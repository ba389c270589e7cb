"""Images over a real web server and through a network that does everything wrong."""
import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import time

from lab import server
from lab.client import PATIENCE, Refusal
from lab.server import Proxy, announce, cut, hold, nginx, status
from lab.world import BASE, World

FAST = {"image_retry_wait": "1ms", "image_stall": "2s"}
PATIENT = {"image_stall": "600s"}		# what is held stays held until the test has done its part


def make_archive(path, seed, size=3 << 20):
	"""A root file system with a file that no compression makes small; its digest."""
	blob = b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32))
	with tarfile.open(path, "w") as archive:
		entry = tarfile.TarInfo("blob")
		entry.size = len(blob)
		archive.addfile(entry, io.BytesIO(blob))
	with open(path, "rb") as file:
		return hashlib.sha256(file.read()).hexdigest()


class Web:
	"""A folder that nginx serves, the proxy before it, an archive in the folder, and a daemon."""

	def __init__(self, build, **settings):
		self.root, self.folder = os.path.join(BASE, "web"), os.path.join(BASE, "nginx")
		os.makedirs(self.root)
		self.path = os.path.join(self.root, "image.tar")
		self.sha256 = make_archive(self.path, 1)
		self.size = os.path.getsize(self.path)
		self.stack = contextlib.ExitStack()
		self.stack.callback(shutil.rmtree, self.root)
		self.proxy = self.stack.enter_context(Proxy(self.stack.enter_context(nginx(self.root, self.folder))))
		self.world = self.stack.enter_context(World(build, image=False, **{**FAST, **settings}))

	def __enter__(self):
		return self

	def __exit__(self, *more):
		return self.stack.__exit__(*more)

	@property
	def client(self):
		return self.world.client

	def add(self, name, **more):
		"""Each name has a URL of its own, so that no part of another one is found."""
		return self.client.change("image.add", image=name, url=self.proxy.url(f"image.tar?{name}"),
					  **{"sha256": self.sha256, **more})

	def begin(self, name, **more):
		return self.client.begin("image.add", image=name, url=self.proxy.url(f"image.tar?{name}"),
					 **{"sha256": self.sha256, **more})

	def incoming(self):
		return sorted(os.listdir(os.path.join(self.world.daemon.state_dir, "incoming")))

	def await_part(self, size):
		"""Until the daemon has written so much of what is held."""
		assert self.proxy.holds.wait(PATIENCE)
		folder, end = os.path.join(self.world.daemon.state_dir, "incoming"), time.monotonic() + PATIENCE
		while not any(os.path.getsize(os.path.join(folder, name)) >= size for name in self.incoming()):
			self.client.call("host.info")
			assert time.monotonic() < end, self.incoming()

	def firsts(self):
		"""Where each request began, in order."""
		return [exchange.first for exchange in self.proxy.heads]


# What goes wrong, the faults, and where the requests must begin: None is the whole, "rest" a range.
FAULTS = [
	("nothing", [], [None]),
	("slammed", [server.slam], [None, None]),
	("cut", [cut(1 << 20)], [None, "rest"]),
	("cut three times", [cut(1 << 20), cut(1 << 19), cut(1)], [None, "rest", "rest", "rest"]),
	("announces too much", [announce(5000)], [None, "rest", None]),
	("ignores the range", [cut(1 << 20), server.without_range], [None, "rest"]),
	("sends another range", [cut(1 << 20), server.other_range], [None, "rest", None]),
	("labels the range wrongly", [cut(1 << 20), server.mislabelled_range], [None, "rest", None]),
	("says 416", [cut(1 << 20), status(416)], [None, "rest", None]),
	("says 503, then 429", [status(503), status(429, "Retry-After: 0")], [None, None, None]),
	("stalls", [hold(1 << 20)], [None, "rest"]),
]


def case_fetch_through_faults(build):
	with Web(build) as web:
		for at, (what, faults, begins) in enumerate(FAULTS):
			web.proxy.expect(*faults)
			answer = web.add(f"n{at}")
			assert answer["sha256"] == web.sha256, what
			firsts = web.firsts()
			assert [first and "rest" for first in firsts] == begins, f"{what}: {firsts}"
			assert web.incoming() == [], f"{what}: {web.incoming()}"
			web.client.change("image.remove", image=f"n{at}")


def case_fetch_of_a_file_that_changes(build):
	"""The new file is fetched whole: its digest is the one that is wanted, or it is refused."""
	with Web(build) as web:
		old = web.sha256

		def change(exchange):
			web.sha256 = make_archive(web.path + ".new", 2)
			os.rename(web.path + ".new", web.path)
			server.untouched(exchange)
		web.proxy.expect(cut(1 << 20), change)
		refusal = None
		try:
			web.add("old")
		except Refusal as caught:
			refusal = caught
		assert refusal and refusal.path == "/sha256" and old in refusal.text and web.sha256 in refusal.text
		assert web.incoming() == [] and web.client.call("image.list")["images"] == []
		web.proxy.expect(cut(1 << 20))
		assert web.add("new")["sha256"] == web.sha256


def case_fetch_goes_on_after_a_kill(build):
	with Web(build, **PATIENT) as web:
		for name, restart in ("killed", web.world.restart), ("stopped", None):
			web.proxy.expect(hold(1 << 20))
			web.begin(name)
			web.await_part(1 << 20)
			if restart:
				restart()
			else:
				web.world.daemon.stop()
				web.world.reconnect()
			job = web.client.call("image.get", image=name)["job"]
			if job:
				web.client.call("job.wait", job=job)
			assert web.client.call("image.get", image=name)["state"] == "ready"
			first = web.firsts()[-1]
			assert first and first > 0, web.firsts()
			assert web.proxy.passed <= web.size + (1 << 17), f"{web.proxy.passed} of {web.size}"
			web.client.change("image.remove", image=name)


def case_fetch_cancelled_leaves_a_part(build):
	with Web(build, **PATIENT) as web:
		web.proxy.expect(hold(1 << 20))
		job = web.begin("a")
		web.await_part(1 << 20)
		web.client.call("job.cancel", job=job)
		assert web.client.call("job.wait", job=job)["state"] == "cancelled"
		assert [name.split(".")[1] for name in web.incoming()] == ["origin", "part"], web.incoming()
		assert web.client.call("image.list")["images"] == []
		web.proxy.expect()
		web.add("a")
		assert web.firsts()[0] > 0 and web.incoming() == []


def case_fetch_refusals(build):
	"""Each leaves nothing, and the daemon goes on."""
	with Web(build, image_limit="2MiB", image_retries=2) as web:
		other = "0" * 64
		tries = [("too large", [], "limit", {}), ("never ends", [server.endless], "limit", {}),
			 ("turns in a circle", [server.redirect] * 9, "backend", {}),
			 ("is not there", [status(404)], "not_found", {}), ("may not", [status(403)], "denied", {}),
			 ("fails for good", [status(500)] * 9, "backend", {})]
		for at, (what, faults, code, more) in enumerate(tries):
			web.proxy.expect(*faults)
			refusal = web.client.refused("image.add", image=f"r{at}", sha256=other, wait=True,
						     url=web.proxy.url(f"image.tar?r{at}"), **more)
			assert refusal.code == code, f"{what}: {refusal}"
			assert web.incoming() == [] and web.client.call("image.list")["images"] == [], what
	with Web(build, image_slowest="1GiB", image_stall="1s", image_retries=0) as web:
		web.proxy.expect(server.endless)
		assert web.client.refused("image.add", image="s", sha256=other, wait=True,
					  url=web.proxy.url("image.tar")).code == "timeout"


def case_fetch_once_for_all(build):
	"""Twenty vnodes and another name wait for one download."""
	with Web(build) as web:
		web.proxy.expect(hold(1 << 20))
		job = web.begin("one")
		web.await_part(1 << 20)
		also = web.client.begin("image.add", image="two", sha256=web.sha256, url=web.proxy.url("image.tar?one"))
		vnodes = [web.client.begin("vnode.create", name=f"v{i}", image="one") for i in range(20)]
		for one in [job, also] + vnodes:
			assert web.client.call("job.wait", job=one)["state"] == "done"
		assert len(web.firsts()) == 2, web.firsts()
		assert len(os.listdir(os.path.join(web.world.daemon.state_dir, "images"))) == 1
		for i in range(20):
			web.client.change("vnode.destroy", vnode=f"v{i}")
