"""A real web server, and a proxy before it that does what networks and servers do wrong.

nginx serves a folder on the loopback of the test's own network namespace. Each request that comes through the
proxy takes the next fault of a plan, and goes through untouched when the plan is at its end. Nothing here waits
for a time: what is held is held until the test lets it go.
"""
import contextlib
import os
import re
import socket
import subprocess
import threading
import time

from lab.client import PATIENCE

CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
	access_log {log}; default_type application/octet-stream;
	client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
	server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def free_port():
	with socket.socket() as one:
		one.bind(("127.0.0.1", 0))
		return one.getsockname()[1]


def answers(port):
	with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
		return True
	return False


@contextlib.contextmanager
def nginx(root, folder, log="off"):
	"""nginx for a folder; gives its port. log: a file with a line a request."""
	os.makedirs(folder, exist_ok=True)
	port = free_port()
	path = os.path.join(folder, "nginx.conf")
	with open(path, "w") as file:
		file.write(CONFIG.format(folder=folder, root=root, port=port, log=log))
	process = subprocess.Popen(["nginx", "-p", folder, "-c", path, "-e", os.path.join(folder, "error.log")],
				   stdin=subprocess.DEVNULL)
	try:
		end = time.monotonic() + PATIENCE
		while not answers(port):
			assert process.poll() is None, "nginx ended: " + open(os.path.join(folder, "error.log")).read()
			assert time.monotonic() < end, "nginx does not listen"
		yield port
	finally:
		process.terminate()
		process.wait(PATIENCE)


class Exchange:
	"""One request, on its way through the proxy."""

	def __init__(self, proxy, client):
		self.proxy, self.client = proxy, client
		self.head = self.read_head(client)
		found = re.search(rb"^Range: bytes=(\d+)-", self.head, re.M)
		self.first = int(found[1]) if found else None

	@staticmethod
	def read_head(source):
		head = b""
		while b"\r\n\r\n" not in head:
			data = source.recv(1)
			if not data:
				break
			head += data
		return head

	def drop(self, *fields):
		for field in fields:
			self.head = re.sub(rb"(?im)^" + field.encode() + rb":[^\r]*\r\n", b"", self.head)

	def edit(self, pattern, text):
		self.head = re.sub(pattern, text, self.head)

	def ask(self):
		"""Sends the request on; the head of the answer and the connection with its body."""
		server = socket.create_connection(("127.0.0.1", self.proxy.target))
		self.drop("Connection")
		server.sendall(self.head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
		return self.read_head(server), server

	def say(self, data):
		self.client.sendall(data)

	def pass_body(self, server, limit=None):
		"""Passes bytes of a body on, up to a limit."""
		with server:
			while limit is None or limit > 0:
				data = server.recv(65536 if limit is None else min(65536, limit))
				if not data:
					return
				self.say(data)
				with self.proxy.lock:
					self.proxy.passed += len(data)
				if limit is not None:
					limit -= len(data)


# ---- faults: each gets an exchange; what comes after it is closed ----

def untouched(exchange):
	head, server = exchange.ask()
	exchange.say(head)
	exchange.pass_body(server)


def cut(count):
	"""The connection ends after so many bytes of the body."""
	def fault(exchange):
		head, server = exchange.ask()
		exchange.say(head)
		exchange.pass_body(server, count)
	return fault


def hold(count):
	"""So many bytes, and then nothing until the client goes, or the proxy lets go."""
	def fault(exchange):
		cut(count)(exchange)
		exchange.proxy.holds.set()
		exchange.client.settimeout(PATIENCE)
		with contextlib.suppress(OSError):
			exchange.client.recv(1)
	return fault


def announce(change):
	"""The length that the answer announces is another one."""
	def fault(exchange):
		head, server = exchange.ask()
		size = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
		exchange.say(re.sub(rb"(?i)(content-length: )\d+", rb"\g<1>%d" % (size + change), head))
		exchange.pass_body(server)
	return fault


def without_range(exchange):
	exchange.drop("Range", "If-Range")
	untouched(exchange)


def other_range(exchange):
	exchange.edit(rb"Range: bytes=(\d+)-", b"Range: bytes=7-")
	untouched(exchange)


def mislabelled_range(exchange):
	"""The bytes asked for, under a label that says others."""
	head, server = exchange.ask()
	exchange.say(re.sub(rb"(?i)(content-range: bytes )\d+", rb"\g<1>3", head))
	exchange.pass_body(server)


def status(code, *fields):
	def fault(exchange):
		lines = "".join(f"{field}\r\n" for field in fields)
		exchange.say(f"HTTP/1.1 {code} Fault\r\n{lines}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
	return fault


def redirect(exchange):
	path = exchange.head.split(b" ")[1].decode()
	status(302, f"Location: {path}")(exchange)


def endless(exchange):
	exchange.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	with contextlib.suppress(OSError):
		while True:
			exchange.say(b"\0" * 65536)


def slam(exchange):
	"""The connection ends without an answer."""


class Proxy:
	"""Listens; `plan` is the faults to come, `heads` the requests that have come, `passed` the bytes of bodies."""

	def __init__(self, target):
		self.target, self.plan, self.heads = target, [], []
		self.passed, self.holds, self.lock = 0, threading.Event(), threading.Lock()
		self.socket = socket.create_server(("127.0.0.1", 0))
		self.port = self.socket.getsockname()[1]
		threading.Thread(target=self.run, daemon=True).start()

	def __enter__(self):
		return self

	def __exit__(self, *more):
		self.socket.close()

	def expect(self, *faults):
		with self.lock:
			self.plan, self.heads, self.passed = list(faults), [], 0
		self.holds.clear()

	def url(self, path):
		return f"http://127.0.0.1:{self.port}/{path}"

	def run(self):
		with contextlib.suppress(OSError):
			while True:
				client, _ = self.socket.accept()
				threading.Thread(target=self.serve, args=(client,), daemon=True).start()

	def serve(self, client):
		with client, contextlib.suppress(OSError):
			exchange = Exchange(self, client)
			with self.lock:
				fault = self.plan.pop(0) if self.plan else untouched
				self.heads.append(exchange)
			fault(exchange)
