"""A daemon that says what a test tells it to: for the clients' tests, without any vnode.

A test gives handlers by method; a handler takes (params, call) and returns the result, raises Refusal,
or returns NO_ANSWER and answers later through the call. Every request is kept in `requests`.
"""
import array
import json
import os
import socket
import threading

NO_ANSWER = object()
HANG_UP = object()			# closes the connection without an answer


class Refusal(Exception):
	def __init__(self, code, text, path="", job=None):
		super().__init__(text)
		numbers = {"invalid": -32602, "parse": -32700, "request": -32600, "no_method": -32601}
		self.error = {"code": numbers.get(code, -32000), "message": text,
			      "data": {"code": code, "path": path, "retryable": False}}
		if job:
			self.error["data"]["job"] = job


class Call:
	def __init__(self, session, message, fds):
		self.session = session
		self.id = message.get("id")
		self.method = message["method"]
		self.params = message.get("params") or {}
		self.fds = fds

	def answer(self, result, fds=()):
		self.session.send({"jsonrpc": "2.0", "id": self.id, "result": result}, fds)

	def refuse(self, refusal):
		self.session.send({"jsonrpc": "2.0", "id": self.id, "error": refusal.error})

	def notify(self, method, params):
		self.session.send({"jsonrpc": "2.0", "method": method, "params": params})


class Session:
	def __init__(self, daemon, sock):
		self.daemon = daemon
		self.sock = sock
		self.lock = threading.Lock()

	def send(self, message, fds=()):
		line = (json.dumps(message) + "\n").encode()
		with self.lock:
			try:
				if fds:
					rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
					self.sock.sendmsg([line[:1]], [rights])
					line = line[1:]
				self.sock.sendall(line)
			except OSError:
				pass			# the client has left

	def run(self):
		data, fds = b"", []
		while True:
			try:
				got, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
			except OSError:
				return
			if not got:
				return
			for _, _, rights in ancillary:
				fds += array.array("i", rights[:len(rights) - len(rights) % 4])
			data += got
			while b"\n" in data:
				line, data = data.split(b"\n", 1)
				if not self.handle(Call(self, json.loads(line), fds)):
					self.sock.shutdown(socket.SHUT_RDWR)
					self.sock.close()
					return
				fds = []

	def handle(self, call):
		daemon = self.daemon
		with daemon.changed:
			daemon.requests.append((call.method, call.params))
			daemon.changed.notify_all()
		try:
			handler = daemon.handlers.get(call.method)
			if not handler:
				raise Refusal("no_method", "no method '%s'" % call.method)
			result = handler(call.params, call)
		except Refusal as refusal:
			call.refuse(refusal)
			return True
		finally:
			for fd in call.fds:
				os.close(fd)
		if result is HANG_UP:
			return False
		if result is not NO_ANSWER:
			call.answer(result)
		return True


class FakeDaemon:
	def __init__(self, folder, handlers):
		self.path = os.path.join(folder, "vnoded.sock")
		self.handlers = handlers
		self.requests = []
		self.changed = threading.Condition()
		self.sessions = []
		self.start()

	def start(self):
		if os.path.exists(self.path):
			os.unlink(self.path)
		self.listener = socket.socket(socket.AF_UNIX)
		self.listener.bind(self.path)
		self.listener.listen(16)
		threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

	def accept(self, listener):
		while True:
			try:
				sock, _ = listener.accept()
			except OSError:
				return
			session = Session(self, sock)
			self.sessions.append(session)
			threading.Thread(target=session.run, daemon=True).start()

	def stop(self):
		"""Goes away as a killed daemon does: all connections break."""
		os.unlink(self.path)
		self.listener.shutdown(socket.SHUT_RDWR)
		self.listener.close()
		for session in self.sessions:
			try:
				session.sock.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass
		self.sessions = []

	def wait_for(self, method, count=1, timeout=20):
		"""Waits until a method has been called so often."""
		with self.changed:
			ok = self.changed.wait_for(lambda: len(self.calls(method)) >= count, timeout)
		assert ok, "%s was not called %d times: %s" % (method, count, self.requests)

	def calls(self, method):
		return [params for name, params in self.requests if name == method]
