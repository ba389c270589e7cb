"""A client of vnoded's socket for tests: JSON-RPC lines, descriptors, events.

What surprises: answers and notifications come in any order, so each is kept until it is asked for.
"""
import array
import base64
import json
import os
import select
import socket
import time

# Seconds after which something hangs: a net for broken code, no measure. An emulated processor takes longer.
PATIENCE = int(os.environ.get("LAB_PATIENCE", 120))


class Refusal(Exception):
	"""An error answer."""

	def __init__(self, error):
		data = error.get("data") or {}
		self.number, self.text = error["code"], error["message"]
		self.code, self.path, self.job = data.get("code"), data.get("path"), data.get("job")
		super().__init__(f"{self.code} at '{self.path}': {self.text}")


class Closed(Exception):
	"""The daemon closed the connection."""


class Captured:
	"""What a captured command left."""

	def __init__(self, answer):
		self.status, self.signal = answer["exit_code"], answer["signal"]
		self.out = base64.b64decode(answer["stdout"]).decode(errors="replace")
		self.err = base64.b64decode(answer["stderr"]).decode(errors="replace")
		self.truncated = answer["truncated"]

	def __repr__(self):
		return f"status {self.status} signal {self.signal}\nstdout: {self.out}\nstderr: {self.err}"


class Client:
	def __init__(self, path):
		self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self.socket.connect(path)
		self.last_id = 0
		self.data, self.fds = b"", []
		self.answers, self.notifications = {}, []
		self.last_seq = 0

	def close(self):
		self.socket.close()
		for fd in self.fds:
			os.close(fd)

	def send_line(self, line, fds=()):
		if fds:
			rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
			self.socket.sendmsg([line[:1]], [rights])
			line = line[1:]
		self.socket.sendall(line)

	def send(self, method, params, fds=()):
		self.last_id += 1
		line = json.dumps({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
		self.send_line(line.encode() + b"\n", fds)
		return self.last_id

	def receive(self, patience=PATIENCE):
		"""Takes in what has come, waiting for at least something."""
		if not select.select([self.socket], [], [], patience)[0]:
			raise TimeoutError("vnoded says nothing")
		try:
			data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(16 * 4))
		except ConnectionResetError:
			data, ancillary = b"", []
		for _, _, block in ancillary:
			fds = array.array("i")
			fds.frombytes(block[:len(block) - len(block) % fds.itemsize])
			self.fds += fds
		if not data:
			raise Closed("vnoded closed the connection")
		*lines, self.data = (self.data + data).split(b"\n")
		for line in lines:
			self.take(json.loads(line))

	def take(self, message):
		if "method" in message:
			self.notifications.append(message)
		elif isinstance(message, dict) and message.get("id") is not None:
			self.answers[message["id"]] = message
		else:
			self.answers[None] = message

	def wait(self, id, patience=PATIENCE):
		end = time.monotonic() + patience
		while id not in self.answers:
			self.receive(max(0, end - time.monotonic()))
		answer = self.answers.pop(id)
		if "error" in answer:
			raise Refusal(answer["error"])
		return answer["result"]

	def call(self, method, fds=(), **params):
		return self.wait(self.send(method, params, fds))

	def change(self, method, fds=(), **params):
		"""A change, waited for: the job's result."""
		return self.call(method, fds, wait=True, **params).get("result")

	def begin(self, method, **params):
		"""A change that goes on: the number of its job."""
		return self.call(method, **params)["job"]

	def refused(self, method, fds=(), **params):
		"""The refusal of a call that must fail."""
		try:
			answer = self.call(method, fds, **params)
		except Refusal as refusal:
			return refusal
		raise AssertionError(f"{method} {params} was not refused: {answer}")

	def run(self, vnode, *argv, **more):
		"""Runs a command inside a vnode and gives its status and output."""
		input = more.pop("input", None)
		if input is not None:
			more["input"] = base64.b64encode(input.encode()).decode()
		return Captured(self.call("vnode.exec", vnode=vnode, argv=list(argv), stdio="capture", **more))

	def shell(self, vnode, script, **more):
		return self.run(vnode, "sh", "-c", script, **more)

	def output(self, vnode, script):
		"""The output of a script that must succeed."""
		done = self.shell(vnode, script)
		assert done.status == 0, f"{vnode}: {script}: {done}"
		return done.out.strip()

	def subscribe(self, since=-1, **more):
		answer = self.call("event.subscribe", since=since, **more)
		self.last_seq = answer["seq"]
		return answer

	def next_event(self, patience=PATIENCE):
		end = time.monotonic() + patience
		while True:
			for at, message in enumerate(self.notifications):
				if message["method"] == "event":
					del self.notifications[at]
					event = message["params"]["event"]
					self.last_seq = event.get("seq") or self.last_seq
					return event
			self.receive(max(0, end - time.monotonic()))

	def event(self, type, patience=PATIENCE, **fields):
		"""The next event of a type whose members or data are as given; others are dropped."""
		end = time.monotonic() + patience
		while True:
			event = self.next_event(max(0, end - time.monotonic()))
			data = event.get("data") or {}
			if event["type"] == type and all(
					value == (event[name] if event.get(name) is not None else data.get(name))
					for name, value in fields.items()):
				return event

	def notification(self, method, patience=PATIENCE):
		end = time.monotonic() + patience
		while True:
			for at, message in enumerate(self.notifications):
				if message["method"] == method:
					del self.notifications[at]
					return message["params"]
			self.receive(max(0, end - time.monotonic()))

	def pages(self, method, key, **params):
		return self.call(method, **params)[key]

	def list(self, **params):
		return {f"{row['topology']}/{row['name']}": row
			for row in self.pages("vnode.list", "vnodes", **params)}
